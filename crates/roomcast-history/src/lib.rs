//! Judges a recorded run of Roomcast: did every reader get every message of a room once and in order, or was it
//! told that it must reload?
//!
//! Owns the format of a record ([`Event`], a line of JSON each) and the rules ([`Rule`]). Reads no file and talks
//! to no server; and it knows nothing of the code it judges, so that a mistake there is not made here again.
//!
//! ```
//! use roomcast_history::{Event, History, Rule};
//!
//! let lines = [
//!     r#"{"ev":"join","client":"reader","room":"lobby","epoch":"e","seq":0,"from":0}"#,
//!     r#"{"ev":"pub","client":"writer","room":"lobby","id":"a"}"#,
//!     r#"{"ev":"recv","client":"reader","room":"lobby","id":"a","epoch":"e","seq":2}"#,
//! ];
//! let mut history = History::default();
//! for (index, line) in lines.iter().enumerate() {
//!     history.observe(index + 1, &Event::from_line(line)?);
//! }
//! let findings = history.findings();
//! assert_eq!(findings[0].rule, Rule::Gap);
//! assert_eq!(findings[0].line, 3);
//! # Ok::<(), serde_json::Error>(())
//! ```

mod event;
mod finding;
mod history;
mod log;
mod reader;
mod room;

pub use event::{Ack, Durability, End, Event, Join, Position, Pub, Recv, Reset};
pub use finding::{Finding, Rule};
pub use history::{Counts, History};
