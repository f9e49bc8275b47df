//! One room: its log behind, its readers before, its people beside. Everything that is said, read or shown in
//! a room goes through here; what a client may do is decided before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use roomcast_protocol::{
    Code, Data, Draft, Frame, History, Join, Limits, Position, Positions, Publish, Queue, Reset, Rights,
    RoomName, Timestamp,
    server::{self, Delivered, Head, Joined, Members},
};
use roomcast_session::{Identity, Now, Principal, Target};
use smallvec::SmallVec;

use crate::{
    Audience, Key, RoomRule,
    connection::{Connection, ConnectionId, Departure},
    drain::{DrainState, LANE_MEMBERS_MAX, Member, Run},
    engine::{AppendError, Batch, Log, Page, Range, Ticket},
    feed::{Cursor, Feed},
    hub::{Shared, random},
    presence::{Hold, Roster, Told},
    typing::Typists,
    wheel::SLOT_MS,
};

/// How long a room without readers is kept, so that a blink is no reset, in milliseconds.
pub(crate) const IDLE_MS: u64 = 60_000;

/// A message on its way into a room.
#[derive(Debug)]
pub struct Publication<'a, 'd> {
    /// The sender's id for it.
    pub id: Option<&'a str>,
    /// What.
    pub publish: &'a Publish<'d>,
    /// Whose.
    pub publisher: Publisher<'a>,
}

/// Who publishes.
#[derive(Clone, Copy, Debug)]
pub enum Publisher<'a> {
    /// A user, who is the author.
    User(&'a str),
    /// A back end, by the id of its key; it names any author or none.
    Backend(&'a str),
}

impl<'a> Publisher<'a> {
    /// The publisher that an identity is.
    pub fn of(identity: &'a Identity) -> Self {
        match identity.principal {
            Principal::User => Self::User(&identity.user),
            Principal::Backend => Self::Backend(&identity.user),
        }
    }

    fn id(self) -> &'a str {
        let (Self::User(id) | Self::Backend(id)) = self;
        id
    }

    fn write(self, data: &Data<'_>, out: &mut Vec<u8>) {
        match self {
            Self::User(author) => data.write_authored(author, out),
            Self::Backend(_) => data.write(out),
        }
    }
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishError {
    /// The code.
    pub code: Code,
    /// What happened and what to do.
    pub message: String,
}

impl From<AppendError> for PublishError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict => Self {
                code: Code::Conflict,
                message: "this id was used for another message within the last 5 minutes; draw ids at random"
                    .into(),
            },
            AppendError::Unavailable(message) => Self { code: Code::Unavailable, message },
        }
    }
}

/// A page of a room's log, or why there is none.
#[derive(Clone, Debug)]
pub struct HistoryPage {
    /// The messages, ascending.
    pub messages: Vec<Arc<Frame>>,
    /// Whether nothing more is kept in the direction asked for.
    pub complete: bool,
    /// Set when the position was not of this log.
    pub reset: Option<Reset>,
}

impl HistoryPage {
    /// Writes it with a function that takes the wire's form of a page.
    pub fn with<T>(&self, write: impl FnOnce(&server::Page<'_>) -> T) -> T {
        let messages: Vec<&[u8]> = self.messages.iter().map(|frame| frame.json()).collect();
        write(&server::Page { messages: &messages, complete: self.complete, reset: self.reset })
    }
}

/// What the back-end API tells of a room.
#[derive(Clone, Debug)]
pub struct RoomSummary {
    /// Its name.
    pub room: RoomName,
    /// This life of its log, and the last message.
    pub head: Position,
    /// Connections that read it.
    pub readers: usize,
    /// Users that are members.
    pub members: u64,
}

/// The room is being forgotten; look it up again.
#[derive(Debug)]
pub(crate) struct Gone;

/// What a room must do next, by its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Look again at this time.
    Again(u64),
    /// Nothing.
    Nothing,
    /// Nobody has read it for long enough; forget it.
    Forget,
}

