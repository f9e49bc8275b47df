//! The WebTransport transport (HTTP/3): QUIC at the door, each step under a deadline, and the CONNECT that begins a
//! session. What is said on it is `carry`'s.
//!
//! A refusal that a browser must be able to read is told after the session is accepted, as its close: a refused one
//! shows it no reason.

mod carry;

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{StatusCode, Uri};
use percent_encoding::percent_decode_str;
use roomcast_protocol::Limits;
use tokio::{sync::watch, task::JoinSet, time::timeout};
use web_transport_quinn::{
    Request,
    quinn::{
        Endpoint, EndpointConfig, IdleTimeout, Incoming, ServerConfig, TokioRuntime, TransportConfig, VarInt,
    },
};

use crate::{
    app::App,
    arrival::Arrival,
    proxies::Client,
    server::{Doors, Settings},
};

/// Streams that a client may have open both ways: the session's CONNECT, ours, and one more on its way out.
const TWO_WAY_STREAMS_MAX: u8 = 3;
/// Streams that it may have open to us: those of HTTP/3 itself (control and QPACK), and some that mean nothing and
/// are there to keep us tolerant (RFC 9114, section 6.2.3).
const ONE_WAY_STREAMS_MAX: u8 = 8;
/// Bytes on their way that one stream may hold for us: more than the largest message.
const STREAM_RECEIVE_BYTES_MAX: u32 = 128 * 1024;
/// The same for all streams of a client.
const RECEIVE_BYTES_MAX: u32 = 2 * STREAM_RECEIVE_BYTES_MAX;

/// Handshakes under way at one door.
#[derive(Clone, Default)]
struct Handshakes(Arc<AtomicUsize>);

/// One of them.
struct Underway(Handshakes);

impl Handshakes {
    fn begin(&self) -> (Underway, usize) {
        let others = self.0.fetch_add(1, Ordering::Relaxed);
        (Underway(self.clone()), others)
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts on UDP sockets from now on, among whatever else is `accepting`.
///
/// Errors: no certificate to show, or a socket that the runtime won't take.
pub(crate) fn listen(
    sockets: Vec<UdpSocket>,
    (app, doors, ending): (&Arc<App>, &Arc<Doors>, &watch::Receiver<()>),
    accepting: &mut JoinSet<()>,
) -> io::Result<()> {
    for socket in sockets {
        let endpoint = open(socket, &doors.settings, app.hub.limits())?;
        accepting.spawn(accept(endpoint, app.clone(), doors.clone(), ending.clone()));
    }
    Ok(())
}

/// Makes a door of a UDP socket.
fn open(socket: UdpSocket, settings: &Settings, limits: &Limits) -> io::Result<Endpoint> {
    let tls = settings.quic.as_ref().ok_or_else(|| io::Error::other("QUIC needs a certificate"))?;
    let crypto = tls.quic().map_err(io::Error::other)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport(settings, limits)));
    Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))
}

/// What one client may take of us. QUIC watches whether it is there, as often as a WebSocket is asked.
fn transport(settings: &Settings, limits: &Limits) -> TransportConfig {
    let idle = (limits.ping_interval + limits.pong_timeout).try_into();
    let datagrams = settings.datagram_buffer_bytes;
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(idle.unwrap_or(IdleTimeout::from(VarInt::MAX))))
        .keep_alive_interval(Some(limits.ping_interval))
        .max_concurrent_bidi_streams(TWO_WAY_STREAMS_MAX.into())
        .max_concurrent_uni_streams(ONE_WAY_STREAMS_MAX.into())
        .stream_receive_window(STREAM_RECEIVE_BYTES_MAX.into())
        .receive_window(RECEIVE_BYTES_MAX.into())
        .send_window(settings.send_buffer_bytes as u64)
        .datagram_receive_buffer_size(Some(datagrams))
        .datagram_send_buffer_size(datagrams);
    transport
}

