//! One WebSocket connection: the socket, the handshake, frames in and out. What they say is not its business.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL};
use roomcast_protocol::SUBPROTOCOL;
use roomcast_session::client::{Loss, Secret};
use roomcast_websocket::{CloseCode, Decoder, DecoderLimits, Event, OpCode, Role, frame, handshake};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::{access::Access, address, dial::Socket, random};

/// A page of history is a megabyte at most, and its envelope.
const LIMITS: DecoderLimits = DecoderLimits { message_bytes_max: 2 * 1024 * 1024, fragments_max: 1024 };

/// Bytes of the buffer that is read into.
const INPUT_BYTES: usize = 16 * 1024;

/// A close without a code, for reporting only (RFC 6455 §7.4.1).
const NO_CODE: u16 = 1005;

/// Connects and shakes hands. The error is for a person.
pub(crate) async fn open(
    access: Arc<Access>,
    attempt: u32,
    token: Option<Secret>,
) -> Result<Box<Link>, String> {
    let mut stream = access.dialer.dial().await?;
    let address = &access.dialer.address;
    let key = handshake::key(random::bytes());
    let path = access.path(address::SOCKET_PATH, &[("attempt", attempt.to_string())]);
    let mut headers = access.headers(token.as_deref())?;
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    let request = handshake::request(address.authority(), &path, &headers, &key);
    let lost = |error: io::Error| format!("lost {} while connecting: {error}", address.authority());
    stream.write_all(&request).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    let mut input = Vec::new();
    let accepted = loop {
        if stream.read_buf(&mut input).await.map_err(lost)? == 0 {
            return Err(format!("{} hung up without an answer", address.authority()));
        }
        match handshake::read_response(&input, &key) {
            Ok(None) => {}
            Ok(Some(accepted)) => break accepted,
            Err(error) => return Err(format!("no WebSocket at {address}: {error}")),
        }
    };
    if accepted.extensions.is_some() {
        return Err(format!("{address} uses an extension that was not offered"));
    }
    Ok(Box::new(Link::new(stream, input.split_off(accepted.head_bytes))))
}

/// A connection that is open.
#[derive(Debug)]
pub(crate) struct Link {
    stream: Socket,
    decoder: Decoder,
    /// What is read into, and how much of it has been read and not been taken.
    input: Vec<u8>,
    filled: usize,
    /// What is to be written. Bounded by the requests that may be unanswered.
    output: Vec<u8>,
    /// The answer to the last ping, which stands for those to all before it (RFC 6455 §5.5.3): written next.
    pong: Option<Vec<u8>>,
    /// Nothing more may be written: the close is said, or the socket takes nothing.
    mute: bool,
}

impl Link {
    /// `early` was read together with the handshake.
    fn new(stream: Socket, early: Vec<u8>) -> Self {
        let decoder = Decoder::new(Role::Client, LIMITS, None);
        let (filled, mut input) = (early.len(), early);
        input.resize(filled.max(INPUT_BYTES), 0);
        Self { stream, decoder, input, filled, output: Vec::new(), pong: None, mute: false }
    }

    pub(crate) fn push_text(&mut self, text: &str) {
        self.push(OpCode::Text, text.as_bytes());
    }

    pub(crate) fn push_ping(&mut self) {
        self.push(OpCode::Ping, b"");
    }

    fn push(&mut self, opcode: OpCode, payload: &[u8]) {
        if !self.mute {
            frame::append_masked(&mut self.output, opcode, payload, random::bytes());
        }
    }

    pub(crate) fn say_goodbye(&mut self) {
        self.push_close(CloseCode::NORMAL, "");
    }

    fn push_pong(&mut self) {
        if let Some(payload) = self.pong.take() {
            self.push(OpCode::Pong, &payload);
        }
    }

    /// The last frame there is.
    fn push_close(&mut self, code: CloseCode, why: &str) {
        self.push_pong();
        if !self.mute {
            frame::append_close_masked(&mut self.output, code, why, random::bytes());
        }
        self.mute = true;
    }