/// Readers in lanes of bounded size; a pass clones a lane's `Arc` and then holds no lock of the room.
#[derive(Debug, Default)]
struct Readers {
    lanes: SmallVec<[Arc<Vec<Member>>; 1]>,
    count: usize,
    /// When the last reader left, or the room was used without one.
    idle_since_ms: u64,
    gone: bool,
}

impl Readers {
    /// Adds a member where there is place. Answers the lane.
    fn add(&mut self, member: Member) -> u32 {
        self.count += 1;
        let open = self.lanes.iter().rposition(|lane| lane.len() < LANE_MEMBERS_MAX);
        let lane = open.unwrap_or_else(|| {
            self.lanes.push(Arc::default());
            self.lanes.len() - 1
        });
        Arc::make_mut(&mut self.lanes[lane]).push(member);
        lane as u32
    }

    fn remove(&mut self, lane: u32, id: ConnectionId) {
        let Some(lane) = self.lanes.get_mut(lane as usize) else { return };
        let Some(at) = lane.iter().position(|member| member.connection.id() == id) else { return };
        let members = Arc::make_mut(lane);
        members.swap_remove(at);
        if members.len() < members.capacity() / 4 {
            members.shrink_to_fit();
        }
        self.count -= 1;
        while self.lanes.last().is_some_and(|lane| lane.is_empty()) {
            self.lanes.pop();
        }
    }
}

/// Members and typists: state that is leased, versioned, and told through the feed.
#[derive(Debug)]
struct People {
    roster: Roster,
    typists: Typists,
    /// When the wheel looks at this room next, in milliseconds.
    due_ms: u64,
}

/// A room.
pub struct Room {
    name: RoomName,
    rule: Arc<RoomRule>,
    shared: Arc<Shared>,
    feed: Arc<Feed>,
    log: Arc<dyn Log>,
    readers: Mutex<Readers>,
    people: Mutex<People>,
    drain: DrainState,
    /// Index up to which passes have gone.
    drained: AtomicU64,
    /// When the last pass was, in milliseconds; for rooms that space their writes.
    passed_ms: AtomicU64,
    /// Index after the last presence message in the feed.
    roster_tip: AtomicU64,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Room").field(&self.name).finish()
    }
}

impl Target for Room {
    fn name(&self) -> &RoomName {
        &self.name
    }
}

impl Room {
    pub(crate) fn new(
        name: RoomName,
        rule: Arc<RoomRule>,
        shared: Arc<Shared>,
        (log, feed): (Arc<dyn Log>, Arc<Feed>),
    ) -> Self {
        let now_ms = shared.now().ms;
        let roster = Roster::new(rule.presence.clone(), random());
        Self {
            name,
            rule,
            shared,
            feed,
            log,
            readers: Mutex::new(Readers { idle_since_ms: now_ms, ..Readers::default() }),
            people: Mutex::new(People { roster, typists: Typists::default(), due_ms: 0 }),
            drain: DrainState::default(),
            drained: AtomicU64::new(1),
            passed_ms: AtomicU64::new(0),
            roster_tip: AtomicU64::new(0),
        }
    }

    // What is known.

    /// The name.
    pub fn name(&self) -> &RoomName {
        &self.name
    }

    pub(crate) fn feed(&self) -> &Feed {
        &self.feed
    }

    pub(crate) fn log(&self) -> &dyn Log {
        &*self.log
    }

