//! The hub from outside, over real sockets.

mod late_engine;
mod readers;
mod support;
