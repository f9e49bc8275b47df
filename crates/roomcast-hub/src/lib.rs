//! Rooms: a room is a log, a reader is a cursor. This crate owns the hub, its rooms and their fan-out, the
//! connections that read them, presence, and the seam to the engines that keep the logs.
//!
//! - [`Hub`] is the process: rooms, sessions, the clock's ticks, shutdown.
//! - [`Room`] is a name with a log behind it and readers before it; everything said in a room goes through it.
//! - [`Connection`] is one client's socket with its session and cursors; a transport feeds it in [`Turn`]s.
//! - [`engine::Engine`] orders and keeps; [`engine::Memory`] is the one without a disk.
//!
//! It never knows HTTP, never reads a configuration, and no reader ever makes a room wait.
//!
//! Locks, in the order they may be taken: session → readers → outbox → people → log → feed. The wheel's, an alarm's and
//! a pipe's are taken last, and nothing within them. None is held over an `.await`.

mod clock;
mod connection;
mod counters;
mod cursor;
mod drain;
pub mod engine;
mod feed;
mod hub;
mod keys;
mod outbox;
mod presence;
mod room;
mod rooms;
mod rule;
mod sessions;
mod sink;
mod stream;
mod turn;
mod typing;
mod wake;
mod wheel;

// Named by `wake`, for which its test puts loom's in their place.
use std::sync::atomic;

pub use connection::{Connection, ConnectionId, Departure};
pub use counters::{Counters, Gauge};
pub use feed::{Audience, Feed};
pub use hub::{Authorizer, Builder, Entrance, Hub, Line, NotAdmitted};
pub use keys::{Key, KeyLimits, Keys, Seen};
pub use room::{HistoryPage, Publication, Publisher, Room, RoomError, RoomSummary};
pub use rule::{Durability, PresenceRule, Retention, RoomRule};
pub use stream::{NotSubscribed, Seat, Stream, Subscription};
pub use turn::Turn;
