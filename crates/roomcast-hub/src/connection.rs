//! One client's connection: its socket, its session and its outbox, and the few ways in which they meet.
//!
//! The transport that owns the reading side feeds it in [`Turn`](crate::Turn)s. Writing needs no task: whoever
//! has something for the client writes it, and only a full socket gets a flusher, for as long as it is full.

use std::{
    fmt, io,
    net::Shutdown,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use roomcast_protocol::{
    Close, Code, Positions, Queue, Wire,
    server::{self, Head},
};
use roomcast_session::{Farewell, Identity, Now, Session, Tick};

use crate::{
    cursor::Cursor,
    drain::Run,
    engine::lock,
    hub::Shared,
    outbox::{Flow, Log, Outbox, Outlet},
    room::{Room, RoomError},
    sink::{Pipe, Sink},
    wheel::Alarm,
};

/// How long a closed connection may take to hang up, in milliseconds.
pub(crate) const LINGER_MS: u64 = 5_000;

/// What a client is told for which a log can't be read.
const LOG_FAILED: &str = "a room's log can't be read now; come back and resume";

/// Tells connections of one process apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub(crate) u64);

/// How a connection, or its reading of a room, came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// The client said so: presence tells it at once.
    Clean,
    /// Without a word: presence gives the session its grace.
    Lost,
}

/// One client's connection. What a delivery looks at stands together, before the rest: for a small room most of a
/// delivery's time in user space is the wait for it.
#[repr(C)]
pub struct Connection {
    sink: Sink,
    shared: Arc<Shared>,
    id: ConnectionId,
    outbox: Mutex<Outbox>,
    wire: Wire,
    attempt: u32,
    /// Publishes that the engine has not answered yet.
    unacked: AtomicUsize,
    /// When the wheel looks at it next.
    alarm: Mutex<Alarm>,
    pub(crate) session: Mutex<Session<Arc<Room>>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.id).finish()
    }
}

impl Connection {
    pub(crate) fn new(
        (id, attempt): (ConnectionId, u32),
        (sink, wire): (Sink, Wire),
        shared: Arc<Shared>,
        (session, queue): (Session<Arc<Room>>, Queue),
    ) -> Self {
        shared.counters.connections.add(1);
        shared.counters.connections_total.add(1);
        Self {
            id,
            attempt,
            wire,
            sink,
            shared,
            session: Mutex::new(session),
            outbox: Mutex::new(Outbox::new(queue)),
            unacked: AtomicUsize::new(0),
            alarm: Mutex::default(),
        }
    }

    // What is known.

    /// Which one.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    pub(crate) fn wire(&self) -> Wire {
        self.wire
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Who is at the other end.
    pub fn identity(&self) -> Arc<Identity> {
        self.session.lock().identity().clone()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn outlet(&self) -> Outlet<'_> {
        Outlet { id: self.id, sink: &self.sink, wire: self.wire, counters: &self.shared.counters }
    }

    // Reading.

