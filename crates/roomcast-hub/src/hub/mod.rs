//! The process: rooms by name, and connections as they come and go. What is due, and the orderly end, are files of
//! their own.

mod builder;
mod end;
mod shared;
mod ticks;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use roomcast_protocol::{Close, Join, Limits, Queue, RoomName, Wire, server};
use roomcast_session::{Identity, Now, Session};
use tokio::{net::TcpStream, sync::Notify};

pub use builder::{Authorizer, Builder};
pub(crate) use shared::{Shared, random};

use crate::{
    Connection, ConnectionId, Counters, Departure, Feed, Room, Turn,
    engine::{Engine, EngineError},
    room::{RoomError, RoomSummary},
    rooms::Rooms,
    rule::Rules,
    sessions::{Claim, Sessions},
};

/// Said to whoever is closed because the hub comes to its end.
const RESTART: &str = "the server is being restarted; come back";

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

    // Connections.

    /// Lets a connection in: takes its session over if another connection has it, and says `welcome`.
    pub fn admit(&self, entrance: Entrance) -> Result<Arc<Connection>, NotAdmitted> {
        let Entrance { line, wire, identity, attempt, bound } = entrance;
        let shared = &self.0.shared;
        if self.is_draining() {
            return Err(NotAdmitted { line, close: Close::Restart, message: RESTART });
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
        if self.is_draining() {
            // The end has begun meanwhile, and may have looked who is here before this one was.
            connection.close(Close::Restart, RESTART, Departure::Lost);
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
}
