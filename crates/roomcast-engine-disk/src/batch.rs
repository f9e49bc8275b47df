//! One commit's worth of messages: their places, their rows, and the ledgers as they will be. Nothing of it is
//! seen by anybody before the commit is done.

use std::{collections::HashMap, sync::Arc};

use roomcast_hub::{Durability, Key, Seen, engine::AppendError};
use roomcast_protocol::{Draft, Epoch, Frame, Position, server::Delivered};
use roomcast_session::Now;
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use crate::{
    inbox::{Job, Outcome},
    keyring::Keyring,
    ledger::{Ledger, Row},
    log::DiskLog,
    rows,
};

/// The last numbers given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) message: i64,
    pub(crate) room: i64,
    pub(crate) commit: i64,
}

/// A message of the batch, or a repeat of one.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) log: Arc<DiskLog>,
    pub(crate) outcome: Outcome,
    pub(crate) answer: oneshot::Sender<Outcome>,
}

/// A room's part of the batch.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) log: Arc<DiskLog>,
    epoch: Epoch,
    /// As it will be.
    pub(crate) ledger: Ledger,
    /// What is to be delivered, in order.
    pub(crate) frames: Vec<Arc<Frame>>,
    /// Whether its messages go at another age than before.
    pub(crate) has_new_age: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) written: Vec<Written>,
    parts: HashMap<usize, Part>,
    /// Whether it is on the disk once it is committed.
    pub(crate) synced: bool,
    /// Whether some room wants it synced soon.
    pub(crate) sync_soon: bool,
    /// The last message's row; 0 if there is none.
    pub(crate) last_id: i64,
}

/// What a batch is written with.
pub(crate) struct Desk<'w> {
    pub(crate) connection: &'w Connection,
    pub(crate) keyring: &'w mut Keyring,
    pub(crate) counts: &'w mut Counts,
}

impl Batch {
    /// Whether there is anything to commit.
    pub(crate) fn is_empty(&self) -> bool {
        self.last_id == 0
    }

    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.parts.values()
    }

    /// Whether a job may need a commit that is synced, known before the transaction begins.
    pub(crate) fn wants_sync(jobs: &[Job]) -> bool {
        jobs.iter().any(|Job { log, .. }| {
            // That a room is loose must be known before the first message that counts on it.
            log.rule.durability == Durability::Synced || !log.state.lock().ledger.row.loose
        })
    }

    /// Writes one message within the transaction. Whatever happens, its sender is among those to be answered.
    pub(crate) fn write(&mut self, desk: &mut Desk<'_>, job: Job) -> rusqlite::Result<()> {
        let Job { log, now, draft, key, answer } = job;
        let placed = self.place(desk, &log, (now, draft, key));
        let (outcome, done) = match placed {
            Ok(outcome) => (outcome, Ok(())),
            Err(error) => (Err(AppendError::Unavailable(error.to_string())), Err(error)),
        };
        self.written.push(Written { log, outcome, answer });
        done
    }

    fn place(
        &mut self,
        desk: &mut Desk<'_>,
        log: &Arc<DiskLog>,
        (now, draft, key): (Now, Draft, Option<Key>),
    ) -> rusqlite::Result<Outcome> {
        let part = self.parts.entry(Arc::as_ptr(log).addr()).or_insert_with(|| Part::of(log.clone()));
        let room = part.ledger.id.unwrap_or_default();
        let seen = key.map_or(Seen::Never, |key| desk.keyring.look(now, room, key));
        if let Some(outcome) = repeated(seen, &part.epoch) {
            return Ok(outcome);
        }
        if key.is_some() && desk.keyring.is_full() {
            let message = "too many ids are remembered (disk.keys_max); send it again in some minutes";
            return Ok(Err(AppendError::Unavailable(message.into())));
        }
        let room = part.settle_row(desk)?;
        let (seq, timestamp) = (part.ledger.next(), draft.timestamp());
        let frame = draft.seal(seq, part.ledger.head);
        part.ledger.appended(seq, frame.json().len());
        desk.counts.message += 1;
        rows::insert(desk.connection, (desk.counts.message, room), &frame, part.ledger.total)?;
        if let Some(key) = key {
            desk.keyring.remember(now, room, key, (seq, timestamp));
        }
        part.frames.push(frame);
        let position = Some((part.epoch.clone(), seq));
        self.sync_soon |= log.rule.durability == Durability::Interval;
        self.last_id = desk.counts.message;
        Ok(Ok(Delivered { position, timestamp, duplicate: false }))
    }

    /// Writes what goes with the messages: their keys, and what retention takes.
    pub(crate) fn finish(&mut self, desk: &mut Desk<'_>, now: Now) -> rusqlite::Result<()> {
        desk.counts.commit += 1;
        desk.keyring.write(desk.connection, desk.counts.commit, now)?;
        for part in self.parts.values_mut().filter(|part| !part.frames.is_empty()) {
            part.retain(desk.connection)?;
        }
        Ok(())
    }

    /// Takes off the disk what its rooms no longer keep, now that there is no place for it.
    pub(crate) fn make_place(&self, connection: &Connection) -> rusqlite::Result<()> {
        for Part { log, .. } in self.parts() {
            let ledger = log.state.lock().ledger;
            let (Some(id), Some(floor)) = (ledger.id, ledger.trim_all(0)) else { continue };
            let transaction = connection.unchecked_transaction()?;
            rows::delete(&transaction, id, floor)?;
            transaction.commit()?;
            log.state.lock().ledger.stored_floor = floor;
        }
        Ok(())
    }

    /// Before rows are gone, nobody may believe that they can be read.
    pub(crate) fn raise_floors(&self) {
        for part in self.parts.values() {
            let mut state = part.log.state.lock();
            let floor = part.ledger.stored_floor.min(state.ledger.head);
            state.ledger.raise_floor(floor);
        }
    }
}

