//! A small server of `roomcast.v1` that does one thing wrong on purpose, and the bench run against it.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use clap::Parser;
use roomcast_bench::{Error, Outcome, Report};
use roomcast_websocket::{CloseCode, Decoder, DecoderLimits, Event, OpCode, Role, frame, handshake};
use serde_json::{Value, json};

/// The message of each room that something happens to.
pub(crate) const MARKED: u64 = 5;

/// What the server does wrong, to the first reader of each room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Nothing.
    None,
    /// Leaves out the marked message.
    Drop,
    /// Leaves out all messages from the marked one on.
    DropTail,
    /// Sends the marked message twice.
    Double,
    /// Sends the marked message after the next one.
    Swap,
    /// Leaves out the marked message and the two after it, and says so.
    Reset,
    /// Closes the connection in place of the marked message.
    Close,
    /// Breaks the framing in place of the marked message.
    Garble,
    /// Refuses the marked message.
    RefusePublish,
    /// Never acks the marked message.
    Unanswered,
    /// Refuses every join.
    RefuseJoin,
    /// Closes every connection with 1008 in place of `welcome`.
    RefuseAll,
    /// Answers the handshake with 404.
    NotFound,
    /// Numbers messages in tens, with `prev`.
    Holes,
    /// Writes byte by byte.
    Dribble,
    /// Acks a join only once a ping has been answered.
    PingFirst,
}

/// Its address; it serves as long as the test's process lives.
pub(crate) fn serve(flaw: Flaw) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let rooms = Arc::<Mutex<HashMap<String, Room>>>::default();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let rooms = Arc::clone(&rooms);
            thread::spawn(move || {
                // A client that goes away ends its thread with an error.
                let _ = Connection { stream, flaw, rooms }.serve();
            });
        }
    });
    address
}

/// Runs `roomcast bench` with these arguments against a server with this flaw.
pub(crate) fn bench(flaw: Flaw, arguments: &str) -> Result<Outcome, Error> {
    bench_at(serve(flaw), arguments)
}

/// Runs `roomcast bench` with these arguments against this server.
pub(crate) fn bench_at(address: SocketAddr, arguments: &str) -> Result<Outcome, Error> {
    run(&format!("--url http://{address} {arguments}"))
}

/// Runs `roomcast bench` with these arguments.
pub(crate) fn run(arguments: &str) -> Result<Outcome, Error> {
    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        bench: roomcast_bench::Args,
    }
    let words = ["bench".to_owned()].into_iter().chain(shlex::split(arguments).unwrap());
    match roomcast_bench::run(&Cli::try_parse_from(words).unwrap().bench)? {
        Report::Run(outcome) => Ok(*outcome),
        report => panic!("not a single run: {report}"),
    }
}

#[derive(Default)]
struct Room {
    seq: u64,
    readers: Vec<TcpStream>,
    held: Option<Vec<u8>>,
}

struct Connection {
    stream: TcpStream,
    flaw: Flaw,
    rooms: Arc<Mutex<HashMap<String, Room>>>,
}

impl Connection {
    fn serve(mut self) -> io::Result<()> {
        self.upgrade()?;
        if self.flaw == Flaw::RefuseAll {
            let mut close = Vec::new();
            frame::append_close(&mut close, CloseCode::POLICY_VIOLATION, "unauthorized: no token");
            return self.stream.write_all(&close);
        }
        self.say(&json!({"type": "system", "data": {"event": "welcome"}}))?;
        let limits = DecoderLimits { message_bytes_max: 1 << 20, fragments_max: 1 };
        let mut decoder = Decoder::new(Role::Server, limits, None);
        let mut scratch = vec![0; 65_536];
        let mut join = None;
        loop {
            let bytes = self.stream.read(&mut scratch)?;
            let mut at = 0;
            while let Some(event) = decoder.next(&mut scratch[..bytes], &mut at).unwrap() {
                match event {
                    Event::Text(text)
                        if text.contains(r#""type":"join""#) && self.flaw == Flaw::PingFirst =>
                    {
                        join = Some(text.to_owned());
                        self.stream.write_all(b"\x89\x02hi")?;
                    }
                    Event::Pong(b"hi") => self.hear(&join.take().unwrap())?,
                    Event::Text(text) => self.hear(text)?,
                    _ => return Ok(()),
                }
            }
            if bytes == 0 {
                return Ok(());
            }
        }
    }

    fn upgrade(&mut self) -> io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        if self.flaw == Flaw::NotFound {
            return self.stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        }
        let head = String::from_utf8(head).unwrap();
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        let accept = handshake::accept_key(key);
        let lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"];
        write!(self.stream, "{}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n", lines.join("\r\n"))
    }

