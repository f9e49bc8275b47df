//! Where a connection's bytes go: a TCP socket that anybody may write, or a pipe out of which the connection's own
//! transport takes them. A pipe holds little, shared where it can be; when it is full its reader lags like one
//! whose socket is.

use std::{
    collections::VecDeque,
    io::{self, Read as _},
    net::Shutdown,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::{io::Errno, net::SendFlags};
use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream, sync::Notify};

use crate::Line;

/// Bytes that a pipe takes before its reader lags.
const PIPE_BYTES_MAX: usize = 64 * 1024;

/// Bytes up to which chunks leave a pipe together: what a TLS record holds.
const TAKE_BYTES: usize = 16 * 1024;

/// A peer that is gone is an error, not a signal. Where no flag says so, the socket itself does.
#[cfg(not(any(target_vendor = "apple", windows)))]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;
#[cfg(any(target_vendor = "apple", windows))]
const SEND_FLAGS: SendFlags = SendFlags::empty();

/// Where a connection's bytes go.
#[derive(Debug)]
pub(crate) enum Sink {
    /// Straight to the kernel.
    Socket(Socket),
    /// To the transport, which is woken. Boxed: idle sockets are many.
    Pipe(Box<Pipe>),
}

impl From<Line> for Sink {
    fn from(line: Line) -> Self {
        match line {
            Line::Socket(socket) => Self::Socket(Socket(socket)),
            Line::Pipe(hang_up) => Self::Pipe(Box::new(Pipe::new(hang_up))),
        }
    }
}

impl Sink {
    /// Writes what there is place for, or says `WouldBlock`.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.try_write(bytes),
            Self::Pipe(pipe) => pipe.put(|| Bytes::copy_from_slice(bytes)),
        }
    }

    /// Ends one or both directions; whoever waits wakes up.
    pub(crate) fn shut(&self, how: Shutdown) {
        match self {
            // It may be gone already.
            Self::Socket(socket) => drop(SockRef::from(&socket.0).shutdown(how)),
            Self::Pipe(pipe) => pipe.shut(how),
        }
    }
}

/// A socket that can be written from anywhere.
#[derive(Debug)]
pub(crate) struct Socket(pub(crate) TcpStream);

impl Socket {
    /// Writes what there is place for. As there nearly always is, the runtime is asked only once the kernel has said
    /// that there is none; from then on it waits for some.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match rustix::net::send(&self.0, bytes, SEND_FLAGS) {
            Err(Errno::WOULDBLOCK) => self.0.try_write(bytes),
            outcome => Ok(outcome?),
        }
    }

    /// Reads what is there. A short read says that the socket is empty: the runtime is told so at once, which
    /// spares the read that would find it out. (It wakes on edges; what comes later wakes again.)
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        let outcome = self.0.try_io(Interest::READABLE, || {
            read = (&*SockRef::from(&self.0)).read(buffer)?;
            if 0 < read && read < buffer.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match outcome {
            Err(error) if read == 0 => Err(error),
            _ => Ok(read),
        }
    }
}

/// Bytes on their way to a transport.
#[derive(Debug)]
pub(crate) struct Pipe {
    state: Mutex<State>,
    /// What lies below the transport, to be cut when the reader takes nothing.
    hang_up: Option<Arc<Notify>>,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Bytes>,
    /// Beside them, in no order with them.
    datagrams: Vec<Bytes>,
    /// Bytes of both.
    bytes: usize,
    /// Chunks taken so far: whether the reader moves.
    taken: u64,
    /// Something else than bytes is there to be looked at.
    rung: bool,
    ended: bool,
    waker: Option<Waker>,
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Chunks that came while the transport was busy leave as one.
    fn pop_together(&mut self) -> Option<Bytes> {
        let first = self.pop()?;
        let fits = |state: &Self, bytes: usize| {
            state.chunks.front().is_some_and(|next| bytes + next.len() <= TAKE_BYTES)
        };
        if !fits(self, first.len()) {
            return Some(first);
        }
        let mut together = Vec::with_capacity((first.len() + self.bytes).min(TAKE_BYTES));
        together.extend_from_slice(&first);
        while fits(self, together.len()) {
            together.extend_from_slice(&self.pop()?);
        }
        Some(together.into())
    }

