//! Accepting connections and speaking HTTP on them, 1.1 in the clear and 1.1 or 2 inside TLS, each step under a
//! deadline. `axum::serve` has none: slow headers and silent sockets would stay for ever.

use std::{
    convert::Infallible,
    fmt, future, io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use axum::body::Body;
use futures_util::FutureExt as _;
use hyper::{
    Request, Response,
    body::Incoming,
    rt::{Read, Write},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    io::AsyncBufReadExt as _,
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
};
use tower::Service as _;

use crate::{
    app::Front,
    http::{self, Straight},
    proxies::{Client, TrustedProxy},
    server::{Doors, Open, Settings},
    stall::{Attended, attended},
    takeover::{Socket, Takeover},
    tls::Tls,
};

/// Headers of a request that hyper takes unless it is told otherwise.
const HYPER_HEADERS_MAX: usize = 100;
/// How long to wait when the process has no more sockets.
const NO_SOCKETS_PAUSE: Duration = Duration::from_millis(100);
/// How long a client over HTTP/2 has, when the server ends, to say that it has heard of it. What it asks for later may
/// not be answered.
const FAREWELL: Duration = Duration::from_secs(1);
/// What a connection beyond the limit is told.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Cuts the connection below a request whose client takes none of its answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct HangUp(pub(crate) Arc<Notify>);

/// Somebody at the other end of a socket.
#[derive(Clone)]
struct Peer {
    address: SocketAddr,
    open: Open,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// Accepts for ever.
///
/// `ending` tells each connection when to come to its end, and whoever holds its other side when all have.
pub(crate) async fn accept(
    listener: TcpListener,
    front: Arc<Front>,
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
                let peer = Peer { address: peer, open };
                tokio::spawn(speak((socket, peer), front.clone(), doors.clone(), ending.clone()));
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
    (socket, peer): (TcpStream, Peer),
    front: Arc<Front>,
    doors: Arc<Doors>,
    ending: watch::Receiver<()>,
) {
    let first_byte = tokio::time::timeout(doors.settings.first_byte_timeout, socket.readable());
    if prepare(&socket, &doors).is_err() || !matches!(unless(&ending, first_byte).await, Some(Ok(Ok(())))) {
        return;
    }
    // Boxed: what idles in the clear must not be as large as what idles inside TLS.
    match doors.settings.tls.clone() {
        None => speak_in_the_clear(socket, (front, peer), &doors, ending).await,
        Some(tls) => Box::pin(speak_tls(&tls, (socket, peer), front, (&doors, ending))).await,
    }
}

async fn speak_in_the_clear(
    socket: TcpStream,
    (front, peer): (Arc<Front>, Peer),
    doors: &Doors,
    ending: watch::Receiver<()>,
) {
    let takeover = Takeover::default();
    let stall_timeout = doors.hub.limits().write_stall_timeout;
    let socket = TokioIo::new(Socket::new(socket, takeover.clone(), stall_timeout));
    let open = peer.open.clone();
    speak_http1(socket, (front, peer), doors, (ending, Some(&takeover))).await;
    takeover.carry_out(open);
}

async fn speak_tls(
    tls: &Tls,
    (socket, peer): (TcpStream, Peer),
    front: Arc<Front>,
    (doors, ending): (&Doors, watch::Receiver<()>),
) {
    let stall_timeout = doors.hub.limits().write_stall_timeout;
    let handshake = tls.acceptor().accept(Socket::new(socket, Takeover::default(), stall_timeout));
    let handshake = tokio::time::timeout(doors.settings.headers_timeout, handshake);
    let Some(Ok(Ok(mut stream))) = unless(&ending, handshake).await else {
        return tracing::debug!(%peer, "a TLS handshake failed or took too long");
    };
    // HTTP/2 waits for its preface for ever.
    let first_byte = tokio::time::timeout(doors.settings.first_byte_timeout, stream.fill_buf());
    if !matches!(unless(&ending, first_byte).await, Some(Ok(Ok([_, ..])))) {
        return tracing::debug!(%peer, "nothing was said inside TLS");
    }
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let tcp = stream.get_ref().0.tcp();
    let stream = TokioIo::new(stream);
    if is_h2 {
        Box::pin(speak_http2((stream, tcp), (front, peer), doors, ending)).await;
    } else {
        drop(tcp);
        Box::pin(speak_http1(stream, (front, peer), doors, (ending, None))).await;
    }
}

/// Waits for what a client has to say first, unless the server ends before it.
async fn unless<T>(ending: &watch::Receiver<()>, first: impl Future<Output = T>) -> Option<T> {
    let mut ending = ending.clone();
    tokio::select! {
        said = first => Some(said),
        _ = ending.changed() => None,
    }
}

async fn speak_http1<T: Read + Write + Unpin + Send + 'static>(
    io: T,
    (front, peer): (Arc<Front>, Peer),
    doors: &Doors,
    (ending, takeover): (watch::Receiver<()>, Option<&Takeover>),
) {
    let settings = &doors.settings;
    let cut = HangUp::default();
    let below =
        Below { hang_up: Some(cut.clone()), takeover: takeover.cloned(), ..Below::of(&peer, settings) };
    let mut builder = http1::Builder::new();
    // Hyper clears room for as many at each request, but for its own number.
    if settings.headers_max != HYPER_HEADERS_MAX {
        builder.max_headers(settings.headers_max);
    }
    let connection = builder
        .timer(TokioTimer::new())
        .header_read_timeout(settings.headers_timeout)
        // What is written is mostly small: one copy into a buffer costs less than a vector of pieces.
        .writev(false)
        .max_buf_size(settings.head_bytes_max)
        .serve_connection(io, service_fn(service(front, below)))
        .with_upgrades();
    let conversation =
        converse((connection, |connection| connection.graceful_shutdown()), &peer, (ending, cut));
    match takeover {
        None => conversation.await,
        Some(takeover) => tokio::select! {
            () = conversation => {}
            () = takeover.due() => {}
        },
    }
}

async fn speak_http2<T: Read + Write + Unpin + Send + 'static>(
    (io, tcp): (T, Arc<TcpStream>),
    (front, peer): (Arc<Front>, Peer),
    doors: &Doors,
    ending: watch::Receiver<()>,
) {
    let (settings, limits) = (&doors.settings, doors.hub.limits());
    let below = Below::of(&peer, settings);
    let asked = below.asked.clone();
    let answer = service(front, below);
    let attend = |request| {
        let answer = answer(request);
        async { answer.await.map(attended) }
    };
    let streams = Attended::new(limits.write_stall_timeout);
    let connection = http2::Builder::new(streams.clone())
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(limits.ping_interval))
        .keep_alive_timeout(limits.pong_timeout)
        .max_concurrent_streams(settings.http2_streams_max)
        .max_header_list_size(settings.head_bytes_max as u32)
        .max_send_buf_size(settings.http2_stream_buffer_bytes)
        .enable_connect_protocol()
        .serve_connection(io, service_fn(attend));
    let shut_down = |connection: Pin<&mut http2::Connection<_, _, _>>| connection.graceful_shutdown();
    // Hyper gives a head a deadline over HTTP/1.1 alone.
    let silence = async {
        if tokio::time::timeout(settings.headers_timeout, asked.notified()).await.is_ok() {
            future::pending::<()>().await;
        }
    };
    let left = left(ending.clone(), (&streams, &tcp));
    tokio::select! {
        biased;
        () = converse((connection, shut_down), &peer, (ending, HangUp::default())) => {}
        () = silence => tracing::debug!(%peer, "nothing was asked for over HTTP/2"),
        () = left => tracing::debug!(%peer, "nothing was said to the end of HTTP/2"),
    }
}

