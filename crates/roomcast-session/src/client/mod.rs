//! The client's half of a connection, and of all that follow it: when to connect and come back, which room is
//! read from where, what waits for its answer. No sockets, clocks or random numbers; those are passed in.
//!
//! [`Client`] is the whole machine. Its driver tells it what happened (`message`, `lost`, `fetched`), passes on
//! what the application asks (`join`, `publish`, `ask`), then calls [`Client::tick`] and carries out each
//! [`Output`]. Where there is no socket, [`http::HttpLink`] stands for one. [`Backoff`] and [`Place`] are of use alone.

mod answer;
mod asks;
mod backoff;
mod comeback;
mod event;
pub mod http;
mod incoming;
mod machine;
mod outbox;
mod output;
mod place;
mod reading;
mod request;
mod route;
mod secret;
mod settings;

#[cfg(test)]
mod tests;

pub use answer::{Ack, Error, Page, Refused};
pub use backoff::Backoff;
pub use comeback::{Comeback, Loss};
pub use event::{Change, Event, Member, Message, Presence, Typing};
pub use machine::{Client, Reader};
pub use output::{Ended, Output, Status};
pub use place::{Arrival, Place};
pub use reading::{Fill, Inbox};
pub use request::{Publication, Query, Range, Start};
pub use secret::Secret;
pub use settings::{Settings, Token, Transport, Why};
