//! The thread that writes: takes what has gathered, commits it in one go, then shows and acks it in the order of
//! the log. The only one that gives places, knows keys and changes the database.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
    vec,
};

use roomcast_hub::engine::{AppendError, EngineError};
use roomcast_session::Now;
use rusqlite::{Connection, ErrorCode, ffi};

use crate::{
    batch::{Batch, Counts, Desk},
    error::engine_error,
    inbox::{Job, Work},
    keyring::Keyring,
    logs::Logs,
    rows,
    store::{Found, Store},
    sweep::{self, Sweep},
    tails::Tails,
};

/// How long after a commit that was not synced it is.
const SYNC_INTERVAL: Duration = Duration::from_millis(200);
/// How long after one that failed it is tried again.
const SYNC_AGAIN: Duration = Duration::from_secs(1);
/// SQLite's log over which something must hold it back.
const WAL_BYTES_ALARM: u64 = 256 * 1024 * 1024;

pub(crate) struct Writer {
    /// None after a failure, until it can be opened again. Goes before the store, which gives the directory up.
    connection: Option<Connection>,
    store: Store,
    /// Whether the connection syncs its commits.
    syncing: bool,
    logs: Arc<Logs>,
    keyring: Keyring,
    counts: Counts,
    tails: Tails,
    sweep: Sweep,
    /// When what was not synced is.
    sync_due: Option<Instant>,
    /// A commit of which nobody knows whether it is one.
    unsettled: Option<Batch>,
    alarmed: bool,
}

impl Writer {
    pub(crate) fn new(store: Store, logs: Arc<Logs>, found: Found) -> Self {
        let Found { counts, keys } = found;
        let keyring = Keyring::new((logs.settings.keys, logs.settings.keys_max), keys);
        Self {
            store,
            connection: None,
            syncing: true,
            keyring,
            counts,
            tails: Tails::new(logs.settings.tail_bytes_max),
            sweep: Sweep::new(logs.settings.epoch_kept),
            sync_due: None,
            unsettled: None,
            alarmed: false,
            logs,
        }
    }

    pub(crate) fn run(mut self) {
        let _whatever_happens = Abandon(self.logs.clone());
        loop {
            let work = self.logs.inbox().take(self.sync_due);
            self.logs.health.begin();
            match work {
                Work::Batch(jobs) => self.append(jobs),
                Work::Tick(now) => self.tick(now),
                Work::End => return self.end(),
            }
            self.checkpoint();
            self.logs.health.rest();
            self.logs.keys.store(self.keyring.len(), Ordering::Relaxed);
            self.logs.tail_bytes.store(self.tails.bytes(), Ordering::Relaxed);
        }
    }

    // Messages.

    fn append(&mut self, jobs: Vec<Job>) {
        if let Err(error) = self.connect() {
            refuse(jobs, &error);
            return self.hold_back(&error);
        }
        let Some(now) = jobs.last().map(|job| job.now) else { return };
        let before = self.counts;
        let (mut batch, mut jobs) = (Batch::default(), jobs.into_iter());
        match self.write(&mut batch, &mut jobs, now) {
            Ok(()) if batch.is_empty() => answer(batch),
            Ok(()) => {
                self.commit(batch, before);
                if self.sweep.appended(self.counts.message.abs_diff(before.message)) {
                    self.sweep(now);
                }
            }
            Err(error) => {
                tracing::error!(%error, "messages were not taken");
                self.roll_back(before);
                self.make_place(&batch, &error);
                let error = engine_error(&error);
                refuse_batch(batch, &error);
                refuse(jobs, &error);
                self.hold_back(&error);
            }
        }
    }

    /// Writes messages in a transaction that is left open, unless there was nothing to write.
    fn write(&mut self, batch: &mut Batch, jobs: &mut vec::IntoIter<Job>, now: Now) -> rusqlite::Result<()> {
        batch.synced = Batch::wants_sync(jobs.as_slice());
        self.sync(batch.synced)?;
        self.execute("BEGIN IMMEDIATE")?;
        let Some(connection) = &self.connection else { return Ok(()) };
        let mut desk = Desk { connection, keyring: &mut self.keyring, counts: &mut self.counts };
        for job in jobs {
            batch.write(&mut desk, job)?;
        }
        if batch.is_empty() { connection.execute_batch("ROLLBACK") } else { batch.finish(&mut desk, now) }
    }

    fn commit(&mut self, batch: Batch, before: Counts) {
        batch.raise_floors();
        let Err(error) = self.execute("COMMIT") else { return self.done(batch) };
        tracing::error!(%error, "a commit failed; looking whether it is one");
        self.connection = None;
        match self.reopen().and_then(|()| self.holds(batch.last_id)) {
            Ok(true) => self.done(batch),
            Ok(false) => {
                self.take_back(before);
                self.make_place(&batch, &error);
                refuse_batch(batch, &engine_error(&error));
                self.hold_back(&engine_error(&error));
            }
            Err(again) => {
                tracing::error!(error = %again, "the store can't be opened again yet");
                self.connection = None;
                self.leave_unsettled(batch);
                self.hold_back(&engine_error(&error));
            }
        }
    }

