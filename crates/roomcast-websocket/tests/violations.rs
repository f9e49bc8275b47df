//! Every way a peer can break the framing rules or a limit, told by the right violation and close code,
//! whether the bytes come at once or one by one.

mod common;

use common::{LIMITS, Owned, decoder, deflate, read, violation};
use roomcast_websocket::frame::{self, Header};
use roomcast_websocket::{CloseCode, Decoder, DecoderLimits, OpCode, Role, Violation};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame.
fn masked(header: Header, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    header.mask(KEY).append_with(payload, &mut out);
    out
}

/// A client's frame with these first two bytes, whatever they mean.
fn raw(first: u8, second: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first, second];
    out.extend(KEY);
    out.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

fn text(payload: &str) -> Vec<u8> {
    masked(Header::new(OpCode::Text, payload.len()), payload.as_bytes())
}

fn first(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    masked(Header::new(opcode, payload.len()).fin(false), payload)
}

fn continuation(payload: &[u8], fin: bool) -> Vec<u8> {
    masked(Header::new(OpCode::Continuation, payload.len()).fin(fin), payload)
}

fn check(wire: &[u8], expected: Violation, code: CloseCode) {
    assert_eq!(violation(wire, Role::Server, None), Some(expected), "{wire:02x?}");
    assert_eq!(expected.close_code(), code);
}

#[test]
fn framing_rules_end_in_1002() {
    use OpCode::{Binary, Ping, Text};
    use Violation as V;
    let declared = |first, second, len: &[u8]| [&[first, second], len, &KEY].concat();
    let table = [
        (vec![0x81, 0x00], V::Unmasked),
        (vec![0x81, 0x05, b'h', b'e', b'l', b'l', b'o'], V::Unmasked),
        (raw(0xC1, 0x80, b""), V::ReservedBits(0b100)),
        (raw(0xA1, 0x80, b""), V::ReservedBits(0b010)),
        (raw(0x91, 0x80, b""), V::ReservedBits(0b001)),
        (raw(0xF1, 0x80, b""), V::ReservedBits(0b111)),
        (raw(0xC9, 0x80, b""), V::ReservedBits(0b100)),
        (raw(0x83, 0x80, b""), V::ReservedOpCode(3)),
        (raw(0x87, 0x80, b""), V::ReservedOpCode(7)),
        (raw(0x8B, 0x80, b""), V::ReservedOpCode(0xB)),
        (raw(0x8F, 0x80, b""), V::ReservedOpCode(0xF)),
        (raw(0x09, 0x80, b""), V::FragmentedControl(Ping)),
        (raw(0x08, 0x80, b""), V::FragmentedControl(OpCode::Close)),
        (declared(0x89, 0xFE, &[0, 126]), V::OversizedControl(Ping, 126)),
        (declared(0x8A, 0xFF, &[0, 0, 0, 0, 0, 1, 0, 0]), V::OversizedControl(OpCode::Pong, 0x1_0000)),
        (declared(0x81, 0xFE, &[0, 125]), V::LengthNotMinimal(125)),
        (declared(0x89, 0xFE, &[0, 5]), V::LengthNotMinimal(5)),
        (declared(0x81, 0xFF, &[0, 0, 0, 0, 0, 0, 0xFF, 0xFF]), V::LengthNotMinimal(0xFFFF)),
        (continuation(b"x", true), V::StrayContinuation),
        ([text("whole"), continuation(b"x", false)].concat(), V::StrayContinuation),
        ([first(Text, b"a"), text("b")].concat(), V::MissingContinuation(Text)),
        ([first(Binary, b"a"), first(Binary, b"b")].concat(), V::MissingContinuation(Binary)),
    ];
    for (wire, expected) in table {
        check(&wire, expected, CloseCode::PROTOCOL_ERROR);
    }
}

#[test]
fn a_client_refuses_masked_frames() {
    assert_eq!(violation(&text("x"), Role::Client, None), Some(Violation::Masked));
}

#[test]
fn compression_is_marked_on_first_frames_only_and_never_on_control_frames() {
    let compressed = raw(0x41, 0x80, b"");
    let table = [
        [compressed, raw(0xC0, 0x80, b"")].concat(), // RSV1 on a continuation
        raw(0xC9, 0x80, b""),                        // and on a ping
    ];
    for wire in table {
        assert_eq!(violation(&wire, Role::Server, Some(deflate())), Some(Violation::ReservedBits(0b100)));
    }
}

