//! The process: rooms by name, sessions, one tick for all that is timed, and an orderly end.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use roomcast_protocol::{Close, Code, Join, Limits, Queue, RoomName, SessionId, Timestamp, Wire, server};
use roomcast_session::{Identity, Now, Session};
use tokio::{net::TcpStream, runtime::Handle, sync::Notify};

use crate::{
    Connection, ConnectionId, Counters, Departure, Feed, Room, RoomRule, Turn,
    clock::Clock,
    engine::{Engine, EngineError, Memory},
    room::{Idleness, RoomError, RoomSummary},
    rooms::{IdleRooms, Rooms},
    rule::Rules,
    sessions::{Claim, Sessions},
    wheel::{SLOT_MS, Wheel},
};

/// How long an idle room is kept when memory is full, in place of `limits.idle_room_kept`.
const IDLE_MS_MIN: u64 = 1_000;
/// Idle rooms looked at in one tick.
const IDLE_ROOMS_PER_TICK: usize = 100_000;
/// Waves in which the connections of an orderly end are closed, at most.
const WAVES: u32 = 10;
/// Connections that one wave closes, at least.
const WAVE_CONNECTIONS_MIN: usize = 100;

/// Verifies the token that a client sends in place.
pub trait Authorizer: Send + Sync + 'static {
    /// Who the token says it is, for a session that is live; or the code and what to do.
    fn authenticate(
        &self,
        token: &str,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<Identity, (Code, String)>;
}

/// Refuses every token: for hubs whose clients never change theirs.
#[derive(Debug)]
struct NoTokens;

impl Authorizer for NoTokens {
    fn authenticate(&self, _: &str, _: &SessionId, _: Timestamp) -> Result<Identity, (Code, String)> {
        Err((Code::Unauthorized, "this server verifies no tokens".into()))
    }
}

/// What rooms and connections share with the hub.
pub(crate) struct Shared {
    pub(crate) limits: Arc<Limits>,
    pub(crate) counters: Counters,
    pub(crate) runtime: Handle,
    pub(crate) idle: IdleRooms,
    clock: Clock,
    wheel: Mutex<Wheel<(u64, Due)>>,
}

/// 64 random bits.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    u64::from_le_bytes(bytes)
}

/// What the wheel holds, with the number of its alarm.
enum Due {
    Connection(Weak<Connection>),
    Room(Weak<Room>),
}

impl Shared {
    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(crate) fn schedule_room(&self, (due_ms, alarm): (u64, u64), room: &Arc<Room>) {
        self.wheel.lock().put(due_ms, (alarm, Due::Room(Arc::downgrade(room))));
    }

    pub(crate) fn schedule_connection(&self, due_ms: u64, connection: &Arc<Connection>) {
        if let Some(alarm) = connection.set_alarm(due_ms) {
            self.wheel.lock().put(due_ms, (alarm, Due::Connection(Arc::downgrade(connection))));
        }
    }
}

/// What carries a connection.
#[derive(Debug)]
pub enum Line {
    /// A bare socket: whoever has something for the client writes it.
    Socket(TcpStream),
    /// Anything else. The transport takes out what is due and writes it: TLS, HTTP/2, QUIC. When the client takes no
    /// byte for too long, what lies below is told to cut it, if there is such a thing.
    Pipe(Option<Arc<Notify>>),
}

/// A connection that asks to be let in: its identity is decided, its handshake done.
#[derive(Debug)]
pub struct Entrance {
    /// What carries it, the handshake's bytes behind it.
    pub line: Line,
    /// The form in which it takes frames.
    pub wire: Wire,
    /// Who it is.
    pub identity: Identity,
    /// Which try of the client this is; a lower one never displaces a higher.
    pub attempt: u32,
    /// The room of its path, and how to join it.
    pub bound: Option<(RoomName, Join)>,
}

/// Why a connection was not let in; the close to send on the socket.
#[derive(Debug)]
pub struct NotAdmitted {
    /// What it came on.
    pub line: Line,
    /// The close.
    pub close: Close,
    /// What happened and what to do.
    pub message: &'static str,
}

/// Makes a [`Hub`].
pub struct Builder {
    limits: Limits,
    rules: Vec<RoomRule>,
    engine: Option<Box<dyn Engine>>,
    authorizer: Arc<dyn Authorizer>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("limits", &self.limits)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self { limits: Limits::default(), rules: Vec::new(), engine: None, authorizer: Arc::new(NoTokens) }
    }
}

