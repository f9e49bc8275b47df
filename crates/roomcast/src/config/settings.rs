//! Every key of the configuration: its meaning, default and range, once. The commented file of `init`, `check`,
//! `config` and the reference page are all made from these tables. What the values do is for the libraries.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use roomcast_engine_disk as engine_disk;
use roomcast_hub::{self as hub, KeyLimits, PresenceRule, Retention, RoomRule};
use roomcast_protocol::{Limits, Pattern, Rights};
use roomcast_server::{Settings, TrustedProxy, auth::Algorithm};
use toml::Value;
use tracing_subscriber::EnvFilter;

use super::{
    secret::Secret,
    setting::{Setting, Shape, choice, table},
};

const MIB: usize = 1024 * 1024;

table! {
    /// The whole configuration.
    struct Config {
        /// What is logged, as a filter of `tracing`: `info`, `debug`, `roomcast_server=debug,info`.
        log: LogFilter = LogFilter("info".into());
        /// How log lines look: `text` to read, `json` to collect.
        log_format: LogFormat = LogFormat::Text;
        /// What keeps the messages: `disk`, which survives the process, or `memory`. `dev` has memory unless it is
        /// told otherwise.
        engine: Engine = Engine::Disk;
        /// Where the server listens and whom it trusts.
        server: Server;
        /// Who may come in. `serve` needs a secret or a key here.
        auth: Auth;
        /// Rules for rooms; the first whose pattern matches a room decides. Without a match a room has the
        /// defaults below, and only tokens with a `rooms` claim give rights in it.
        rooms: Vec<Rule> = Vec::new();
        /// What one peer may ask for. Each limit has an answer with a name.
        limits: Limits;
        /// The disk engine.
        disk: Disk;
        /// The memory engine.
        memory: Memory;
        /// How a publish that is sent again is recognised by its `id`: within both of these.
        idempotency: KeyLimits;
    }
}

choice! {
    /// What keeps the messages.
    enum Engine {
        /// A database in a directory.
        Disk = "disk",
        /// This process.
        Memory = "memory",
    }
}

/// A filter of `tracing`, known to be one.
#[derive(Debug, Clone)]
pub(crate) struct LogFilter(String);

impl LogFilter {
    /// The filter as written.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for LogFilter {
    fn shape() -> Shape {
        Shape::Text { check: |text| EnvFilter::try_new(text).map(drop).map_err(|error| error.to_string()) }
    }
    fn from_value(value: &Value) -> Option<Self> {
        value.as_str().map(|text| Self(text.into()))
    }
    fn to_value(&self) -> Option<Value> {
        Some(self.0.clone().into())
    }
}

choice! {
    /// How log lines look.
    enum LogFormat {
        /// For people.
        Text = "text",
        /// For machines: one JSON object a line.
        Json = "json",
    }
}

