//! The bench through its public door, against small servers of this test's own.

// What goes wrong here is the test's own fault, and a panic tells it.
#![allow(clippy::unwrap_used)]

mod faults;
mod loads;
mod support;
