//! The hub from outside, over real sockets.

mod bent;
mod cut_points;
mod failing_log;
mod first_use;
mod late_engine;
mod readers;
mod support;
