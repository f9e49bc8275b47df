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
                Err(error) => return Err(format!("{} is no Roomcast server: {error}", self.address)),
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
}

impl Link {
    fn new(stream: TcpStream, early: Vec<u8>) -> Self {
        let decoder = Decoder::new(Role::Client, LIMITS, None);
        Self { stream, decoder, early, input: vec![0; INPUT_BYTES].into(), output: Vec::new() }
    }

    pub(crate) fn push_text(&mut self, text: &str) {
        frame::append_masked(&mut self.output, OpCode::Text, text.as_bytes(), random::bytes());
    }

    pub(crate) fn push_ping(&mut self) {
        frame::append_masked(&mut self.output, OpCode::Ping, b"", random::bytes());
    }

    pub(crate) fn push_close(&mut self) {
        frame::append_close_masked(&mut self.output, CloseCode::NORMAL, "", random::bytes());
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

    /// Writes what the socket takes.
    pub(crate) fn write(&mut self) -> Result<(), Loss> {
        while !self.output.is_empty() {
            match self.stream.try_write(&self.output) {
                Ok(written) => drop(self.output.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(broken(&error)),
            }
        }
        self.output = Vec::new();
        Ok(())
    }

    /// Reads what there is, and gives each text to `message`. Answers whether anything came. An error is the end.
    pub(crate) fn read(&mut self, mut message: impl FnMut(&str)) -> Result<bool, Loss> {
        let Self { stream, decoder, early, input, output } = self;
        let mut early = std::mem::take(early);
        let input = if early.is_empty() {
            match stream.try_read(input) {
                Ok(0) => return Err(Loss::Broken("the connection ended without a word".into())),
                Ok(read) => &mut input[..read],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(broken(&error)),
            }
        } else {
            &mut early[..]
        };
        let mut at = 0;
        loop {
            let key = random::bytes();
            match decoder.next(input, &mut at) {
                Ok(None) => return Ok(true),
                Ok(Some(Event::Text(text))) => message(text),
                Ok(Some(Event::Ping(payload))) => frame::append_masked(output, OpCode::Pong, payload, key),
                Ok(Some(Event::Pong(_))) => {}
                Ok(Some(Event::Binary(_))) => {
                    return Err(
                        self.fail(CloseCode::UNSUPPORTED, "a binary frame; this is JSON in text frames")
                    );
                }
                Ok(Some(Event::Close(close))) => {
                    let (code, reason) = close.map_or((NO_CODE, ""), |(code, reason)| (code.0, reason));
                    let loss = Loss::Closed(code, reason.to_owned());
                    self.say_last(CloseCode(code), "");
                    return Err(loss);
                }
                Err(violation) => return Err(self.fail(violation.close_code(), &violation.to_string())),
            }
        }
    }

    /// The server broke the framing: says so.
    fn fail(&mut self, code: CloseCode, why: &str) -> Loss {
        self.say_last(code, why);
        Loss::Broken(format!("the server broke the WebSocket protocol: {why}"))
    }

    /// Says a close, as far as the socket takes it at once: nothing follows it.
    fn say_last(&mut self, code: CloseCode, why: &str) {
        let code = if code.is_allowed_on_wire() { code } else { CloseCode::NORMAL };
        frame::append_close_masked(&mut self.output, code, why, random::bytes());
        // Whoever has hung up already needs no good-bye.
        let _ = self.write();
    }
}

fn broken(error: &io::Error) -> Loss {
    Loss::Broken(format!("the connection broke: {error}"))
}
