//! Stores in directories of their own.

#![allow(clippy::unwrap_used, reason = "what a test can't set up fails it")]

use std::cell::RefCell;

use roomcast_engine_disk::{Disk, Settings};
use tempfile::TempDir;

/// Makes stores, each in a directory that lasts as long as this.
#[derive(Default)]
pub(crate) struct Directories(RefCell<Vec<TempDir>>);

impl Directories {
    pub(crate) fn fresh(&self, settings: Settings) -> Disk {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::open(directory.path(), settings).unwrap();
        self.0.borrow_mut().push(directory);
        disk
    }
}