    /// A full disk may hold what the rooms in question no longer keep.
    fn make_place(&mut self, batch: &Batch, error: &rusqlite::Error) {
        let is_full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
        let Some(connection) = self.connection.as_ref().filter(|_| is_full) else { return };
        if let Err(error) = batch.make_place(connection) {
            self.cant_sweep(&error);
        }
    }

    /// Messages are refused: so are all that were sent after them, which would overtake them otherwise.
    fn hold_back(&mut self, error: &EngineError) {
        self.logs.health.failed();
        refuse(self.logs.inbox().shut(unavailable(error)), error);
    }

    /// A batch is kept: shows it, then acks it.
    fn done(&mut self, batch: Batch) {
        self.logs.health.succeeded();
        self.keyring.keep();
        if batch.synced {
            if let Err(error) = self.store.acked.write(batch.last_id) {
                tracing::warn!(%error, "can't note what was acked; a damaged log may go unnoticed");
            }
            self.sync_due = None;
        } else if batch.sync_soon {
            self.sync_due.get_or_insert_with(|| Instant::now() + SYNC_INTERVAL);
        }
        self.show(&batch);
        answer(batch);
    }

    fn show(&mut self, batch: &Batch) {
        if batch.parts().any(|part| part.has_new_age) {
            self.sweep.ages_changed();
        }
        for part in batch.parts().filter(|part| !part.frames.is_empty()) {
            part.log.state.lock().publish(&part.frames, part.ledger);
            self.tails.push(&part.log, &part.frames);
        }
    }

    fn roll_back(&mut self, before: Counts) {
        self.take_back(before);
        let undone = self.connection.as_ref().is_some_and(|connection| {
            connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok()
        });
        if !undone {
            self.connection = None;
        }
    }

    fn take_back(&mut self, before: Counts) {
        self.keyring.take_back();
        // Rooms and commits may leave numbers out.
        self.counts.message = before.message;
    }

    // A store that has failed.

    fn connect(&mut self) -> Result<(), EngineError> {
        if self.connection.is_some() {
            return Ok(());
        }
        self.reopen().and_then(|()| self.settle()).map_err(|error| {
            self.connection = None;
            engine_error(&error)
        })
    }