table! {
    /// Where the server listens and whom it trusts.
    struct Server {
        /// Addresses to listen on. A family that this machine lacks is left out of the default, and said so.
        listen: Vec<SocketAddr> = default_listen();
        /// A certificate to speak TLS with, and the chain that leads to it: the path of a PEM file. Read again when it
        /// changes.
        tls_certificate: Option<PathBuf> = None, such as "tls/fullchain.pem";
        /// The certificate's private key: the path of a PEM file.
        tls_key: Option<PathBuf> = None, such as "tls/privkey.pem";
        /// Whether WebTransport is spoken too, on the UDP ports of the same numbers. It needs TLS, so there is none
        /// without a certificate; `dev` makes one for it.
        webtransport: bool = cfg!(feature = "webtransport");
        /// QUIC handshakes at once. From half of it on an address must be proven first; over it a handshake is refused.
        quic_handshakes_max: usize = Settings::default().quic_handshakes_max, in 1..=1_000_000;
        /// Bytes of datagrams that wait for one WebTransport client, and for the server from it; more, and the oldest are
        /// dropped.
        datagram_buffer_bytes: usize = Settings::default().datagram_buffer_bytes, in 2_048..=16_777_216;
        /// Web pages that may connect: `https://example.com`, `https://*.example.com`, or `*` for every page.
        /// Without any, only pages that this server's own host serves. What is no browser always may.
        origins: Vec<String> = Vec::new();
        /// Proxies in front, as addresses or networks. Only what they say in `X-Forwarded-For` or `Forwarded` is believed,
        /// and only if they pass on no other header of the two; it decides which address is logged.
        trusted_proxies: Vec<TrustedProxy> = Vec::new();
        /// Connections at once. Over it: 503, and closed.
        connections_max: usize = Settings::default().connections_max, in 1..=100_000_000;
        /// How long a new connection may take for its first byte.
        first_byte_timeout_seconds: Duration = Settings::default().first_byte_timeout, in 1..=300;
        /// How long a request may take for its head, and over HTTP/2 a connection for its first request.
        headers_timeout_seconds: Duration = Settings::default().headers_timeout, in 1..=300;
        /// Headers of a request. More is 431.
        headers_max: usize = Settings::default().headers_max, in 10..=1_000;
        /// Bytes of a request's head. More is 431.
        head_bytes_max: usize = Settings::default().head_bytes_max, in 8_192..=1_048_576;
        /// Requests, streams and sockets of one HTTP/2 connection at once. More wait.
        http2_streams_max: u32 = Settings::default().http2_streams_max, in 1..=65_536;
        /// Bytes of an answer that wait for one HTTP/2 stream to take them.
        http2_stream_buffer_bytes: usize = Settings::default().http2_stream_buffer_bytes, in 1_024..=16_777_216;
        /// Bytes that the kernel takes for one connection; with them a reader that stops reading is bounded.
        send_buffer_bytes: usize = Settings::default().send_buffer_bytes, in 4_096..=16_777_216;
        /// How long an orderly stop may take before what is left is cut.
        shutdown_timeout_seconds: Duration = Settings::default().shutdown_timeout, in 0..=3_600;
        /// Over how long clients are told to spread their return after a stop.
        reconnect_spread_seconds: Duration = Settings::default().reconnect_spread, in 0..=3_600;
    }
}

impl Server {
    /// What the server library calls the same.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            tls: None,
            quic: None,
            quic_handshakes_max: self.quic_handshakes_max,
            datagram_buffer_bytes: self.datagram_buffer_bytes,
            trusted_proxies: self.trusted_proxies.clone().into(),
            connections_max: self.connections_max,
            first_byte_timeout: self.first_byte_timeout_seconds,
            headers_timeout: self.headers_timeout_seconds,
            headers_max: self.headers_max,
            head_bytes_max: self.head_bytes_max,
            http2_streams_max: self.http2_streams_max,
            http2_stream_buffer_bytes: self.http2_stream_buffer_bytes,
            send_buffer_bytes: self.send_buffer_bytes,
            shutdown_timeout: self.shutdown_timeout_seconds,
            reconnect_spread: self.reconnect_spread_seconds,
        }
    }
}

/// Both families on port 8000.
fn default_listen() -> Vec<SocketAddr> {
    ["0.0.0.0:8000", "[::]:8000"].iter().filter_map(|address| address.parse().ok()).collect()
}

table! {
    /// Who may come in.
    struct Auth {
        /// The secret of tokens signed with HS256: its bytes as written, 32 or more. `roomcast init` draws one.
        secret: Option<Secret> = None, such as "at least 32 random bytes";
        /// Further keys that tokens may be signed with.
        keys: Vec<TokenKey> = Vec::new();
        /// Keys of back ends, sent as `Authorization: Bearer rk_…`; they may do everything.
        api_keys: Vec<ApiKey> = Vec::new();
        /// The `iss` that every token must have.
        issuer: Option<String> = None, such as "https://id.example.com";
        /// The `aud` that every token must have.
        audience: Option<String> = None, such as "roomcast";
        /// Whether a token without `exp` is refused. A session with such a token never ends by itself.
        require_exp: bool = false;
        /// The cookie that may hold a token, for pages of the same site.
        cookie: Option<String> = None, such as "roomcast_token";
    }
}

