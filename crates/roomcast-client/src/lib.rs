//! The Rust client of Roomcast: rooms that survive every disconnect, over whatever gets through.
//!
//! A *room* (channel, topic) is a log of messages and this client a reader of it: after a lost connection it goes
//! on where it was, and every message comes once and in order, or an [`Event::Gap`] says that what was built from
//! the room must be loaded anew. What is sent waits for a connection and goes out again, under the same id, until
//! there is an answer, so that it arrives once.
//!
//! What is said in a room is an enum of yours; its variants are the types on the wire:
//!
//! ```no_run
//! use roomcast_client::{Client, Event};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! #[serde(tag = "type", content = "data", rename_all = "snake_case")]
//! enum Chat {
//!     Text { content: String },
//!     #[serde(rename = "order.paid")]
//!     Paid { id: u64 },
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("http://127.0.0.1:8000").user("ada").connect()?;
//! let mut room = client.join::<Chat>("general").await?;
//! let ack = room.send(&Chat::Text { content: "Hello".into() }).await?;
//! println!("stands at {:?}", ack.position);
//!
//! while let Some(event) = room.next().await {
//!     match event {
//!         Event::Message(message) => println!("{:?}: {:?}", message.author, message.body),
//!         Event::Gap { reason, .. } => println!("reload: {reason}"),
//!         Event::Denied(refused) => println!("not let in: {refused}"),
//!         _ => {}
//!     }
//! }
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! A message of a type or a shape that the enum doesn't have is an [`Event::Unread`], and the room goes on. Whoever
//! has no types joins with [`Raw`].
//!
//! # What gets through
//!
//! Messages travel by WebSocket, or by Server-Sent Events and requests, or by long polls and requests: each is tried
//! for ten seconds, and what worked is tried first from then on ([`Builder::transports`]). Nothing is missed on the
//! way from one to another. Without a socket a few things are different:
//!
//! - all rooms of a client are read by one request, so it is a member of all of them or of none
//!   ([`Join::unseen`] in all), and of 32 at the most;
//! - a new member's state follows its coming, as an update;
//! - over polls there is no [`Why::Expiring`], rosters come whole, and nobody tells the client who it is.
//!
//! # How it comes back
//!
//! For ever, after waits that grow and are random, by [`Backoff`] or as the server says; at once with a fresh token
//! where it has one to fetch ([`Builder::token_fn`]). It ends where the server says not to come back: when its only
//! token has, when another client has its session, when its user was thrown out. [`Client::status`] tells.
//!
//! One task on the caller's tokio runtime carries it all; every decision is the state machine's in
//! [`roomcast_session::client`].

mod access;
mod address;
mod builder;
mod client;
mod clock;
mod dial;
mod driver;
mod event;
mod http;
mod inbox;
mod link;
mod random;
mod room;
mod websocket;

pub use address::AddressError;
pub use builder::{Builder, SetupError};
pub use client::{Client, Join};
pub use event::{Event, Message, Page, Raw, Unread};
pub use room::{Receipt, Room, Voice};
pub use roomcast_protocol::{InvalidName, MessageId, Position, SessionId, Timestamp};
pub use roomcast_session::client::{
    Ack, Backoff, Change, Ended, Error, Loss, Member, Presence, Range, Refused, Status, Transport, Typing,
    Why,
};