/// Waits, once the server ends, until nothing is under way. Hyper goes on until the client has said that it knows.
async fn left(mut ending: watch::Receiver<()>, (streams, tcp): (&Attended, &TcpStream)) {
    let _ = ending.changed().await;
    loop {
        streams.until_none().await;
        tokio::time::sleep(FAREWELL).await;
        // What the last of them had to say may still wait for its client.
        let is_taken = tcp.writable().now_or_never().is_some();
        if is_taken && !streams.has_streams() {
            return;
        }
    }
}

/// The connection below a request.
#[derive(Clone)]
struct Below {
    peer: Peer,
    proxies: Arc<[TrustedProxy]>,
    /// How an answer may cut it.
    hang_up: Option<HangUp>,
    /// How an answer may have its socket.
    takeover: Option<Takeover>,
    /// Told of every request.
    asked: Arc<Notify>,
}

impl Below {
    fn of(peer: &Peer, settings: &Settings) -> Self {
        let proxies = settings.trusted_proxies.clone();
        Self { peer: peer.clone(), proxies, hang_up: None, takeover: None, asked: Arc::default() }
    }

    /// Tells a request whose it is.
    fn name<T>(&self, request: &mut Request<T>) {
        let client = Client::of(&self.proxies, self.peer.address.ip(), request.headers());
        request.extensions_mut().insert(client);
        self.asked.notify_one();
    }

    /// Tells it what its answer may do with the connection.
    fn lend<T>(&self, request: &mut Request<T>) {
        let extensions = request.extensions_mut();
        extensions.insert(self.peer.open.clone());
        self.hang_up.clone().map(|hang_up| extensions.insert(hang_up));
        self.takeover.clone().map(|takeover| extensions.insert(takeover));
    }
}

/// Answers requests: polls straight, all else by the router.
fn service(front: Arc<Front>, below: Below) -> impl Fn(Request<Incoming>) -> BoxFuture<Response<Body>> {
    move |mut request| {
        below.name(&mut request);
        if let Err(refusal) = http::one_host(&request) {
            return Box::pin(future::ready(Ok(*refusal)));
        }
        if Straight::takes(&request) {
            return Box::pin(front.polls.clone().call(request.map(drop)));
        }
        below.lend(&mut request);
        Box::pin(front.router.clone().call(request.map(Body::new)))
    }
}

/// What a service answers.
type BoxFuture<T> = Pin<Box<dyn Future<Output = Result<T, Infallible>> + Send>>;

/// Goes on until the connection ends, is cut, or the server comes to its end.
async fn converse<C: Future<Output = Result<(), hyper::Error>>>(
    (connection, shut_down): (C, impl Fn(Pin<&mut C>)),
    peer: &Peer,
    (mut ending, HangUp(cut)): (watch::Receiver<()>, HangUp),
) {
    let mut connection = pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = cut.notified() => return,
        _ = ending.changed() => {
            shut_down(connection.as_mut());
            tokio::select! {
                outcome = connection => outcome,
                () = cut.notified() => return,
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
