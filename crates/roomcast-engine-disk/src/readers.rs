//! The threads that read: each with a connection of its own, so that whoever asks waits no longer than it may for a
//! disk that doesn't answer. Knows no statement.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use roomcast_hub::engine::{EngineError, MOMENT, give_way};
use rusqlite::{Connection, OpenFlags};

use crate::error::engine_error;

/// Threads, each with a connection.
const READERS: usize = 2;

type Read = Box<dyn FnOnce(&Reader) + Send>;

#[derive(Debug)]
pub(crate) struct Readers {
    /// Reads that no thread has taken yet: at most one for each thread that waits for its own.
    reads: mpsc::Sender<Read>,
    threads: [Arc<Reader>; READERS],
    timeout: Duration,
}

/// A thread's own.
#[derive(Debug)]
struct Reader {
    file: PathBuf,
    /// Opened when it is needed.
    connection: Mutex<Option<Connection>>,
    /// When the read that is under way began.
    busy_since: Mutex<Option<Instant>>,
}

impl Readers {
    /// Readers of a database, each of which may take so long.
    pub(crate) fn start(file: &Path, timeout: Duration) -> io::Result<Self> {
        let (reads, waiting) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let new = |_| {
            Arc::new(Reader {
                file: file.to_path_buf(),
                connection: Mutex::default(),
                busy_since: Mutex::default(),
            })
        };
        let threads: [_; READERS] = std::array::from_fn(new);
        for reader in &threads {
            let (reader, waiting) = (reader.clone(), waiting.clone());
            thread::Builder::new().name("roomcast-reader".into()).spawn(move || reader.run(&waiting))?;
        }
        Ok(Self { reads, threads, timeout })
    }

    /// Reads with one of the connections; no statement of it may be left running.
    pub(crate) fn with<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, EngineError> {
        let late =
            || Err(EngineError::Unavailable(format!("the disk has not answered within {:?}", self.timeout)));
        // Whoever comes while all of them hang learns it without waiting.
        if self.busy().is_some_and(|time| time >= self.timeout) {
            return late();
        }
        let (answer, answered) = mpsc::sync_channel(1);
        let read: Read = Box::new(move |reader| {
            // Nobody waits for what comes too late.
            let _ = answer.send(reader.with(read));
        });
        if self.reads.send(read).is_err() {
            return late();
        }
        answered
            .recv_timeout(MOMENT.min(self.timeout))
            .or_else(|_| give_way(|| answered.recv_timeout(self.timeout.saturating_sub(MOMENT))))
            .map_or_else(|_| late(), |read| read.map_err(|error| engine_error(&error)))
    }

    /// For how long every one of them has been reading, if none is free.
    pub(crate) fn busy(&self) -> Option<Duration> {
        let times = self.threads.iter().map(|reader| reader.busy_since.lock().map(|since| since.elapsed()));
        times.min().flatten()
    }

    /// Closes all connections, and keeps them closed as long as the guards are held.
    pub(crate) fn close(&self) -> [MutexGuard<'_, Option<Connection>>; READERS] {
        self.threads.each_ref().map(|reader| {
            let mut connection = reader.connection.lock();
            *connection = None;
            connection
        })
    }
}

impl Reader {
    /// Reads until nobody can ask any more.
    fn run(&self, waiting: &Mutex<mpsc::Receiver<Read>>) {
        loop {
            let Ok(read) = waiting.lock().recv() else { return };
            *self.busy_since.lock() = Some(Instant::now());
            read(self);
            *self.busy_since.lock() = None;
        }
    }

    fn with<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let mut connection = self.connection.lock();
        match &*connection {
            Some(connection) => read(connection),
            None => read(connection.insert(self.connect()?)),
        }
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(&self.file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "cache_size", -8_000)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        Ok(connection)
    }
}
