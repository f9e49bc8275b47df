//! Wakes a poll at a fixed interval, finer than the millisecond that epoll counts in.

#[cfg(target_os = "linux")]
mod timer {
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::time::Duration;

    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    /// How long a poll may take while a ticker runs.
    pub(crate) const PATIENCE: Duration = Duration::from_millis(100);

    /// A timer file.
    #[derive(Debug)]
    pub(crate) struct Ticker {
        file: OwnedFd,
    }

    impl Ticker {
        pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let file = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            registry.register(&mut SourceFd(&file.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Self { file })
        }

        /// Ticks every `interval` from now on; never again if that is zero.
        pub(crate) fn every(&self, interval: Duration) -> io::Result<()> {
            let interval = Timespec {
                tv_sec: interval.as_secs().cast_signed(),
                tv_nsec: interval.subsec_nanos().into(),
            };
            let spec = Itimerspec { it_interval: interval, it_value: interval };
            timerfd_settime(&self.file, TimerfdTimerFlags::empty(), &spec)?;
            Ok(())
        }

        /// Takes a tick that the poll has told of; without this there is no next one.
        pub(crate) fn take(&self) {
            // `WouldBlock` if the timer was stopped meanwhile.
            let _ = rustix::io::read(&self.file, &mut [0; 8]);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod timer {
    use std::io;
    use std::time::Duration;

    use mio::{Registry, Token};

    /// Where there is no timer file, polls end after a millisecond.
    pub(crate) const PATIENCE: Duration = Duration::from_millis(1);

    /// Nothing: [`PATIENCE`] is the tick.
    #[derive(Debug)]
    pub(crate) struct Ticker;

    impl Ticker {
        #[allow(clippy::unnecessary_wraps)]
        pub(crate) fn new(_registry: &Registry, _token: Token) -> io::Result<Self> {
            Ok(Self)
        }

        #[allow(clippy::unnecessary_wraps, clippy::unused_self)]
        pub(crate) fn every(&self, _interval: Duration) -> io::Result<()> {
            Ok(())
        }

        #[allow(clippy::unused_self)]
        pub(crate) fn take(&self) {}
    }
}

pub(crate) use timer::{PATIENCE, Ticker};
