//! The grammar of `Sec-WebSocket-Extensions` as far as `permessage-deflate` needs it (RFC 7692 §7.1).
//! It never decides; it says what stands there.

use super::{WINDOW_BITS_MAX, WINDOW_BITS_MIN};

/// One well-formed `permessage-deflate` with its parameters, in an offer or a response.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) server_no_context_takeover: bool,
    pub(super) client_no_context_takeover: bool,
    pub(super) server_max_window_bits: Option<u8>,
    /// Whether it is there: inflating takes any window, so its value is checked and then doesn't matter.
    pub(super) client_max_window_bits: bool,
}

impl Offer {
    /// `None` for another extension, an unknown or repeated parameter, or a value that doesn't belong.
    pub(super) fn parse(extension: &str) -> Option<Self> {
        let mut parts = split_unquoted(extension, ';').map(str::trim);
        if parts.next()? != "permessage-deflate" {
            return None;
        }
        let mut offer = Self::default();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim(), Some(unquoted(value.trim())?)),
                None => (part, None),
            };
            offer.set(name, value)?;
        }
        Some(offer)
    }

    fn set(&mut self, name: &str, value: Option<&str>) -> Option<()> {
        match (name, value) {
            ("server_no_context_takeover", None) => set_flag(&mut self.server_no_context_takeover),
            ("client_no_context_takeover", None) => set_flag(&mut self.client_no_context_takeover),
            ("server_max_window_bits", Some(value)) => {
                set_once(&mut self.server_max_window_bits, window_bits(value)?)
            }
            ("client_max_window_bits", value) => {
                value.map(window_bits).is_none_or(|bits| bits.is_some()).then_some(())?;
                set_flag(&mut self.client_max_window_bits)
            }
            _ => None,
        }
    }

    /// Whether zlib can compress as the offer asks.
    pub(super) fn can_be_served(&self) -> bool {
        self.server_max_window_bits.is_none_or(|bits| bits >= WINDOW_BITS_MIN)
    }
}

fn set_flag(flag: &mut bool) -> Option<()> {
    let repeated = std::mem::replace(flag, true);
    (!repeated).then_some(())
}

fn set_once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

/// 8 to 15, in decimal without leading zeros.
fn window_bits(value: &str) -> Option<u8> {
    let bits = value.parse().ok().filter(|bits| (8..=WINDOW_BITS_MAX).contains(bits))?;
    (!value.starts_with(['0', '+'])).then_some(bits)
}

fn unquoted(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => Some(value),
    }
}

/// The extensions of a header value.
pub(super) fn list(header: &str) -> impl Iterator<Item = &str> {
    split_unquoted(header, ',').map(str::trim).filter(|extension| !extension.is_empty())
}

/// Splits at `separator` outside of quoted strings.
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        !quoted && c == separator
    })
}