    /// Opens the store anew. What can be seen in it then is on the disk: the checkpoint has written and synced it.
    fn reopen(&mut self) -> rusqlite::Result<()> {
        let connection = self.store.connect()?;
        let is_held = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if is_held {
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None));
        }
        self.syncing = true;
        self.connection = Some(connection);
        Ok(())
    }

    fn holds(&self, id: i64) -> rusqlite::Result<bool> {
        let Some(connection) = &self.connection else { return Ok(false) };
        connection.prepare_cached("SELECT 1 FROM msg WHERE id = ?1")?.exists([id])
    }

    /// Nobody knows whether a batch is kept: its positions are told, and never given again.
    fn leave_unsettled(&mut self, mut batch: Batch) {
        for part in batch.parts() {
            part.log.state.lock().ledger.burned = part.ledger.head;
        }
        for written in &mut batch.written {
            let outcome = written.not_durable();
            let (nobody, _) = tokio::sync::oneshot::channel();
            let _ = std::mem::replace(&mut written.answer, nobody).send(outcome);
        }
        self.unsettled = Some(batch);
    }

    /// The store is open again: now it can be seen.
    fn settle(&mut self) -> rusqlite::Result<()> {
        let Some(batch) = &self.unsettled else { return Ok(()) };
        let kept = self.holds(batch.last_id)?;
        if !kept {
            self.burn(batch)?;
        }
        let Some(batch) = self.unsettled.take() else { return Ok(()) };
        tracing::info!(kept, "the store is open again");
        if kept {
            self.done(batch);
        } else {
            self.keyring.take_back();
            answer(batch);
        }
        Ok(())
    }

    /// Notes the positions that were told for nothing. A room that was new has no row, and will have another epoch.
    fn burn(&self, batch: &Batch) -> rusqlite::Result<()> {
        let Some(connection) = &self.connection else { return Ok(()) };
        let burned = batch.parts().filter_map(|part| Some((part.ledger.id?, part.ledger.head)));
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for (room, head) in burned {
            rows::burn(connection, room, head)?;
        }
        connection.execute_batch("COMMIT")
    }

    // Time.

    fn tick(&mut self, now: Option<Now>) {
        if self.sync_due.is_some_and(|due| due <= Instant::now()) {
            self.sync_now();
        }
        let Some(now) = now else { return };
        if let Err(error) = self.connect() {
            self.logs.health.failed();
            return tracing::error!(%error, "the store can't be opened yet");
        }
        if self.logs.health.is_failing() {
            self.try_again();
        }
        self.sweep(now);
        if let Some(connection) = &self.connection
            && let Err(error) = sweep::give_back(connection, &self.logs)
        {
            self.cant_sweep(&error);
        }
        self.watch_wal();
    }

    /// Takes some of what is old off the disk.
    fn sweep(&mut self, now: Now) {
        let Some(connection) = &self.connection else { return };
        if let Err(error) = self.sweep.step((connection, &mut self.keyring), &self.logs, now) {
            self.cant_sweep(&error);
        }
    }

    fn cant_sweep(&mut self, error: &rusqlite::Error) {
        tracing::error!(%error, "what is old can't be taken off the disk");
        // What failed may have been a sync.
        self.connection = None;
    }

    fn checkpoint(&mut self) {
        let Some(connection) = &self.connection else { return };
        if let Err(error) = Store::checkpoint(connection) {
            tracing::error!(%error, "SQLite's log can't be copied into the database; what was acked is kept");
            self.logs.health.failed();
            // What failed may have been a sync.
            self.connection = None;
        }
    }

    fn watch_wal(&mut self) {
        let bytes = self.store.wal_bytes();
        if bytes > WAL_BYTES_ALARM && !self.alarmed {
            tracing::warn!(bytes, "SQLite's log grows: something reads the database and doesn't let go");
        }
        self.alarmed = bytes > WAL_BYTES_ALARM;
    }

    /// Looks whether a disk that has failed writes again, so that this need not be found out by a message.
    fn try_again(&mut self) {
        match self.write_and_sync() {
            Ok(()) => self.logs.health.succeeded(),
            Err(error) => tracing::error!(%error, "the disk still fails"),
        }
    }

    /// Writes a little, and syncs it with all that was committed without. After a sync that failed another one says
    /// nothing: the system may have dropped what it could not write. Then the store is opened anew, which copies all
    /// of it.
    fn write_and_sync(&mut self) -> Result<(), EngineError> {
        self.connect()?;
        let sql = "UPDATE meta SET value = value + 1 WHERE key = 'syncs'";
        self.sync(true).and_then(|()| self.execute(sql)).map_err(|error| {
            self.connection = None;
            engine_error(&error)
        })
    }

    /// Syncs what was committed without.
    fn sync_now(&mut self) {
        self.sync_due = None;
        if let Err(error) = self.write_and_sync() {
            tracing::error!(%error, "what was acked without a sync may not be on the disk yet");
            self.logs.health.failed();
            self.sync_due = Some(Instant::now() + SYNC_AGAIN);
        }
    }

    /// Whether commits from now on wait for the disk.
    fn sync(&mut self, wanted: bool) -> rusqlite::Result<()> {
        let Some(connection) = self.connection.as_ref().filter(|_| wanted != self.syncing) else {
            return Ok(());
        };
        connection.pragma_update(None, "synchronous", if wanted { "FULL" } else { "NORMAL" })?;
        self.syncing = wanted;
        Ok(())
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        let Some(connection) = &self.connection else { return Ok(()) };
        connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    // The end.

    fn end(mut self) {
        let ended = self.connect().map_err(|error| error.to_string()).and_then(|()| {
            self.sync(true)
                .and_then(|()| self.execute("UPDATE meta SET value = 1 WHERE key = 'clean'"))
                .map_err(|error| error.to_string())
        });
        match ended {
            Ok(()) => tracing::debug!("the store is closed"),
            Err(error) => tracing::error!(error, "the store is not closed in order; what was acked is kept"),
        }
    }
}

/// Refuses whatever still waits when the thread ends, in order or not.
struct Abandon(Arc<Logs>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.inbox().abandon();
    }
}

/// Answers what a batch came to. Whoever no longer waits is passed over.
fn answer(batch: Batch) {
    for written in batch.written {
        written.log.state.lock().answered();
        let _ = written.answer.send(written.outcome);
    }
}

fn refuse_batch(mut batch: Batch, error: &EngineError) {
    for written in &mut batch.written {
        written.outcome = Err(unavailable(error));
    }
    answer(batch);
}

fn refuse(jobs: impl IntoIterator<Item = Job>, error: &EngineError) {
    for job in jobs {
        job.log.state.lock().answered();
        let _ = job.answer.send(Err(unavailable(error)));
    }
}

/// For the sender; the log of the server says more.
fn unavailable(error: &EngineError) -> AppendError {
    AppendError::Unavailable(match error {
        EngineError::Unavailable(message) => message.clone(),
        EngineError::Corrupt(_) => "the store is damaged; the server's log says more".into(),
    })
}