    /// Writes what is to be written, and waits until something has come or the connection has ended. Cancel-safe.
    pub(crate) async fn ready(&mut self) -> Result<(), Loss> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Loss>> {
        self.write(cx);
        if self.filled == 0 {
            let mut buffer = ReadBuf::new(&mut self.input);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
            self.filled = buffer.filled().len();
            match read {
                Err(error) => {
                    return Poll::Ready(Err(Loss::Broken(format!("the connection broke: {error}"))));
                }
                Ok(()) if self.filled == 0 => {
                    return Poll::Ready(Err(Loss::Broken("the connection ended without a word".into())));
                }
                Ok(()) => {}
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what the socket takes. If that is nothing any more, reading tells why: the server's last words may
    /// wait there.
    fn write(&mut self, cx: &mut Context<'_>) {
        loop {
            if self.output.is_empty() {
                self.push_pong();
            }
            if self.output.is_empty() {
                break;
            }
            match Pin::new(&mut self.stream).poll_write(cx, &self.output) {
                Poll::Ready(Ok(written @ 1..)) => drop(self.output.drain(..written)),
                Poll::Pending => return,
                Poll::Ready(_) => {
                    (self.mute, self.output) = (true, Vec::new());
                    return;
                }
            }
        }
        self.output = Vec::new();
        // What it still holds is written when it is polled again.
        let _ = Pin::new(&mut self.stream).poll_flush(cx);
    }

    /// Gives each text that has come to `message`. An error is the end.
    pub(crate) fn read(&mut self, mut message: impl FnMut(&str)) -> Result<(), Loss> {
        let mut input = std::mem::take(&mut self.input);
        let filled = std::mem::take(&mut self.filled);
        let outcome = self.take(&mut input[..filled], &mut message);
        self.input = input;
        outcome
    }

    fn take(&mut self, bytes: &mut [u8], message: &mut impl FnMut(&str)) -> Result<(), Loss> {
        let mut at = 0;
        loop {
            let end = match self.decoder.next(bytes, &mut at) {
                Ok(None) => return Ok(()),
                Ok(Some(Event::Text(text))) => {
                    message(text);
                    continue;
                }
                Ok(Some(Event::Ping(payload))) => {
                    self.pong = Some(payload.to_vec());
                    continue;
                }
                Ok(Some(Event::Pong(_))) => continue,
                Ok(Some(Event::Binary(_))) => {
                    fault(CloseCode::UNSUPPORTED, "a binary frame, where JSON text is due")
                }
                Ok(Some(Event::Close(close))) => {
                    let (code, reason) = close.map_or((NO_CODE, ""), |(code, reason)| (code.0, reason));
                    (CloseCode::NORMAL, Loss::Closed(code, reason.to_owned()))
                }
                Err(violation) => fault(violation.close_code(), &violation.to_string()),
            };
            let (code, loss) = end;
            self.push_close(code, "");
            // As far as the socket takes it at once: nothing follows.
            self.write(&mut Context::from_waker(Waker::noop()));
            return Err(loss);
        }
    }
}

/// The server broke the framing.
fn fault(code: CloseCode, why: &str) -> (CloseCode, Loss) {
    (code, Loss::Broken(format!("the server broke the WebSocket protocol: {why}")))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A connection, and the server's end of it.
    async fn pair() -> (Link, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("its address")).await.expect("a way");
        let (server, _) = listener.accept().await.expect("a connection");
        (Link::new(Socket::Plain(stream), Vec::new()), server)
    }

    #[tokio::test]
    async fn pings_that_come_faster_than_pongs_go_are_answered_once() {
        let (mut link, mut server) = pair().await;
        server.write_all(b"\x89\x01a\x89\x01b\x89\x01c").await.expect("three pings");
        link.ready().await.expect("they come");
        link.read(|text| panic!("{text}")).expect("they are no end");
        assert!(link.ready().now_or_never().is_none(), "nothing more comes, and the answer goes");
        link.say_goodbye();
        assert!(link.ready().now_or_never().is_none());
        drop(link);
        let mut said = Vec::new();
        server.read_to_end(&mut said).await.expect("what was said");
        let unmasked = |frame: &[u8]| frame[6] ^ frame[2];
        assert_eq!((&said[..2], unmasked(&said)), (&b"\x8a\x81"[..], b'c'), "a pong to the last ping");
        assert_eq!(said[7], 0x88, "then the close");
    }
}
