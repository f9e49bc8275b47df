//! The Rust client of Roomcast: rooms over WebSocket that survive every disconnect.
//!
//! A *room* (channel, topic) is a log of messages and this client a reader of it: after a lost connection it goes
//! on where it was, and every message comes once and in order, or an [`Event::Gap`] says that what was built from
//! the room must be loaded anew. What is sent waits for a connection and goes out again, under the same id, until
//! there is an answer, so that it arrives once.
//!
//! ```no_run
//! use roomcast_client::{Client, Event};
//! use serde_json::json;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("http://127.0.0.1:8000").user("ada").connect()?;
//! let mut room = client.join("general").await?;
//! let ack = room.send("text", &json!({ "content": "Hello" })).await?;
//! println!("stands at {:?}", ack.position);
//!
//! while let Some(event) = room.next().await {
//!     match event {
//!         Event::Message(message) => println!("{:?}: {}", message.author, message.envelope),
//!         Event::Gap { reason, .. } => println!("reload: {reason}"),
//!         _ => {}
//!     }
//! }
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! One task on the caller's tokio runtime carries it all; every decision is the state machine's in
//! [`roomcast_session::client`]. TLS, Server-Sent Events and long poll are not here yet.

mod address;
mod builder;
mod client;
mod driver;
mod inbox;
mod link;
mod random;
mod room;

pub use address::{Address, AddressError};
pub use builder::Builder;
pub use client::{Client, Join};
pub use room::{Receipt, Room, Voice};
pub use roomcast_protocol::{InvalidName, MessageId, Position, SessionId, Timestamp};
pub use roomcast_session::client::{
    Ack, Backoff, Change, Ended, Error, Event, Loss, Member, Message, Page, Presence, Range, Refused, Status,
    Typing,
};
