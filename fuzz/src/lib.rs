//! What must hold for any input, for the fuzz targets here and for the crate's tests over the corpus.
//! It never decides what is tried.

use roomcast_websocket::frame::Header;
use roomcast_websocket::{
    Decoder, DecoderLimits, Deflate, Event, OpCode, Role, Violation, deflate, handshake,
};

const SMALL: DecoderLimits = DecoderLimits { message_bytes_max: 1000, fragments_max: 4 };
const USUAL: DecoderLimits = DecoderLimits { message_bytes_max: 64 * 1024, fragments_max: 1024 };

/// A stream of frames reads the same in one piece and in the pieces that `seed` cuts it into, and a decoder
/// holds no more than has arrived or the limits allow.
///
/// The first byte of `data` chooses the role, compression and limits, the rest is the stream.
pub fn decode(data: &[u8], seed: u64) {
    let Some((&options, wire)) = data.split_first() else { return };
    let whole = read(&mut decoder(options), [wire]);
    let mut random = Random(seed);
    let pieces = std::iter::successors(Some((&[][..], wire)), |(_, rest)| {
        (!rest.is_empty()).then(|| rest.split_at(random.below(rest.len().min(200)) + 1))
    });
    let cut = read(&mut decoder(options), pieces.map(|(piece, _)| piece));
    assert_eq!(whole, cut, "in one piece and in pieces");
}

/// What is compressed inflates to the same bytes, at any window size.
///
/// The first byte of `data` chooses the window, the rest is the payload.
pub fn compress(data: &[u8]) {
    let Some((&options, payload)) = data.split_first() else { return };
    let payload = &payload[..payload.len().min(USUAL.message_bytes_max as usize)];
    let window_bits = deflate::WINDOW_BITS_MIN + options % 7;
    let mut compressed = Vec::new();
    deflate::compress(payload, window_bits, &mut compressed);
    let mut wire = Vec::new();
    Header::new(OpCode::Binary, compressed.len()).rsv1(true).append_with(&compressed, &mut wire);
    let mut decoder = Decoder::new(Role::Client, USUAL, agreed());
    let mut at = 0;
    assert_eq!(decoder.next(&mut wire, &mut at), Ok(Some(Event::Binary(payload))));
}

/// No header makes the handshake panic; what a server accepts suits a client, and a response that is whole
/// stays the same response when more follows.
pub fn handshake(data: &[u8]) {
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    if let Some((deflate, response)) = std::str::from_utf8(data).ok().and_then(Deflate::negotiate) {
        assert!((deflate::WINDOW_BITS_MIN..=deflate::WINDOW_BITS_MAX).contains(&deflate.window_bits()));
        assert!(Deflate::accept(&response).is_some(), "{response}");
    }
    let whole = handshake::read_response(data, KEY);
    if let Ok(Some(accepted)) = &whole {
        assert_eq!(handshake::read_response(&data[..accepted.head_bytes], KEY), whole);
        assert_eq!(handshake::read_response(&data[..accepted.head_bytes - 1], KEY), Ok(None));
    }
}

fn decoder(options: u8) -> Decoder {
    let role = if options & 1 == 0 { Role::Server } else { Role::Client };
    let limits = if options & 4 == 0 { USUAL } else { SMALL };
    Decoder::new(role, limits, if options & 2 == 0 { None } else { agreed() })
}

fn agreed() -> Option<Deflate> {
    Deflate::negotiate("permessage-deflate").map(|(deflate, _)| deflate)
}

/// The events, as text, and the violation.
fn read<'a>(
    decoder: &mut Decoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<String>, Option<Violation>) {
    let mut events = Vec::new();
    let mut arrived = 0;
    for piece in pieces {
        let (mut scratch, mut at) = (piece.to_vec(), 0);
        arrived += piece.len();
        loop {
            match decoder.next(&mut scratch, &mut at) {
                Ok(Some(event)) => events.push(format!("{event:?}")),
                Ok(None) => break,
                Err(violation) => return (events, Some(violation)),
            }
        }
        assert_eq!(at, piece.len(), "all of the input is used up");
        assert!(
            decoder.bytes_held() <= 512 + 2 * arrived,
            "{} bytes held of {arrived}",
            decoder.bytes_held()
        );
    }
    (events, None)
}

/// `splitmix64`: reproducible cuts.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((mixed ^ (mixed >> 27)) % bound as u64) as usize
    }
}
