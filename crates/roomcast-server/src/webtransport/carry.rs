//! One session: its stream both ways, datagrams beside it, and its end, which the session itself says. What the
//! messages mean is the hub's.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use roomcast_hub::{Connection, Departure, Hub, Line, Turn};
use roomcast_protocol::{Close, CountedError, CountedReader, Wire, counted};
use roomcast_session::Farewell;
use tokio::sync::Notify;
use web_transport_quinn::{RecvStream, SendStream, Session, SessionError, WebTransportError, WriteError};

use crate::arrival::{Arrival, Refusal};

/// Bytes that are read at once.
const READ_BYTES_MAX: usize = 64 * 1024;
/// How long what was said last may take to arrive, and a client to say why it goes.
const LINGER: Duration = Duration::from_secs(2);
/// The longest reason of a close, in bytes: what a WebSocket has room for.
const REASON_BYTES_MAX: usize = 123;
/// The code of a browser that closes without saying one.
const NO_CODE: u32 = 0;

/// Waits for the session's one stream, carries a connection over it until either ends, and closes the session.
pub(super) async fn run(
    hub: &Hub,
    session: Session,
    arrival: Result<Arrival, Refusal>,
    stream_timeout: Duration,
) {
    // Held until the session is closed: a browser that is asked to stop sending (RFC 9000, section 3.5) in the same
    // breath may see an error instead of the close.
    let mut stream = None;
    let cut = Arc::new(Notify::new());
    let entered = match arrival {
        Ok(arrival) => match tokio::time::timeout(stream_timeout, session.accept_bi()).await {
            Ok(Ok(opened)) => {
                stream = Some(opened);
                let line = Line::Pipe(Some(cut.clone()));
                arrival.enter(hub, line, Wire::Counted).map_err(|(_, refusal)| refusal)
            }
            Ok(Err(_)) => return,
            Err(_) => {
                let message = format!("no stream was opened within {stream_timeout:?}");
                Err(Refusal { close: Close::Protocol, message })
            }
        },
        Err(refusal) => Err(refusal),
    };
    match (entered, &mut stream) {
        (Ok(connection), Some(stream)) => {
            let departure = converse(hub, (&session, &connection), stream, &cut).await;
            hub.dismiss(&connection, departure);
            if let Some(Farewell { close, text, .. }) = connection.farewell() {
                part(&session, close, &text).await;
            }
        }
        (Err(Refusal { close, message }), _) => part(&session, close, &message).await,
        (Ok(_), None) => {}
    }
}

/// Reads and writes until one side is done, or the client takes nothing for too long. Answers how the client left.
async fn converse(
    hub: &Hub,
    (session, connection): (&Session, &Arc<Connection>),
    (sending, receiving): &mut (SendStream, RecvStream),
    cut: &Notify,
) -> Departure {
    let mut writing = pin!(write(session, connection, sending));
    let departure = tokio::select! {
        departure = read(hub, (session, connection), receiving) => departure,
        departure = read_datagrams(hub, (session, connection)) => departure,
        departure = &mut writing => return departure,
        () = cut.notified() => return Departure::Lost,
    };
    turn(hub, connection, |turn| turn.goodbye(departure));
    drop(tokio::time::timeout(LINGER, writing).await);
    departure
}

/// Hears what comes on the stream.
async fn read(
    hub: &Hub,
    (session, connection): (&Session, &Arc<Connection>),
    stream: &mut RecvStream,
) -> Departure {
    let mut messages = CountedReader::new(hub.limits().message_bytes_max);
    loop {
        poll_fn(|cx| connection.poll_uncongested(cx)).await;
        let stopped = turn(hub, connection, |turn| hear_all(turn, &mut messages));
        if stopped == Stopped::Congested {
            continue;
        }
        match stream.read_chunk(READ_BYTES_MAX, true).await {
            Ok(Some(_)) if stopped == Stopped::Closed => {}
            Ok(Some(chunk)) => messages.take(&chunk.bytes),
            Ok(None) => return Departure::Clean,
            Err(_) => return departure_after(session).await,
        }
        tokio::task::consume_budget().await;
    }
}

