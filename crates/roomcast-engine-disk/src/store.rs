//! The files: the directory and its lock, the database and its schema, and what a start finds there.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{self, Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::{
    Settings,
    acked::Acked,
    batch::Counts,
    error::OpenError,
    keyring::{Keyring, Restored},
    readers::Readers,
};

const DATABASE: &str = "roomcast.db";
const LOCK: &str = "roomcast.lock";
const ACKED: &str = "roomcast.acked";

/// "Room", so that `file` and we know the database.
const APPLICATION_ID: i32 = 0x526f_6f6d;
/// Of the schema below.
const VERSION: i32 = 1;
/// Before this, a WAL that was being reset could lose writes.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
const PAGE_BYTES: u64 = 4_096;
/// Pages that a store may have at least: below, not even its tables have room.
const PAGES_MIN: u64 = 64;
/// `auto_vacuum`, as SQLite counts.
const INCREMENTAL: i32 = 2;
/// Pages of SQLite's own log from which on they are copied into the database.
const WAL_PAGES: i64 = 16_000;
/// How long a commit waits for another program that writes in the database; then its messages are refused.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Bodies stand in the order of the commits, so that a commit writes few pages whatever rooms it is for; only the
/// index is by room.
const SCHEMA: &str = "
    CREATE TABLE room (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, epoch TEXT NOT NULL, head INTEGER NOT NULL,
        floor INTEGER NOT NULL, loose INTEGER NOT NULL, age_ms INTEGER NOT NULL, touched INTEGER
    ) STRICT;
    CREATE INDEX room_touched ON room (touched) WHERE touched IS NOT NULL;
    CREATE TABLE msg (
        id INTEGER PRIMARY KEY, room INTEGER NOT NULL, seq INTEGER NOT NULL, ts INTEGER NOT NULL,
        total INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (room, seq)
    ) STRICT;
    CREATE TABLE idem (c INTEGER PRIMARY KEY, ts INTEGER NOT NULL, keys BLOB NOT NULL) STRICT;
    CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO meta VALUES ('clean', 1), ('syncs', 0);
";

/// What a start finds.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) counts: Counts,
    pub(crate) keys: Vec<Restored>,
}

/// An open store.
#[derive(Debug)]
pub(crate) struct Store {
    file: PathBuf,
    pages_max: Option<i64>,
    pub(crate) acked: Acked,
    readers: Arc<Readers>,
    /// Held as long as the store is open.
    _lock: Lock,
}

impl Store {
    pub(crate) fn open(directory: &Path, settings: &Settings) -> Result<(Self, Found), OpenError> {
        if rusqlite::version_number() < SQLITE_VERSION_MIN {
            return Err(OpenError::Library { version: rusqlite::version() });
        }
        let no_directory = |error| OpenError::Directory { directory: directory.into(), error };
        make_directory(directory).map_err(no_directory)?;
        let lock = lock(directory)?;
        let (acked, acked_id) = Acked::open(&directory.join(ACKED)).map_err(no_directory)?;
        let file = directory.join(DATABASE);
        let readers = Readers::start(&file, settings.read_timeout)
            .map_err(|error| OpenError::Io { what: "start the threads that read", error })?;
        let store = Self {
            pages_max: settings.disk_bytes_max.map(|bytes| (bytes / PAGE_BYTES).max(PAGES_MIN).cast_signed()),
            acked,
            readers: Arc::new(readers),
            file,
            _lock: lock,
        };
        let connection = store.first_connection()?;
        let found = find(&connection, acked_id).map_err(|error| OpenError::of(store.file.clone(), error))?;
        // What is missing has been told with new epochs; the next start needn't tell it again.
        store.acked.write(found.counts.message).map_err(no_directory)?;
        Ok((store, found))
    }

    pub(crate) fn readers(&self) -> Arc<Readers> {
        self.readers.clone()
    }