impl Builder {
    /// Limits other than the protocol's defaults.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How rooms behave; the first rule whose pattern matches decides.
    #[must_use]
    pub fn rules(mut self, rules: Vec<RoomRule>) -> Self {
        self.rules = rules;
        self
    }

    /// An engine other than [`Memory`] with its defaults.
    #[must_use]
    pub fn engine(mut self, engine: impl Engine) -> Self {
        self.engine = Some(Box::new(engine));
        self
    }

    /// Who verifies tokens that clients send in place.
    #[must_use]
    pub fn authorizer(mut self, authorizer: Arc<dyn Authorizer>) -> Self {
        self.authorizer = authorizer;
        self
    }

    /// Starts the hub on the tokio runtime that this is called on.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn build(self) -> Hub {
        let clock = Clock::start();
        let wheel = Mutex::new(Wheel::new(clock.now().ms));
        let shared = Arc::new(Shared {
            limits: Arc::new(self.limits),
            counters: Counters::default(),
            runtime: Handle::current(),
            idle: IdleRooms::default(),
            clock,
            wheel,
        });
        let inner = Arc::new(Inner {
            shared,
            rules: Rules::new(self.rules),
            engine: self.engine.unwrap_or_else(|| Box::new(Memory::default())),
            authorizer: self.authorizer,
            rooms: Rooms::default(),
            sessions: Sessions::default(),
            connections: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            degraded: AtomicBool::new(false),
        });
        tokio::spawn(tick_along(Arc::downgrade(&inner)));
        Hub(inner)
    }
}

struct Inner {
    shared: Arc<Shared>,
    rules: Rules,
    engine: Box<dyn Engine>,
    authorizer: Arc<dyn Authorizer>,
    rooms: Rooms,
    sessions: Sessions,
    connections: AtomicU64,
    draining: AtomicBool,
    /// Clients were told that the log can't be reached.
    degraded: AtomicBool,
}

/// All rooms of a process. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hub")
    }
}

impl Hub {
    /// Begins to make a hub.
    pub fn builder() -> Builder {
        Builder::default()
    }

    // What is known.

