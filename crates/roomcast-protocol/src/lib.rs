//! The wire of Roomcast, version 1: what a message is, how it is read and how it is written.
//!
//! A *room* (channel, topic) is a log of messages; a [`Position`] names a place in it. Clients send
//! [`Request`]s, the server answers with the messages of [`server`] and hands out [`Frame`]s, each encoded at
//! most once per wire form.
//!
//! This crate never does I/O, reads a clock or draws a random number.

mod code;
pub mod counted;
pub mod events;
mod frame;
mod grants;
mod json;
mod limits;
mod name;
mod pattern;
mod position;
mod queue;
mod request;
pub mod server;

pub use code::{Close, Code, tables_markdown};
pub use counted::{CountedError, CountedReader};
pub use frame::{Draft, Frame, Wire};
pub use grants::{Grants, Rights};
pub use json::{Data, Object, push_list, push_str};
pub use limits::Limits;
pub use name::{
    InvalidName, MessageId, RoomName, SessionId, UserId, check_message_id, check_room, check_type,
    is_reserved,
};
pub use pattern::Pattern;
pub use position::{Epoch, Position, PositionError, Positions, Reset};
pub use queue::Queue;
pub use request::{History, Join, Publish, Refusal, Request, Typing, Verb};

/// The protocol version told in `welcome`.
pub const VERSION: u32 = 1;

/// The WebSocket sub-protocol of this version; clients may leave it out.
pub const SUBPROTOCOL: &str = "roomcast.v1";

/// A point in time as the wire shows it: milliseconds since the Unix epoch, written as seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(
    /// Milliseconds since the Unix epoch.
    pub u64,
);

impl Timestamp {
    /// Appends the JSON number, in seconds with three decimals.
    pub fn write(self, out: &mut Vec<u8>) {
        let mut buffer = itoa::Buffer::new();
        out.extend_from_slice(buffer.format(self.0 / 1000).as_bytes());
        let ms = (self.0 % 1000) as u16;
        let digit = |n: u16| b'0' + (n % 10) as u8;
        out.extend_from_slice(&[b'.', digit(ms / 100), digit(ms / 10), digit(ms)]);
    }
}