    fn first_connection(&self) -> Result<Connection, OpenError> {
        let of = |error| OpenError::of(self.file.clone(), error);
        let is_empty = fs::metadata(&self.file).map_or(0, |file| file.len()) == 0;
        let connection = Connection::open(&self.file).map_err(of)?;
        let number =
            |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0)).map_err(of);
        // An end while it was being made leaves a database that has never had a table, and vacuums as ours does.
        if is_empty || (number("schema_version")?, number("auto_vacuum")?) == (0, INCREMENTAL) {
            make(&connection).map_err(of)?;
        }
        let is = match (number("application_id")?, number("user_version")?) {
            (APPLICATION_ID, VERSION) => return Ok(connection),
            (APPLICATION_ID, version) => {
                format!("a store of version {version}, and this is version {VERSION}")
            }
            (id, _) => format!("no store of Roomcast (application id {id:#x})"),
        };
        Err(OpenError::Foreign { file: self.file.clone(), is })
    }

    /// A connection that writes, after whatever befell the one before: nothing of that one is left in this process.
    pub(crate) fn connect(&self) -> rusqlite::Result<Connection> {
        let _nobody_reads = self.readers.close();
        let connection = Connection::open_with_flags(&self.file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
        connection.pragma_update(None, "cache_size", -32_000)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        if let Some(pages_max) = self.pages_max {
            connection.pragma_update_and_check(None, "max_page_count", pages_max, |_| Ok(()))?;
        }
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    }

    /// Copies SQLite's own log into the database once it is long. SQLite would do so by itself, and not tell of errors.
    pub(crate) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
        let pages = |sql| connection.prepare_cached(sql)?.query_row([], |row| Ok((row.get(1)?, row.get(2)?)));
        let (logged, copied): (i64, i64) = pages("PRAGMA wal_checkpoint(NOOP)")?;
        if logged >= WAL_PAGES && copied < logged {
            pages("PRAGMA wal_checkpoint(PASSIVE)")?;
        }
        Ok(())
    }

    /// Bytes of SQLite's own log.
    pub(crate) fn wal_bytes(&self) -> u64 {
        fs::metadata(self.file.with_extension("db-wal")).map_or(0, |file| file.len())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Before the directory is given up.
        drop(self.readers.close());
    }
}

/// Makes the directory, if it is not there, so that it is there after a power cut, too: SQLite sees to what is in it.
fn make_directory(directory: &Path) -> io::Result<()> {
    let directory = path::absolute(directory)?;
    let new: Vec<_> = directory.ancestors().take_while(|directory| !directory.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
    new.into_iter().filter_map(Path::parent).try_for_each(|above| match File::open(above)?.sync_all() {
        // There are file systems without such a thing.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    })
}

/// A locked file.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // To close the file is not enough: a process that this one has just begun has it too, for a moment.
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "can't give the directory up");
        }
    }
}

/// Takes the directory for this process; the system gives it back however the process ends.
fn lock(directory: &Path) -> Result<Lock, OpenError> {
    let refused = |error| OpenError::Directory { directory: directory.into(), error };
    let path = directory.join(LOCK);
    let mut options = OpenOptions::new();
    let mut file = options.read(true).write(true).create(true).truncate(false).open(path).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            let read = file.read_to_string(&mut process);
            let known = read.is_ok() && process.trim().parse::<u32>().is_ok();
            let process =
                if known { format!("process {}", process.trim()) } else { "unknown process".into() };
            return Err(OpenError::InUse { directory: directory.into(), process });
        }
        Err(TryLockError::Error(error)) => return Err(refused(error)),
    }
    // Only a hint for the message above.
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(refused)?;
    Ok(Lock(file))
}

fn make(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "page_size", PAGE_BYTES.cast_signed())?;
    connection.pragma_update(None, "auto_vacuum", INCREMENTAL)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.execute_batch(&format!(
        "BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; {SCHEMA} COMMIT;"
    ))
}

/// Looks at how the last run ended, begins new epochs where its end may have undone something, and marks this run
/// as one that has not ended well yet.
fn find(connection: &Connection, acked_id: i64) -> rusqlite::Result<Found> {
    let number = |sql| {
        connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).map(Option::unwrap_or_default)
    };
    let last_id = number("SELECT max(id) FROM msg")?;
    let clean = connection
        .query_row("SELECT value FROM meta WHERE key = 'clean'", [], |row| row.get::<_, i64>(0))
        .optional()?;
    if last_id < acked_id {
        tracing::error!(
            last_id,
            acked_id,
            "messages that were acked are missing at the end of the store: every room begins a new epoch"
        );
        new_epochs(connection, "TRUE")?;
    } else if clean != Some(1) {
        tracing::warn!("the last run did not stop in order; what was acked as synced is kept");
        new_epochs(connection, "loose")?;
    }
    connection.execute("UPDATE meta SET value = 0 WHERE key = 'clean'", [])?;
    let counts = Counts {
        message: last_id,
        room: number("SELECT max(id) FROM room")?,
        commit: number("SELECT max(c) FROM idem")?,
    };
    Ok(Found { counts, keys: Keyring::read(connection)? })
}

fn new_epochs(connection: &Connection, which: &str) -> rusqlite::Result<()> {
    let sql = format!("UPDATE room SET epoch = ?1 || 'r' || printf('%x', id) WHERE {which}");
    connection.execute(&sql, params![format!("{:016x}", random())]).map(drop)
}

/// 64 random bits.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    u64::from_le_bytes(bytes)
}
