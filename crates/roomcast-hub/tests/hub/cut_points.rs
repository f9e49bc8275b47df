//! Readers that are cut anywhere and come back to where they stand, while rooms are talked in, outrun their logs and
//! drop what is ephemeral: each message once and in order, or a told reset. Everything random is proptest's.

#![allow(clippy::unwrap_used, reason = "what a test can't set up fails it")]

use std::{
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use proptest::{collection::vec, prelude::*};
use roomcast_hub::{Hub, Line, Publication, Publisher, Stream, Subscription};
use roomcast_protocol::{Data, Join, Limits, Positions, Publish, Rights, RoomName, Wire};
use serde_json::{Value, value::RawValue};

use crate::support::{identity, rule};

const ROOMS: [&str; 2] = ["a", "b"];
/// Readers of the first room, of the second, and of both.
const READS: [&[&str]; 3] = [&["a"], &["b"], &["a", "b"]];
/// Messages that a log keeps, and of how many bytes the large ones are: a reader that pauses is soon outrun.
const KEPT: usize = 12;
const LARGE_BYTES: usize = 20_000;

#[derive(Clone, Debug)]
enum Event {
    /// So many messages in a room, small or large.
    Talk(usize, u8, bool),
    /// One that is not kept.
    Whisper(usize),
    /// A reader takes so many pieces of what is there.
    Read(usize, u8),
    /// A reader gets so many bytes of the next piece, is cut, and comes back.
    Cut(usize, usize),
    /// Passes are made, before which nobody gets what was said.
    Pass,
}

fn event() -> impl Strategy<Value = Event> {
    let (room, reader) = (0..ROOMS.len(), 0..READS.len());
    prop_oneof![
        4 => Just(Event::Pass),
        4 => (room.clone(), 1..8_u8, any::<bool>()).prop_map(|(room, count, large)| Event::Talk(room, count, large)),
        1 => room.prop_map(Event::Whisper),
        4 => (reader.clone(), 1..6_u8).prop_map(|(reader, pieces)| Event::Read(reader, pieces)),
        2 => (reader, prop_oneof![0..400_usize, 0..100_000_usize]).prop_map(|(reader, at)| Event::Cut(reader, at)),
    ]
}

/// What a client has, and believes.
struct Reader {
    rooms: &'static [&'static str],
    stream: Stream,
    bytes: Vec<u8>,
    /// The last `id:`.
    position: Option<Positions>,
    /// The last message of each room.
    seqs: HashMap<String, u64>,
}

fn subscribe(hub: &Hub, rooms: &[&str], since: Option<&Positions>) -> Stream {
    let session = rooms.concat();
    let join = Join { since: since.cloned(), ..Join::default() };
    let rooms = rooms.iter().map(|room| (RoomName::new(room).unwrap(), join.clone(), Rights::PRESENCE));
    let (identity, rooms) = (Arc::new(identity("eve", &session)), rooms.collect());
    let wire = Wire::Events { chunked: false };
    hub.subscribe(Subscription { identity, line: Line::Pipe(None), wire, rooms }).unwrap()
}

impl Reader {
    fn new(hub: &Hub, rooms: &'static [&'static str]) -> Self {
        let seqs = rooms.iter().map(|room| ((*room).to_owned(), 0)).collect();
        Self { rooms, stream: subscribe(hub, rooms, None), bytes: Vec::new(), position: None, seqs }
    }

    /// The next piece, if there is one now.
    fn piece(&mut self) -> Option<Vec<u8>> {
        match self.stream.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(piece) => Some(piece.expect("the stream goes on").to_vec()),
            Poll::Pending => None,
        }
    }

    fn read(&mut self, pieces: usize) {
        for _ in 0..pieces {
            let Some(piece) = self.piece() else { return };
            self.take(&piece);
        }
    }

    fn cut(&mut self, hub: &Hub, at: usize) {
        if let Some(piece) = self.piece() {
            self.take(&piece[..at.min(piece.len())]);
        }
        self.bytes.clear();
        self.stream = subscribe(hub, self.rooms, self.position.as_ref());
    }

    /// Bytes as they come; a block counts once it is whole.
    fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        while let Some(end) = self.bytes.windows(2).position(|two| two == b"\n\n") {
            let block = String::from_utf8(self.bytes.drain(..end + 2).collect()).unwrap();
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            if let Some(data) = field("data: ") {
                self.hear(&serde_json::from_str(data).unwrap());
            }
            if let Some(id) = field("id: ") {
                self.position = Some(Positions::parse(id, usize::MAX).unwrap());
            }
        }
    }

    fn hear(&mut self, message: &Value) {
        let data = &message["data"];
        if let Some(seq) = message["seq"].as_u64() {
            let last = self.seqs.get_mut(message["room"].as_str().unwrap()).unwrap();
            assert_eq!(seq, *last + 1, "each once and in order, in {}", message["room"]);
            *last = seq;
        } else if data["event"] == "welcome" && self.position.is_none() {
            // Who has no position yet begins where the room is.
            for (room, seq) in &mut self.seqs {
                *seq = data["rooms"][room]["from"].as_u64().unwrap();
            }
        } else if data["event"] == "reset" {
            // A cut between `welcome` and its reset leaves the room at no position, which is of no epoch.
            assert!(["too_old", "epoch"].contains(&data["reason"].as_str().unwrap()), "{message}");
            let last = self.seqs.get_mut(message["room"].as_str().unwrap()).unwrap();
            let seq = data["seq"].as_u64().unwrap();
            assert!(seq > *last, "a reset goes forward: {message}");
            *last = seq;
        }
        assert_ne!(message["type"], "error", "{message}");
    }
}

async fn talk(hub: &Hub, room: &str, volatile: bool, bytes: usize) {
    let fields = format!(r#"{{"content":"{}"}}"#, "x".repeat(bytes));
    let fields: Box<RawValue> = serde_json::from_str(&fields).unwrap();
    let data = Data::read(&fields, 8).unwrap();
    let publish = Publish::new("text".into(), data, volatile).unwrap();
    let publication = Publication { id: None, publish: &publish, publisher: Publisher::Backend("worker") };
    hub.room(room).unwrap().publish(&publication).await.unwrap();
}

/// Lets whatever was begun come to its end: tasks run in turn on this thread.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn live_through(events: Vec<Event>) {
    let mut few = rule();
    few.history.messages_max = KEPT;
    // Nothing here is late: a reader that pauses is one that proptest let pause.
    let limits = Limits { write_stall_timeout: Duration::from_secs(3_600), ..Limits::default() };
    let hub = Hub::builder().rules(vec![few]).limits(limits).build();
    let mut readers: Vec<_> = READS.iter().map(|rooms| Reader::new(&hub, rooms)).collect();
    for event in events {
        match event {
            Event::Talk(room, count, large) => {
                for _ in 0..count {
                    talk(&hub, ROOMS[room], false, if large { LARGE_BYTES } else { 10 }).await;
                }
            }
            Event::Whisper(room) => talk(&hub, ROOMS[room], true, 10).await,
            Event::Read(reader, pieces) => readers[reader].read(pieces.into()),
            Event::Cut(reader, at) => readers[reader].cut(&hub, at),
            Event::Pass => settle().await,
        }
    }
    settle().await;
    for reader in &mut readers {
        reader.read(usize::MAX);
        for (room, seq) in &reader.seqs {
            let head = hub.room(room).unwrap().summary().head.seq;
            assert_eq!(*seq, head, "nothing is left out at the end, in {room}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whoever_is_cut_anywhere_gets_everything_once_and_in_order_or_a_reset(events in vec(event(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live_through(events));
    }
}
