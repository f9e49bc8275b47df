//! Nanoseconds for each frame of 128 bytes, read and written, beside tungstenite in the same run:
//! `cargo bench -p roomcast-websocket`.

use std::hint::black_box;
use std::io::{self, Cursor, Read, Write};
use std::time::Instant;

use roomcast_websocket::frame::{self, Header};
use roomcast_websocket::{Decoder, DecoderLimits, Event, OpCode, Role, deflate};
use tungstenite::protocol::{Role as Theirs, WebSocket};

const LIMITS: DecoderLimits = DecoderLimits { message_bytes_max: 64 * 1024, fragments_max: 1024 };
/// Frames in one read of a socket.
const BATCH: usize = 400;
const ROUNDS: usize = 500;
const REPEATS: usize = 7;

fn main() {
    let payload = payload();
    println!("{:44} {:>8}", "a frame of 128 bytes of text", "ns");
    measure("read, masked, with the copy into scratch", || decode(&payload, false));
    measure("the same, shares of a message in 4 fragments", || decode_fragments(&payload));
    measure("read, compressed", || decode(&payload, true));
    measure("read by tungstenite", || decode_tungstenite(&payload));
    measure("write, into a buffer", || encode(&payload));
    measure("write, header only (payload shared)", || encode_header(&payload));
    measure("write, masked", || encode_masked(&payload));
    measure("write by tungstenite", || encode_tungstenite(&payload));
    for size in [128, 1024, 16 * 1024] {
        let payload = payload.repeat(size / payload.len());
        measure(&format!("compress {size} bytes"), || compress(&payload));
    }
}

fn payload() -> String {
    let start = r#"{"type":"text","room":"general","seq":42,"data":{"content":"Hello, how are you?","author":"user_42"},"timestamp":17110"#;
    format!("{start:<127}}}")
}

/// The fastest of a few runs of `BATCH * ROUNDS` frames.
fn measure(name: &str, mut run: impl FnMut() -> u64) {
    let nanoseconds = (0..REPEATS).map(|_| run()).min().unwrap_or_default();
    let frames = (BATCH * ROUNDS) as f64;
    println!("{name:44} {:>8.1}", nanoseconds as f64 / frames);
}

fn timed(mut round: impl FnMut()) -> u64 {
    let start = Instant::now();
    (0..ROUNDS).for_each(|_| round());
    start.elapsed().as_nanos() as u64
}

fn masked(header: Header, payload: &[u8], wire: &mut Vec<u8>) {
    let key = (wire.len() as u32).wrapping_mul(0x9E37_79B9).to_le_bytes();
    header.mask(key).append_with(payload, wire);
}

fn decode(payload: &str, compressed: bool) -> u64 {
    let mut bytes = payload.as_bytes().to_vec();
    if compressed {
        bytes.clear();
        deflate::compress(payload.as_bytes(), 15, &mut bytes);
    }
    let mut wire = Vec::new();
    for _ in 0..BATCH {
        masked(Header::new(OpCode::Text, bytes.len()).rsv1(compressed), &bytes, &mut wire);
    }
    read_all(&wire, BATCH)
}

fn decode_fragments(payload: &str) -> u64 {
    let mut wire = Vec::new();
    for i in 0..BATCH {
        let opcode = if i % 4 == 0 { OpCode::Text } else { OpCode::Continuation };
        masked(Header::new(opcode, payload.len()).fin(i % 4 == 3), payload.as_bytes(), &mut wire);
    }
    read_all(&wire, BATCH / 4)
}

fn read_all(wire: &[u8], messages: usize) -> u64 {
    let agreed = deflate_agreed();
    let mut decoder = Decoder::new(Role::Server, LIMITS, agreed);
    let mut scratch = wire.to_vec();
    timed(|| {
        scratch.copy_from_slice(wire);
        let (mut at, mut seen) = (0, 0);
        while let Some(event) = decoder.next(&mut scratch, &mut at).expect("valid frames") {
            seen += usize::from(matches!(black_box(event), Event::Text(_)));
        }
        assert_eq!(seen, messages);
    })
}

fn deflate_agreed() -> Option<deflate::Deflate> {
    deflate::Deflate::negotiate("permessage-deflate").map(|(agreed, _)| agreed)
}

fn encode(payload: &str) -> u64 {
    let mut out = Vec::new();
    timed(|| {
        out.clear();
        for _ in 0..BATCH {
            frame::append(&mut out, OpCode::Text, black_box(payload).as_bytes());
        }
        black_box(&out);
    })
}

fn encode_header(payload: &str) -> u64 {
    timed(|| {
        for _ in 0..BATCH {
            black_box(Header::new(OpCode::Text, black_box(payload).len()).encode());
        }
    })
}

fn encode_masked(payload: &str) -> u64 {
    let mut out = Vec::new();
    timed(|| {
        out.clear();
        for i in 0..BATCH {
            frame::append_masked(
                &mut out,
                OpCode::Text,
                black_box(payload).as_bytes(),
                (i as u32).to_le_bytes(),
            );
        }
        black_box(&out);
    })
}

fn compress(payload: &str) -> u64 {
    let mut out = Vec::new();
    timed(|| {
        for _ in 0..BATCH / 100 {
            out.clear();
            deflate::compress(black_box(payload).as_bytes(), 15, &mut out);
            black_box(&out);
        }
    }) * 100
}

/// A socket in memory: reads what was put in, and throws away what is written.
struct Memory(Cursor<Vec<u8>>);

impl Read for Memory {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Memory {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        black_box(from);
        Ok(from.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn decode_tungstenite(payload: &str) -> u64 {
    let mut wire = Vec::new();
    for _ in 0..BATCH {
        masked(Header::new(OpCode::Text, payload.len()), payload.as_bytes(), &mut wire);
    }
    let mut socket = WebSocket::from_raw_socket(Memory(Cursor::new(wire)), Theirs::Server, None);
    timed(|| {
        socket.get_mut().0.set_position(0);
        for _ in 0..BATCH {
            black_box(socket.read().expect("valid frames"));
        }
    })
}

fn encode_tungstenite(payload: &str) -> u64 {
    let mut socket = WebSocket::from_raw_socket(Memory(Cursor::new(Vec::new())), Theirs::Server, None);
    timed(|| {
        for _ in 0..BATCH {
            socket.write(tungstenite::Message::text(black_box(payload))).expect("memory takes it");
        }
        socket.flush().expect("memory takes it");
    })
}