    /// Waits until the socket can be read. Only a connection over bare TCP is read here.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.sink {
            Sink::Socket(socket) => socket.0.poll_read_ready(cx),
            Sink::Pipe(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Reads what is there, or says `WouldBlock`; 0 is the end.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.sink {
            Sink::Socket(socket) => socket.try_read(buffer),
            Sink::Pipe(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Waits until the client has taken enough of its answers to be read again.
    pub fn poll_uncongested(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut outbox = self.outbox.lock();
        if self.is_over(&outbox) {
            outbox.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    pub(crate) fn is_congested(&self) -> bool {
        self.is_over(&self.outbox.lock())
    }

    fn is_over(&self, outbox: &Outbox) -> bool {
        let limits = &self.shared.limits;
        let queued = outbox.queue.bytes().len();
        match outbox.flow {
            Flow::Ended => false,
            Flow::Blocked if queued > limits.control_queue_bytes_max => true,
            _ => self.unacked.load(Ordering::Relaxed) >= limits.unacked_sends_max,
        }
    }

    /// A publish is with the engine; the connection isn't read while too many are.
    pub(crate) fn await_ack(&self) {
        self.unacked.fetch_add(1, Ordering::Relaxed);
    }

    /// The engine has answered a publish.
    pub(crate) fn ack_late(self: &Arc<Self>, write: impl FnOnce(&mut Session<Arc<Room>>, &mut Queue)) {
        self.say(|session, queue| {
            self.unacked.fetch_sub(1, Ordering::Relaxed);
            write(session, queue);
        });
    }

    // Rooms.

    pub(crate) fn open(&self, room: &Arc<Room>) -> usize {
        self.outbox.lock().open(room)
    }

    pub(crate) fn hold(&self, room: &Arc<Room>) -> Option<(usize, Cursor)> {
        self.outbox.lock().hold(room)
    }

    pub(crate) fn set_lane(&self, slot: usize, lane: u32) {
        self.outbox.lock().set_lane(slot, lane);
    }

    pub(crate) fn place(&self, slot: usize, cursor: Cursor, roster: bool) {
        self.outbox.lock().place(slot, cursor, roster);
    }

    pub(crate) fn leave(&self, now: Now, who: &Identity, room: &Arc<Room>, departure: Departure) {
        let lane = self.outbox.lock().shut(room);
        if let Some(lane) = lane {
            self.hush(now, who, room);
            room.leave(now, (self.id, who), lane, departure);
        }
    }

    /// A socket that goes types no longer. Who reads by streams or polls types in requests, which have a lease of
    /// their own: the end of one poll says nothing.
    fn hush(&self, now: Now, who: &Identity, room: &Room) {
        if self.wire.is_two_way() {
            room.hush(now, who);
        }
    }

    // Writing.

    /// Has the processor fetch what a delivery looks at.
    pub(crate) fn fetch(&self) {
        std::hint::black_box((Arc::as_ptr(&self.shared), self.outbox.is_locked(), self.wire));
    }

    /// Takes a room's run, if the connection still reads the room in that slot.
    pub(crate) fn deliver(self: &Arc<Self>, slot: usize, run: &mut Run<'_>) {
        let mut outbox = lock(&self.outbox);
        let was = outbox.flow;
        let behind = outbox.deliver(slot, run, self.outlet());
        self.look_at_log(&mut outbox);
        if behind && was == Flow::Open {
            self.spawn_flusher();
        }
    }

    /// Writes the answers of a turn, and releases the readings whose acks are among them. Whoever else has something
    /// to say must not: an ack may be on its way still. Answers whether the client doesn't take them.
    pub(crate) fn answer(self: &Arc<Self>, answers: Queue, holds_close: bool) -> bool {
        let mut outbox = lock(&self.outbox);
        outbox.release();
        outbox.tell(answers, holds_close);
        self.flush(&mut outbox);
        self.is_over(&outbox)
    }

    fn flush(self: &Arc<Self>, outbox: &mut Outbox) {
        if outbox.flow == Flow::Open && !self.write_due(outbox) {
            self.spawn_flusher();
        }
    }

    /// Writes what is due. Answers whether nothing is.
    fn write_due(self: &Arc<Self>, outbox: &mut Outbox) -> bool {
        let done = outbox.flush(self.outlet());
        self.look_at_log(outbox);
        done
    }

    /// Ends a connection for which a log could not be read: it comes back with its position.
    fn look_at_log(self: &Arc<Self>, outbox: &mut Outbox) {
        if outbox.log != Log::Failed {
            return;
        }
        outbox.log = Log::GivenUp;
        let connection = self.clone();
        // Whoever wrote may hold the session.
        self.shared.runtime.spawn(async move {
            let head = Head::at(connection.shared.now().wall);
            let retry_after = Some(connection.shared.limits.retry_after_min);
            connection.say(|_, queue| {
                queue.push(|out| server::error(head, Code::Unavailable, LOG_FAILED, retry_after, out));
            });
            connection.close(Close::Overloaded, LOG_FAILED, Departure::Lost);
        });
    }

    fn spawn_flusher(self: &Arc<Self>) {
        match &self.sink {
            Sink::Socket(_) => self.shared.runtime.spawn(self.clone().flush_when_writable()),
            Sink::Pipe(_) => self.shared.runtime.spawn(Self::watch_pipe(Arc::downgrade(self))),
        };
    }

    /// Serves a connection whose socket was full, for as long as it is.
    async fn flush_when_writable(self: Arc<Self>) {
        let stall = self.shared.limits.write_stall_timeout;
        let Sink::Socket(socket) = &self.sink else { return };
        loop {
            let Ok(writable) = tokio::time::timeout(stall, socket.0.writable()).await else {
                return self.clone().give_up().await;
            };
            let done = writable.is_err() || self.write_due(&mut self.outbox.lock());
            if done {
                return self.after_flush();
            }
            tokio::task::yield_now().await;
        }
    }

    /// Watches a pipe that was full: its transport takes what there is, unless its reader takes nothing. A connection
    /// that ends meanwhile is not held.
    async fn watch_pipe(connection: Weak<Self>) {
        let mut taken = None;
        while let Some(connected) = connection.upgrade() {
            if connected.outbox.lock().flow != Flow::Blocked {
                return;
            }
            let taken_now = connected.pipe().map(Pipe::taken);
            if taken_now == taken {
                return connected.give_up().await;
            }
            taken = taken_now;
            let stall = connected.shared.limits.write_stall_timeout;
            drop(connected);
            tokio::time::sleep(stall).await;
        }
    }

    /// No byte moved for too long: says so, in case the client looks again, and hangs up.
    async fn give_up(self: Arc<Self>) {
        self.shared.counters.too_slow_total.add(1);
        tracing::debug!(connection = self.id.0, "closing: the client took no byte in time");
        let mut queue = Queue::of(self.wire);
        self.session.lock().close(
            self.shared.now(),
            Close::TooSlow,
            "no byte was taken for too long; reconnect and resume",
            &mut queue,
        );
        self.outbox.lock().tell(queue, true);
        self.depart(Departure::Lost);
        let _ = tokio::time::timeout(Duration::from_millis(LINGER_MS), self.write_out()).await;
        self.hang_up();
    }

    /// Writes what the queue still holds, after the rooms are left.
    async fn write_out(&self) {
        let Sink::Socket(socket) = &self.sink else { return };
        while socket.0.writable().await.is_ok() {
            let mut outbox = self.outbox.lock();
            let Ok(written) = self.sink.try_write(outbox.queue.bytes()) else { continue };
            outbox.queue.advance(written);
            if outbox.queue.is_empty() {
                return;
            }
        }
    }

    /// Hangs up if everything that a closed connection was owed is written.
    fn after_flush(&self) {
        let closed = self.session.lock().is_closed();
        if closed {
            self.sink.shut(Shutdown::Write);
        }
    }

    // Being read out, for what has a pipe.

    fn pipe(&self) -> Option<&Pipe> {
        match &self.sink {
            Sink::Pipe(pipe) => Some(pipe),
            Sink::Socket(_) => None,
        }
    }

    /// The next bytes for the client, for the transport of a pipe to write; `None` at the end.
    pub fn poll_chunk(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(pipe) = self.pipe() else { return Poll::Ready(None) };
        pipe.poll_take(cx).map(|taken| {
            let (chunk, is_last) = taken?;
            if is_last {
                self.refill();
            }
            Some(chunk)
        })
    }

    /// Messages that may be lost, for a transport that has a way of its own for them.
    pub fn take_datagrams(self: &Arc<Self>, cx: &mut Context<'_>) -> Vec<Bytes> {
        let datagrams = self.pipe().map(|pipe| pipe.take_datagrams(cx)).unwrap_or_default();
        if !datagrams.is_empty() {
            // They alone may have filled the pipe.
            self.refill();
        }
        datagrams
    }

    /// How the connection was closed, for a transport that says it itself.
    pub fn farewell(&self) -> Option<Farewell> {
        self.session.lock().farewell().cloned()
    }

    /// The pipe has place again: what didn't fit goes on.
    fn refill(self: &Arc<Self>) {
        let mut outbox = self.outbox.lock();
        if outbox.flow != Flow::Blocked {
            return;
        }
        let done = self.write_due(&mut outbox);
        drop(outbox);
        if done {
            self.after_flush();
        }
    }

    /// Waits until there is something to take, or the end.
    pub(crate) fn poll_stirred(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.pipe().map_or(Poll::Ready(()), |pipe| pipe.poll_stirred(cx))
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.pipe().is_none_or(Pipe::has_ended)
    }

    /// All that is there, and where the client stands after it; `None` if it was told to reload meanwhile.
    pub(crate) fn take_all(&self) -> Result<Option<(Vec<Bytes>, Positions)>, RoomError> {
        let outbox = self.outbox.lock();
        let chunks = self.pipe().map(Pipe::take_all).unwrap_or_default();
        match outbox.log {
            Log::Read => Ok(Some((chunks, outbox.positions()))),
            Log::Reset => Ok(None),
            Log::Damaged => {
                let message =
                    "the room's log is damaged there, the server's log says more; ask without a position";
                Err(RoomError::new(Code::Internal, message))
            }
            Log::Failed | Log::GivenUp => Err(RoomError::new(Code::Unavailable, LOG_FAILED)),
        }
    }

    // Ends.

    /// Tells the client something of its own.
    pub(crate) fn say<T>(
        self: &Arc<Self>,
        write: impl FnOnce(&mut Session<Arc<Room>>, &mut Queue) -> T,
    ) -> T {
        let mut queue = Queue::of(self.wire);
        let mut session = lock(&self.session);
        let outcome = write(&mut session, &mut queue);
        // Under both locks: what one said first, and thinks is said, no other's close may overtake.
        let mut outbox = lock(&self.outbox);
        outbox.tell(queue, session.is_closed());
        self.flush(&mut outbox);
        outcome
    }

    /// Ends a connection that is not let in: the close is all it is told.
    pub(crate) fn refuse(self: &Arc<Self>, close: Close, text: &str) {
        self.outbox.lock().queue = Queue::of(self.wire);
        self.close(close, text, Departure::Lost);
    }

    /// Ends the connection with a close; the client hangs up, or is hung up on after a while.
    pub fn close(self: &Arc<Self>, close: Close, text: &str, departure: Departure) {
        let now = self.shared.now();
        self.say(|session, queue| session.close(now, close, text, queue));
        self.depart(departure);
        if self.outbox.lock().queue.is_empty() {
            self.sink.shut(Shutdown::Write);
        }
        self.shared.schedule_connection(self.shared.now().ms + LINGER_MS, self);
    }

    /// Ends the connection with a close, unless publishes are with the engine, whose acks come first. Answers whether it
    /// is closed.
    pub(crate) fn close_if_acked(
        self: &Arc<Self>,
        (close, text, departure): (Close, &str, Departure),
    ) -> bool {
        let now = self.shared.now();
        let closed = self.say(|session, queue| {
            let acked = self.unacked.load(Ordering::Relaxed) == 0;
            if acked {
                session.close(now, close, text, queue);
            }
            acked
        });
        if closed {
            self.close(close, text, departure);
        }
        closed
    }

    /// Leaves all rooms. What is in the queue is still written.
    pub(crate) fn depart(&self, departure: Departure) {
        let readings = self.outbox.lock().shut_all();
        if readings.is_empty() {
            return;
        }
        let (now, who) = (self.shared.now(), self.identity());
        for (room, lane) in readings {
            self.hush(now, &who, &room);
            room.leave(now, (self.id, &who), lane, departure);
            room.drain();
        }
    }

    /// The transport is done with the connection: nothing is written any more.
    pub fn end(&self, departure: Departure) {
        self.depart(departure);
        let flow = self.outbox.lock().end();
        // A flusher waits for a socket that will never be written again; without one, dropping it is enough.
        if flow == Flow::Blocked {
            self.sink.shut(Shutdown::Both);
        } else if self.pipe().is_some() {
            self.sink.shut(Shutdown::Write);
        }
    }

    /// Cuts the connection; whoever reads or writes it finds its end.
    fn hang_up(&self) {
        self.sink.shut(Shutdown::Both);
        self.outbox.lock().end();
    }

    /// A closed connection is read on until its time is up: to hang up on who still writes resets the connection,
    /// and a reset may cost them the close that they were told.
    fn linger(&self, now: Now, until_ms: u64) -> Option<u64> {
        if now.ms < until_ms {
            return Some(until_ms);
        }
        self.hang_up();
        None
    }

    /// Is to be looked at then. Answers the number of the alarm, unless it rings sooner anyway.
    pub(crate) fn set_alarm(&self, due_ms: u64) -> Option<u64> {
        self.alarm.lock().set(due_ms)
    }

    /// Looks at the clock, if this is the alarm. Answers when to look again.
    pub(crate) fn tick(self: &Arc<Self>, now: Now, alarm: u64) -> Option<u64> {
        if !self.alarm.lock().rings(alarm) {
            return None;
        }
        let closed_ms = lock(&self.session).farewell().map(|farewell| farewell.ms);
        if let Some(closed_ms) = closed_ms {
            return self.linger(now, closed_ms + LINGER_MS);
        }
        match self.say(|session, queue| session.tick(now, queue)) {
            Tick::Again(ms) => Some(ms),
            Tick::End(close, text) => {
                self.close(close, text, Departure::Lost);
                None
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.counters.connections.sub(1);
    }
}
