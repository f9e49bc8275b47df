//! One client thread's sockets: an edge-triggered poll over its connections, and the three things it can be
//! told to do: connect, watch, load. What is said and counted is the [`Load`]'s.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::connection::{Connection, Incoming, Stage};
use crate::error::Error;
use crate::load::Load;
use crate::pace::Pacer;
use crate::plan::{Group, Pace, Plan};
use crate::tally::Tally;
use crate::ticker::{PATIENCE, Ticker};
use crate::wire::{self, Envelope, Wire};

const EVENTS_MAX: usize = 1024;
const SCRATCH_BYTES: usize = 256 * 1024;
const TICK: Token = Token(usize::MAX);

/// Ticks closer together would only wake the thread more often than it can publish.
const TICK_MIN: Duration = Duration::from_micros(100);

/// Without a new connection joined for this long, the rest won't come either.
const JOIN_PATIENCE: Duration = Duration::from_secs(10);

/// When all has come, listen this much longer for what should not come.
const LINGER: Duration = Duration::from_millis(50);

/// How to open a connection.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    /// The whole upgrade request.
    pub(crate) request: Vec<u8>,
    /// The `Sec-WebSocket-Key` in it.
    pub(crate) key: String,
}

/// A socket that something happened to.
#[derive(Clone, Copy, Debug)]
struct Ready {
    index: usize,
    readable: bool,
    writable: bool,
    /// The other end won't send any more: read up to the end.
    ending: bool,
}

#[derive(Debug)]
pub(crate) struct Worker {
    door: Door,
    poll: Poll,
    events: Events,
    ready: Vec<Ready>,
    ticker: Ticker,
    clock: Instant,
    scratch: Vec<u8>,
    connections: Vec<Connection>,
    connections_max: usize,
    joined: u32,
    /// Joined connections of all workers, for the progress bar.
    joined_by_all: Arc<AtomicU32>,
    load: Load,
    pace: Option<Pace>,
    presence: bool,
    /// Connections with something to send.
    unsent: Vec<usize>,
    why_closed: String,
}

impl Worker {
    pub(crate) fn new(
        plan: &Plan,
        group: &Group,
        door: &Door,
        joined_by_all: &Arc<AtomicU32>,
    ) -> Result<Self, Error> {
        let poll = Poll::new().map_err(Error::io("make a poll"))?;
        let ticker = Ticker::new(poll.registry(), TICK).map_err(Error::io("make a timer"))?;
        Ok(Self {
            door: door.clone(),
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            ready: Vec::with_capacity(EVENTS_MAX),
            ticker,
            clock: Instant::now(),
            scratch: vec![0; SCRATCH_BYTES],
            connections: Vec::with_capacity(group.connections as usize),
            connections_max: group.connections as usize,
            joined: 0,
            joined_by_all: Arc::clone(joined_by_all),
            load: Load::new(group, Wire::new(plan.data_bytes)?, &plan.room_prefix),
            pace: group.pace,
            presence: plan.presence,
            unsent: Vec::new(),
            why_closed: String::new(),
        })
    }

    /// Opens all connections, `window` at a time, and waits until the last has joined; answers how long that took.
    pub(crate) fn connect(&mut self, window: u32) -> Result<Duration, Error> {
        let started = Instant::now();
        let mut progress = (0, started);
        while self.joined < self.connections_max as u32 {
            while self.connections.len() < self.connections_max.min((self.joined + window) as usize) {
                self.open()?;
            }
            self.turn(Duration::from_millis(100))?;
            if progress.0 < self.joined {
                progress = (self.joined, Instant::now());
            } else if progress.1.elapsed() > JOIN_PATIENCE {
                return Err(self.not_joined(&self.what_is_missing()));
            }
        }
        Ok(started.elapsed())
    }

