//! The engine with a disk from outside: what every engine must do, what a restart keeps, and what damage does.

#![allow(clippy::unwrap_used, reason = "what a test can't set up fails it")]

mod conformance;
mod crashes;
mod damage;
mod keys;
mod limits;
mod reading;
mod support;
mod sweep;
