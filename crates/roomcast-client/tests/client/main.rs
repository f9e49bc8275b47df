//! The client against the real server, over connections that are cut in every way.

// A test that can't go on should stop there.
#![allow(clippy::unwrap_used)]

mod access;
mod conversation;
mod disconnects;
mod support;
mod tls;
mod types;
