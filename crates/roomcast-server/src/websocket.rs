//! The WebSocket transport: the upgrade, and the reading half of a connection. Writing is the hub's.
//!
//! A refusal that a browser must be able to read is told after the handshake, as a Close frame: a refused
//! handshake shows it nothing but 1006. An idle connection owns no buffer: it waits for its socket, then reads
//! into the scratch of the thread that it happens to be on.

use std::{
    cell::RefCell,
    io,
    net::Shutdown,
    pin::Pin,
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
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::{rt::TokioIo, server::conn::auto};
use roomcast_hub::{Connection, Departure, Entrance, Hub, NotAdmitted, Turn};
use roomcast_protocol::{Close, Join, Limits, Position, Positions, Queue, RoomName, SUBPROTOCOL, Wire};
use roomcast_session::Identity;
use roomcast_websocket::{CloseCode, Decoder, DecoderLimits, Event, Role, Violation, handshake};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{app::App, auth::AuthError, query::Query};

/// Bytes of the buffer that a thread reads into.
const SCRATCH_BYTES: usize = 64 * 1024;
/// Reads after which a busy connection lets others run.
const READS_PER_TURN: usize = 16;
/// How long a connection that was not let in may take to hang up.
const REFUSED_LINGER: Duration = Duration::from_secs(2);

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
}

/// `GET /ws`
pub(crate) async fn open(State(app): State<Arc<App>>, request: Request) -> Response {
    upgrade(app, None, request)
}

/// `GET /ws/{room}`
pub(crate) async fn open_bound(
    State(app): State<Arc<App>>,
    Path(room): Path<String>,
    request: Request,
) -> Response {
    upgrade(app, Some(room), request)
}

/// What the request of a connection came to, to be told once it is upgraded.
struct Arrival {
    identity: Result<Identity, AuthError>,
    attempt: u32,
    bound: Option<Result<(RoomName, Join), String>>,
    wire: Wire,
    decoder: Decoder,
}

/// Accepts every well-formed handshake; what there is to say against it comes as a Close frame.
fn upgrade(app: Arc<App>, room: Option<String>, mut request: Request) -> Response {
    let upgrade = match handshake::check_request(&request) {
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
    if let Some(extensions) = deflate.and_then(|(_, extensions)| HeaderValue::from_str(&extensions).ok()) {
        response.headers_mut().insert(header::SEC_WEBSOCKET_EXTENSIONS, extensions);
    }
    let query = Query::of(request.uri());
    let arrival = Arrival {
        identity: app.identify(request.headers(), request.uri()).map(|(identity, _)| identity),
        attempt: query.number("attempt").unwrap_or(0),
        bound: room.map(|room| bind(&room, &query, limits)),
        wire,
        decoder,
    };
    tokio::spawn(run(app, upgraded, arrival));
    response
}

/// What the path and query say of a room. The error is for the close's reason.
fn bind(room: &str, query: &Query<'_>, limits: &Limits) -> Result<(RoomName, Join), String> {
    let room = RoomName::new(room).map_err(|error| error.to_string())?;
    let since = query.text("since").map(|since| {
        // A position that can't be read is one of a log that there never was: the reader is told to reload.
        Positions::parse(&since, limits.position_bytes_max)
            .unwrap_or_else(|_| Positions::One(Position::none()))
    });
    let last = query.number("last").map(|last: usize| last.min(limits.history_page_max));
    Ok((room, Join { since, last, member: query.text("presence").as_deref() != Some("0"), state: None }))
}

/// A connection's life after the handshake.
async fn run(app: Arc<App>, upgraded: OnUpgrade, arrival: Arrival) {
    let Ok(upgraded) = upgraded.await else { return };
    let Some((socket, early)) = socket_of(upgraded) else {
        return tracing::error!("a WebSocket did not come over plain TCP; it can't be served");
    };
    let Arrival { identity, attempt, bound, wire, decoder } = arrival;
    let identity = match identity {
        Ok(identity) => identity,
        Err(error) => {
            tracing::info!(code = error.code().name(), reason = error.message(), "refused a WebSocket");
            return refuse(socket, error.close(), error.message()).await;
        }
    };
    let (bound, invalid_room) = match bound {
        Some(Err(message)) => (None, Some(message)),
        bound => (bound.and_then(Result::ok), None),
    };
    let connection = match app.hub.admit(Entrance { socket, wire, identity, attempt, bound }) {
        Ok(connection) => connection,
        Err(NotAdmitted { socket, close, message }) => return refuse(socket, close, message).await,
    };
    if let Some(message) = invalid_room {
        close(&app.hub, &connection, Close::InvalidRoom, &message);
    }
    let unread = (!early.is_empty()).then(|| early.to_vec().into_boxed_slice());
    // A task of its own: what it holds is what an idle connection costs.
    tokio::spawn(Reader { hub: app.hub.clone(), connection, decoder, unread });
}

/// The TCP socket below an upgraded connection, and what was read of it beyond the handshake; whether our own
/// accept loop served it or an embedder's `axum::serve`.
fn socket_of(upgraded: Upgraded) -> Option<(TcpStream, Bytes)> {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return Some((parts.io.into_inner(), parts.read_buf)),
        Err(upgraded) => upgraded,
    };
    let parts = auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded).ok()?;
    Some((parts.io.into_inner(), parts.read_buf))
}

fn close(hub: &Hub, connection: &Arc<Connection>, close: Close, message: &str) {
    let mut turn = hub.turn(connection);
    turn.close(close, message);
    turn.finish();
}

/// Says the close to somebody who is not let in, and waits a little for them to hang up.
async fn refuse(mut socket: TcpStream, close: Close, message: &str) {
    let mut queue = Queue::default();
    queue.push_close(close, message);
    let farewell = async {
        socket.write_all(queue.bytes()).await?;
        SockRef::from(&socket).shutdown(Shutdown::Write)?;
        let mut rest = [0; 512];
        while socket.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(REFUSED_LINGER, farewell).await;
}

/// The reading half of a connection.
struct Reader {
    hub: Hub,
    connection: Arc<Connection>,
    decoder: Decoder,
    /// Bytes that were read before the client had taken its answers.
    unread: Option<Box<[u8]>>,
}

impl Future for Reader {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let departure = ready!(self.read(cx));
        self.hub.dismiss(&self.connection, departure);
        Poll::Ready(())
    }
}

impl Reader {
    /// Reads until the connection ends, and answers how.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Departure> {
        for _ in 0..READS_PER_TURN {
            ready!(self.connection.poll_uncongested(cx));
            if let Some(mut unread) = self.unread.take() {
                if let Some(departure) = self.turn(&mut unread) {
                    return Poll::Ready(departure);
                }
                continue;
            }
            if ready!(self.connection.poll_readable(cx)).is_err() {
                return Poll::Ready(Departure::Lost);
            }
            let ended = SCRATCH.with_borrow_mut(|scratch| match self.connection.try_read(scratch) {
                Ok(0) => Some(Departure::Lost),
                Ok(n) => self.turn(&mut scratch[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                Err(_) => Some(Departure::Lost),
            });
            if let Some(departure) = ended {
                return Poll::Ready(departure);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Handles what was read. Answers how the connection ends, if it does.
    fn turn(&mut self, input: &mut [u8]) -> Option<Departure> {
        let Self { hub, connection, decoder, unread } = self;
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
