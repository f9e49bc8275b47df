//! Accepting connections and speaking HTTP/1.1 on them, each step under a deadline. `axum::serve` has none:
//! slow headers and silent sockets would stay for ever.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
};
use tower::ServiceExt as _;

use crate::server::{Doors, Open};

/// Headers of a request, at most; more is 431.
const HEADERS_MAX: usize = 100;
/// Bytes of a request's head, at most; more is 431.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// How long to wait when the process has no more sockets.
const NO_SOCKETS_PAUSE: Duration = Duration::from_millis(100);
/// What a connection beyond the limit is told.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Cuts the connection below a request whose client takes none of its answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct HangUp(pub(crate) Arc<Notify>);

/// Accepts for ever.
///
/// `ending` tells each connection when to come to its end, and whoever holds its other side when all have.
pub(crate) async fn accept(
    listener: TcpListener,
    router: Router,
    doors: Arc<Doors>,
    ending: watch::Receiver<()>,
) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let Some(open) = doors.open() else {
                    // Best effort: the peer may not even read it.
                    let _ = socket.try_write(FULL);
                    continue;
                };
                tokio::spawn(speak((socket, peer, open), router.clone(), doors.clone(), ending.clone()));
            }
            Err(error) if is_exhaustion(&error) => {
                tracing::error!(%error, "can't accept: raise the limit of open files (ulimit -n)");
                tokio::time::sleep(NO_SOCKETS_PAUSE).await;
            }
            Err(error) => tracing::debug!(%error, "a connection was gone before it was accepted"),
        }
    }
}

/// Out of file descriptors, in the process (EMFILE) or the system (ENFILE).
fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

/// Speaks HTTP on one connection, until it ends or becomes something else.
async fn speak(
    (socket, peer, _open): (TcpStream, SocketAddr, Open),
    router: Router,
    doors: Arc<Doors>,
    mut ending: watch::Receiver<()>,
) {
    let first_byte = tokio::time::timeout(doors.settings.first_byte_timeout, socket.readable());
    if prepare(&socket, &doors).is_err() || !matches!(first_byte.await, Ok(Ok(()))) {
        return;
    }
    let cut = HangUp::default();
    let hang_up = cut.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(hang_up.clone());
        let router = router.clone();
        async move {
            Ok::<_, Infallible>(
                router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {}),
            )
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(doors.settings.headers_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = cut.0.notified() => return,
        _ = ending.changed() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                outcome = connection => outcome,
                () = cut.0.notified() => return,
            }
        }
    };
    // Errors here are the peer's: a bad head was answered, a deadline cut it off.
    if let Err(error) = outcome {
        tracing::debug!(%peer, %error, "an HTTP connection ended early");
    }
}

fn prepare(socket: &TcpStream, doors: &Doors) -> io::Result<()> {
    socket.set_nodelay(true)?;
    // What the kernel takes for a reader that has stopped reading is bounded here, not by any queue of ours.
    SockRef::from(socket).set_send_buffer_size(doors.settings.send_buffer_bytes)
}