#[test]
fn close_frames_carry_a_legal_code_and_utf8() {
    let close = |payload: &[u8]| masked(Header::new(OpCode::Close, payload.len()), payload);
    check(&close(&[3]), Violation::TruncatedCloseCode, CloseCode::PROTOCOL_ERROR);
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535_u16] {
        let expected = Violation::InvalidCloseCode(CloseCode(code));
        check(&close(&code.to_be_bytes()), expected, CloseCode::PROTOCOL_ERROR);
    }
    let bad_reason = Violation::InvalidUtf8 { offset: 1 };
    check(&close(&[3, 232, b'a', 0xFF]), bad_reason, CloseCode::INVALID_PAYLOAD);
}

#[test]
fn text_that_is_not_utf8_ends_in_1007_wherever_it_is_cut() {
    let table: [(&[&[u8]], usize); 9] = [
        (&[b"\xFF"], 0),
        (&[b"ok \xC0\x80"], 3),                       // overlong
        (&["κόσμε".as_bytes(), b"\xED\xA0\x80"], 10), // a surrogate
        (&[b"\xF4\x90\x80\x80"], 0),                  // beyond U+10FFFF
        (&[b"\xE2\x82"], 0),                          // cut at the end of the message
        (&[b"a\xE2", b"\x82", b""], 1),               // the same in fragments
        (&[b"\xE2", b"a\x82\xAC"], 0),                // an unfinished character, then another one
        (&[b"\xF0\x9F\x98", b"\x80\x80"], 4),         // one continuation byte too many
        (&[b"", b"\x80"], 0),
    ];
    for (fragments, offset) in table {
        let (last, before) = fragments.split_last().expect("at least one fragment");
        let mut wire = Vec::new();
        for (i, fragment) in before.iter().enumerate() {
            wire.extend(if i == 0 { first(OpCode::Text, fragment) } else { continuation(fragment, false) });
        }
        wire.extend(if before.is_empty() {
            masked(Header::new(OpCode::Text, last.len()), last)
        } else {
            continuation(last, true)
        });
        check(&wire, Violation::InvalidUtf8 { offset }, CloseCode::INVALID_PAYLOAD);
    }
}

#[test]
fn a_bad_byte_is_told_before_the_frame_is_complete() {
    for bad in [&b"ok\xFF"[..], b"ok\xF4\x90", b"ok\xED\xA0", b"ok\xC0"] {
        let unfinished =
            &masked(Header::new(OpCode::Text, 1000), &[bad, &[b'x'; 1000]].concat()[..1000])[..8 + bad.len()];
        check(unfinished, Violation::InvalidUtf8 { offset: 2 }, CloseCode::INVALID_PAYLOAD);
    }
}

#[test]
fn a_declared_length_above_the_limit_is_refused_with_nothing_allocated() {
    for bytes in [u64::from(LIMITS.message_bytes_max) + 1, 1 << 30, 1 << 63, u64::MAX] {
        for opcode in [0x82, 0x02, 0xC2] {
            let wire = [&[opcode, 0xFF], &bytes.to_be_bytes()[..], &KEY].concat();
            let deflate = (opcode == 0xC2).then(deflate);
            let mut decoder = decoder(Role::Server, deflate);
            let seen = read(&mut decoder, [&wire[..]]).1;
            if deflate.is_some() && bytes < 1 << 17 {
                assert_eq!(seen, None, "compressed data may be a little longer than what it stands for");
                continue;
            }
            assert_eq!(seen, Some(Violation::MessageTooLarge { bytes, max: LIMITS.message_bytes_max }));
            assert_eq!(decoder.bytes_held(), 0);
        }
    }
}

#[test]
fn fragments_add_up_to_the_limit_of_a_message() {
    let half = vec![0; 40 * 1024];
    let wire = [first(OpCode::Binary, &half), continuation(&half, true)].concat();
    let expected = Violation::MessageTooLarge { bytes: 80 * 1024, max: 64 * 1024 };
    assert_eq!(read(&mut decoder(Role::Server, None), [&wire[..]]).1, Some(expected));
    assert_eq!(expected.close_code(), CloseCode::TOO_BIG);
}

#[test]
fn empty_fragments_are_counted_and_cost_no_memory() {
    let mut decoder = decoder(Role::Server, None);
    assert_eq!(read(&mut decoder, [&first(OpCode::Text, b"")[..]]), (vec![], None));
    let flood = continuation(b"", false).repeat(200_000);
    for wire in flood.chunks(64 * 1024) {
        if let Some(violation) = read(&mut decoder, [wire]).1 {
            assert_eq!(violation, Violation::TooManyFragments { max: 1024 });
            assert_eq!(violation.close_code(), CloseCode::TOO_BIG);
            return;
        }
        assert!(decoder.bytes_held() < 512, "{} bytes held", decoder.bytes_held());
    }
    panic!("200,000 fragments were taken");
}

