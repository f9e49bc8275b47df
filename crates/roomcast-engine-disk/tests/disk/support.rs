//! Stores in directories of their own, and rooms in them.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use roomcast_engine_disk::{Disk, OpenError, Settings};
use roomcast_hub::{
    Durability, Key, RoomRule,
    engine::{AppendError, EngineError, Log, Page, Range, ReadError, Ticket, conformance},
};
use roomcast_protocol::{Draft, Pattern, RoomName, Timestamp, server::Delivered};
use roomcast_session::Now;
use tempfile::TempDir;

/// How long a disk may take at the end of a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Directories that last as long as this.
#[derive(Default)]
pub(crate) struct Directories(RefCell<Vec<TempDir>>);

impl Directories {
    pub(crate) fn fresh(&self) -> PathBuf {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        self.0.borrow_mut().push(directory);
        path
    }
}

/// Copies a store as it stands. By another process: to open the database's file in this one, and to close it,
/// would take SQLite's locks away.
pub(crate) fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").args([from, to]).status().unwrap();
    assert!(copied.success());
}

pub(crate) fn open(path: &Path) -> Disk {
    open_with(path, Settings::default()).unwrap()
}

pub(crate) fn open_with(path: &Path, settings: Settings) -> Result<Disk, OpenError> {
    Disk::open(path, settings)
}

pub(crate) fn rule(durability: Durability) -> RoomRule {
    RoomRule { durability, ..RoomRule::new(Pattern::new("*").unwrap()) }
}

pub(crate) const NOW: Now = Now { ms: 1_000, wall: Timestamp(1_700_000_000_000) };

/// One room of a store.
pub(crate) struct Room(pub(crate) Arc<dyn Log>);

impl Room {
    pub(crate) fn of(disk: &Disk, name: &str) -> Self {
        Self::watch(disk, name, rule(Durability::Synced)).unwrap()
    }

    pub(crate) fn watch(disk: &Disk, name: &str, rule: RoomRule) -> Result<Self, EngineError> {
        // The hub makes feeds; without one, a watch through it is the only way to a log.
        conformance::watched(disk, &RoomName::new(name).unwrap(), rule, NOW).map(Self)
    }

    pub(crate) fn say(&self, content: &str, id: Option<&str>) -> Result<Delivered, AppendError> {
        conformance::wait(self.append(content, id))
    }

    /// Says something at a moment of its own.
    pub(crate) fn say_at(&self, now: Now, content: &str, id: &str) -> Result<Delivered, AppendError> {
        conformance::wait(self.append_at(now, &format!("{content:?}"), Some(id)))
    }

    /// Says something again and again while it is refused, as it is for a moment after a failure.
    pub(crate) fn say_until_taken(&self, content: &str, id: Option<&str>) -> Delivered {
        loop {
            match self.say(content, id) {
                Err(AppendError::Unavailable(_)) => std::thread::yield_now(),
                outcome => return outcome.unwrap(),
            }
        }
    }

    /// Says something and doesn't wait.
    pub(crate) fn queue(&self, content: &str) -> Ticket<Result<Delivered, AppendError>> {
        self.append(content, None)
    }

    /// Says something that is JSON already.
    pub(crate) fn say_json(&self, json: &str) -> Result<Delivered, AppendError> {
        conformance::wait(self.append_at(NOW, json, None))
    }

    /// Says something that is JSON already, at a moment of its own, and doesn't wait.
    pub(crate) fn queue_at(&self, now: Now, json: &str) -> Ticket<Result<Delivered, AppendError>> {
        self.append_at(now, json, None)
    }

    fn append(&self, content: &str, id: Option<&str>) -> Ticket<Result<Delivered, AppendError>> {
        self.append_at(NOW, &format!("{content:?}"), id)
    }

    fn append_at(&self, now: Now, json: &str, id: Option<&str>) -> Ticket<Result<Delivered, AppendError>> {
        let draft = Draft::new(("text", id, "r"), now.wall, |out| out.extend_from_slice(json.as_bytes()));
        let key = id.map(|id| Key::new(("ada", id), ("text", json)));
        self.0.append(now, draft, key)
    }

    pub(crate) fn epoch(&self) -> String {
        self.0.bounds().epoch.to_string()
    }

    /// All messages, as JSON.
    pub(crate) fn all(&self) -> Result<Vec<String>, ReadError> {
        self.all_after(0)
    }

    pub(crate) fn all_after(&self, mut last: u64) -> Result<Vec<String>, ReadError> {
        let page = Page { messages_max: usize::MAX, bytes_max: usize::MAX };
        let mut all = Vec::new();
        loop {
            let batch = self.0.read(Range::After(last), page)?;
            last = batch.frames.last().map_or(last, |frame| frame.seq());
            all.extend(batch.frames.iter().map(|frame| String::from_utf8_lossy(frame.json()).into_owned()));
            if batch.complete {
                return Ok(all);
            }
        }
    }
}
