//! What the tests share: events that own their bytes, and a reader that gets its input in pieces.

#![allow(dead_code, reason = "each test file uses a part of it")]

use roomcast_websocket::{CloseCode, Decoder, DecoderLimits, Deflate, Event, Role, Violation};

pub(crate) const LIMITS: DecoderLimits = DecoderLimits { message_bytes_max: 64 * 1024, fragments_max: 1024 };

/// An [`Event`] that has left the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(CloseCode, String)>),
}

impl From<Event<'_>> for Owned {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::Text(text.to_owned()),
            Event::Binary(bytes) => Self::Binary(bytes.to_owned()),
            Event::Ping(bytes) => Self::Ping(bytes.to_owned()),
            Event::Pong(bytes) => Self::Pong(bytes.to_owned()),
            Event::Close(reason) => Self::Close(reason.map(|(code, text)| (code, text.to_owned()))),
        }
    }
}

/// What a decoder made of its input: the events, and the violation if there was one.
pub(crate) type Reading = (Vec<Owned>, Option<Violation>);

pub(crate) fn deflate() -> Deflate {
    Deflate::negotiate("permessage-deflate").expect("the plainest offer").0
}

pub(crate) fn decoder(role: Role, deflate: Option<Deflate>) -> Decoder {
    Decoder::new(role, LIMITS, deflate)
}

/// Feeds the pieces one by one, as reads of a socket would bring them.
pub(crate) fn read<'a>(decoder: &mut Decoder, pieces: impl IntoIterator<Item = &'a [u8]>) -> Reading {
    let mut events = Vec::new();
    for piece in pieces {
        let (mut scratch, mut at) = (piece.to_vec(), 0);
        loop {
            match decoder.next(&mut scratch, &mut at) {
                Ok(Some(event)) => events.push(event.into()),
                Ok(None) => break,
                Err(violation) => return (events, Some(violation)),
            }
        }
        assert_eq!(at, piece.len(), "`None` means that the input is used up");
    }
    (events, None)
}

/// `bytes` cut at these places, in any order, the same place more than once.
pub(crate) fn cut(bytes: &[u8], mut places: Vec<usize>) -> Vec<&[u8]> {
    places.sort_unstable();
    places.push(bytes.len());
    let mut start = 0;
    let mut pieces = Vec::new();
    for place in places {
        let end = place.min(bytes.len());
        pieces.push(&bytes[start..end]);
        start = end;
    }
    pieces
}

/// The violation that a server finds in a client's bytes, and the same whether they come whole or by octets.
pub(crate) fn violation(wire: &[u8], role: Role, deflate: Option<Deflate>) -> Option<Violation> {
    let whole = read(&mut decoder(role, deflate), [wire]);
    let octets = read(&mut decoder(role, deflate), wire.chunks(1));
    assert_eq!(whole, octets, "whole and by octets");
    whole.1
}
