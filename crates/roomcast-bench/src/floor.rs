//! The physical limit: a server that does nothing but one `send()` of one ready-made frame per socket.
//!
//! It speaks just enough for the bench's own client to drive it and to check that nothing was lost: it answers
//! the handshake and the join, copies each message's id and a count into the frame, and acks the sender. It has
//! no queue: everybody waits for a socket whose buffer is full. It is for measuring, never for use.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use memchr::memmem;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use roomcast_websocket::{Decoder, DecoderLimits, Event, OpCode, Role, frame, handshake};

use crate::wire::{BEFORE_ID, ID_BYTES};

const LISTENER: Token = Token(usize::MAX);
const SCRATCH_BYTES: usize = 64 * 1024;

/// Between two tries on a full buffer: long enough that waiting costs no CPU to speak of.
const SEND_PAUSE: Duration = Duration::from_micros(200);

/// A buffer that stays full so long belongs to a client that has stopped reading; it is closed.
const SEND_PATIENCE: Duration = Duration::from_secs(10);

const LIMITS: DecoderLimits = DecoderLimits { message_bytes_max: 64 * 1024, fragments_max: 1 };

/// As large as an ack of Roomcast's.
const ACK_BYTES: usize = 170;

/// Digits of a seq. They lead with zeros, which JSON forbids and the bench's client reads all the same.
const SEQ_DIGITS: usize = 10;

const WELCOME: &[u8] = br#"{"type":"system","data":{"event":"welcome"}}"#;
const JOINED: &[u8] = br#"{"type":"ack","id":"join","data":{"status":"joined","seq":0,"from":0}}"#;

/// A bound floor server.
#[derive(Debug)]
pub struct FloorServer {
    poll: Poll,
    listener: TcpListener,
    /// Apart from the rest of a client, so that a room's sends walk over four bytes each.
    sockets: Vec<TcpStream>,
    clients: Vec<Client>,
    rooms: Vec<Room>,
    room_numbers: HashMap<Vec<u8>, usize>,
    delivery: Template,
    ack: Template,
}

#[derive(Debug)]
struct Client {
    stage: Stage,
    decoder: Decoder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Handshake,
    Join,
    InRoom(usize),
    Closed,
}

#[derive(Debug, Default)]
struct Room {
    members: Vec<usize>,
    seq: u64,
}

/// A frame that is ready but for an id and a seq.
#[derive(Debug)]
struct Template {
    frame: Vec<u8>,
    id_at: usize,
    seq_at: usize,
}

impl Template {
    fn new(before_id: &str, before_seq: &str, payload_bytes: usize) -> Self {
        let mut payload =
            [before_id.as_bytes(), &[b'0'; ID_BYTES], before_seq.as_bytes(), &[b'0'; SEQ_DIGITS]].concat();
        let seq_at = payload.len() - SEQ_DIGITS;
        payload.extend_from_slice(br#","pad":""#);
        payload.resize(payload_bytes.max(payload.len() + 2) - 2, b'x');
        payload.extend_from_slice(br#""}"#);
        let mut frame = Vec::new();
        frame::append(&mut frame, OpCode::Text, &payload);
        let header = frame.len() - payload.len();
        Self { frame, id_at: header + before_id.len(), seq_at: header + seq_at }
    }

    fn fill(&mut self, id: &[u8; ID_BYTES], mut seq: u64) -> &[u8] {
        self.frame[self.id_at..][..ID_BYTES].copy_from_slice(id);
        for digit in self.frame[self.seq_at..][..SEQ_DIGITS].iter_mut().rev() {
            *digit = b'0' + (seq % 10) as u8;
            seq /= 10;
        }
        &self.frame
    }
}

impl FloorServer {
    /// Listens on a free port of 127.0.0.1; every delivery will have a payload of `frame_bytes`.
    pub fn bind(frame_bytes: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            sockets: Vec::new(),
            clients: Vec::new(),
            rooms: Vec::new(),
            room_numbers: HashMap::new(),
            delivery: Template::new(BEFORE_ID, r#"","seq":"#, frame_bytes),
            ack: Template::new(r#"{"type":"ack","id":""#, r#"","data":{},"seq":"#, ACK_BYTES),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the system refuses to poll.
    pub fn run(mut self) -> io::Result<Infallible> {
        let mut events = Events::with_capacity(1024);
        let mut scratch = vec![0; SCRATCH_BYTES];
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    Token(index) => self.read(index, &mut scratch),
                }
            }
        }
    }

    fn accept(&mut self) {
        // An error is `WouldBlock`, or a client that has gone again.
        while let Ok((mut stream, _)) = self.listener.accept() {
            let token = Token(self.clients.len());
            let registered = self.poll.registry().register(&mut stream, token, Interest::READABLE);
            if registered.and_then(|()| stream.set_nodelay(true)).is_ok() {
                let decoder = Decoder::new(Role::Server, LIMITS, None);
                self.sockets.push(stream);
                self.clients.push(Client { stage: Stage::Handshake, decoder });
            }
        }
    }

    fn read(&mut self, index: usize, scratch: &mut [u8]) {
        while self.clients[index].stage != Stage::Closed {
            match self.sockets[index].read(scratch) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) | Ok(0) => return self.close(index),
                Ok(bytes) => {
                    self.take(index, &mut scratch[..bytes]);
                    // A short read has emptied the socket: no need to hear EAGAIN.
                    if bytes < scratch.len() {
                        return;
                    }
                }
            }
        }
    }