table! {
    /// A key that verifies tokens.
    struct TokenKey {
        /// Its name; a token that names a `kid` in its header is checked with the key of that name alone.
        id: String, such as "2026-01";
        /// The one algorithm this key is used with, whatever a token's header says.
        algorithm: Algorithm, such as "ES256";
        /// For HS256, HS384 and HS512: the shared secret.
        secret: Option<Secret> = None, such as "at least 32 random bytes";
        /// For the others: the public key as PEM text, or the path of a PEM file relative to this one.
        public_key: Option<String> = None, such as "keys/2026-01.pem";
    }
}

table! {
    /// The key of a back end.
    struct ApiKey {
        /// Its name, in logs and for idempotency.
        id: String, such as "backend";
        /// The key itself: `rk_` and at least 22 random characters.
        key: Secret, such as "rk_…";
    }
}

table! {
    /// A rule for the rooms of a pattern.
    struct Rule {
        /// The rooms it is for; `*` stands for any run of characters.
        pattern: Pattern, such as "chat:*";
        /// What every user may do whose token has no `rooms` claim.
        users: Rights = Rights::NONE;
        /// What may be done without a token.
        anonymous: Rights = Rights::NONE;
        /// What a room keeps; whichever is smallest.
        history: History;
        /// On disk, what a message has survived once it is acked: `synced` (the default) a power cut; `interval`
        /// is synced every 200 ms and `none` whenever the system likes, and after a crash such a room begins anew.
        durability: Option<Durability> = None, such as "interval";
        /// Who is in the room.
        presence: PresenceRule;
        /// Milliseconds that a socket just written to waits for more. 0 sends at once; more saves CPU at high
        /// rates and costs that much delay.
        coalesce_ms: u32 = 0, in 0..=1_000;
    }
}

table! {
    /// What a room keeps; whichever is smallest.
    struct History {
        /// Messages that a room keeps. Without it: 100,000 on disk, 10,000 in memory.
        messages: Option<usize> = None, in 0..=100_000_000, such as 100_000;
        /// Bytes that they may have together. Without it: 64 MiB on disk, 4 MiB in memory.
        bytes: Option<usize> = None, in 0..=i64::MAX, such as 67_108_864;
        /// Seconds after which one is dropped. Without it: 30 days on disk, a day in memory.
        age: Option<Duration> = None, in 0..=4_000_000_000, such as 2_592_000;
    }
}

impl History {
    /// What is kept where this says nothing is for the engine to say.
    fn or(&self, default: &Retention) -> Retention {
        Retention {
            messages_max: self.messages.unwrap_or(default.messages_max),
            bytes_max: self.bytes.unwrap_or(default.bytes_max),
            age_max: self.age.unwrap_or(default.age_max),
        }
    }
}

choice! {
    /// What a message on disk has survived once it is acked.
    enum Durability {
        /// Whatever happens to process or machine.
        Synced = "synced",
        /// The process.
        Interval = "interval",
        /// The process.
        None = "none",
    }
}

impl From<Durability> for hub::Durability {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Synced => Self::Synced,
            Durability::Interval => Self::Interval,
            Durability::None => Self::None,
        }
    }
}

table! {
    impl PresenceRule {
        /// How long a member that vanished without a word is still shown.
        grace as grace_seconds: Duration, in 0..=3_600;
        /// How long a member without a socket stays after its last sign of life.
        lease as lease_seconds: Duration, in 5..=3_600;
        /// Users up to which joins and leaves are told one by one; above it only their number is.
        roster_max as roster_max: usize, in 0..=100_000;
    }
}

