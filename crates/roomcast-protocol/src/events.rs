//! Messages as blocks of Server-Sent Events (HTML Living Standard, section 9.2).

use std::io::Write as _;

use crate::{Epoch, Position, Positions};

/// The type of a message in JSON as the server writes it: always the first field, never escaped.
pub(crate) fn kind(json: &[u8]) -> &[u8] {
    let rest = json.strip_prefix(br#"{"type":""#).unwrap_or_default();
    rest.split(|b| *b == b'"').next().unwrap_or_default()
}

/// Appends the block of a message, without an `id:`.
///
/// `text` has no `event:`, so that `onmessage` gets it. An `error` goes as `system`: a browser's `EventSource`
/// hands an event of that name to `onerror`.
pub(crate) fn push(json: &[u8], out: &mut Vec<u8>) {
    match kind(json) {
        b"text" => {}
        b"error" => out.extend_from_slice(b"event: system\n"),
        kind => out.extend_from_slice(&[b"event: ", kind, b"\n"].concat()),
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(json);
    out.extend_from_slice(b"\n\n");
}

/// Appends the `id:` line that says where a reader of one room stands.
pub fn push_position(epoch: &Epoch, seq: u64, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(b"id: ");
    out.extend_from_slice(epoch.as_str().as_bytes());
    out.push(b'.');
    out.extend_from_slice(digits.format(seq).as_bytes());
    out.push(b'\n');
}

/// Appends the `id:` line that says where a reader stands.
pub fn push_positions(positions: &Positions, out: &mut Vec<u8>) {
    match positions {
        Positions::One(Position { epoch, seq }) => push_position(epoch, *seq, out),
        Positions::Each(_) => writeln!(out, "id: {positions}").expect("writing to a vector"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(json: &str) -> String {
        let mut out = Vec::new();
        push(json.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn blocks() {
        assert_eq!(block(r#"{"type":"text","x":1}"#), "data: {\"type\":\"text\",\"x\":1}\n\n");
        assert_eq!(block(r#"{"type":"poll.vote"}"#), "event: poll.vote\ndata: {\"type\":\"poll.vote\"}\n\n");
        assert!(
            block(r#"{"type":"error","data":{}}"#).starts_with("event: system\ndata: {\"type\":\"error\"")
        );
    }

    #[test]
    fn ids() {
        let mut out = Vec::new();
        push_positions(&Positions::One(Position::none()), &mut out);
        let each = Positions::parse("a%3Ab=e1.7,c=e2.0", 100).unwrap();
        push_positions(&each, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "id: 0.0\nid: a%3Ab=e1.7,c=e2.0\n");
    }
}
