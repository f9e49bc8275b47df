//! The recent messages of all rooms in memory, under one budget: the oldest of all goes first.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use roomcast_protocol::Frame;

use crate::log::DiskLog;

/// One entry for each message in some log's tail, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Tails {
    entries: VecDeque<(Weak<DiskLog>, usize)>,
    bytes: usize,
    bytes_max: usize,
}

impl Tails {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, bytes_max }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A log's tail has these messages more.
    pub(crate) fn push(&mut self, log: &Arc<DiskLog>, frames: &[Arc<Frame>]) {
        for frame in frames {
            let bytes = frame.memory_bytes() + size_of::<(Weak<DiskLog>, usize)>();
            self.bytes += bytes;
            self.entries.push_back((Arc::downgrade(log), bytes));
        }
        while self.bytes > self.bytes_max {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some((log, bytes)) = self.entries.pop_front() else { return };
        self.bytes -= bytes;
        if let Some(log) = log.upgrade() {
            log.state.lock().shorten_tail();
        }
    }
}