    fn take(&mut self, index: usize, input: &mut [u8]) {
        let mut at = 0;
        if self.clients[index].stage == Stage::Handshake {
            return self.upgrade(index, input);
        }
        while let Some(message) = self.clients[index].next(input, &mut at) {
            match (message, self.clients[index].stage) {
                (Message::Publish(id), Stage::InRoom(room)) => self.publish(index, room, &id),
                (Message::Join(room), Stage::Join) => self.join(index, room),
                _ => return self.close(index),
            }
        }
    }

    /// Answers the handshake; the bench's client sends it in one piece and waits for the answer.
    fn upgrade(&mut self, index: usize, request: &[u8]) {
        let field = b"Sec-WebSocket-Key: ";
        let key = memmem::find(request, field).map(|at| &request[at + field.len()..]);
        let key = key.and_then(|rest| rest.first_chunk::<24>()).and_then(|key| str::from_utf8(key).ok());
        let Some(key) = key else { return self.close(index) };
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            handshake::accept_key(key)
        )
        .into_bytes();
        frame::append(&mut answer, OpCode::Text, WELCOME);
        self.clients[index].stage = Stage::Join;
        self.send(index, &answer);
    }

    fn join(&mut self, index: usize, name: Vec<u8>) {
        let next = self.room_numbers.len();
        let room = *self.room_numbers.entry(name).or_insert(next);
        if room == self.rooms.len() {
            self.rooms.push(Room::default());
        }
        self.rooms[room].members.push(index);
        self.clients[index].stage = Stage::InRoom(room);
        let mut joined = Vec::new();
        frame::append(&mut joined, OpCode::Text, JOINED);
        self.send(index, &joined);
    }

    /// The loop that this server exists for.
    fn publish(&mut self, index: usize, room: usize, id: &[u8; ID_BYTES]) {
        let Self { sockets, rooms, delivery, ack, .. } = self;
        let Room { members, seq } = &mut rooms[room];
        *seq += 1;
        let frame = delivery.fill(id, *seq);
        members.retain(|&member| send(&mut sockets[member], frame));
        send(&mut sockets[index], ack.fill(id, *seq));
    }

    fn send(&mut self, index: usize, bytes: &[u8]) {
        if !send(&mut self.sockets[index], bytes) {
            self.close(index);
        }
    }

    fn close(&mut self, index: usize) {
        if let Stage::InRoom(room) = self.clients[index].stage {
            self.rooms[room].members.retain(|member| *member != index);
        }
        self.clients[index].stage = Stage::Closed;
        let _ = self.sockets[index].shutdown(Shutdown::Both);
    }
}

/// One `send()`, and more only while the socket's buffer is full, which everybody then waits for.
/// Whether all was sent; if not, the socket is shut, and the poll will tell of its end.
#[inline]
fn send(socket: &mut TcpStream, bytes: &[u8]) -> bool {
    let sent_all = match socket.write(bytes) {
        Ok(sent) if sent == bytes.len() => return true,
        Ok(sent) => send_slowly(socket, &bytes[sent..]),
        Err(_) => send_slowly(socket, bytes),
    };
    if sent_all.is_err() {
        let _ = socket.shutdown(Shutdown::Both);
    }
    sent_all.is_ok()
}

#[cold]
fn send_slowly(socket: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    let deadline = Instant::now() + SEND_PATIENCE;
    while !bytes.is_empty() {
        match socket.write(bytes) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                thread::sleep(SEND_PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

enum Message {
    Join(Vec<u8>),
    Publish([u8; ID_BYTES]),
    Bye,
}

impl Client {
    fn next(&mut self, input: &mut [u8], at: &mut usize) -> Option<Message> {
        match self.decoder.next(input, at) {
            Ok(Some(Event::Text(text))) => Some(match self.stage {
                Stage::InRoom(_) => publish_id(text).map_or(Message::Bye, Message::Publish),
                _ => room_of(text).map_or(Message::Bye, Message::Join),
            }),
            Ok(None) => None,
            Ok(Some(_)) | Err(_) => Some(Message::Bye),
        }
    }
}

fn publish_id(text: &str) -> Option<[u8; ID_BYTES]> {
    text.as_bytes().get(BEFORE_ID.len()..)?.first_chunk().copied()
}

fn room_of(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(r#""room":""#)?;
    rest.split_once('"').map(|(room, _)| room.as_bytes().to_vec())
}
