//! Both ends of the protocol in one process, on a virtual clock, with connections that break at any moment:
//! two clients talk in a room, and nothing may be lost, doubled or out of order.

// A test that can't go on should stop there.
#![allow(clippy::unwrap_used)]

use std::{cell::RefCell, collections::VecDeque, rc::Rc, sync::Arc, time::Duration};

use roomcast_protocol::{
    Epoch, Grants, Limits, MessageId, Queue, Reset, RoomName, SessionId, Timestamp, UserId,
    server::{Delivered, Joined, Members},
};
use roomcast_session::{
    Action, Identity, Now, Principal, Session, Target,
    client::{Backoff, Client, Event, Fill, Inbox, Loss, Output, Publication, Settings, Start},
};
use roomcast_websocket::{Decoder, DecoderLimits, Role};
use serde_json::{json, value::to_raw_value};

/// Messages that each client sends.
const MESSAGES: u32 = 40;
/// Steps of a run in which connections break; then they hold until all is done.
const ROUGH_STEPS: u32 = 2_000;
/// Steps after which a run that isn't done hangs.
const STEPS_MAX: u32 = 40_000;

/// Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }
}

/// The room as the server's driver knows it.
#[derive(Clone, Debug)]
struct Room(RoomName);

impl Target for Room {
    fn name(&self) -> &RoomName {
        &self.0
    }
}

/// A message in the log.
struct Entry {
    id: String,
    author: String,
    envelope: String,
}

/// The log; those up to `floor` are no longer kept.
#[derive(Default)]
struct Log {
    entries: Vec<Entry>,
    floor: usize,
}

impl Log {
    fn head(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Appends a message, or finds it. Answers its seq, and whether it was there.
    fn append(&mut self, id: &str, author: &str) -> (u64, bool) {
        if let Some(at) = self.entries.iter().position(|entry| entry.id == id) {
            return (at as u64 + 1, true);
        }
        let seq = self.head() + 1;
        let envelope = json!({"type":"text","id":id,"room":"r","seq":seq,"data":{"author":author}});
        self.entries.push(Entry { id: id.into(), author: author.into(), envelope: envelope.to_string() });
        (seq, false)
    }

    fn join(&self, since: Option<u64>) -> Joined {
        let reset = since.filter(|since| *since < self.floor as u64).map(|_| Reset::TooOld);
        let from = since.filter(|_| reset.is_none()).unwrap_or(self.head());
        Joined {
            epoch: epoch(),
            seq: self.head(),
            from,
            recovered: since.is_some() && reset.is_none(),
            reset,
        }
    }
}

fn epoch() -> Epoch {
    Epoch::new("e").unwrap()
}

fn room() -> RoomName {
    RoomName::new("r").unwrap()
}

/// A connection, both of its directions.
struct Link {
    session: Session<Room>,
    reads_after: Option<u64>,
    to_server: VecDeque<String>,
    to_client: VecDeque<String>,
}

impl Link {
    fn open(user: &str, now: Now) -> Self {
        let identity = Identity {
            user: UserId::new(user).unwrap(),
            principal: Principal::User,
            session: SessionId::new("abcdefghijklmnopqrstuv").unwrap(),
            grants: Arc::new(Grants::all()),
            info: None,
            expires_at: None,
        };
        // Few enough sends a second for refusals to be common.
        let limits = Limits { sends_per_second: 20, sends_burst: 8, ..Limits::default() };
        let mut queue = Queue::default();
        let session = Session::open(now, Arc::new(identity), Arc::new(limits), &mut queue);
        Self { session, reads_after: None, to_server: VecDeque::new(), to_client: texts(queue).into() }
    }
}

/// The messages in what a server writes.
fn texts(queue: Queue) -> Vec<String> {
    let limits = DecoderLimits { message_bytes_max: u32::MAX, fragments_max: 1 };
    let (mut decoder, mut bytes, mut at) = (Decoder::new(Role::Client, limits, None), queue.into_bytes(), 0);
    let mut texts = Vec::new();
    while let Some(event) = decoder.next(&mut bytes, &mut at).unwrap() {
        match event {
            roomcast_websocket::Event::Text(text) => texts.push(text.to_owned()),
            other => panic!("{other:?}"),
        }
    }
    texts
}

/// What an application takes events from: at most six.
#[derive(Clone, Default)]
struct Mailbox(Rc<RefCell<VecDeque<Event>>>);

impl Inbox for Mailbox {
    fn fill(&self) -> Fill {
        match self.0.borrow().len() {
            0 => Fill::Empty,
            1..5 => Fill::Some,
            _ => Fill::Full,
        }
    }

    fn put(&mut self, event: Event) {
        self.0.borrow_mut().push_back(event);
    }

    fn overflow(&mut self) {}

    fn end(self, event: Event) {
        panic!("the room ended: {event:?}");
    }
}

/// A client with its application and its connection.
struct Peer {
    user: &'static str,
    client: Client<Mailbox, u32>,
    mailbox: Mailbox,
    link: Option<Link>,
    published: u32,
    acked: Vec<u32>,
    /// The seq that the application has seen last, once it is in.
    seen: Option<u64>,
}

impl Peer {
    fn new(user: &'static str) -> Self {
        let backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(200));
        let mut client = Client::new(Settings { backoff, ..Settings::default() });
        let mailbox = Mailbox::default();
        client.join(room(), Start::default(), mailbox.clone()).unwrap();
        Self { user, client, mailbox, link: None, published: 0, acked: Vec::new(), seen: None }
    }

    // The application.

    fn publish(&mut self) {
        let id = MessageId::new(&format!("{}-{}", self.user, self.published)).unwrap();
        let publication = Publication { id, kind: "text".into(), data: to_raw_value(&json!({})).unwrap() };
        self.client.publish(&room(), &publication, self.published);
        self.published += 1;
    }

