//! The WebSocket transport: the upgrade, and the reading half of a connection. Writing is the hub's.
//!
//! A refusal that a browser must be able to read is told after the handshake, as a Close frame: a refused
//! handshake shows it nothing but 1006. An idle connection owns no buffer: it waits for its socket, then reads
//! into the scratch of the thread that it happens to be on.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{Path, Request, State},
    response::Response,
};
use http::{HeaderValue, header};
use hyper::{
    ext::Protocol,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::{rt::TokioIo, server::conn::auto};
use roomcast_hub::{Connection, Departure, Hub, Line, Turn};
use roomcast_protocol::{Close, Queue, SUBPROTOCOL, Wire};
use roomcast_websocket::{CloseCode, Decoder, DecoderLimits, Event, Role, Violation, handshake};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf},
    net::TcpStream,
};

use crate::{
    app::App,
    arrival::{Arrival, Refusal},
    server::Open,
    takeover::Socket,
};

/// Bytes of the buffer that a thread reads into.
const SCRATCH_BYTES: usize = 64 * 1024;
/// Reads after which a busy connection lets others run.
const READS_PER_TURN: usize = 16;
/// How long a connection that is told its close may take to hang up.
const LINGER: Duration = Duration::from_secs(2);

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
}

/// `GET /ws`
pub(crate) async fn open(State(app): State<Arc<App>>, request: Request) -> Response {
    upgrade(&app, None, request)
}

/// `GET /ws/{room}`
pub(crate) async fn open_bound(
    State(app): State<Arc<App>>,
    Path(room): Path<String>,
    request: Request,
) -> Response {
    upgrade(&app, Some(&room), request)
}

/// A handshake that was accepted, to be gone on with once it is upgraded.
struct Handshake {
    arrival: Result<Arrival, Refusal>,
    wire: Wire,
    decoder: Decoder,
    /// `None` in an embedder's own server, which counts for itself.
    open: Option<Open>,
}

/// Accepts every well-formed handshake; what there is to say against it comes as a Close frame.
fn upgrade(app: &App, room: Option<&str>, mut request: Request) -> Response {
    let checked = match request.extensions().get::<Protocol>() {
        Some(protocol) if protocol.as_str() == "websocket" => handshake::check_connect(&request),
        _ => handshake::check_request(&request),
    };
    let upgrade = match checked {
        Ok(upgrade) => upgrade,
        Err(refusal) => return refusal.response().map(Body::from),
    };
    let Some(upgraded) = request.extensions_mut().remove::<OnUpgrade>() else {
        return handshake::Refusal::NotAnUpgrade.response().map(Body::from);
    };
    let mut response = upgrade.response().map(|()| Body::empty());
    if upgrade.protocols.iter().any(|protocol| protocol == SUBPROTOCOL) {
        let protocol = HeaderValue::from_static(SUBPROTOCOL);
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let limits = app.hub.limits();
    let bounds = DecoderLimits {
        message_bytes_max: u32::try_from(limits.message_bytes_max).unwrap_or(u32::MAX),
        fragments_max: limits.fragments_max,
    };
    let deflate = upgrade.deflate();
    let wire = deflate.as_ref().map_or(Wire::Plain, |(deflate, _)| Wire::Deflate(deflate.window_bits()));
    let decoder = Decoder::new(Role::Server, bounds, deflate.as_ref().map(|(deflate, _)| *deflate));
    if let Some(extensions) =
        deflate.and_then(|(_, extensions): (_, String)| HeaderValue::from_str(&extensions).ok())
    {
        response.headers_mut().insert(header::SEC_WEBSOCKET_EXTENSIONS, extensions);
    }
    let head = (request.headers(), request.uri());
    let client = request.extensions().get().copied();
    let arrival = Arrival::of(app, head, room, (client, "WebSocket"));
    let open = request.extensions().get().cloned();
    let handshake = Handshake { arrival, wire, decoder, open };
    tokio::spawn(run(app.hub.clone(), upgraded, handshake));
    response
}

/// A connection's life after the handshake.
async fn run(hub: Hub, upgraded: OnUpgrade, handshake: Handshake) {
    let Ok(upgraded) = upgraded.await else { return };
    let Handshake { arrival, wire, decoder, open } = handshake;
    let enter = |line| match arrival {
        Ok(arrival) => arrival.enter(&hub, line, wire),
        Err(refusal) => Err((line, refusal)),
    };
    match socket_of(upgraded) {
        Ok((socket, early)) => match enter(Line::Socket(socket)) {
            Ok(connection) => {
                let unread = (!early.is_empty()).then(|| early.to_vec().into_boxed_slice());
                // A task of its own: what it holds is what an idle connection costs.
                let hub = hub.clone();
                tokio::spawn(Reader { hub, connection, decoder, unread, source: Own, _open: open });
            }
            Err((Line::Socket(socket), refusal)) => refuse(&hub, socket, &refusal).await,
            Err(_) => {}
        },
        Err(upgraded) => match enter(Line::Pipe(None)) {
            Ok(connection) => carry(hub.clone(), (connection, decoder), (TokioIo::new(upgraded), open)).await,
            Err((_, refusal)) => refuse(&hub, TokioIo::new(upgraded), &refusal).await,
        },
    }
}

/// Carries a connection over what only one task can write: TLS, or a stream of HTTP/2.
async fn carry<T: AsyncRead + AsyncWrite + Unpin>(
    hub: Hub,
    (connection, decoder): (Arc<Connection>, Decoder),
    (io, open): (T, Option<Open>),
) {
    let stall = hub.limits().write_stall_timeout;
    let (source, sink) = tokio::io::split(io);
    let mut writing = pin!(write_out(&connection, sink, stall));
    let mut reading = pin!(Reader {
        hub: hub.clone(),
        connection: connection.clone(),
        decoder,
        unread: None,
        source,
        _open: open
    });
    // Whichever ends first, the other has a moment: for the close to be written, or for the peer to hang up.
    tokio::select! {
        () = &mut reading => drop(tokio::time::timeout(LINGER, writing).await),
        outcome = &mut writing => if outcome.is_ok() {
            drop(tokio::time::timeout(LINGER, reading).await);
        },
    }
    hub.dismiss(&connection, Departure::Lost);
}

/// Writes what is due until the end, each write within `stall`.
async fn write_out<T: AsyncWrite + Unpin>(
    connection: &Arc<Connection>,
    mut sink: T,
    stall: Duration,
) -> io::Result<()> {
    while let Some(bytes) = poll_fn(|cx| connection.poll_chunk(cx)).await {
        let write = async {
            sink.write_all(&bytes).await?;
            sink.flush().await
        };
        tokio::time::timeout(stall, write).await??;
    }
    sink.shutdown().await
}

/// The TCP socket below an upgraded connection, and what was read of it beyond the handshake; whether our own
/// accept loop served it or an embedder's `axum::serve`. Else it is not a bare socket.
fn socket_of(upgraded: Upgraded) -> Result<(TcpStream, Bytes), Upgraded> {
    let upgraded = match upgraded.downcast::<TokioIo<Socket>>() {
        Ok(parts) => {
            let socket = parts.io.into_inner().into_inner().expect("a socket has one answer at a time");
            return Ok((socket, parts.read_buf));
        }
        Err(upgraded) => upgraded,
    };
    let parts = auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded)?;
    Ok((parts.io.into_inner(), parts.read_buf))
}