    /// The limits.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.0.shared.limits
    }

    /// What is counted.
    pub fn counters(&self) -> &Counters {
        &self.0.shared.counters
    }

    /// Bytes that the engine holds in memory.
    pub fn memory_bytes(&self) -> usize {
        self.0.engine.memory_bytes()
    }

    /// The time.
    pub fn now(&self) -> Now {
        self.0.shared.now()
    }

    /// Whether the hub is coming to its end.
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Acquire)
    }

    /// Whether the engine has taken nothing for too long.
    pub fn is_degraded(&self) -> bool {
        self.0.degraded.load(Ordering::Acquire)
    }

    /// How often the engine has failed to write.
    pub fn log_failures(&self) -> u64 {
        self.0.engine.failures()
    }

    pub(crate) fn authorizer(&self) -> &dyn Authorizer {
        &*self.0.authorizer
    }

    // Rooms.

    /// The room of this name. A room begins to exist when it is used, and is kept for as long as somebody holds it.
    pub fn room(&self, name: &str) -> Result<Arc<Room>, RoomError> {
        let room = self.use_room(&RoomName::new(name)?)?;
        room.touch();
        Ok(room)
    }

    /// The room of this name, if it is in use.
    pub fn find_room(&self, name: &str) -> Option<Arc<Room>> {
        self.0.rooms.get(name)
    }

    /// What the rooms in use are, by name.
    pub fn rooms(&self, after: &str, limit: usize) -> Vec<RoomSummary> {
        self.0.rooms.page(after, limit).iter().map(|room| room.summary()).collect()
    }

    pub(crate) fn use_room(&self, name: &RoomName) -> Result<Arc<Room>, EngineError> {
        self.0.rooms.get_or_make(name, || self.make_room(name))
    }

    fn make_room(&self, name: &RoomName) -> Result<Arc<Room>, EngineError> {
        let Inner { shared, rules, engine, .. } = &*self.0;
        let (now, rule) = (shared.now(), rules.of(name));
        let mut feed = None;
        let log =
            engine.watch(now, name, rule, &mut |head| feed.insert(Arc::new(Feed::new(head))).clone())?;
        let feed = feed.expect("an engine makes the feed when it is asked to watch");
        let room = Arc::new(Room::new(name.clone(), rule.clone(), shared.clone(), (log, feed)));
        shared.counters.rooms.add(1);
        Ok(room)
    }

    /// Forgets rooms that nobody has used for long enough; sooner, the longest idle first, if memory is full.
    fn forget_idle_rooms(&self, now: Now) {
        for _ in 0..IDLE_ROOMS_PER_TICK {
            let kept_ms = self.limits().idle_room_kept.as_millis() as u64;
            let idle_ms = if self.0.engine.is_full() { IDLE_MS_MIN } else { kept_ms };
            let Some(name) = self.0.shared.idle.pop(now.ms.saturating_sub(idle_ms)) else { return };
            let Some(room) = self.0.rooms.get(&name) else { continue };
            let Idleness::Since(since_ms) = room.idleness(now) else { continue };
            if since_ms + idle_ms > now.ms {
                self.0.shared.idle.push(since_ms, &name);
            } else if !self.forget_room(now, &room, since_ms) {
                // Somebody holds it.
                self.0.shared.idle.push(now.ms, &name);
            }
        }
    }

    fn forget_room(&self, now: Now, room: &Arc<Room>, since_ms: u64) -> bool {
        let Inner { shared, engine, rooms, .. } = &*self.0;
        let gone =
            rooms.remove_if(room, || room.is_idle_since(since_ms), || engine.unwatch(now, room.name()));
        if gone {
            shared.counters.rooms.sub(1);
        }
        gone
    }

    // Connections.

    /// Lets a connection in: takes its session over if another connection has it, and says `welcome`.
    pub fn admit(&self, entrance: Entrance) -> Result<Arc<Connection>, NotAdmitted> {
        let Entrance { line, wire, identity, attempt, bound } = entrance;
        let shared = &self.0.shared;
        if self.is_draining() {
            let message = "the server is being restarted; come back";
            return Err(NotAdmitted { line, close: Close::Restart, message });
        }
        let identity = Arc::new(identity);
        let mut queue = Queue::of(wire);
        let session = Session::open(shared.now(), identity.clone(), shared.limits.clone(), &mut queue);
        let id = self.next_id();
        let start = (session, queue);
        let connection = Arc::new(Connection::new((id, attempt), (line.into(), wire), shared.clone(), start));
        match self.0.sessions.claim(&identity, &connection) {
            Claim::Fresh => {}
            Claim::Displaces(older) => {
                shared.counters.taken_over_total.add(1);
                older.close(Close::TakenOver, "this session connected anew", Departure::Lost);
            }
            Claim::Late => {
                connection.refuse(Close::TakenOver, "a later try of this session is connected");
                return Ok(connection);
            }
        }
        shared.schedule_connection(shared.now().ms, &connection);
        let mut turn = self.turn(&connection);
        if let Some((room, join)) = bound {
            turn.bind(room, join);
        }
        turn.finish();
        self.tell_if_degraded(&connection);
        Ok(connection)
    }

    pub(crate) fn next_id(&self) -> ConnectionId {
        ConnectionId(self.0.connections.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// Begins a turn of a connection's reading.
    pub fn turn<'c>(&'c self, connection: &'c Arc<Connection>) -> Turn<'c> {
        Turn::begin(self, connection)
    }

    /// A connection's transport has come to its end.
    pub fn dismiss(&self, connection: &Arc<Connection>, departure: Departure) {
        connection.end(departure);
        self.0.sessions.release(&connection.identity(), connection);
    }

    /// Ends a user's connections. Answers how many.
    pub fn disconnect_user(&self, user: &str) -> usize {
        let connections = self.0.sessions.of_user(user);
        for connection in &connections {
            let now = self.now();
            connection.say(|_, queue| {
                queue.push(|out| {
                    server::kicked(server::Head::at(now.wall), "disconnected by the application", out);
                });
            });
            connection.close(Close::Kicked, "disconnected by the application", Departure::Clean);
        }
        connections.len()
    }

    /// Comes to an orderly end within `time`: every client is told to come back at a moment of its own within
    /// `spread`, then closed in waves.
    pub async fn drain(&self, time: Duration, spread: Duration) {
        self.0.draining.store(true, Ordering::Release);
        let now = self.now();
        let connections = self.0.sessions.all();
        for connection in &connections {
            let reconnect_in = Duration::from_millis(random() % (spread.as_millis() as u64 + 1));
            connection.say(|session, queue| session.drain(now, reconnect_in, queue));
        }
        self.close_in_waves(connections, time).await;
        let end_ms = now.ms + time.as_millis() as u64;
        while self.counters().connections.get() > 0 && self.now().ms < end_ms {
            tokio::time::sleep(Duration::from_millis(SLOT_MS / 5)).await;
        }
    }

    /// Closes connections wave by wave, each once its publishes are acked or the log has taken too long.
    async fn close_in_waves(&self, mut connections: Vec<Arc<Connection>>, time: Duration) {
        let restart = (Close::Restart, "the server is being restarted; come back", Departure::Lost);
        let size = connections.len().div_ceil(WAVES as usize).max(WAVE_CONNECTIONS_MIN);
        let mut unacked = Vec::new();
        // Given up wave by wave: a connection that is held here would never be counted out.
        while !connections.is_empty() {
            let wave = connections.drain(..size.min(connections.len()));
            unacked.extend(wave.filter(|connection| !connection.close_if_acked(restart)));
            if !connections.is_empty() {
                tokio::time::sleep(time / 2 / WAVES).await;
            }
        }
        let patience = self.limits().append_timeout.min(time / 4);
        let decided_ms = self.now().ms + patience.as_millis() as u64;
        while !unacked.is_empty() && self.now().ms < decided_ms {
            tokio::time::sleep(Duration::from_millis(SLOT_MS / 5)).await;
            unacked.retain(|connection| !connection.close_if_acked(restart));
        }
        let (close, text, departure) = restart;
        for connection in unacked {
            connection.close(close, text, departure);
        }
    }

    /// Tells whoever comes while the log can't be reached; who is known to the sessions by now.
    pub(crate) fn tell_if_degraded(&self, connection: &Arc<Connection>) {
        if self.is_degraded() {
            let head = server::Head::at(self.now().wall);
            connection.say(|_, queue| queue.push(|out| server::degraded(head, out)));
        }
    }

    /// Looks how the engine does, and tells everybody when that changes.
    fn look_at_engine(&self) {
        let trouble = self.0.engine.trouble().unwrap_or_default();
        let degraded = trouble >= self.limits().degraded_after;
        if self.0.degraded.swap(degraded, Ordering::AcqRel) == degraded {
            return;
        }
        let tell = if degraded {
            tracing::error!(?trouble, "the log takes nothing: clients are told `degraded`");
            server::degraded
        } else {
            tracing::info!("the log takes messages again: clients are told `restored`");
            server::restored
        };
        let head = server::Head::at(self.now().wall);
        for connection in self.0.sessions.all() {
            connection.say(|_, queue| queue.push(|out| tell(head, out)));
        }
    }

    fn tick(&self, now: Now) {
        let shared = &self.0.shared;
        let due = shared.wheel.lock().take(now.ms);
        for (alarm, due) in due {
            match due {
                Due::Connection(connection) => {
                    if let Some(connection) = connection.upgrade()
                        && let Some(again_ms) = connection.tick(now, alarm)
                    {
                        shared.schedule_connection(again_ms, &connection);
                    }
                }
                Due::Room(room) => {
                    if let Some(room) = room.upgrade() {
                        room.tick(now, alarm);
                    }
                }
            }
        }
    }
}

/// Ticks until the hub is dropped.
async fn tick_along(hub: Weak<Inner>) {
    let mut interval = tokio::time::interval(Duration::from_millis(SLOT_MS));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ticks = 0_u64;
    loop {
        interval.tick().await;
        let Some(inner) = hub.upgrade() else { return };
        let hub = Hub(inner);
        hub.tick(hub.now());
        hub.forget_idle_rooms(hub.now());
        ticks += 1;
        if ticks.is_multiple_of(1000 / SLOT_MS) {
            hub.0.engine.tick(hub.now());
            hub.look_at_engine();
        }
    }
}

#[cfg(test)]
mod tests {
    use roomcast_protocol::{Data, Grants, Publish, UserId};
    use roomcast_session::Principal;

    use super::*;
    use crate::{Publication, Publisher};

    const ROOMS: usize = 10_000;
    /// As the protocol promises.
    const IDLE_MS: u64 = 60_000;

    fn later(hub: &Hub, ms: u64) -> Now {
        Now { ms: hub.now().ms + ms, ..hub.now() }
    }

    #[tokio::test]
    async fn rooms_that_nobody_uses_leave_nothing_behind() {
        let hub = Hub::builder().build();
        (0..ROOMS).for_each(|i| drop(hub.room(&format!("r{i}")).unwrap()));
        assert_eq!(hub.counters().rooms.get(), ROOMS as u64);
        assert!(hub.memory_bytes() > 0);
        let epoch = hub.room("r0").unwrap().summary().head.epoch;
        hub.forget_idle_rooms(later(&hub, IDLE_MS - 10_000));
        assert_eq!(hub.counters().rooms.get(), ROOMS as u64, "a blink is no reset");
        hub.forget_idle_rooms(later(&hub, IDLE_MS));
        assert_eq!((hub.counters().rooms.get(), hub.memory_bytes()), (0, 0));
        assert_ne!(
            hub.room("r0").unwrap().summary().head.epoch,
            epoch,
            "a position from before is of no use"
        );
    }

    #[tokio::test]
    async fn an_idle_room_is_kept_as_long_as_configured() {
        let limits = Limits { idle_room_kept: Duration::from_secs(5), ..Limits::default() };
        let hub = Hub::builder().limits(limits).build();
        hub.room("r").unwrap();
        hub.forget_idle_rooms(later(&hub, 4_000));
        assert!(hub.find_room("r").is_some());
        hub.forget_idle_rooms(later(&hub, 5_000));
        assert!(hub.find_room("r").is_none());
    }

    #[tokio::test]
    async fn when_memory_is_full_the_longest_idle_room_goes_first() {
        let hub = Hub::builder().engine(Memory::new(1, crate::KeyLimits::default())).build();
        hub.room("r").unwrap();
        hub.forget_idle_rooms(later(&hub, IDLE_MS_MIN));
        assert!(hub.find_room("r").is_none());
    }

    #[tokio::test]
    async fn a_room_with_messages_is_found_again_after_it_was_put_away() {
        let hub = Hub::builder().build();
        let room = hub.room("r").unwrap();
        let publish = Publish::new("text".into(), Data::default(), false).unwrap();
        let publication = Publication { id: None, publish: &publish, publisher: Publisher::User("ada") };
        room.publish(&publication).await.unwrap();
        let head = room.summary().head;
        drop(room);
        // Whoever serves its readers lets go of it, too.
        tokio::task::yield_now().await;
        hub.forget_idle_rooms(later(&hub, IDLE_MS));
        assert!(hub.find_room("r").is_none());
        assert_eq!(hub.room("r").unwrap().summary().head, head);
    }

    #[tokio::test]
    async fn a_room_that_somebody_holds_is_kept() {
        let hub = Hub::builder().build();
        let room = hub.room("r").unwrap();
        hub.forget_idle_rooms(later(&hub, IDLE_MS));
        assert!(Arc::ptr_eq(&room, &hub.room("r").unwrap()), "what is said in another reaches nobody");
        drop(room);
        hub.forget_idle_rooms(later(&hub, 2 * IDLE_MS));
        assert!(hub.find_room("r").is_none());
    }

    fn ada() -> Identity {
        Identity {
            user: UserId::new("ada").unwrap(),
            principal: Principal::User,
            session: SessionId::new("abcdefghijklmnopqrstuv").unwrap(),
            grants: Arc::new(Grants::all()),
            info: None,
            expires_at: None,
        }
    }

    /// Every token is ada's.
    struct Ada;

    impl Authorizer for Ada {
        fn authenticate(&self, _: &str, _: &SessionId, _: Timestamp) -> Result<Identity, (Code, String)> {
            Ok(ada())
        }
    }

    #[tokio::test]
    async fn however_often_a_time_changes_one_is_waited_for() {
        let limits = Limits { typing_lease: Duration::ZERO, ..Limits::default() };
        let mut rule = RoomRule::new(roomcast_protocol::Pattern::new("*").unwrap());
        rule.presence.lease = Duration::from_secs(3600);
        let hub = Hub::builder().limits(limits).rules(vec![rule]).authorizer(Arc::new(Ada)).build();
        let (line, wire) = (Line::Pipe(None), Wire::Counted);
        let entrance = Entrance { line, wire, identity: ada(), attempt: 0, bound: None };
        let connection = hub.admit(entrance).unwrap();
        let room = hub.room("r").unwrap();
        room.lease(&ada(), None);
        for i in 1..=10 {
            hub.turn(&connection).message(r#"{"type":"auth","data":{"token":"t"}}"#);
            room.show_typing(&ada(), true, &Data::default());
            hub.tick(later(&hub, i * 2 * SLOT_MS));
        }
        hub.tick(later(&hub, 60_000));
        let waiting = hub.0.shared.wheel.lock().take(u64::MAX / 2);
        assert_eq!(waiting.len(), 2, "for the connection and for the room");
    }
}