table! {
    /// The disk engine.
    struct Disk {
        /// The directory of the database, relative to this file's. One process at a time has it. To back it up,
        /// stop the server and copy all of it, or use `.backup` of `sqlite3`: the database alone lacks what is new.
        directory: PathBuf = PathBuf::from("data");
        /// Bytes that the database may have. Without it, as many as the disk holds. Over it: `unavailable`.
        bytes_max: Option<u64> = None, in 1_048_576..=i64::MAX, such as 10_737_418_240_i64;
        /// Bytes of messages that wait for the disk. Over it: `unavailable`.
        waiting_bytes_max: usize = engine_disk::Settings::default().waiting_bytes_max, in 65_536..=i64::MAX;
        /// Bytes of all rooms' newest messages in memory, so that a short way back needs no disk.
        tail_bytes_max: usize = engine_disk::Settings::default().tail_bytes_max, in 0..=i64::MAX;
        /// Ids of all rooms that are remembered, at about 100 bytes each. Over it a message with an `id` is
        /// `unavailable`.
        keys_max: usize = engine_disk::Settings::default().keys_max, in 1..=1_000_000_000;
        /// How long a room's epoch outlives its messages, so that `too_old` can be told from `epoch`.
        epoch_kept_seconds: Duration = engine_disk::Settings::default().epoch_kept, in 0..=4_000_000_000;
        /// How long the disk may take to answer a read. Over it: `unavailable`.
        read_timeout_seconds: Duration = engine_disk::Settings::default().read_timeout, in 1..=3_600;
    }
}

impl Disk {
    /// Where the database is, for a configuration in `base`.
    pub(crate) fn directory(&self, base: &Path) -> PathBuf {
        base.join(&self.directory)
    }

    /// What the engine calls the same.
    pub(crate) fn settings(&self, keys: KeyLimits) -> engine_disk::Settings {
        engine_disk::Settings {
            keys,
            keys_max: self.keys_max,
            tail_bytes_max: self.tail_bytes_max,
            waiting_bytes_max: self.waiting_bytes_max,
            disk_bytes_max: self.bytes_max,
            epoch_kept: self.epoch_kept_seconds,
            read_timeout: self.read_timeout_seconds,
        }
    }
}

table! {
    /// The memory engine.
    struct Memory {
        /// Bytes of all rooms' messages together. Over it the room idle for longest loses its history.
        bytes_max: usize = 512 * MIB, in 1_048_576..=i64::MAX;
    }
}

table! {
    impl KeyLimits {
        /// How long an `id` is remembered.
        window as window_seconds: Duration, in 0..=86_400;
        /// How many of them for one room.
        keys_max as keys_max: usize, in 1..=100_000_000;
    }
}

