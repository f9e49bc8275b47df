//! Handshake and messages both ways with tungstenite, over bytes in memory.

mod common;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;

use common::{Owned, decoder, read};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use roomcast_websocket::{CloseCode, OpCode, Role, frame, handshake};
use tungstenite::handshake::HandshakeError;
use tungstenite::{Bytes, Message, WebSocket};

/// One end of a connection in memory: what was put into `input` is read, what is written goes to `output`.
#[derive(Clone, Default)]
struct Memory(Rc<RefCell<Wires>>);

#[derive(Default)]
struct Wires {
    input: VecDeque<u8>,
    output: Vec<u8>,
}

impl Memory {
    fn arrive(&self, bytes: &[u8]) {
        self.0.borrow_mut().input.extend(bytes);
    }

    fn written(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().output)
    }
}

impl Read for Memory {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.borrow_mut().input.read(into)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Memory {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().output.write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const SIZES: [usize; 7] = [0, 1, 125, 126, 65_535, 65_536, 200_000];

/// Their client, connected to our server's half of the handshake.
fn their_client() -> (WebSocket<Memory>, Memory) {
    let memory = Memory::default();
    let Err(HandshakeError::Interrupted(waiting)) = tungstenite::client("ws://localhost/ws", memory.clone())
    else {
        panic!("the client waits for the response");
    };
    let response = handshake::check_request(&parse(&memory.written())).expect("their request").response();
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        format!("{name}: {}\r\n", value.to_str().expect("ASCII"))
    };
    let headers: String = response.headers().iter().map(header).collect();
    memory.arrive(format!("HTTP/1.1 {}\r\n{headers}\r\n", response.status()).as_bytes());
    (waiting.handshake().expect("our response").0, memory)
}

fn parse(bytes: &[u8]) -> Request<()> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut parsed = httparse::Request::new(&mut headers);
    assert!(parsed.parse(bytes).expect("valid HTTP").is_complete());
    let request = Request::builder().uri(parsed.path.expect("a path"));
    let request =
        parsed.headers.iter().fold(request, |request, header| request.header(header.name, header.value));
    request.body(()).expect("a valid request")
}

/// Their server, connected to our client's half of the handshake.
fn their_server() -> (WebSocket<Memory>, Memory) {
    let memory = Memory::default();
    let key = handshake::key([7; 16]);
    let host = Authority::from_static("localhost");
    memory.arrive(&handshake::request(&host, &PathAndQuery::from_static("/ws"), &HeaderMap::new(), &key));
    let socket = tungstenite::accept(memory.clone()).unwrap_or_else(|error| panic!("our request: {error}"));
    let response = memory.written();
    let accepted = handshake::read_response(&response, &key).expect("their response").expect("all of it");
    assert_eq!(accepted.head_bytes, response.len());
    (socket, memory)
}

/// Each message of theirs is read by our decoder of `role`, by octets and at once.
fn we_read_them(mut socket: WebSocket<Memory>, memory: &Memory, role: Role) {
    for size in SIZES {
        socket.send(Message::text("é".repeat(size / 2))).expect("memory takes it");
        socket.send(Message::binary(vec![7; size])).expect("memory takes it");
        socket.send(Message::Ping(Bytes::from_static(b"are you there?"))).expect("memory takes it");
        let wire = memory.written();
        let expected = vec![
            Owned::Text("é".repeat(size / 2)),
            Owned::Binary(vec![7; size]),
            Owned::Ping(b"are you there?".to_vec()),
        ];
        let limits = roomcast_websocket::DecoderLimits { message_bytes_max: 1 << 20, fragments_max: 1 };
        for pieces in [1000, wire.len()] {
            let mut decoder = roomcast_websocket::Decoder::new(role, limits, None);
            assert_eq!(read(&mut decoder, wire.chunks(pieces)), (expected.clone(), None), "{size} bytes");
        }
    }
    socket.close(None).expect("memory takes it");
    assert_eq!(read(&mut decoder(role, None), [&memory.written()[..]]), (vec![Owned::Close(None)], None));
}

/// They read what `append` writes.
fn they_read_us(
    mut socket: WebSocket<Memory>,
    memory: &Memory,
    append: impl Fn(&mut Vec<u8>, OpCode, &[u8]),
) {
    for size in SIZES {
        let mut wire = Vec::new();
        append(&mut wire, OpCode::Text, "é".repeat(size / 2).as_bytes());
        append(&mut wire, OpCode::Binary, &vec![7; size]);
        append(&mut wire, OpCode::Pong, b"here");
        memory.arrive(&wire);
        assert_eq!(socket.read().expect("our frame"), Message::text("é".repeat(size / 2)));
        assert_eq!(socket.read().expect("our frame"), Message::binary(vec![7; size]));
        assert_eq!(socket.read().expect("our frame"), Message::Pong(Bytes::from_static(b"here")));
    }
}

fn they_read_our_close(mut socket: WebSocket<Memory>, memory: &Memory, close: &[u8], reason: &str) {
    memory.arrive(close);
    let Ok(Message::Close(Some(seen))) = socket.read() else { panic!("a Close frame with a code") };
    assert_eq!((u16::from(seen.code), seen.reason.as_str()), (1008, reason));
}

#[test]
fn our_server_reads_their_client() {
    let (socket, memory) = their_client();
    we_read_them(socket, &memory, Role::Server);
}

#[test]
fn our_client_reads_their_server() {
    let (socket, memory) = their_server();
    we_read_them(socket, &memory, Role::Client);
}

#[test]
fn their_client_reads_our_server() {
    let (socket, memory) = their_client();
    they_read_us(socket, &memory, frame::append);
}

#[test]
fn their_server_reads_our_client() {
    let (socket, memory) = their_server();
    they_read_us(socket, &memory, |out, opcode, payload| {
        frame::append_masked(out, opcode, payload, [0xDE, 0xAD, 0xBE, 0xEF]);
    });
}

#[test]
fn a_long_reason_is_cut_at_a_character() {
    let reason = "é".repeat(100);
    let cut = "é".repeat(61); // 122 bytes: the 62nd character would be bytes 123 and 124
    let mut close = Vec::new();
    frame::append_close(&mut close, CloseCode::POLICY_VIOLATION, &reason);
    let (socket, memory) = their_client();
    they_read_our_close(socket, &memory, &close, &cut);

    close.clear();
    frame::append_close_masked(&mut close, CloseCode::POLICY_VIOLATION, &reason, [1, 2, 3, 4]);
    let (socket, memory) = their_server();
    they_read_our_close(socket, &memory, &close, &cut);
}