fn repeated(seen: Seen, epoch: &Epoch) -> Option<Outcome> {
    match seen {
        Seen::Differently => Some(Err(AppendError::Conflict)),
        seen => seen.delivered(epoch).map(Ok),
    }
}

impl Part {
    fn of(log: Arc<DiskLog>) -> Self {
        let (epoch, ledger) = {
            let state = log.state.lock();
            (state.epoch.clone(), state.ledger)
        };
        Self { log, epoch, ledger, frames: Vec::new(), has_new_age: false }
    }

    /// Sees to it that the room's row is there and says what holds. Answers its id.
    fn settle_row(&mut self, desk: &mut Desk<'_>) -> rusqlite::Result<i64> {
        let wanted = Row::wanted(&self.log.rule);
        let Ledger { id, head, burned, floor, row, .. } = self.ledger;
        match id {
            Some(id) if row == wanted => return Ok(id),
            Some(id) => {
                let sql = "UPDATE room SET loose = ?2, age_ms = ?3, touched = NULL WHERE id = ?1";
                let values = params![id, wanted.loose, wanted.age_ms.cast_signed()];
                desk.connection.prepare_cached(sql)?.execute(values)?;
            }
            None => {
                desk.counts.room += 1;
                let sql = "INSERT INTO room (id, name, epoch, head, floor, loose, age_ms) \
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
                desk.connection.prepare_cached(sql)?.execute(params![
                    desk.counts.room,
                    &*self.log.name,
                    self.epoch.as_str(),
                    head.max(burned).cast_signed(),
                    floor.cast_signed(),
                    wanted.loose,
                    wanted.age_ms.cast_signed()
                ])?;
            }
        }
        let id = id.unwrap_or(desk.counts.room);
        self.has_new_age = row.age_ms != wanted.age_ms && self.ledger.id.is_some();
        (self.ledger.id, self.ledger.row) = (Some(id), wanted);
        Ok(id)
    }

    fn retain(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        rows::retain(connection, &self.log.rule.history, &mut self.ledger)?;
        let (Some(floor), Some(id)) = (self.ledger.trim(self.frames.len() as u64), self.ledger.id) else {
            return Ok(());
        };
        rows::delete(connection, id, floor)?;
        self.ledger.stored_floor = floor;
        Ok(())
    }
}

impl Written {
    /// What it is told when nobody knows whether it was kept.
    pub(crate) fn not_durable(&self) -> Outcome {
        match &self.outcome {
            Ok(Delivered { position: Some((epoch, seq)), duplicate: false, .. }) => {
                Err(AppendError::NotDurable(Position { epoch: epoch.clone(), seq: *seq }))
            }
            Ok(_) => Err(AppendError::Unavailable("the disk has failed; send it again later".into())),
            conflict @ Err(_) => conflict.clone(),
        }
    }
}