table! {
    impl Limits {
        /// Bytes of a whole envelope as received. Over it: close 1009, over HTTP `too_large`.
        message_bytes_max as message_bytes_max: usize, in 128..=67_108_864;
        /// Fragments of one WebSocket message. Over it: close 1009.
        fragments_max as fragments_max: u32, in 1..=1_000_000;
        /// Nesting of `data`. Over it: `bad_request`.
        json_depth_max as json_depth_max: usize, in 1..=512;
        /// Pings, pongs and closes a second on one connection. Over it: close 1008 `rate_limited`.
        control_frames_per_second as control_frames_per_second: u32, in 1..=100_000;
        /// Rooms of one connection. Over it: `too_many_rooms`.
        rooms_per_connection_max as rooms_per_connection_max: usize, in 1..=1_000_000;
        /// Rooms of one stream or poll. Over it: `too_many_rooms`.
        rooms_per_stream_max as rooms_per_stream_max: usize, in 1..=1_000;
        /// Bytes of a position as text. Over it: `bad_request`, on SSE a reset.
        position_bytes_max as position_bytes_max: usize, in 128..=1_048_576;
        /// Sends a second of one connection, over time; 0 is no limit. Over it: `rate_limited`.
        sends_per_second as sends_per_second: u32, in 0..=1_000_000;
        /// Sends at once of one connection before the rate bites.
        sends_burst as sends_burst: u32, in 1..=1_000_000;
        /// How long at least all sends of a connection are refused after the first one was.
        retry_after_min as retry_after_min_seconds: Duration, in 1..=3_600;
        /// Publishes of one connection that wait for their ack. Over it: the connection isn't read.
        unacked_sends_max as unacked_sends_max: usize, in 1..=1_000_000;
        /// Messages of a page of history where the client names no number.
        history_page_default as history_page_default: usize, in 1..=100_000;
        /// Messages of a page of history, or of `last`, whatever the client asks for.
        history_page_max as history_page_max: usize, in 1..=100_000;
        /// Bytes of a page of history.
        history_page_bytes_max as history_page_bytes_max: usize, in 1_024..=268_435_456;
        /// Members listed in the ack of a join; the rest is a number.
        members_listed_max as members_listed_max: usize, in 0..=100_000;
        /// Bytes of a member's state. Over it: `too_large`.
        presence_state_bytes_max as presence_state_bytes_max: usize, in 0..=1_048_576;
        /// How long a sign of typing holds.
        typing_lease as typing_lease_seconds: Duration, in 1..=300;
        /// Typists of one room at a time. Over it: a sign is passed over.
        typists_per_room_max as typists_per_room_max: usize, in 0..=100_000;
        /// How long a room without readers and messages is kept, so that a blink is no reset.
        idle_room_kept as idle_room_kept_seconds: Duration, in 1..=86_400;
        /// Bytes of the body of a request. Over it: `too_large`.
        body_bytes_max as body_bytes_max: usize, in 1_024..=1_073_741_824;
        /// Messages, or rooms, of one request. Over it: `too_large`.
        batch_max as batch_max: usize, in 1..=10_000;
        /// Bytes of acks and errors waiting for one connection. Over it: the connection isn't read.
        control_queue_bytes_max as control_queue_bytes_max: usize, in 1_024..=16_777_216;
        /// Bytes of a token. Over it: `unauthorized`.
        token_bytes_max as token_bytes_max: usize, in 128..=65_536;
        /// Silence after which the server pings.
        ping_interval as ping_interval_seconds: Duration, in 1..=3_600;
        /// How long it then waits for any byte.
        pong_timeout as pong_timeout_seconds: Duration, in 1..=3_600;
        /// How often a stream of events gets a comment, so that nothing on the way takes it for dead.
        keep_alive_interval as keep_alive_interval_seconds: Duration, in 1..=3_600;
        /// How long a poll is parked that names no time.
        poll_timeout as poll_timeout_seconds: Duration, in 1..=3_600;
        /// How long a poll is parked, at most.
        poll_timeout_max as poll_timeout_max_seconds: Duration, in 1..=3_600;
        /// How long the log may take to answer a publish. Over it: `unavailable`, sent again with its `id` it is there
        /// once.
        append_timeout as append_timeout_seconds: Duration, in 1..=3_600;
        /// How long the log may take nothing before clients are told `degraded`.
        degraded_after as degraded_after_seconds: Duration, in 1..=3_600;
        /// How long a reader may take nothing of what waits for it. Over it: close 4008.
        write_stall_timeout as write_stall_timeout_seconds: Duration, in 1..=3_600;
        /// How long before its end a token is told to be `expiring`.
        token_expiring_notice as token_expiring_notice_seconds: Duration, in 0..=86_400;
    }
}

impl Engine {
    /// What a room keeps unless its rule says otherwise.
    fn retention(self) -> Retention {
        match self {
            Self::Disk => engine_disk::retention(),
            Self::Memory => Retention::default(),
        }
    }
}

impl Config {
    /// How rooms behave, whether a rule is written for them or not.
    pub(crate) fn room_rules(&self) -> Vec<RoomRule> {
        let kept = self.engine.retention();
        let rules = self.rooms.iter().cloned().chain(Rule::catch_all());
        rules.map(|rule| rule.behaviour(&kept)).collect()
    }
}

impl Rule {
    /// How its rooms behave; who may do what is no part of it.
    fn behaviour(self, kept: &Retention) -> RoomRule {
        RoomRule {
            history: self.history.or(kept),
            durability: self.durability.map(hub::Durability::from).unwrap_or_default(),
            presence: self.presence,
            coalesce: Duration::from_millis(self.coalesce_ms.into()),
            pattern: self.pattern,
        }
    }

    /// A rule for every room, with every default.
    pub(crate) fn catch_all() -> Option<Self> {
        Self::from_value(&Value::Table([("pattern".to_owned(), "*".into())].into_iter().collect()))
    }
}