    fn head(&self, now: Now) -> Head<'_> {
        Head::at(now.wall).in_room(&self.name)
    }

    /// What the back-end API tells.
    pub fn summary(&self) -> RoomSummary {
        let bounds = self.log.bounds();
        RoomSummary {
            room: self.name.clone(),
            head: Position { epoch: bounds.epoch, seq: bounds.head },
            readers: self.readers.lock().count,
            members: self.people.lock().roster.count(),
        }
    }

    /// Who is here, as far as these rights let it be seen.
    pub fn members(&self, rights: Rights) -> Members {
        self.seen(&self.people.lock().roster, rights.allow(Rights::PRESENCE))
    }

    fn seen(&self, roster: &Roster, reads_roster: bool) -> Members {
        if reads_roster {
            return roster.members(self.shared.limits.members_listed_max);
        }
        Members { v: None, members: Vec::new(), count: roster.count() }
    }

    /// Reads a page of the log.
    pub fn history(&self, query: &History, limits: &Limits) -> HistoryPage {
        let bounds = self.log.bounds();
        let messages_max = query.limit.unwrap_or(limits.history_page_default).min(limits.history_page_max);
        let page = Page { messages_max, bytes_max: limits.history_page_bytes_max };
        let range =
            match (position(query.before.as_ref(), &self.name), position(query.since.as_ref(), &self.name)) {
                (Some(before), _) if before.epoch != bounds.epoch => Err(Reset::Epoch),
                (Some(before), _) => Ok(Range::Before(before.seq)),
                (None, Some(since)) => bounds.check(since).map(|()| Range::After(since.seq)),
                (None, None) => Ok(Range::Before(u64::MAX)),
            };
        match range.and_then(|range| self.log.read(range, page)) {
            Ok(Batch { frames, complete }) => HistoryPage { messages: frames, complete, reset: None },
            Err(reset) => HistoryPage { messages: Vec::new(), complete: false, reset: Some(reset) },
        }
    }

    // What is said.

    /// Appends a message, or passes a volatile one on. The caller drains.
    pub(crate) fn append(
        &self,
        now: Now,
        publication: &Publication<'_, '_>,
    ) -> Ticket<Result<Delivered, PublishError>> {
        let Publication { id, publish, publisher } = publication;
        let head = (&*publish.kind, *id, &*self.name);
        let data = |out: &mut Vec<u8>| publisher.write(&publish.data, out);
        self.shared.counters.messages_total.add(1);
        if publish.volatile {
            self.feed.push(Draft::volatile(head, now.wall, data), Audience::All);
            return Ticket::Now(Ok(Delivered { position: None, timestamp: now.wall, duplicate: false }));
        }
        let content = (&*publish.kind, publish.data.as_sent());
        let key = id.map(|id| Key::new((publisher.id(), id), content));
        match self.log.append(now, Draft::new(head, now.wall, data), key) {
            Ticket::Now(outcome) => Ticket::Now(outcome.map_err(PublishError::from)),
            Ticket::Later(outcome) => {
                Ticket::Later(Box::pin(async move { outcome.await.map_err(PublishError::from) }))
            }
        }
    }

    /// Publishes from outside of any connection: a back end, an embedder, a `POST`.
    pub async fn publish(
        self: &Arc<Self>,
        publication: &Publication<'_, '_>,
    ) -> Result<Delivered, PublishError> {
        let ticket = self.append(self.shared.now(), publication);
        let outcome = ticket.wait().await;
        self.touch();
        self.drain_apart();
        outcome
    }

    /// Shows that a user types, or no longer. The caller drains.
    pub(crate) fn type_(
        self: &Arc<Self>,
        now: Now,
        who: &Identity,
        (on, data): (bool, Option<&Data<'_>>),
        sender: Option<ConnectionId>,
    ) {
        let mut people = self.people.lock();
        let tell = if on {
            people.typists.start(now.ms, &who.session, &who.user)
        } else {
            people.typists.stop(&who.session)
        };
        if tell {
            let audience = sender.map_or(Audience::All, Audience::AllBut);
            self.tell_typing(now, &who.user, (on, data), audience);
        }
        self.schedule(&mut people);
    }

    fn tell_typing(&self, now: Now, user: &str, (on, data): (bool, Option<&Data<'_>>), audience: Audience) {
        let head = self.head(now);
        self.feed.push(Frame::new(now.wall, |out| server::typing(head, user, on, data, out)), audience);
    }

    /// Typing from outside of any connection.
    pub fn show_typing(self: &Arc<Self>, who: &Identity, on: bool, data: &Data<'_>) {
        self.type_(self.shared.now(), who, (on, Some(data)), None);
        self.drain_apart();
    }

    // Who is here.

    /// A member renews or sets its state. The caller drains. Answers whether it is a member.
    pub(crate) fn renew(
        self: &Arc<Self>,
        now: Now,
        who: &Identity,
        state: Option<Box<str>>,
        connection: ConnectionId,
    ) -> bool {
        let mut people = self.people.lock();
        let is_member = people.roster.has(who);
        if is_member {
            let told = people.roster.enter(now.ms, who, Hold::Connection(connection), state);
            self.tell(now, told, &people.roster);
        }
        is_member
    }

    /// A session without a socket is here, until its lease ends.
    pub fn lease(self: &Arc<Self>, who: &Identity, state: Option<Box<str>>) {
        let now = self.shared.now();
        let mut people = self.people.lock();
        let hold = people.roster.lease(now.ms);
        let told = people.roster.enter(now.ms, who, hold, state);
        self.tell(now, told, &people.roster);
        self.schedule(&mut people);
        drop(people);
        self.touch();
        self.drain_apart();
    }

    /// A session without a socket goes.
    pub fn unlease(self: &Arc<Self>, who: &Identity) {
        let now = self.shared.now();
        let mut people = self.people.lock();
        let told = people.roster.leave(now.ms, who, None);
        self.tell(now, told, &people.roster);
        drop(people);
        self.drain_apart();
    }

    /// Puts what the roster says into the feed. Under the roster's lock, so that versions are in order.
    fn tell(&self, now: Now, told: Option<Told>, roster: &Roster) {
        let Some(told) = told else { return };
        let head = self.head(now);
        let frame = Frame::new(now.wall, |out| match &told {
            Told::Change(change, v, count) => server::presence(head, change, *v, *count, out),
            Told::Sync => server::sync(head, &self.seen(roster, true), out),
        });
        self.feed.push(frame, Audience::Roster);
        self.roster_tip.store(self.feed.tip(), Ordering::Release);
    }

    // Readers.

    /// Makes a connection a reader, its reading held until the ack is written. The caller drains.
    pub(crate) fn join(
        self: &Arc<Self>,
        now: Now,
        (connection, who): (&Arc<Connection>, &Identity),
        (join, rights): (&Join, Rights),
    ) -> Result<(Joined, Members), Gone> {
        let slot = self.sit(connection)?;
        let mut people = self.people.lock();
        let told = if join.member {
            people.roster.enter(now.ms, who, Hold::Connection(connection.id()), join.state.clone())
        } else {
            people.roster.leave(now.ms, who, Some(connection.id()))
        };
        self.tell(now, told, &people.roster);
        let reads_roster = rights.allow(Rights::PRESENCE);
        let members = self.seen(&people.roster, reads_roster);
        // The tip is taken under the roster's lock: the members are those of just this place in the feed.
        let end = self.feed.end();
        self.schedule(&mut people);
        drop(people);
        let (joined, cursor) = self.place(join, slot.reads_from, end);
        connection.place(slot.number, cursor, end.index, reads_roster);
        if joined.reset.is_some() {
            self.shared.counters.resets_total.add(1);
        }
        Ok((joined, members))
    }

    /// Finds or makes the connection's slot and its place in a lane.
    fn sit(self: &Arc<Self>, connection: &Arc<Connection>) -> Result<Slot, Gone> {
        let mut readers = self.readers.lock();
        if readers.gone {
            return Err(Gone);
        }
        if let Some((number, cursor)) = connection.hold(self) {
            return Ok(Slot { number, reads_from: Some(cursor) });
        }
        let number = connection.open(self);
        let member = Member { connection: connection.clone(), slot: number as u32 };
        let lane = readers.add(member);
        connection.set_lane(number, lane);
        Ok(Slot { number, reads_from: None })
    }

    /// Where a reader begins, and what its ack says.
    fn place(&self, join: &Join, reads_from: Option<Cursor>, end: Cursor) -> (Joined, Cursor) {
        let bounds = self.log.bounds();
        let presented = position(join.since.as_ref(), &self.name);
        let checked = presented.map(|position| bounds.check(position).map(|()| position.seq));
        let (from, reset) = match (checked, join.last) {
            (Some(Ok(seq)), _) => (seq, None),
            (Some(Err(reset)), _) => (end.seq, Some(reset)),
            (None, Some(last)) => (end.seq.saturating_sub(last as u64).max(bounds.floor), None),
            (None, None) => (reads_from.map_or(end.seq, |cursor| cursor.seq), None),
        };
        let recovered = matches!(checked, Some(Ok(_)));
        let joined = Joined { epoch: bounds.epoch, seq: end.seq.max(from), from, recovered, reset };
        let cursor = match reads_from {
            Some(cursor) if presented.is_none() && join.last.is_none() => cursor,
            _ if from == end.seq => end,
            _ => Cursor::after(from),
        };
        (joined, cursor)
    }

    /// A connection reads no longer. The caller drains.
    pub(crate) fn leave(
        self: &Arc<Self>,
        now: Now,
        (id, who): (ConnectionId, &Identity),
        lane: u32,
        departure: Departure,
    ) {
        let mut readers = self.readers.lock();
        readers.remove(lane, id);
        readers.idle_since_ms = now.ms;
        let empty = readers.count == 0;
        drop(readers);
        let mut people = self.people.lock();
        if people.typists.stop(&who.session) {
            self.tell_typing(now, &who.user, (false, None), Audience::All);
        }
        match departure {
            Departure::Clean => {
                let told = people.roster.leave(now.ms, who, Some(id));
                self.tell(now, told, &people.roster);
            }
            Departure::Lost => people.roster.lose(now.ms, who, id),
        }
        self.schedule(&mut people);
        drop(people);
        if empty {
            self.shared.schedule_room(now.ms + IDLE_MS + SLOT_MS, self);
        }
    }

    /// Makes good for presence that a reader missed who has seen the feed up to an index. Answers from where on
    /// it is at the tip again.
    pub(crate) fn catch_up(&self, reads_roster: bool, seen: u64, queue: &mut Queue) -> u64 {
        let tip = self.feed.tip();
        if !reads_roster || self.roster_tip.load(Ordering::Acquire) <= seen {
            return tip;
        }
        self.sync(queue).index
    }

    /// Tells a reader to reload. Answers where it goes on.
    pub(crate) fn reset(&self, reason: Reset, reads_roster: bool, queue: &mut Queue) -> Cursor {
        self.shared.counters.resets_total.add(1);
        let (now, epoch) = (self.shared.now(), self.log.bounds().epoch);
        let mut rest = Queue::default();
        let end = if reads_roster { self.sync(&mut rest) } else { self.feed.end() };
        queue.push(|out| server::reset(self.head(now), reason, &epoch, end.seq, out));
        queue.extend(rest.bytes());
        end
    }

    /// Appends a sync. Answers the place in the feed that it belongs to.
    fn sync(&self, queue: &mut Queue) -> Cursor {
        let now = self.shared.now();
        let people = self.people.lock();
        let members = self.seen(&people.roster, true);
        queue.push(|out| server::sync(self.head(now), &members, out));
        self.feed.end()
    }

    // The drain.

    /// Brings the readers to the tip, from here if they are few.
    pub(crate) fn drain(self: &Arc<Self>) {
        if !self.drain.begin() {
            return;
        }
        let wait = self.spacing();
        let lanes = self.readers.lock().lanes.clone();
        if wait.is_zero() && lanes.len() <= 1 {
            self.pass(&lanes);
            if self.is_drained() {
                return;
            }
        }
        self.shared.runtime.spawn(self.clone().go_on(wait));
    }

    /// Brings the readers to the tip from a task of its own.
    pub(crate) fn drain_apart(self: &Arc<Self>) {
        if self.drain.begin() {
            self.shared.runtime.spawn(self.clone().go_on(self.spacing()));
        }
    }

    /// How long the readers wait so that messages leave together.
    fn spacing(&self) -> Duration {
        if self.rule.coalesce.is_zero() {
            return Duration::ZERO;
        }
        let since = self.shared.now().ms.saturating_sub(self.passed_ms.load(Ordering::Relaxed));
        self.rule.coalesce.saturating_sub(Duration::from_millis(since))
    }

    /// Walks the lanes until the tip is reached, and lets others run before each: a large room must not make
    /// small ones wait.
    async fn go_on(self: Arc<Self>, wait: Duration) {
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        loop {
            let lanes = self.readers.lock().lanes.clone();
            let mut run = self.run();
            for lane in &lanes {
                tokio::task::yield_now().await;
                run.serve(lane);
            }
            self.passed(&run);
            if self.is_drained() {
                return;
            }
            let spacing = self.rule.coalesce;
            if spacing.is_zero() {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(spacing).await;
            }
        }
    }

    fn pass(self: &Arc<Self>, lanes: &[Arc<Vec<Member>>]) {
        let mut run = self.run();
        for lane in lanes {
            run.serve(lane);
        }
        self.passed(&run);
    }

    fn run(self: &Arc<Self>) -> Run<'_> {
        Run::from(self, self.drained.load(Ordering::Acquire))
    }

    fn passed(&self, run: &Run<'_>) {
        self.shared.counters.deliveries_total.add(run.delivered());
        self.drained.store(run.end().index, Ordering::Release);
        self.feed.forget_before(run.end().index);
        if !self.rule.coalesce.is_zero() {
            self.passed_ms.store(self.shared.now().ms, Ordering::Relaxed);
        }
    }

    /// Ends draining if the tip is reached; else the caller goes round again.
    fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Acquire) >= self.feed.tip() && self.drain.finish()
    }

    // Time.

    /// The room is used without a reader.
    pub(crate) fn touch(&self) {
        self.readers.lock().idle_since_ms = self.shared.now().ms;
    }

    /// Has the wheel look at the room in time.
    fn schedule(self: &Arc<Self>, people: &mut People) {
        let due = people.roster.due_ms().into_iter().chain(people.typists.due_ms()).min();
        if let Some(due_ms) = due
            && (people.due_ms <= self.shared.now().ms || due_ms < people.due_ms)
        {
            people.due_ms = due_ms;
            self.shared.schedule_room(due_ms, self);
        }
    }

    /// Looks at the clock: leases that have ended, numbers that are due, a room that nobody reads.
    pub(crate) fn tick(self: &Arc<Self>, now: Now) -> Next {
        let mut people = self.people.lock();
        people.due_ms = 0;
        for told in people.roster.expire(now.ms) {
            self.tell(now, Some(told), &people.roster);
        }
        for user in people.typists.expire(now.ms) {
            self.tell_typing(now, &user, (false, None), Audience::All);
        }
        let due_ms = people.roster.due_ms().into_iter().chain(people.typists.due_ms()).min();
        people.due_ms = due_ms.unwrap_or(0);
        let deserted = people.roster.count() == 0;
        drop(people);
        self.drain();
        let readers = self.readers.lock();
        match due_ms {
            Some(due_ms) => Next::Again(due_ms),
            None if readers.count > 0 || !deserted => Next::Nothing,
            None if now.ms >= readers.idle_since_ms + IDLE_MS => Next::Forget,
            None => Next::Again(readers.idle_since_ms + IDLE_MS),
        }
    }

    /// Closes the room to new readers, if it has none and is not in use. What the caller then does is forget it.
    pub(crate) fn close(&self, now: Now, idle_ms: u64) -> bool {
        let mut readers = self.readers.lock();
        readers.gone |= readers.count == 0 && now.ms >= readers.idle_since_ms + idle_ms;
        readers.gone
    }

    /// Tells the timestamp by which this room's messages would be stamped now.
    pub fn now(&self) -> Timestamp {
        self.shared.now().wall
    }
}

/// A slot in a connection's outbox; where it reads already, if it does.
struct Slot {
    number: usize,
    reads_from: Option<Cursor>,
}

fn position<'a>(positions: Option<&'a Positions>, room: &str) -> Option<&'a Position> {
    positions.and_then(|positions| positions.of(room))
}