    fn hear(&mut self, text: &str) -> io::Result<()> {
        let envelope: Value = serde_json::from_str(text).unwrap();
        let (id, name) = (&envelope["id"], envelope["room"].as_str().unwrap().to_owned());
        let rooms = Arc::clone(&self.rooms);
        let mut rooms = rooms.lock().unwrap();
        let room = rooms.entry(name).or_default();
        if envelope["type"] == "join" && self.flaw == Flaw::RefuseJoin {
            let data = json!({"code": "forbidden", "message": "you may not join"});
            self.say(&json!({"type": "error", "id": id, "data": data}))
        } else if envelope["type"] == "join" {
            room.readers.push(self.stream.try_clone()?);
            let data = json!({"status": "joined", "seq": room.seq, "from": room.seq, "recovered": false});
            self.say(&json!({"type": "ack", "id": id, "data": data}))
        } else {
            self.publish(room, &envelope)
        }
    }

    fn publish(&mut self, room: &mut Room, envelope: &Value) -> io::Result<()> {
        let id = &envelope["id"];
        if self.flaw == Flaw::RefusePublish && room.seq == MARKED - 1 && room.held.is_none() {
            room.held = Some(Vec::new());
            let data = json!({"code": "rate_limited", "message": "slow down"});
            return self.say(&json!({"type": "error", "id": id, "data": data}));
        }
        let (step, prev) = if self.flaw == Flaw::Holes { (10, json!(room.seq)) } else { (1, Value::Null) };
        room.seq += step;
        let mut delivery = json!({"type": "text", "id": id, "seq": room.seq, "data": envelope["data"]});
        if !prev.is_null() {
            delivery["prev"] = prev;
        }
        room.deliver(self.flaw, &text_frame(&delivery))?;
        if self.flaw == Flaw::Unanswered && room.seq == MARKED {
            return Ok(());
        }
        let data = json!({"status": "delivered", "seq": room.seq, "epoch": "e"});
        self.say(&json!({"type": "ack", "id": id, "data": data}))
    }

    fn say(&mut self, envelope: &Value) -> io::Result<()> {
        send(&mut self.stream, &text_frame(envelope), self.flaw)
    }
}

impl Room {
    fn deliver(&mut self, flaw: Flaw, frame: &[u8]) -> io::Result<()> {
        let (first, others) = self.readers.split_first_mut().unwrap();
        for reader in others {
            send(reader, frame, flaw)?;
        }
        let seq = self.seq;
        match flaw {
            Flaw::Drop if seq == MARKED => Ok(()),
            Flaw::DropTail if seq >= MARKED => Ok(()),
            Flaw::Double if seq == MARKED => send(first, &[frame, frame].concat(), flaw),
            Flaw::Swap if seq == MARKED => {
                self.held = Some(frame.to_vec());
                Ok(())
            }
            Flaw::Swap => send(first, &[frame, &self.held.take().unwrap_or_default()].concat(), flaw),
            Flaw::Reset if (MARKED..MARKED + 2).contains(&seq) => Ok(()),
            Flaw::Reset if seq == MARKED + 2 => {
                let data = json!({"event": "reset", "reason": "too_old", "epoch": "e", "seq": seq});
                send(first, &text_frame(&json!({"type": "system", "data": data})), flaw)
            }
            Flaw::Close if seq >= MARKED => {
                let mut close = Vec::new();
                frame::append_close(&mut close, CloseCode(4008), "too slow");
                // The second time the client has gone.
                let _ = first.write_all(&close);
                Ok(())
            }
            Flaw::Garble if seq >= MARKED => {
                // The second time the client has gone.
                let _ = first.write_all(b"\xff\x01");
                Ok(())
            }
            _ => send(first, frame, flaw),
        }
    }
}

fn text_frame(envelope: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::append(&mut bytes, OpCode::Text, envelope.to_string().as_bytes());
    bytes
}

fn send(stream: &mut TcpStream, bytes: &[u8], flaw: Flaw) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let size = if flaw == Flaw::Dribble { 1 } else { bytes.len().max(1) };
    bytes.chunks(size).try_for_each(|chunk| stream.write_all(chunk))
}