/// Accepts for ever. `ending` is held by every session until its end.
async fn accept(endpoint: Endpoint, app: Arc<App>, doors: Arc<Doors>, ending: watch::Receiver<()>) {
    let handshakes = Handshakes::default();
    while let Some(incoming) = endpoint.accept().await {
        let max = doors.settings.quic_handshakes_max;
        let (underway, others) = handshakes.begin();
        match doors.open() {
            Some(open) if others < max => {
                // Under load an address must be proven before it costs us a signature.
                if others >= max / 2 && !incoming.remote_address_validated() {
                    // It can't be asked twice, and is not: an address that was asked is validated.
                    drop(incoming.retry());
                    continue;
                }
                let (app, doors, ending) = (app.clone(), doors.clone(), ending.clone());
                tokio::spawn(async move {
                    let peer = incoming.remote_address();
                    if let Some(request) = shake_hands(incoming, &doors, underway).await {
                        begin(app, (request, peer), &doors).await;
                    }
                    drop((open, ending));
                });
            }
            _ => incoming.refuse(),
        }
    }
}

/// Speaks TLS, then HTTP/3 up to the request of a session; `None` if that took too long or went wrong.
async fn shake_hands(incoming: Incoming, doors: &Doors, _underway: Underway) -> Option<Request> {
    let peer = incoming.remote_address();
    let shaken = async {
        let connection = incoming.await.map_err(|error| error.to_string())?;
        Request::accept(connection).await.map_err(|error| error.to_string())
    };
    match timeout(doors.settings.headers_timeout, shaken).await {
        Ok(Ok(request)) => Some(request),
        Ok(Err(reason)) => {
            tracing::debug!(%peer, reason, "a QUIC handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(%peer, "a QUIC handshake took too long");
            None
        }
    }
}

/// Answers the request of a session, and lets whoever may in.
async fn begin(app: Arc<App>, (request, peer): (Request, SocketAddr), doors: &Doors) {
    let deadline = doors.settings.headers_timeout;
    let read = |request: &Request| Ok((room_of(request.url.path())?, uri_of(request)?));
    let (room, uri) = match read(&request) {
        Ok(read) => read,
        Err(status) => return refuse(request, status, deadline).await,
    };
    let client = Client::of(&[], peer.ip(), &request.headers);
    let arrival =
        Arrival::of(&app, (&request.headers, &uri), room.as_deref(), (Some(client), "WebTransport"));
    match timeout(deadline, request.ok()).await {
        Ok(Ok(session)) => {
            carry::run(&app.hub, session, arrival, doors.settings.first_byte_timeout).await;
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a WebTransport session ended early"),
        Err(_) => tracing::debug!(%peer, "a WebTransport client took no answer to its request"),
    }
}

/// Says why not, and waits for the client to go: what it hasn't read yet would be lost with the connection.
async fn refuse(request: Request, status: StatusCode, patience: Duration) {
    let said = async {
        if let Ok(session) = request.respond(status).await {
            session.closed().await;
        }
    };
    timeout(patience, said).await.ok();
}

fn uri_of(request: &Request) -> Result<Uri, StatusCode> {
    request.url.as_str().parse().map_err(|_| StatusCode::BAD_REQUEST)
}

/// The room that a path of ours names: `/wt` names none.
fn room_of(path: &str) -> Result<Option<String>, StatusCode> {
    let rest = path.strip_prefix("/wt").ok_or(StatusCode::NOT_FOUND)?;
    if rest.is_empty() {
        return Ok(None);
    }
    let room = rest.strip_prefix('/').filter(|room| !room.contains('/')).ok_or(StatusCode::NOT_FOUND)?;
    Ok(Some(percent_decode_str(room).decode_utf8_lossy().into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_sessions() {
        assert_eq!(room_of("/wt"), Ok(None));
        assert_eq!(room_of("/wt/general"), Ok(Some("general".into())));
        assert_eq!(room_of("/wt/chat%3A42"), Ok(Some("chat:42".into())));
        for other in ["/", "/ws", "/wtf", "/wt/a/b", "/wt/a/"] {
            assert_eq!(room_of(other), Err(StatusCode::NOT_FOUND), "{other}");
        }
    }
}
