//! What must be unpredictable: masks, keys, sessions, ids; and the jitter of the backoff.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use roomcast_protocol::{MessageId, SessionId};

/// Random bytes.
///
/// # Panics
///
/// If the system has no randomness; then nothing on it is safe.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}

/// A number, uniform over all `u32`.
pub(crate) fn number() -> u32 {
    u32::from_le_bytes(bytes())
}

/// A session: 128 bits.
pub(crate) fn session() -> SessionId {
    SessionId::new(&text()).expect("22 characters of base64url are a session")
}

/// A message's id: 128 bits.
pub(crate) fn message_id() -> MessageId {
    MessageId::new(&text()).expect("22 characters of base64url are an id")
}

fn text() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<16>())
}
