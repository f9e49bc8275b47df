//! Any stream of messages, cut at any byte boundaries, reads as the same events: both roles, with and without
//! compression, whole and in fragments, control frames between them.

mod common;

use common::{Owned, cut, decoder, deflate, read};
use proptest::collection::vec;
use proptest::prelude::*;
use roomcast_websocket::frame::Header;
use roomcast_websocket::{OpCode, Role};

#[derive(Clone, Debug)]
struct Sent {
    event: Owned,
    compressed: bool,
    /// Where the payload is cut into fragments, and the ping that goes after the first of them.
    fragments: Vec<usize>,
    ping: Option<Vec<u8>>,
}

fn event() -> impl Strategy<Value = Owned> {
    let control = || vec(any::<u8>(), 0..=125);
    prop_oneof![
        4 => ".{0,200}".prop_map(Owned::Text),
        2 => "[a-z ]{100,4000}".prop_map(Owned::Text),
        2 => vec(any::<u8>(), 0..700).prop_map(Owned::Binary),
        1 => control().prop_map(Owned::Ping),
        1 => control().prop_map(Owned::Pong),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    let fragments = prop_oneof![2 => Just(vec![]), 1 => vec(0..800_usize, 1..6)];
    let ping = proptest::option::weighted(0.3, vec(any::<u8>(), 0..20));
    (event(), any::<bool>(), fragments, ping).prop_map(|(event, compressed, fragments, ping)| Sent {
        event,
        compressed,
        fragments,
        ping,
    })
}

/// Writes what the peer of `role` sends, and what is to be read.
struct Wire {
    role: Role,
    deflate: bool,
    bytes: Vec<u8>,
    expected: Vec<Owned>,
}

impl Wire {
    fn new(role: Role, deflate: bool) -> Self {
        Self { role, deflate, bytes: Vec::new(), expected: Vec::new() }
    }

    fn frame(&mut self, header: Header, payload: &[u8]) {
        let key = (self.bytes.len() as u32).wrapping_mul(0x9E37_79B9).to_le_bytes();
        let header = if self.role == Role::Server { header.mask(key) } else { header };
        header.append_with(payload, &mut self.bytes);
    }

    fn send(&mut self, sent: &Sent) {
        match &sent.event {
            Owned::Text(text) => self.message(OpCode::Text, text.as_bytes(), sent),
            Owned::Binary(bytes) => self.message(OpCode::Binary, bytes, sent),
            Owned::Ping(bytes) => self.frame(Header::new(OpCode::Ping, bytes.len()), bytes),
            Owned::Pong(bytes) => self.frame(Header::new(OpCode::Pong, bytes.len()), bytes),
            Owned::Close(_) => unreachable!("no Close is generated"),
        }
        self.expected.push(sent.event.clone());
    }

    fn message(&mut self, opcode: OpCode, payload: &[u8], sent: &Sent) {
        let rsv1 = sent.compressed && self.deflate;
        let mut compressed = Vec::new();
        if rsv1 {
            roomcast_websocket::deflate::compress(payload, 15, &mut compressed);
        }
        let payload = if rsv1 { &compressed } else { payload };
        let pieces = cut(payload, sent.fragments.clone());
        let last = pieces.len() - 1;
        for (i, piece) in pieces.into_iter().enumerate() {
            let opcode = if i == 0 { opcode } else { OpCode::Continuation };
            self.frame(Header::new(opcode, piece.len()).fin(i == last).rsv1(rsv1 && i == 0), piece);
            if let (0, Some(ping)) = (i, &sent.ping)
                && last > 0
            {
                self.frame(Header::new(OpCode::Ping, ping.len()), ping);
                self.expected.push(Owned::Ping(ping.clone()));
            }
        }
    }
}

/// Every kind of frame once, short enough to try every pair of cuts.
fn one_of_each() -> Vec<Sent> {
    let sent = |event, compressed, fragments, ping| Sent { event, compressed, fragments, ping };
    vec![
        sent(Owned::Text("κόσμε".to_owned()), false, vec![], None),
        sent(Owned::Ping(b"ping".to_vec()), false, vec![], None),
        sent(Owned::Text("a κόσμε".to_owned()), false, vec![3, 3], Some(b"between".to_vec())),
        sent(Owned::Binary(vec![]), false, vec![], None),
        sent(Owned::Text("κόσμε κόσμε".to_owned()), true, vec![], None),
        sent(Owned::Binary(vec![7; 130]), true, vec![1], Some(vec![])),
        sent(Owned::Pong(vec![]), false, vec![], None),
    ]
}

#[test]
fn every_pair_of_cuts_reads_the_same() {
    for role in [Role::Server, Role::Client] {
        let mut wire = Wire::new(role, true);
        for sent in &one_of_each() {
            wire.send(sent);
        }
        for first in 0..wire.bytes.len() {
            for second in first..wire.bytes.len() {
                let mut decoder = decoder(role, Some(deflate()));
                let reading = read(&mut decoder, cut(&wire.bytes, vec![first, second]));
                assert_eq!(reading.1, None, "{role:?} cut at {first} and {second}");
                assert_eq!(reading.0, wire.expected, "{role:?} cut at {first} and {second}");
                assert_eq!(decoder.bytes_held(), 0, "{role:?} cut at {first} and {second}");
            }
        }
    }
}

proptest! {
    #[test]
    fn events_do_not_depend_on_where_the_stream_is_cut(
        messages in vec(sent(), 1..8),
        server in any::<bool>(),
        compress in any::<bool>(),
        places in vec(0..20_000_usize, 0..40),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let mut wire = Wire::new(role, compress);
        for sent in &messages {
            wire.send(sent);
        }
        let mut decoder = decoder(role, compress.then(deflate));
        let reading = read(&mut decoder, cut(&wire.bytes, places));
        prop_assert_eq!(reading, (wire.expected, None));
        prop_assert_eq!(decoder.bytes_held(), 0, "an idle connection owns no buffer");
    }

    #[test]
    fn compression_comes_back_with_any_window(payload in vec(any::<u8>(), 0..3000), window_bits in 9..=15_u8) {
        let mut compressed = Vec::new();
        roomcast_websocket::deflate::compress(&payload, window_bits, &mut compressed);
        let mut wire = Vec::new();
        Header::new(OpCode::Binary, compressed.len()).rsv1(true).append_with(&compressed, &mut wire);
        let reading = read(&mut decoder(Role::Client, Some(deflate())), [&wire[..]]);
        prop_assert_eq!(reading, (vec![Owned::Binary(payload)], None));
    }

    #[test]
    fn noise_never_panics_and_reads_the_same_in_pieces(
        noise in vec(any::<u8>(), 0..400),
        server in any::<bool>(),
        compress in any::<bool>(),
        places in vec(0..400_usize, 0..20),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let read = |pieces| read(&mut decoder(role, compress.then(deflate)), pieces);
        prop_assert_eq!(read(vec![&noise[..]]), read(cut(&noise, places)));
    }
}