    /// Does nothing but answer pings.
    pub(crate) fn watch(&mut self, duration: Duration) -> Result<(), Error> {
        let end = Instant::now() + duration;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.turn(left.min(PATIENCE).max(Duration::from_millis(1)))?;
        }
        Ok(())
    }

    /// Publishes at the group's pace for `duration`, and waits up to `settle` for the rest to come.
    pub(crate) fn load(&mut self, duration: Duration, settle: Duration) -> Result<Tally, Error> {
        let Some(pace) = self.pace else { return Ok(Tally::new()) };
        self.start_ticking(pace)?;
        let mut pacer = Pacer::new(pace, self.now(), duration);
        while !pacer.is_over(self.now()) {
            self.publish_due(&mut pacer)?;
            self.turn(PATIENCE)?;
        }
        self.publish_due(&mut pacer)?;
        self.ticker.every(Duration::ZERO).map_err(Error::io("stop the timer"))?;
        self.settle(settle)?;
        Ok(self.load.finish(&mut self.connections))
    }

    /// Lets the last `readers` connections stop reading.
    pub(crate) fn stall(&mut self, readers: u32) {
        for connection in self.connections.iter_mut().rev().take(readers as usize) {
            connection.stage = Stage::Stalled;
            self.load.count_reader(connection.room, false);
        }
    }

    /// Says goodbye on all connections.
    pub(crate) fn close(mut self) {
        for connection in &mut self.connections {
            connection.say_goodbye();
        }
    }

    fn now(&self) -> u64 {
        self.clock.elapsed().as_micros() as u64
    }

    fn start_ticking(&self, pace: Pace) -> Result<(), Error> {
        let interval = match pace {
            Pace::Rate(rate) => Duration::from_secs_f64(1.0 / rate).max(TICK_MIN),
            Pace::InFlight { .. } => Duration::ZERO,
        };
        self.ticker.every(interval).map_err(Error::io("start the timer"))
    }

    fn open(&mut self) -> Result<(), Error> {
        let index = self.connections.len();
        let room = (index % self.load.rooms()) as u32;
        let address = self.door.address;
        let unreachable = |source| Error::Unreachable { address, source };
        let mut connection = Connection::open(address, &self.door.request, room).map_err(unreachable)?;
        self.poll
            .registry()
            .register(&mut connection.stream, Token(index), Interest::READABLE | Interest::WRITABLE)
            .map_err(Error::io("watch a socket"))?;
        self.connections.push(connection);
        Ok(())
    }

    fn publish_due(&mut self, pacer: &mut Pacer) -> Result<(), Error> {
        let now = self.now();
        while let Some(due) = pacer.due(now, self.load.flight.open()) {
            let Some(index) = self.load.next_publisher(&self.connections) else {
                return Err(Error::NobodyLeft(self.why_closed.clone()));
            };
            self.load.publish(&mut self.connections[index], due);
            self.unsent.push(index);
        }
        self.flush()
    }

    fn settle(&mut self, settle: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + settle;
        while !self.load.flight.is_settled() && Instant::now() < deadline {
            self.turn(Duration::from_millis(10))?;
        }
        self.watch(LINGER)
    }

    /// Waits for something to happen, deals with all of it, and sends what came of it.
    fn turn(&mut self, timeout: Duration) -> Result<(), Error> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(Error::io("poll")(error)),
            _ => {}
        }
        if self.events.iter().any(|event| event.token() == TICK) {
            self.ticker.take();
        }
        let sockets = self.events.iter().filter(|event| event.token() != TICK);
        self.ready.clear();
        self.ready.extend(sockets.map(|event| Ready {
            index: event.token().0,
            readable: event.is_readable(),
            writable: event.is_writable(),
            ending: event.is_read_closed() || event.is_error(),
        }));
        let mut scratch = std::mem::take(&mut self.scratch);
        let handled = (0..self.ready.len()).try_for_each(|at| self.handle(self.ready[at], &mut scratch));
        self.scratch = scratch;
        handled.and_then(|()| self.flush())
    }

    fn handle(&mut self, ready: Ready, scratch: &mut [u8]) -> Result<(), Error> {
        if ready.writable {
            self.flush_one(ready.index)?;
        }
        if ready.readable || ready.ending {
            self.read(ready, scratch)?;
        }
        Ok(())
    }

    fn read(&mut self, ready: Ready, scratch: &mut [u8]) -> Result<(), Error> {
        loop {
            let connection = &mut self.connections[ready.index];
            if matches!(connection.stage, Stage::Stalled | Stage::Closed) {
                return Ok(());
            }
            match connection.fill(scratch) {
                Ok(Some(bytes)) => {
                    self.take(ready.index, &mut scratch[..bytes])?;
                    // A short read has emptied the socket: no need to hear EAGAIN.
                    if bytes < scratch.len() && !ready.ending {
                        return Ok(());
                    }
                }
                Ok(None) => return Ok(()),
                Err(error) => {
                    return self.lose(ready.index, "closed without a Close frame", &error.to_string());
                }
            }
        }
    }

    fn take(&mut self, index: usize, input: &mut [u8]) -> Result<(), Error> {
        let now = self.now();
        let mut at = 0;
        loop {
            let connection = &mut self.connections[index];
            match connection.next(input, &mut at, &self.door.key, &self.load.wire) {
                Some(Incoming::Envelope(Envelope::Delivery { number, seq, prev })) => {
                    self.load.deliver(connection, (number, seq, prev), now);
                }
                Some(Incoming::Envelope(Envelope::Ack { number, seq })) => {
                    self.load.ack(connection.room, (number, seq), now);
                }
                Some(incoming) => self.act(index, incoming)?,
                None => return Ok(()),
            }
            if self.connections[index].stage == Stage::Closed {
                return Ok(());
            }
        }
    }

    fn act(&mut self, index: usize, incoming: Incoming) -> Result<(), Error> {
        let connection = &mut self.connections[index];
        match incoming {
            Incoming::Opened => connection.begin(),
            Incoming::Envelope(envelope) => return self.read_envelope(index, envelope),
            Incoming::Ping(payload) => {
                connection.queue_pong(&payload);
                self.unsent.push(index);
            }
            Incoming::Closed { what, reason } => return self.lose(index, &what, &reason),
            Incoming::Nothing => {}
        }
        Ok(())
    }

    fn read_envelope(&mut self, index: usize, envelope: Envelope) -> Result<(), Error> {
        let connection = &mut self.connections[index];
        match (envelope, &connection.stage) {
            (Envelope::Welcome, Stage::Greeting) => {
                let join = wire::join(self.load.room_name(connection.room), self.presence);
                connection.queue_text(join.as_bytes());
                connection.stage = Stage::Joining;
                self.unsent.push(index);
            }
            (Envelope::Joined { from }, Stage::Joining) => {
                connection.has_joined(from);
                self.load.count_reader(connection.room, true);
                self.joined += 1;
                self.joined_by_all.fetch_add(1, Ordering::Relaxed);
            }
            (Envelope::Refused { code, message, .. }, Stage::Greeting | Stage::Joining) => {
                return Err(self.not_joined(&format!("the server refused a join: {code}: {message}")));
            }
            (Envelope::Refused { number, code, message }, _) => self.load.refuse(number, code, message),
            (Envelope::Reset { seq, reason }, _) => self.load.reset(connection, seq, &reason),
            (Envelope::Notice(what), _) => self.load.tally.fault(what, String::new()),
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        let mut unsent = std::mem::take(&mut self.unsent);
        let flushed = unsent.drain(..).try_for_each(|index| self.flush_one(index));
        self.unsent = unsent;
        flushed
    }

    fn flush_one(&mut self, index: usize) -> Result<(), Error> {
        match self.connections[index].flush() {
            Ok(()) => Ok(()),
            Err(error) => self.lose(index, "closed without a Close frame", &error.to_string()),
        }
    }

    /// A connection is over. Before it has joined that ends the run; later it is counted.
    fn lose(&mut self, index: usize, what: &str, reason: &str) -> Result<(), Error> {
        let connection = &mut self.connections[index];
        let stage = std::mem::replace(&mut connection.stage, Stage::Closed);
        match stage {
            Stage::Closed => {}
            Stage::Joined | Stage::Stalled => {
                if stage == Stage::Joined {
                    self.load.count_reader(connection.room, false);
                }
                connection.say_goodbye();
                self.why_closed = format!("{what}: {reason}");
                self.load.tally.fault(what.to_owned(), reason.to_owned());
            }
            early => {
                let why = format!("the server {what} where {} was due: {reason}", early.waits_for());
                return Err(self.not_joined(&why));
            }
        }
        Ok(())
    }

    fn not_joined(&self, why: &str) -> Error {
        Error::NotJoined { joined: self.joined, of: self.connections_max as u32, why: why.to_owned() }
    }

    fn what_is_missing(&self) -> String {
        let waiting = self.connections.iter().map(|connection| connection.stage.waits_for());
        let missing = waiting.rev().find(|missing| *missing != "nothing").unwrap_or("nothing");
        format!("nothing came for {} s; the others wait for {missing}", JOIN_PATIENCE.as_secs())
    }
}