/// One turn of the connection.
fn turn<T>(hub: &Hub, connection: &Arc<Connection>, act: impl FnOnce(&mut Turn<'_>) -> T) -> T {
    let mut turn = hub.turn(connection);
    let outcome = act(&mut turn);
    turn.finish();
    outcome
}

/// Why no further message is heard.
#[derive(PartialEq)]
enum Stopped {
    /// The rest is still to come.
    Done,
    /// The client takes no answers.
    Congested,
    /// The connection is being closed: what comes is passed over.
    Closed,
}

/// Hears the messages that are whole, as far as the client takes its answers.
fn hear_all(turn: &mut Turn<'_>, messages: &mut CountedReader) -> Stopped {
    while !turn.is_closed() {
        if turn.is_congested() {
            return Stopped::Congested;
        }
        match messages.next(|text| turn.message(text)) {
            Ok(Some(())) => {}
            Ok(None) => return Stopped::Done,
            Err(CountedError::TooLarge(bytes)) => {
                turn.close(Close::TooLarge, &format!("a message of {bytes} bytes is announced"));
            }
            Err(CountedError::NotUtf8) => turn.close(Close::Utf8, "a message isn't UTF-8"),
        }
    }
    Stopped::Closed
}

/// Hears what comes as datagrams, each a message.
async fn read_datagrams(hub: &Hub, (session, connection): (&Session, &Arc<Connection>)) -> Departure {
    loop {
        poll_fn(|cx| connection.poll_uncongested(cx)).await;
        match session.read_datagram().await {
            Ok(datagram) => turn(hub, connection, |turn| match std::str::from_utf8(&datagram) {
                Ok(text) => turn.message(text),
                Err(_) => turn.close(Close::Utf8, "a datagram isn't UTF-8"),
            }),
            // One that belongs to no session of this connection.
            Err(SessionError::WebTransportError(WebTransportError::UnknownSession)) => {}
            Err(error) => return departure(&error),
        }
        tokio::task::consume_budget().await;
    }
}

/// How a client left whose stream broke: it says so by its close, which may come a little later.
async fn departure_after(session: &Session) -> Departure {
    let closed = tokio::time::timeout(LINGER, session.closed()).await;
    closed.map_or(Departure::Lost, |error| departure(&error))
}

fn departure(error: &SessionError) -> Departure {
    let normal = u32::from(Close::Normal.number());
    match error {
        SessionError::WebTransportError(WebTransportError::Closed(code, _))
            if *code == NO_CODE || *code == normal =>
        {
            Departure::Clean
        }
        _ => Departure::Lost,
    }
}

/// Writes what is due until the end. Answers how the client left, if that was the end.
async fn write(session: &Session, connection: &Arc<Connection>, stream: &mut SendStream) -> Departure {
    if write_all(session, connection, stream).await.is_err() {
        return departure_after(session).await;
    }
    if stream.finish().is_ok() {
        // The close must not overtake what was said before it.
        drop(tokio::time::timeout(LINGER, stream.stopped()).await);
    }
    Departure::Lost
}

async fn write_all(
    session: &Session,
    connection: &Arc<Connection>,
    stream: &mut SendStream,
) -> Result<(), WriteError> {
    loop {
        let chunk = poll_fn(|cx| {
            let unfit = cast(session, connection.take_datagrams(cx));
            if unfit.is_empty() { connection.poll_chunk(cx) } else { Poll::Ready(Some(unfit)) }
        });
        let Some(chunk) = chunk.await else { return Ok(()) };
        stream.write_chunk(chunk).await?;
    }
}

/// Sends datagrams. Answers those that don't fit, to be written to the stream.
fn cast(session: &Session, datagrams: Vec<Bytes>) -> Bytes {
    let mut unfit = Vec::new();
    for datagram in datagrams {
        if datagram.len() > session.max_datagram_size() {
            counted::push(&datagram, &mut unfit);
        } else {
            // What fails now fails for the stream too.
            drop(session.send_datagram(datagram));
        }
    }
    unfit.into()
}

/// Closes the session with a reason `word: text`, and waits a little for it to arrive.
async fn part(session: &Session, close: Close, text: &str) {
    let reason = close.full_reason(text);
    let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    session.close(close.number().into(), reason.as_bytes());
    drop(tokio::time::timeout(LINGER, session.closed()).await);
}