    fn pop(&mut self) -> Option<Bytes> {
        let chunk = self.chunks.pop_front()?;
        self.bytes -= chunk.len();
        self.taken += 1;
        Some(chunk)
    }
}

impl Pipe {
    pub(crate) fn new(hang_up: Option<Arc<Notify>>) -> Self {
        Self { state: Mutex::default(), hang_up }
    }

    /// Takes a chunk whole, or says `WouldBlock`.
    pub(crate) fn put(&self, chunk: impl FnOnce() -> Bytes) -> io::Result<usize> {
        let mut state = self.state.lock();
        if state.ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if state.bytes >= PIPE_BYTES_MAX {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let chunk = chunk();
        let taken = chunk.len();
        state.bytes += taken;
        state.chunks.push_back(chunk);
        state.wake();
        Ok(taken)
    }

    /// Takes messages that may be lost; those it has no place for are.
    pub(crate) fn put_datagrams(&self, datagrams: &[Bytes]) {
        let mut state = self.state.lock();
        if state.ended || datagrams.is_empty() {
            return;
        }
        for datagram in datagrams {
            if state.bytes < PIPE_BYTES_MAX {
                state.bytes += datagram.len();
                state.datagrams.push(datagram.clone());
            }
        }
        state.wake();
    }

    /// All datagrams that are there. Whoever asks is woken for more.
    pub(crate) fn take_datagrams(&self, cx: &mut Context<'_>) -> Vec<Bytes> {
        let mut state = self.state.lock();
        state.waker = Some(cx.waker().clone());
        let datagrams = std::mem::take(&mut state.datagrams);
        state.bytes -= datagrams.iter().map(Bytes::len).sum::<usize>();
        datagrams
    }

    /// Wakes the transport without a byte.
    pub(crate) fn ring(&self) {
        let mut state = self.state.lock();
        state.rung = true;
        state.wake();
    }

    /// The next bytes, small chunks together, and whether the pipe is empty now; `None` at the end.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<(Bytes, bool)>> {
        let mut state = self.state.lock();
        match state.pop_together() {
            Some(chunk) => Poll::Ready(Some((chunk, state.chunks.is_empty()))),
            None if state.ended => Poll::Ready(None),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Waits until there is something to look at, or the end.
    pub(crate) fn poll_stirred(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if !state.chunks.is_empty() || state.ended || std::mem::take(&mut state.rung) {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// All that is there.
    pub(crate) fn take_all(&self) -> Vec<Bytes> {
        let mut state = self.state.lock();
        std::iter::from_fn(|| state.pop()).collect()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.state.lock().ended
    }

    pub(crate) fn taken(&self) -> u64 {
        self.state.lock().taken
    }

    fn shut(&self, how: Shutdown) {
        let mut state = self.state.lock();
        if how == Shutdown::Read {
            return;
        }
        state.ended = true;
        if how == Shutdown::Both {
            (state.chunks, state.datagrams, state.bytes) = (VecDeque::new(), Vec::new(), 0);
            if let Some(hang_up) = &self.hang_up {
                hang_up.notify_one();
            }
        }
        state.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_datagram_that_comes_right_after_they_were_taken_wakes_the_transport() {
        let (pipe, woken) = (Pipe::new(None), Arc::new(Woken::default()));
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(pipe.take_datagrams(&mut cx).is_empty());
        pipe.put_datagrams(&[Bytes::from_static(b"{}")]);
        assert!(pipe.poll_take(&mut cx).is_pending());
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(pipe.take_datagrams(&mut cx), [Bytes::from_static(b"{}")]);
    }
}
