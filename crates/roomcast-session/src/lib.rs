//! Both ends of a connection as state machines without I/O: what may be asked, when, how often, and what is
//! answered. Time is passed in; sockets, rooms and clocks belong to the layers around.
//!
//! The server's half is [`Session`]; it turns messages into [`Action`]s for its driver. The client's half is in
//! [`client`].

mod bucket;
pub mod client;
mod heart;
mod identity;
mod session;

pub use bucket::Bucket;
pub use heart::Heart;
pub use identity::{Credential, Identity, Principal};
pub use session::{Action, Farewell, Id, Session, Target, Tick};

use roomcast_protocol::Timestamp;

/// The time, as the driver reads it once for each batch of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a monotonic clock: order, windows and timeouts.
    pub ms: u64,
    /// The wall clock: timestamps and the end of tokens, nothing else.
    pub wall: Timestamp,
}
