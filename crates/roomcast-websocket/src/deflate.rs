//! `permessage-deflate` without context takeover (RFC 7692): what is agreed in the handshake.
//!
//! Both sides start every message afresh. So a connection owns no compression state (380 KB each way with
//! zlib's), and a message compressed once serves every reader with the same window size.

mod offer;
mod stream;

use offer::Offer;
pub use stream::compress;
pub(crate) use stream::inflate;

/// The largest window, and what counts where none is named: 2^15 bytes.
pub const WINDOW_BITS_MAX: u8 = 15;

/// The smallest window that zlib compresses with: 2^9 bytes. RFC 7692 also knows 8.
pub const WINDOW_BITS_MIN: u8 = 9;

/// A negotiated `permessage-deflate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    window_bits: u8,
}

impl Deflate {
    /// What [`Deflate::accept`] expects a client to have offered as `Sec-WebSocket-Extensions`.
    pub const OFFER: &str = "permessage-deflate; client_no_context_takeover; server_no_context_takeover";

    /// A server's choice among the offers of a client's `Sec-WebSocket-Extensions` header: the first that it
    /// can serve, and the header that accepts it.
    ///
    /// Several header lines are to be joined by commas. An offer that is malformed, repeats a parameter, has
    /// an unknown one or asks for a window of 8 bits is passed over: the connection goes on uncompressed.
    pub fn negotiate(offers: &str) -> Option<(Self, String)> {
        let offer = offer::list(offers).filter_map(Offer::parse).find(Offer::can_be_served)?;
        let window_bits = offer.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX);
        let response = match offer.server_max_window_bits {
            Some(bits) => format!("{}; server_max_window_bits={bits}", Self::OFFER),
            None => Self::OFFER.to_owned(),
        };
        Some((Self { window_bits }, response))
    }

    /// Checks the `Sec-WebSocket-Extensions` header of a response to [`Deflate::OFFER`].
    ///
    /// `None` if the server names anything that wasn't offered; the client must then fail the connection
    /// (RFC 7692 §7.1).
    pub fn accept(response: &str) -> Option<Self> {
        let mut extensions = offer::list(response);
        let accepted = extensions.next().and_then(Offer::parse)?;
        let fits = accepted.server_no_context_takeover && !accepted.client_max_window_bits;
        (fits && extensions.next().is_none()).then_some(Self { window_bits: WINDOW_BITS_MAX })
    }

    /// The window with which this side must [`compress`]: 9 to 15 bits.
    pub const fn window_bits(self) -> u8 {
        self.window_bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = Deflate::OFFER;

    #[test]
    fn a_server_takes_the_first_offer_that_it_can_serve() {
        let table = [
            ("permessage-deflate", 15, ""),
            ("permessage-deflate; client_max_window_bits", 15, ""),
            ("permessage-deflate; client_max_window_bits=8", 15, ""),
            ("permessage-deflate;server_no_context_takeover;client_no_context_takeover", 15, ""),
            ("permessage-deflate; server_max_window_bits=9", 9, "; server_max_window_bits=9"),
            ("permessage-deflate ; server_max_window_bits = \"10\"", 10, "; server_max_window_bits=10"),
            ("permessage-deflate; server_max_window_bits=15", 15, "; server_max_window_bits=15"),
            // Passed over: a window of 8, an unknown extension, an unknown parameter; the next one counts.
            ("permessage-deflate; server_max_window_bits=8, permessage-deflate", 15, ""),
            ("x-webkit-deflate-frame, permessage-deflate", 15, ""),
            (
                "permessage-deflate; what=\"a, b; c\", permessage-deflate; server_max_window_bits=12",
                12,
                "; server_max_window_bits=12",
            ),
            (" , permessage-deflate,", 15, ""),
        ];
        for (offers, window_bits, parameter) in table {
            let (deflate, response) =
                Deflate::negotiate(offers).unwrap_or_else(|| panic!("declined {offers}"));
            assert_eq!(deflate.window_bits(), window_bits, "{offers}");
            assert_eq!(response, format!("{PLAIN}{parameter}"), "{offers}");
            assert!(Deflate::accept(&response).is_some(), "our own client takes {response}");
        }
    }

    #[test]
    fn a_server_declines_what_is_malformed_or_beyond_it() {
        for offers in [
            "",
            "deflate",
            "permessage-bzip2",
            "permessage-deflate; unknown",
            "permessage-deflate;",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=9.0",
            "permessage-deflate; server_max_window_bits=\"9",
            "permessage-deflate; server_max_window_bits=99999999999999999999",
            "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=\"\"",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate\"; server_max_window_bits=10",
        ] {
            assert_eq!(Deflate::negotiate(offers), None, "{offers}");
        }
    }

    #[test]
    fn a_client_takes_only_what_it_offered() {
        let accepted =
            Deflate::accept("permessage-deflate; server_no_context_takeover; server_max_window_bits=8");
        assert_eq!(accepted.map(Deflate::window_bits), Some(15));
        for response in [
            "",
            "permessage-deflate", // the server would keep its context from message to message
            "permessage-deflate; client_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=10",
            "permessage-deflate; server_no_context_takeover, permessage-deflate; server_no_context_takeover",
            "permessage-bzip2; server_no_context_takeover",
        ] {
            assert_eq!(Deflate::accept(response), None, "{response}");
        }
    }
}
