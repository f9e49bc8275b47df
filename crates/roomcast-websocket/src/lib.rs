//! A WebSocket codec without I/O: RFC 6455 frames and RFC 7692 `permessage-deflate`, for servers and clients.
//!
//! It owns the bytes of the protocol: the opening handshake's headers, frames, masks, fragments, UTF-8,
//! compression and close codes. It never reads a socket, awaits, looks at a clock or draws randomness
//! (keys and masks are passed in), and it knows nothing of what the messages mean.
//!
//! Three properties shape it:
//!
//! - **An idle connection owns no buffer.** The caller reads into a scratch buffer that many connections
//!   share; a [`Decoder`] yields [`Event`]s borrowed from it and keeps only what is unfinished.
//! - **A server's frame is the same bytes for every reader.** [`frame::Header`] encodes apart from the payload,
//!   so that a message is encoded once, compressed at most once per window size, and shared.
//! - **What a peer declares costs nothing.** Buffers grow with the bytes that really arrive; every limit ends
//!   in a [`Violation`] that names its close code.
//!
//! ```
//! use roomcast_websocket::{Decoder, DecoderLimits, Event, OpCode, Role, frame};
//!
//! let mut wire = Vec::new();
//! frame::append_masked(&mut wire, OpCode::Text, b"hello", [1, 2, 3, 4]); // a client sends…
//!
//! let limits = DecoderLimits { message_bytes_max: 64 * 1024, fragments_max: 1024 };
//! let mut decoder = Decoder::new(Role::Server, limits, None); // …and a server reads
//! let mut at = 0;
//! while let Some(event) = decoder.next(&mut wire, &mut at)? {
//!     assert_eq!(event, Event::Text("hello"));
//! }
//! # Ok::<(), roomcast_websocket::Violation>(())
//! ```

mod code;
mod decoder;
pub mod deflate;
pub mod frame;
pub mod handshake;
mod mask;
mod message;
mod violation;

pub use code::{CloseCode, OpCode, Role};
pub use decoder::{Decoder, DecoderLimits, Event};
pub use deflate::Deflate;
pub use violation::Violation;