#[test]
fn a_deflate_bomb_stops_at_the_limit() {
    let megabyte = vec![b'a'; 1 << 20];
    let mut block = Vec::new();
    roomcast_websocket::deflate::compress(&megabyte, 15, &mut block);
    block.extend([0x00, 0x00, 0xff, 0xff]);
    let bomb = block.repeat(256);
    let limits = DecoderLimits { message_bytes_max: 4 << 20, fragments_max: 16 };
    let mut decoder = Decoder::new(Role::Server, limits, Some(deflate()));
    let wire = masked(Header::new(OpCode::Text, bomb.len()).rsv1(true), &bomb);
    let expected = Violation::InflatedTooLarge { max: 4 << 20 };
    assert_eq!(read(&mut decoder, [&wire[..]]), (vec![], Some(expected)));
    assert_eq!(expected.close_code(), CloseCode::TOO_BIG);
    assert!(decoder.bytes_held() <= 8 << 20, "{} bytes held", decoder.bytes_held());
}

#[test]
fn compressed_data_must_be_deflate_and_end_between_blocks() {
    let mut hello = Vec::new();
    roomcast_websocket::deflate::compress(b"Hello, hello, hello", 15, &mut hello);
    let cut = &hello[..hello.len() - 3];
    let endings = [0x03, 0x00].repeat(1000); // a thousand empty blocks, each marked as the last
    for data in [&b"\xFF\xFF\xFF"[..], b"\x07", b"", cut, &endings] {
        let wire = masked(Header::new(OpCode::Text, data.len()).rsv1(true), data);
        let seen = violation(&wire, Role::Server, Some(deflate()));
        assert_eq!(seen, Some(Violation::CorruptDeflate), "{data:02x?}");
    }
}

#[test]
fn inflated_text_is_checked_too() {
    let mut data = Vec::new();
    roomcast_websocket::deflate::compress(b"fine so far \xE2\x82", 15, &mut data);
    let wire = masked(Header::new(OpCode::Text, data.len()).rsv1(true), &data);
    let seen = violation(&wire, Role::Server, Some(deflate()));
    assert_eq!(seen, Some(Violation::InvalidUtf8 { offset: 12 }));
}

#[test]
fn a_failed_decoder_stays_failed_and_drops_what_it_held() {
    let mut decoder = decoder(Role::Server, None);
    let wire = [first(OpCode::Binary, &[0; 1000]), raw(0x83, 0x80, b"")].concat();
    let expected = Some(Violation::ReservedOpCode(3));
    assert_eq!(read(&mut decoder, [&wire[..]]).1, expected);
    assert_eq!(read(&mut decoder, [&text("late")[..]]), (vec![], expected));
    assert_eq!(decoder.bytes_held(), 0);
}

#[test]
fn what_follows_a_close_frame_is_ignored() {
    let mut close = Vec::new();
    frame::append_close_masked(&mut close, CloseCode::NORMAL, "bye", KEY);
    let wire = [close, text("late"), raw(0x83, 0x80, b"")].concat();
    let bye = Owned::Close(Some((CloseCode::NORMAL, "bye".to_owned())));
    for size in 1..=wire.len() {
        let mut decoder = decoder(Role::Server, None);
        assert_eq!(read(&mut decoder, wire.chunks(size)), (vec![bye.clone()], None), "in pieces of {size}");
        assert_eq!(decoder.bytes_held(), 0);
    }
}

#[test]
fn every_violation_fits_a_close_frame() {
    use Violation as V;
    let max = u32::MAX;
    for violation in [
        V::Unmasked,
        V::Masked,
        V::ReservedBits(7),
        V::ReservedOpCode(15),
        V::LengthNotMinimal(65_535),
        V::FragmentedControl(OpCode::Close),
        V::OversizedControl(OpCode::Close, u64::MAX),
        V::StrayContinuation,
        V::MissingContinuation(OpCode::Binary),
        V::MessageTooLarge { bytes: u64::MAX, max },
        V::InflatedTooLarge { max },
        V::TooManyFragments { max },
        V::InvalidUtf8 { offset: usize::MAX },
        V::CorruptDeflate,
        V::TruncatedCloseCode,
        V::InvalidCloseCode(CloseCode(65_535)),
    ] {
        let reason = violation.to_string();
        assert!(reason.len() <= 123, "{} bytes: {reason}", reason.len());
        assert!(violation.close_code().is_allowed_on_wire());
    }
}
