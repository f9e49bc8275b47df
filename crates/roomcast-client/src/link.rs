//! One WebSocket connection: the socket, the handshake, frames in and out. What they say is not its business.

use std::io;

use http::{
    HeaderMap, HeaderValue,
    header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL},
    uri::PathAndQuery,
};
use roomcast_protocol::{SUBPROTOCOL, SessionId};
use roomcast_session::client::Loss;
use roomcast_websocket::{CloseCode, Decoder, DecoderLimits, Event, OpCode, Role, frame, handshake};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::TcpStream,
};

use crate::{address::Address, random};

/// The header that carries the session, so that it stands in no log of URLs.
const SESSION_HEADER: &str = "roomcast-session";

/// A page of history is a megabyte at most, and its envelope.
const LIMITS: DecoderLimits = DecoderLimits { message_bytes_max: 2 * 1024 * 1024, fragments_max: 1024 };

/// Bytes of the buffer that is read into.
const INPUT_BYTES: usize = 16 * 1024;

/// A close without a code, for reporting only (RFC 6455 §7.4.1).
const NO_CODE: u16 = 1005;

/// What a connection is opened with.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) address: Address,
    pub(crate) path: PathAndQuery,
    pub(crate) session: SessionId,
    pub(crate) token: Option<String>,
}

impl Opening {
    /// Connects and shakes hands. The error is for a person.
    pub(crate) async fn open(self) -> Result<Link, String> {
        let (host, port) = self.address.host_and_port();
        let unreachable = |error| format!("can't connect to {}: {error}", self.address.authority());
        let mut stream = TcpStream::connect((host, port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let key = handshake::key(random::bytes());
        let request = handshake::request(self.address.authority(), &self.path, &self.headers()?, &key);
        let lost = |error| format!("lost {} while connecting: {error}", self.address.authority());
        stream.write_all(&request).await.map_err(lost)?;
        let mut input = Vec::new();
        let accepted = loop {
            if stream.read_buf(&mut input).await.map_err(lost)? == 0 {
                return Err(format!("{} hung up without an answer", self.address.authority()));
            }
            match handshake::read_response(&input, &key) {
                Ok(None) => {}
                Ok(Some(accepted)) => break accepted,
                Err(error) => return Err(format!("no WebSocket at {}: {error}", self.address)),
            }
        };
        if accepted.extensions.is_some() {
            return Err(format!("{} uses an extension that was not offered", self.address));
        }
        Ok(Link::new(stream, input.split_off(accepted.head_bytes)))
    }

    fn headers(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        let session = HeaderValue::from_str(&self.session).expect("a session is printable");
        headers.insert(SESSION_HEADER, session);
        if let Some(token) = &self.token {
            let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
            headers.insert(AUTHORIZATION, bearer.map_err(|_| "the token has characters that no token has")?);
        }
        Ok(headers)
    }
}

/// A connection that is open.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    decoder: Decoder,
    /// What was read together with the handshake.
    early: Vec<u8>,
    input: Box<[u8]>,
    /// What is to be written. Bounded by the requests that may be unanswered.
    output: Vec<u8>,
    /// Nothing more may be written: the close is said, or the socket takes nothing.
    mute: bool,
}

impl Link {
    fn new(stream: TcpStream, early: Vec<u8>) -> Self {
        let decoder = Decoder::new(Role::Client, LIMITS, None);
        Self { stream, decoder, early, input: vec![0; INPUT_BYTES].into(), output: Vec::new(), mute: false }
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

    /// The last frame there is.
    pub(crate) fn push_close(&mut self, code: CloseCode, why: &str) {
        if !self.mute {
            frame::append_close_masked(&mut self.output, code, why, random::bytes());
        }
        self.mute = true;
    }

    /// Waits until there is something to read, or place for what is to be written.
    pub(crate) async fn ready(&self) -> io::Result<()> {
        let mut interest = Interest::READABLE;
        if !self.early.is_empty() {
            return Ok(());
        }
        if !self.output.is_empty() {
            interest |= Interest::WRITABLE;
        }
        self.stream.ready(interest).await.map(drop)
    }

    /// Writes what the socket takes. If that is nothing any more, reading tells why: the server's last words may
    /// wait there.
    pub(crate) fn write(&mut self) {
        while !self.output.is_empty() {
            match self.stream.try_write(&self.output) {
                Ok(written) => drop(self.output.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.mute = true;
                    break;
                }
            }
        }
        self.output = Vec::new();
    }

    /// Reads what there is, and gives each text to `message`. Answers whether anything came. An error is the end.
    pub(crate) fn read(&mut self, mut message: impl FnMut(&str)) -> Result<bool, Loss> {
        let mut input = std::mem::take(&mut self.input);
        let mut early = std::mem::take(&mut self.early);
        let bytes = match early.len() {
            0 => match self.stream.try_read(&mut input) {
                Ok(0) => return Err(Loss::Broken("the connection ended without a word".into())),
                Ok(read) => &mut input[..read],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => &mut [],
                Err(error) => return Err(broken(&error)),
            },
            _ => &mut early[..],
        };
        let outcome = self.take(bytes, &mut message).map(|()| !bytes.is_empty());
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
                    let payload = payload.to_vec();
                    self.push(OpCode::Pong, &payload);
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
            self.write();
            return Err(loss);
        }
    }
}

/// The server broke the framing.
fn fault(code: CloseCode, why: &str) -> (CloseCode, Loss) {
    (code, Loss::Broken(format!("the server broke the WebSocket protocol: {why}")))
}

fn broken(error: &io::Error) -> Loss {
    Loss::Broken(format!("the connection broke: {error}"))
}
