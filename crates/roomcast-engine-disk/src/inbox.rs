//! What waits for the thread that writes: messages in the order of the calls, the time, the end. Bounded in bytes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use roomcast_hub::{Key, engine::AppendError};
use roomcast_protocol::{Draft, server::Delivered};
use roomcast_session::Now;
use tokio::sync::oneshot;

use crate::log::DiskLog;

/// Messages of one commit, at most.
const BATCH_MESSAGES_MAX: usize = 4_096;
/// Bytes of one commit, at most; one message is always taken.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// How long after a refusal nothing is taken: as long as clients are told to wait, at least.
const SHUT: Duration = Duration::from_secs(1);

/// How an append ends.
pub(crate) type Outcome = Result<Delivered, AppendError>;

/// One message on its way to the disk.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) log: Arc<DiskLog>,
    pub(crate) now: Now,
    pub(crate) draft: Draft,
    pub(crate) key: Option<Key>,
    pub(crate) answer: oneshot::Sender<Outcome>,
}

/// What there is to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// Commit these.
    Batch(Vec<Job>),
    /// Time has passed: a second, or the moment asked for.
    Tick(Option<Now>),
    /// Nothing more will come.
    End,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: std::collections::VecDeque<Job>,
    bytes: usize,
    tick: Option<Now>,
    closed: bool,
    /// Until when nothing is taken, and what is wrong.
    shut: Option<(Instant, AppendError)>,
}

impl Waiting {
    fn batch(&mut self) -> Vec<Job> {
        let (mut count, mut bytes) = (0, 0);
        for job in self.jobs.iter().take(BATCH_MESSAGES_MAX) {
            if count > 0 && bytes + job.draft.memory_bytes() > BATCH_BYTES_MAX {
                break;
            }
            count += 1;
            bytes += job.draft.memory_bytes();
        }
        self.bytes -= bytes;
        self.jobs.drain(..count).collect()
    }
}

/// The queue before the writer.
#[derive(Debug)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    moved: Condvar,
    bytes_max: usize,
}

impl Inbox {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { waiting: Mutex::default(), moved: Condvar::new(), bytes_max }
    }

    /// Queues a message, or says why not; then what comes in the next moment is refused, too, as in `shut`.
    pub(crate) fn push(&self, job: Job) -> Result<(), AppendError> {
        let unavailable = |message: &str| AppendError::Unavailable(message.into());
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(unavailable("the server is being stopped; come back"));
        }
        match &waiting.shut {
            Some((until, error)) if Instant::now() < *until => return Err(error.clone()),
            _ => waiting.shut = None,
        }
        if waiting.bytes >= self.bytes_max {
            let error = unavailable("too much waits for the disk (disk.waiting_bytes_max); try again later");
            waiting.shut = Some((Instant::now() + SHUT, error.clone()));
            return Err(error);
        }
        waiting.bytes += job.draft.memory_bytes();
        waiting.jobs.push_back(job);
        self.moved.notify_one();
        Ok(())
    }

    /// Takes all that waits out, for it to be refused, and refuses what comes in the next moment: messages that were
    /// sent after one that is refused must not overtake it, and whoever sent them has not heard of that yet.
    pub(crate) fn shut(&self, error: AppendError) -> Vec<Job> {
        let mut waiting = self.waiting.lock();
        waiting.shut = Some((Instant::now() + SHUT, error));
        waiting.bytes = 0;
        waiting.jobs.drain(..).collect()
    }

    /// A second has passed.
    pub(crate) fn tick(&self, now: Now) {
        self.waiting.lock().tick = Some(now);
        self.moved.notify_one();
    }

    /// Nothing more comes.
    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.moved.notify_one();
    }

    /// Nobody takes anything any more: who waits learns it by its answer's end.
    pub(crate) fn abandon(&self) {
        self.close();
        let jobs = std::mem::take(&mut self.waiting.lock().jobs);
        drop(jobs);
    }

    /// Whether messages wait, so that other work had better wait for them.
    pub(crate) fn is_busy(&self) -> bool {
        !self.waiting.lock().jobs.is_empty()
    }

    /// Waits for work, not beyond `until`.
    pub(crate) fn take(&self, until: Option<Instant>) -> Work {
        let mut waiting = self.waiting.lock();
        loop {
            if until.is_some_and(|until| until <= Instant::now()) {
                return Work::Tick(waiting.tick.take());
            }
            if let Some(now) = waiting.tick.take() {
                return Work::Tick(Some(now));
            }
            if !waiting.jobs.is_empty() {
                return Work::Batch(waiting.batch());
            }
            if waiting.closed {
                return Work::End;
            }
            let Some(until) = until else {
                self.moved.wait(&mut waiting);
                continue;
            };
            if self.moved.wait_until(&mut waiting, until).timed_out() {
                return Work::Tick(None);
            }
        }
    }
}
