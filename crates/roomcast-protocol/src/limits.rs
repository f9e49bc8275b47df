//! Every limit that the protocol sets on a connection, with its default. Each is a key of the configuration
//! and has an answer with a name; where it is enforced is for the layer that meets it.

use std::time::Duration;

/// The limits of section 7 of the protocol. `Default` is what the protocol promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The whole envelope as received, in bytes. Over it: close 1009, HTTP `too_large`.
    pub message_bytes_max: usize,
    /// Fragments of one WebSocket message. Over it: close 1009.
    pub fragments_max: u32,
    /// Nesting of `data`. Over it: `bad_request`.
    pub json_depth_max: usize,
    /// Control frames a second on one connection. Over it: close 1008 `rate_limited`.
    pub control_frames_per_second: u32,
    /// Rooms of one connection. Over it: `too_many_rooms`.
    pub rooms_per_connection_max: usize,
    /// Rooms of one stream or poll. Over it: `too_many_rooms`.
    pub rooms_per_stream_max: usize,
    /// Bytes of a position as text. Over it: `bad_request`, on a stream `reset`.
    pub position_bytes_max: usize,
    /// Sends a second of one connection, over time; 0 is no limit. Over it: `rate_limited`.
    pub sends_per_second: u32,
    /// Sends at once of one connection before the rate bites.
    pub sends_burst: u32,
    /// How long all sends of a connection are refused after the first `rate_limited` or `unavailable`, at least.
    pub retry_after_min: Duration,
    /// Publishes of one connection without an ack yet. Over it: the connection isn't read.
    pub unacked_sends_max: usize,
    /// Messages of a history page when the client names no number.
    pub history_page_default: usize,
    /// Messages of a history page or of `last`, at most.
    pub history_page_max: usize,
    /// Bytes of a history page, at most.
    pub history_page_bytes_max: usize,
    /// Members listed in a join's ack or a `sync`, at most.
    pub members_listed_max: usize,
    /// Bytes of a member's state. Over it: `too_large`.
    pub presence_state_bytes_max: usize,
    /// How long a sign of typing holds.
    pub typing_lease: Duration,
    /// Typists of one room at a time. Over it: a sign is passed over, as any ephemeral message may be.
    pub typists_per_room_max: usize,
    /// How long a room without readers and messages is kept, at least, so that a blink is no reset.
    pub idle_room_kept: Duration,
    /// Bytes of the body of a request. Over it: `too_large`.
    pub body_bytes_max: usize,
    /// Messages, or rooms, of one request. Over it: `too_large`.
    pub batch_max: usize,
    /// Bytes of acks, errors and system messages waiting for one connection. Over it: it isn't read.
    pub control_queue_bytes_max: usize,
    /// Bytes of a token. Over it: `unauthorized`.
    pub token_bytes_max: usize,
    /// Silence after which the server pings.
    pub ping_interval: Duration,
    /// How long it then waits for any byte.
    pub pong_timeout: Duration,
    /// How often a stream of events gets a comment, so that nothing on the way takes it for dead.
    pub keep_alive_interval: Duration,
    /// How long a poll is parked that names no time.
    pub poll_timeout: Duration,
    /// How long a poll is parked, at most.
    pub poll_timeout_max: Duration,
    /// How long the log may take to answer a publish. Over it: `unavailable`, and nobody knows what becomes of it.
    pub append_timeout: Duration,
    /// How long the log may take nothing before clients are told that it is so: `degraded`.
    pub degraded_after: Duration,
    /// How long a reader may take no byte of what waits for it. Over it: close 4008.
    pub write_stall_timeout: Duration,
    /// How long before its end a token is announced as `expiring`.
    pub token_expiring_notice: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 64 * 1024,
            fragments_max: 1024,
            json_depth_max: 64,
            control_frames_per_second: 20,
            rooms_per_connection_max: 100,
            rooms_per_stream_max: 32,
            position_bytes_max: 16 * 1024,
            sends_per_second: 100,
            sends_burst: 200,
            retry_after_min: Duration::from_secs(1),
            unacked_sends_max: 1024,
            history_page_default: 100,
            history_page_max: 1000,
            history_page_bytes_max: 1024 * 1024,
            members_listed_max: 100,
            presence_state_bytes_max: 1024,
            typing_lease: Duration::from_secs(5),
            typists_per_room_max: 1000,
            idle_room_kept: Duration::from_secs(60),
            body_bytes_max: 1024 * 1024,
            batch_max: 100,
            control_queue_bytes_max: 64 * 1024,
            token_bytes_max: 8 * 1024,
            ping_interval: Duration::from_secs(20),
            keep_alive_interval: Duration::from_secs(15),
            poll_timeout: Duration::from_secs(25),
            poll_timeout_max: Duration::from_secs(60),
            pong_timeout: Duration::from_secs(8),
            append_timeout: Duration::from_secs(2),
            degraded_after: Duration::from_secs(5),
            write_stall_timeout: Duration::from_secs(15),
            token_expiring_notice: Duration::from_secs(60),
        }
    }
}
