//! The TCP socket below HTTP, which is given up when the client takes no byte for too long. In the clear and over
//! HTTP/1.1 an answer that never ends may take it over once its head is written: from then on it is written like a
//! WebSocket's, by whoever has something for the client, and what hyper holds per connection is given back. Knows
//! nothing of what is said.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
    time::{Sleep, sleep},
};

use crate::server::Open;

/// What is done with a socket that is taken over, and with its place among those that are open.
type Taker = Box<dyn FnOnce(TcpStream, Open) + Send>;

/// How far a takeover has come.
#[derive(Default)]
enum Stage {
    /// Nobody wants the socket.
    #[default]
    None,
    /// An answer does; its head isn't written yet.
    Wanted(Taker),
    /// The head is with hyper, which has still to flush it.
    Headed(Taker),
    /// The head is with the kernel.
    Due(Taker, Arc<TcpStream>),
}

/// The way from an answer to the socket below it. One for each connection.
#[derive(Clone, Default)]
pub(crate) struct Takeover(Arc<Shared>);

#[derive(Default)]
struct Shared {
    stage: Mutex<Stage>,
    due: Notify,
}

impl Takeover {
    /// Wants the socket. Answers the body to give, of which there is nothing; it must be chunked.
    pub(crate) fn want(&self, taker: impl FnOnce(TcpStream, Open) + Send + 'static) -> Body {
        *self.0.stage.lock() = Stage::Wanted(Box::new(taker));
        Body::new(Never(self.clone()))
    }

    /// Waits until the socket can be taken.
    pub(crate) async fn due(&self) {
        self.0.due.notified().await;
    }

    /// Takes the socket over, if that is due. Nobody else may hold it any more.
    pub(crate) fn carry_out(&self, open: Open) {
        if let Stage::Due(taker, socket) = std::mem::take(&mut *self.0.stage.lock())
            && let Some(socket) = Arc::into_inner(socket)
        {
            taker(socket, open);
        }
    }

    /// The body is asked for: hyper has taken the head.
    fn is_headed(&self) {
        let mut stage = self.0.stage.lock();
        *stage = match std::mem::take(&mut *stage) {
            Stage::Wanted(taker) => Stage::Headed(taker),
            other => other,
        };
    }

    /// Hyper has written all it had.
    fn is_flushed(&self, socket: &Arc<TcpStream>) {
        let mut stage = self.0.stage.lock();
        *stage = match std::mem::take(&mut *stage) {
            Stage::Headed(taker) => {
                self.0.due.notify_one();
                Stage::Due(taker, socket.clone())
            }
            other => other,
        };
    }
}

/// A body of which hyper never gets a byte.
struct Never(Takeover);

impl hyper::body::Body for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        self.0.is_headed();
        Poll::Pending
    }
}

/// A socket that can be taken over.
pub(crate) struct Socket {
    tcp: Arc<TcpStream>,
    takeover: Takeover,
    /// How long it may be full.
    stall_timeout: Duration,
    /// Runs while it is.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(crate) fn new(tcp: TcpStream, takeover: Takeover, stall_timeout: Duration) -> Self {
        Self { tcp: Arc::new(tcp), takeover, stall_timeout, stalled: None }
    }

    /// Waits until a full socket takes a byte again, or has not for too long.
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let writable = self.tcp.poll_write_ready(cx);
        if writable.is_ready() {
            return writable;
        }
        let timeout = self.stall_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no byte was taken for too long")))
    }

    /// The socket, to see how it is.
    pub(crate) fn tcp(&self) -> Arc<TcpStream> {
        self.tcp.clone()
    }

    /// The bare socket; `None` if it is being taken over.
    pub(crate) fn into_inner(self) -> Option<TcpStream> {
        Arc::into_inner(self.tcp)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.tcp.poll_read_ready(cx))?;
            match self.tcp.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome.map(drop)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_writable(cx))?;
            match self.tcp.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => {
                    self.stalled = None;
                    return Poll::Ready(outcome);
                }
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.takeover.is_flushed(&self.tcp);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(socket2::SockRef::from(&*self.tcp).shutdown(std::net::Shutdown::Write))
    }
}