/// Says the close to somebody who is not let in, and waits a little for them to hang up.
async fn refuse<T: AsyncRead + AsyncWrite + Unpin>(hub: &Hub, mut io: T, refusal: &Refusal) {
    let mut farewell = Queue::default();
    farewell.push_close(hub.now().wall, refusal.close, &refusal.message);
    let told = async {
        io.write_all(farewell.bytes()).await?;
        io.shutdown().await?;
        let mut rest = [0; 512];
        while io.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LINGER, told).await;
}

/// Where a connection's bytes come from.
trait Source: Unpin {
    fn poll_read(
        &mut self,
        connection: &Connection,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<io::Result<usize>>;
}

/// The connection's own socket.
struct Own;

impl Source for Own {
    fn poll_read(
        &mut self,
        connection: &Connection,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(connection.poll_readable(cx))?;
            match connection.try_read(scratch) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

impl<T: AsyncRead> Source for ReadHalf<T> {
    fn poll_read(
        &mut self,
        _: &Connection,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(scratch);
        ready!(AsyncRead::poll_read(Pin::new(self), cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

/// The reading half of a connection.
struct Reader<S> {
    hub: Hub,
    connection: Arc<Connection>,
    decoder: Decoder,
    /// Bytes that were read before the client had taken its answers.
    unread: Option<Box<[u8]>>,
    source: S,
    /// Its place among the sockets that are open.
    _open: Option<Open>,
}

impl<S: Source> Future for Reader<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let departure = ready!(self.read(cx));
        self.hub.dismiss(&self.connection, departure);
        Poll::Ready(())
    }
}

impl<S: Source> Reader<S> {
    /// Reads until the connection ends, and answers how.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Departure> {
        for _ in 0..READS_PER_TURN {
            ready!(self.connection.poll_uncongested(cx));
            let ended = match self.unread.take() {
                Some(mut unread) => self.turn(&mut unread),
                None => ready!(SCRATCH.with_borrow_mut(|scratch| {
                    let read = ready!(self.source.poll_read(&self.connection, cx, scratch));
                    Poll::Ready(match read {
                        Ok(0) | Err(_) => Some(Departure::Lost),
                        Ok(n) => self.turn(&mut scratch[..n]),
                    })
                })),
            };
            if let Some(departure) = ended {
                return Poll::Ready(departure);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Handles what was read. Answers how the connection ends, if it does.
    fn turn(&mut self, input: &mut [u8]) -> Option<Departure> {
        let Self { hub, connection, decoder, unread, .. } = self;
        let mut turn = hub.turn(connection);
        let mut at = 0;
        let mut departure = None;
        while departure.is_none() && !turn.is_closed() {
            if turn.is_congested() {
                *unread = Some(input[at..].into());
                break;
            }
            match decoder.next(input, &mut at) {
                Ok(None) => break,
                Ok(Some(event)) => departure = handle(&mut turn, event),
                Err(violation) => turn.close(close_of(violation), &violation.to_string()),
            }
        }
        turn.finish();
        departure
    }
}

fn handle(turn: &mut Turn<'_>, event: Event<'_>) -> Option<Departure> {
    match event {
        Event::Text(text) => turn.message(text),
        Event::Ping(payload) => turn.ping(payload),
        Event::Pong(_) => turn.pong(),
        Event::Binary(_) => turn.close(Close::Binary, "roomcast.v1 is JSON in text frames, not binary"),
        Event::Close(frame) => {
            let clean = matches!(frame, None | Some((CloseCode::NORMAL, _)));
            let departure = if clean { Departure::Clean } else { Departure::Lost };
            turn.goodbye(departure);
            return Some(departure);
        }
    }
    None
}

fn close_of(violation: Violation) -> Close {
    match violation.close_code() {
        CloseCode::INVALID_PAYLOAD => Close::Utf8,
        CloseCode::TOO_BIG => Close::TooLarge,
        _ => Close::Protocol,
    }
}
