//! One client connection: its socket, the handshake, bytes in and out. What a message means to the run is the
//! worker's. While it is idle it owns no buffer.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::net::TcpStream;
use roomcast_websocket::handshake::read_response;
use roomcast_websocket::{CloseCode, Decoder, DecoderLimits, Event, OpCode, Role, frame};

use crate::sequence::Sequence;
use crate::wire::{Envelope, Wire};

/// A join's ack may list a hundred members with their state.
const LIMITS: DecoderLimits = DecoderLimits { message_bytes_max: 1024 * 1024, fragments_max: 1024 };

/// One mask for all frames: it guards caches from browsers' scripts, and here is no script.
pub(crate) const MASK: [u8; 4] = [0x52, 0x4d, 0x43, 0x31];

/// How far a connection has got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The request is sent; so much of the response has come.
    Handshake(Vec<u8>),
    /// Waiting for `welcome`.
    Greeting,
    /// Waiting for the join's ack.
    Joining,
    Joined,
    /// Joined, and no longer read, on purpose.
    Stalled,
    Closed,
}

impl Stage {
    /// What it is waiting for, for an error text.
    pub(crate) fn waits_for(&self) -> &'static str {
        match self {
            Self::Handshake(_) => "the answer to the WebSocket handshake",
            Self::Greeting => "`welcome`",
            Self::Joining => "the ack of its join",
            Self::Joined | Self::Stalled | Self::Closed => "nothing",
        }
    }
}

/// What came in, as far as the run is concerned.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// The handshake is done.
    Opened,
    Envelope(Envelope),
    Ping(Vec<u8>),
    /// The connection is over, and why.
    Closed {
        what: String,
        reason: String,
    },
    /// Nothing to act on.
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) stage: Stage,
    /// Which of the worker's rooms it is in.
    pub(crate) room: u32,
    pub(crate) sequence: Sequence,
    decoder: Decoder,
    /// What is written but not sent.
    out: Vec<u8>,
}

impl Connection {
    /// Begins to connect; the request goes out when the socket is writable.
    pub(crate) fn open(address: SocketAddr, request: &[u8], room: u32) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            stage: Stage::Handshake(Vec::new()),
            room,
            sequence: Sequence::default(),
            decoder: Decoder::new(Role::Client, LIMITS, None),
            out: request.to_vec(),
        })
    }

    /// Whether it takes part in the load.
    pub(crate) fn is_reading(&self) -> bool {
        self.stage == Stage::Joined
    }

    /// The handshake is done: what it took to write goes, and `welcome` is to come.
    pub(crate) fn begin(&mut self) {
        self.stage = Stage::Greeting;
        self.out = Vec::new();
    }

    /// Joined: its first message is the one after `from`.
    pub(crate) fn has_joined(&mut self, from: u64) {
        self.stage = Stage::Joined;
        self.sequence = Sequence::after(from);
    }

    /// Puts a text frame behind what waits to be sent.
    pub(crate) fn queue_text(&mut self, payload: &[u8]) {
        frame::append_masked(&mut self.out, OpCode::Text, payload, MASK);
    }

    pub(crate) fn queue_pong(&mut self, payload: &[u8]) {
        frame::append_masked(&mut self.out, OpCode::Pong, payload, MASK);
    }

    /// Sends a Close frame, or answers one, and that's that.
    pub(crate) fn say_goodbye(&mut self) {
        frame::append_close_masked(&mut self.out, CloseCode::NORMAL, "", MASK);
        // Nothing follows: a server that is gone already needs no goodbye.
        let _ = self.flush();
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Sends what waits, as far as the socket takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(sent) => drop(self.out.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads into `scratch`: how many bytes came, or `None` if there are none now.
    pub(crate) fn fill(&mut self, scratch: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.stream.read(scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => return Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next thing in `input` from `*at` on; `None` when it is used up. `key` is that of the handshake.
    #[inline]
    pub(crate) fn next(
        &mut self,
        input: &mut [u8],
        at: &mut usize,
        key: &str,
        wire: &Wire,
    ) -> Option<Incoming> {
        if let Stage::Handshake(head) = &mut self.stage {
            return advance_handshake(head, input, at, key);
        }
        match self.decoder.next(input, at) {
            Ok(event) => event.map(|event| read_event(event, wire)),
            Err(violation) => Some(closed("broke RFC 6455".into(), violation.to_string())),
        }
    }
}

/// Takes more of the response's head; what follows it in `input` are frames.
fn advance_handshake(head: &mut Vec<u8>, input: &[u8], at: &mut usize, key: &str) -> Option<Incoming> {
    let before = head.len();
    head.extend_from_slice(&input[*at..]);
    match read_response(head, key) {
        Ok(Some(accepted)) => {
            *at += accepted.head_bytes - before;
            Some(Incoming::Opened)
        }
        Ok(None) => {
            *at = input.len();
            None
        }
        Err(error) => Some(closed("refused the handshake".into(), error.to_string())),
    }
}

fn read_event(event: Event<'_>, wire: &Wire) -> Incoming {
    match event {
        Event::Text(text) => Incoming::Envelope(wire.read(text)),
        Event::Ping(payload) => Incoming::Ping(payload.to_vec()),
        Event::Pong(_) => Incoming::Nothing,
        Event::Close(Some((code, reason))) => closed(format!("closed {code}"), reason.to_owned()),
        Event::Close(None) => closed("closed without a code".into(), String::new()),
        Event::Binary(bytes) => closed("sent a binary frame".into(), format!("{} bytes", bytes.len())),
    }
}

pub(crate) fn closed(what: String, reason: String) -> Incoming {
    Incoming::Closed { what, reason }
}