    /// Takes the next event, and judges it.
    fn take(&mut self) {
        let Some(event) = self.mailbox.0.borrow_mut().pop_front() else { return };
        match event {
            Event::Joined { position, recovered } => {
                let expected = self.seen.get_or_insert(position.seq);
                assert_eq!(position.seq, *expected, "joined elsewhere (recovered: {recovered})");
            }
            Event::Gap { position, .. } => {
                assert!(self.seen < Some(position.seq), "a gap that goes back");
                self.seen = Some(position.seq);
            }
            Event::Message(message) => {
                let expected = self.seen.expect("a message before the join") + 1;
                assert_eq!(message.seq, Some(expected), "lost, doubled or out of order");
                self.seen = message.seq;
            }
            other => panic!("{other:?}"),
        }
    }

    fn is_done(&self, log: &Log) -> bool {
        self.acked.len() == MESSAGES as usize && self.seen == Some(log.head())
    }

    // The client's driver.

    fn drive(&mut self, now: Now) {
        self.client.tick(now.ms);
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Connect { .. } => self.link = Some(Link::open(self.user, now)),
                Output::Send(text) => {
                    self.link.iter_mut().for_each(|link| link.to_server.push_back(text.to_string()));
                }
                Output::Answer(number, answer) => {
                    answer.unwrap();
                    self.acked.push(number);
                }
                Output::Ping | Output::Tell(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn hear(&mut self, now: Now) {
        if let Some(text) = self.link.as_mut().and_then(|link| link.to_client.pop_front()) {
            self.client.heard(now.ms);
            self.client.message(now.ms, &text);
        }
    }

    fn cut(&mut self, now: Now, random: u32) {
        if self.link.take().is_some() {
            self.client.lost(now.ms, Loss::Broken("cut".into()), random);
        }
    }

    // The server's driver.

    /// Handles one message.
    fn serve(&mut self, now: Now, log: &mut Log) {
        let Some(link) = &mut self.link else { return };
        let Some(text) = link.to_server.pop_front() else { return };
        let mut queue = Queue::default();
        match link.session.handle(now, &text, &mut queue) {
            Some(Action::Join { id, room, join, rights }) => {
                let since =
                    join.since.as_ref().and_then(|since| since.of(&room)).map(|position| position.seq);
                let joined = log.join(since);
                link.reads_after = Some(joined.from);
                let told = (&joined, &Members::default());
                link.session.joined((now, id), (Room(room), rights), told, &mut queue);
            }
            Some(Action::Publish { id, .. }) => {
                let (seq, duplicate) = log.append(id.as_deref().unwrap(), self.user);
                let position = Some((epoch(), seq));
                let delivered = Delivered { position, timestamp: now.wall, duplicate };
                link.session.delivered((now, id), "r", &delivered, &mut queue);
            }
            None => {}
            Some(other) => panic!("{other:?}"),
        }
        link.to_client.extend(texts(queue));
    }

    /// Delivers the next message of the room, or tells that it is gone.
    fn deliver(&mut self, now: Now, log: &Log) {
        let Some(link) = &mut self.link else { return };
        let Some(reads_after) = &mut link.reads_after else { return };
        if *reads_after < log.floor as u64 {
            *reads_after = log.head();
            let head = roomcast_protocol::server::Head::at(now.wall).in_room("r");
            let mut queue = Queue::default();
            queue.push(|out| {
                roomcast_protocol::server::reset(head, Reset::TooOld, &epoch(), log.head(), out);
            });
            link.to_client.extend(texts(queue));
        } else if let Some(entry) = log.entries.get(*reads_after as usize) {
            link.to_client.push_back(entry.envelope.clone());
            *reads_after += 1;
        }
    }
}

/// One run: rough at first, until everything is done.
fn run(seed: u64) {
    let mut random = Random(seed);
    let mut log = Log::default();
    let mut peers = [Peer::new("ada"), Peer::new("bob")];
    let mut now = Now { ms: 0, wall: Timestamp(0) };
    for step in 0..STEPS_MAX {
        let rough = step < ROUGH_STEPS;
        if !rough && peers.iter().all(|peer| peer.is_done(&log)) {
            return judge(&log, &peers);
        }
        now.ms += random.next() % 5;
        if rough && random.one_in(300) {
            log.floor = log.entries.len();
        }
        for peer in &mut peers {
            if rough && random.one_in(60) {
                peer.cut(now, random.next() as u32);
            }
            if peer.published < MESSAGES && (!rough || random.one_in(20)) {
                peer.publish();
            }
            match random.next() % 5 {
                0 => peer.serve(now, &mut log),
                1 => peer.deliver(now, &log),
                2 => peer.hear(now),
                3 => peer.take(),
                _ => peer.drive(now),
            }
        }
    }
    panic!("not done: the log has {} messages", log.head());
}

/// Each message is in the log once, each author's in the order sent, and each was answered once.
fn judge(log: &Log, peers: &[Peer]) {
    for peer in peers {
        let sent: Vec<_> = (0..MESSAGES).map(|n| format!("{}-{n}", peer.user)).collect();
        let of_peer = log.entries.iter().filter(|entry| entry.author == peer.user);
        let logged: Vec<_> = of_peer.map(|entry| entry.id.clone()).collect();
        assert_eq!(logged, sent);
        let mut acked = peer.acked.clone();
        acked.sort_unstable();
        assert_eq!(acked, (0..MESSAGES).collect::<Vec<_>>());
    }
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order() {
    for seed in 0..200 {
        let outcome = std::panic::catch_unwind(|| run(seed));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}
