//! The signals that end the process: the first asks for an orderly stop, the second ends it at once.

use std::{io, process};

/// The status of a process that Ctrl-C ended, as shells know it.
const INTERRUPTED: i32 = 130;

/// Completes at the first SIGTERM or Ctrl-C and says which. From then on a second one ends the process.
pub(crate) async fn stop() -> io::Result<&'static str> {
    let mut signals = Signals::new()?;
    let first = signals.next().await;
    tokio::spawn(async move {
        signals.next().await;
        process::exit(INTERRUPTED);
    });
    Ok(first)
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "Ctrl-C",
        }
    }
}

#[cfg(not(unix))]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> &'static str {
        self.0.recv().await;
        "Ctrl-C"
    }
}
