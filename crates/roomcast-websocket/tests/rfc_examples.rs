//! The examples of RFC 6455 §5.7 and RFC 7692 §7.2.3, byte for byte.

mod common;

use common::{LIMITS, Owned, decoder, deflate, read};
use roomcast_websocket::frame::{self, Header};
use roomcast_websocket::{Decoder, DecoderLimits, OpCode, Role};

fn hello() -> Owned {
    Owned::Text("Hello".to_owned())
}

/// Reads as a server what is masked, else as a client.
fn check(wire: &[u8], expected: Owned) {
    let role = if wire[1] & 0x80 == 0 { Role::Client } else { Role::Server };
    assert_eq!(read(&mut decoder(role, None), [wire]), (vec![expected], None));
}

#[test]
fn frames_of_rfc_6455_are_read() {
    check(&[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f], hello());
    check(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58], hello());
    check(&[0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f], hello());
    check(&[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f], Owned::Ping(b"Hello".to_vec()));
    check(
        &[0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58],
        Owned::Pong(b"Hello".to_vec()),
    );
    let small = [&[0x82, 0x7E, 0x01, 0x00], &[7; 256][..]].concat();
    check(&small, Owned::Binary(vec![7; 256]));
}

#[test]
fn a_frame_of_64_kib_is_read_with_a_64_bit_length() {
    let large = [&[0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0], &vec![7; 0x1_0000][..]].concat();
    check(&large, Owned::Binary(vec![7; 0x1_0000]));
}

#[test]
fn frames_of_rfc_6455_are_written() {
    let mut plain = Vec::new();
    frame::append(&mut plain, OpCode::Text, b"Hello");
    assert_eq!(plain, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);

    let mut masked = Vec::new();
    frame::append_masked(&mut masked, OpCode::Pong, b"Hello", [0x37, 0xfa, 0x21, 0x3d]);
    assert_eq!(masked, [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);

    assert_eq!(*Header::new(OpCode::Text, 3).fin(false).encode(), [0x01, 0x03]);
    assert_eq!(*Header::new(OpCode::Continuation, 2).encode(), [0x80, 0x02]);
    assert_eq!(*Header::new(OpCode::Binary, 256).encode(), [0x82, 0x7E, 0x01, 0x00]);
    assert_eq!(*Header::new(OpCode::Binary, 0x1_0000).encode(), [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]);
}

/// What RFC 7692 shows as server frames, read by a client.
fn check_compressed(wire: &[u8], expected: &[Owned]) {
    let reading = read(&mut decoder(Role::Client, Some(deflate())), [wire]);
    assert_eq!(reading, (expected.to_vec(), None), "{wire:02x?}");
    let reading = read(&mut decoder(Role::Client, Some(deflate())), wire.chunks(1));
    assert_eq!(reading, (expected.to_vec(), None), "{wire:02x?} by octets");
}

#[test]
fn messages_of_rfc_7692_are_read() {
    // §7.2.3.1: one compressed block, whole and in two fragments.
    check_compressed(&[0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], &[hello()]);
    check_compressed(&[0x41, 0x03, 0xf2, 0x48, 0xcd, 0x80, 0x04, 0xc9, 0xc9, 0x07, 0x00], &[hello()]);
    // §7.2.3.2, the first message: the second needs the context that nobody takes over here.
    // §7.2.3.3: a block without compression.
    check_compressed(
        &[0xc1, 0x0b, 0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        &[hello()],
    );
    // §7.2.3.4: a block marked as the last.
    check_compressed(&[0xc1, 0x08, 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], &[hello()]);
    // §7.2.3.5: two blocks.
    check_compressed(
        &[0xc1, 0x0d, 0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        &[hello()],
    );
    // §7.2.3.6: an empty message.
    check_compressed(&[0xc1, 0x01, 0x00], &[Owned::Text(String::new())]);
}

#[test]
fn compression_writes_what_rfc_7692_shows() {
    let mut out = Vec::new();
    roomcast_websocket::deflate::compress(b"Hello", 15, &mut out);
    assert_eq!(out, [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    out.clear();
    roomcast_websocket::deflate::compress(b"", 15, &mut out);
    assert_eq!(out, [0x00]);
}

#[test]
fn a_compressed_message_may_reach_the_limit_even_if_compression_made_it_longer() {
    let mut noise = 1_u64;
    let random = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (noise >> 56) as u8
    });
    let bytes: Vec<u8> = random.take(LIMITS.message_bytes_max as usize).collect();
    let mut compressed = Vec::new();
    roomcast_websocket::deflate::compress(&bytes, 15, &mut compressed);
    assert!(compressed.len() > bytes.len());
    let mut wire = Vec::new();
    Header::new(OpCode::Binary, compressed.len()).rsv1(true).append_with(&compressed, &mut wire);
    let reading = read(&mut decoder(Role::Client, Some(deflate())), [&wire[..]]);
    assert_eq!(reading, (vec![Owned::Binary(bytes)], None));
}

#[test]
fn a_decoder_is_small_and_holds_only_what_has_arrived() {
    assert!(size_of::<Decoder>() <= 40, "{} bytes", size_of::<Decoder>());
    let limits = DecoderLimits { message_bytes_max: 1 << 30, fragments_max: 1 };
    let mut decoder = Decoder::new(Role::Client, limits, None);
    let start = [&*Header::new(OpCode::Binary, 1 << 30).encode(), &[0; 1000]].concat();
    assert_eq!(read(&mut decoder, [&start[..]]), (vec![], None));
    assert!(decoder.bytes_held() < 2048, "{} bytes held of a gibibyte declared", decoder.bytes_held());
}
