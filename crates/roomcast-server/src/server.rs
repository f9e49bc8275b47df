//! A whole server: listeners, routes and an orderly end. What is configured is passed in.

use std::{
    future::Future,
    io,
    net::{TcpListener, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use roomcast_hub::Hub;
use tokio::sync::watch;

use crate::{
    accept::accept,
    app::{App, Front},
    proxies::TrustedProxy,
    tls::Tls,
    webtransport,
};

/// Deadlines and limits of the doors.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A certificate to speak TLS with; without one whatever stands in front speaks it, or nobody.
    pub tls: Option<Tls>,
    /// A certificate to speak QUIC with, on which WebTransport is carried; without one there is none.
    pub quic: Option<Tls>,
    /// QUIC handshakes at once. From half of it on an address must be proven first; over it a handshake is refused.
    pub quic_handshakes_max: usize,
    /// Bytes of datagrams that wait for one client, and for us from it; more, and the oldest are dropped.
    pub datagram_buffer_bytes: usize,
    /// Who is believed when it says for whom it asks.
    pub trusted_proxies: Arc<[TrustedProxy]>,
    /// Sockets at once. Over it: 503 and closed.
    pub connections_max: usize,
    /// How long a connection may say nothing before its first byte.
    pub first_byte_timeout: Duration,
    /// How long a request's head may take, and over HTTP/2 the first request.
    pub headers_timeout: Duration,
    /// Headers of a request. More is 431.
    pub headers_max: usize,
    /// Bytes of a request's head. More is 431.
    pub head_bytes_max: usize,
    /// Requests, streams and sockets of one HTTP/2 connection at once. More wait.
    pub http2_streams_max: u32,
    /// Bytes of an answer that wait for one HTTP/2 stream to take them.
    pub http2_stream_buffer_bytes: usize,
    /// Bytes that the kernel takes for one socket.
    pub send_buffer_bytes: usize,
    /// How long an orderly end may take.
    pub shutdown_timeout: Duration,
    /// Over how long clients are told to spread their return after it.
    pub reconnect_spread: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tls: None,
            quic: None,
            quic_handshakes_max: 1_000,
            datagram_buffer_bytes: 64 * 1024,
            trusted_proxies: Arc::default(),
            connections_max: 1_000_000,
            first_byte_timeout: Duration::from_secs(10),
            headers_timeout: Duration::from_secs(10),
            headers_max: 100,
            head_bytes_max: 32 * 1024,
            http2_streams_max: 256,
            http2_stream_buffer_bytes: 64 * 1024,
            send_buffer_bytes: 128 * 1024,
            shutdown_timeout: Duration::from_secs(10),
            reconnect_spread: Duration::from_secs(5),
        }
    }
}

/// What all connections share before they are told apart.
pub(crate) struct Doors {
    pub(crate) settings: Settings,
    pub(crate) hub: Hub,
    open: Arc<AtomicUsize>,
}

/// A socket's place among those that are open, held by whoever has the socket: HTTP, and what it becomes.
#[derive(Clone)]
pub(crate) struct Open(#[expect(dead_code, reason = "held, not read")] Arc<Place>);

struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Doors {
    /// Counts a socket in, if there is a place.
    pub(crate) fn open(&self) -> Option<Open> {
        let others = self.open.fetch_add(1, Ordering::Relaxed);
        let place = Place(self.open.clone());
        (others < self.settings.connections_max).then(|| Open(Arc::new(place)))
    }
}

/// Sockets to listen on.
#[derive(Debug, Default)]
pub struct Listeners {
    /// For HTTP and what it carries.
    pub tcp: Vec<TcpListener>,
    /// For QUIC, on the same ports.
    pub udp: Vec<UdpSocket>,
}

/// Serves `app` on the listeners until `stop` resolves, then comes to an orderly end: new connections are no
/// longer taken, clients are told when to come back, requests in flight are answered.
///
/// Errors: a listener that the runtime won't take.
pub async fn serve(
    app: Arc<App>,
    listeners: Listeners,
    settings: Settings,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let hub = app.hub.clone();
    let Settings { shutdown_timeout, reconnect_spread, .. } = settings;
    let front = Arc::new(Front::new(app.clone()));
    let doors = Arc::new(Doors { settings, hub: hub.clone(), open: Arc::default() });
    let (ending, until_end) = watch::channel(());
    let mut accepting = tokio::task::JoinSet::new();
    for listener in listeners.tcp {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        accepting.spawn(accept(listener, front.clone(), doors.clone(), until_end.clone()));
    }
    webtransport::listen(listeners.udp, (&app, &doors, &until_end), &mut accepting)?;
    drop(until_end);
    stop.await;
    accepting.shutdown().await;
    let end = async {
        ending.send_replace(());
        hub.drain(shutdown_timeout, reconnect_spread).await;
        ending.closed().await;
    };
    if tokio::time::timeout(shutdown_timeout, end).await.is_err() {
        tracing::warn!("the orderly end took longer than {shutdown_timeout:?}; what is left is cut off");
    }
    Ok(())
}
