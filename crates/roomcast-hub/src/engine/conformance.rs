//! What every engine must do, as one suite. An engine's own tests call [`check`], and [`check_restarts`] if it
//! keeps logs beyond its process; a failure panics and says which promise was broken.

use std::{sync::Arc, time::Duration};

use roomcast_protocol::{Draft, Pattern, Position, Reset, RoomName, Timestamp, server::Delivered};
use roomcast_session::Now;

use super::{AppendError, Bounds, Engine, EngineError, Log, Page, Range, ReadError, Ticket};
use crate::{Feed, Key, RoomRule, cursor::Place};

/// An engine, freshly made and empty.
pub type Make<'a> = &'a dyn Fn() -> Box<dyn Engine>;

/// A store: opens its engine, freshly at first. The engine before is gone by then.
pub type Store<'a> = Box<dyn Fn() -> Box<dyn Engine> + 'a>;

/// Runs the whole suite.
pub fn check(make: Make<'_>) {
    appends_are_ordered_and_delivered(make);
    order_holds_among_many_publishers(make);
    a_repeat_is_appended_once(make);
    history_reads_both_ways(make);
    retention_moves_the_floor(make);
    age_takes_messages(make);
    a_log_outlives_its_watch(make);
    an_empty_log_is_forgotten(make);
    rooms_are_apart(make);
}

/// Runs what engines must do as well that keep logs beyond their process.
pub fn check_restarts<'a>(make: &dyn Fn() -> Store<'a>) {
    a_log_outlives_its_process(&make());
    keys_outlive_the_process(&make());
    floors_outlive_the_process(&make());
    an_epoch_outlives_its_messages(&make());
}

/// One watched room.
struct Watched {
    log: Arc<dyn Log>,
    feed: Arc<Feed>,
    start: Place,
}

fn name(room: &str) -> RoomName {
    RoomName::new(room).expect("a good name")
}

fn at(ms: u64) -> Now {
    Now { ms, wall: Timestamp(1_700_000_000_000 + ms) }
}

fn rule() -> RoomRule {
    RoomRule::new(Pattern::new("*").expect("a star is a pattern"))
}

fn watch(engine: &dyn Engine, room: &str, rule: RoomRule, now: Now) -> Watched {
    let mut feed = None;
    let log = engine
        .watch(now, &name(room), &Arc::new(rule), &mut |head| feed.insert(Arc::new(Feed::new(head))).clone())
        .expect("a log to watch");
    let feed = feed.expect("an engine makes the feed when it is asked to watch");
    Watched { start: feed.end(), log, feed }
}

/// The log of a room that is watched, for an engine's own tests.
pub fn watched(
    engine: &dyn Engine,
    room: &RoomName,
    rule: RoomRule,
    now: Now,
) -> Result<Arc<dyn Log>, EngineError> {
    engine.watch(now, room, &Arc::new(rule), &mut |head| Arc::new(Feed::new(head)))
}

fn draft(content: &str, now: Now) -> Draft {
    Draft::new(("text", None, "r"), now.wall, |out| out.extend_from_slice(content.as_bytes()))
}

/// Waits for an answer without a runtime.
pub fn wait<T>(ticket: Ticket<T>) -> T {
    let mut future = std::pin::pin!(ticket.wait());
    let thread = std::thread::current();
    let waker = std::task::Waker::from(Arc::new(Unpark(thread)));
    let mut context = std::task::Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(answer) => return answer,
            std::task::Poll::Pending => std::thread::park_timeout(Duration::from_secs(10)),
        }
    }
}

struct Unpark(std::thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Watched {
    fn append(&self, content: &str, now: Now) -> Delivered {
        wait(self.log.append(now, draft(content, now), None)).expect("an append")
    }

    fn keyed(&self, id: &str, content: &str, now: Now) -> Result<Delivered, AppendError> {
        let key = Key::new(("ada", id), ("text", content));
        wait(self.log.append(now, draft(content, now), Some(key)))
    }

    /// The seqs that the feed holds from the beginning of the watch.
    fn delivered(&self) -> Vec<u64> {
        let (from, entries) = self.feed.run(self.start.index, usize::MAX);
        assert_eq!(from, self.start.index, "a short feed");
        entries.iter().map(|entry| entry.frame.seq()).collect()
    }

    fn read(&self, range: Range, messages_max: usize) -> Result<(Vec<u64>, bool), ReadError> {
        let page = Page { messages_max, bytes_max: usize::MAX };
        let batch = self.log.read(range, page)?;
        Ok((batch.frames.iter().map(|frame| frame.seq()).collect(), batch.complete))
    }
}

fn seq(delivered: &Delivered) -> u64 {
    delivered.position.as_ref().map_or(0, |(_, seq)| *seq)
}

fn appends_are_ordered_and_delivered(make: Make<'_>) {
    let engine = make();
    let room = watch(&*engine, "r", rule(), at(0));
    let bounds = room.log.bounds();
    assert_eq!((bounds.floor, bounds.head), (0, 0), "a new log is empty");
    let seqs: Vec<u64> = (0..5).map(|i| seq(&room.append("{}", at(i)))).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5], "seqs count from 1 in the order of the calls");
    assert_eq!(room.delivered(), seqs, "every append is delivered, in the order of the log");
    assert_eq!(room.log.bounds().head, 5, "the head follows");
}

fn order_holds_among_many_publishers(make: Make<'_>) {
    let engine = make();
    let room = watch(&*engine, "r", rule(), at(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let seqs: Vec<u64> = (0..100).map(|i| seq(&room.append("{}", at(i)))).collect();
                assert!(seqs.is_sorted(), "one publisher's appends keep their order");
            });
        }
    });
    assert_eq!(room.delivered(), (1..=400).collect::<Vec<_>>(), "no seq twice, none left out, none early");
}

fn a_repeat_is_appended_once(make: Make<'_>) {
    let engine = make();
    let room = watch(&*engine, "r", rule(), at(0));
    let first = room.keyed("m1", "{}", at(0)).expect("an append");
    let again = room.keyed("m1", "{}", at(1_000)).expect("a repeat");
    assert_eq!(
        (again.position.clone(), again.duplicate),
        (first.position.clone(), true),
        "the first position"
    );
    assert_eq!(room.keyed("m1", "{ }", at(1_000)), Err(AppendError::Conflict), "another content");
    assert_eq!(room.delivered(), [1], "nothing is delivered twice");
    let later = room.keyed("m1", "{}", at(5 * 60 * 1000 + 1)).expect("an append");
    assert_eq!((seq(&later), later.duplicate), (2, false), "after five minutes the id is free");
}

fn history_reads_both_ways(make: Make<'_>) {
    let engine = make();
    let room = watch(&*engine, "r", rule(), at(0));
    (0..10).for_each(|i| drop(room.append("{}", at(i))));
    assert_eq!(room.read(Range::After(3), 4), Ok((vec![4, 5, 6, 7], false)));
    assert_eq!(room.read(Range::After(7), 4), Ok((vec![8, 9, 10], true)));
    assert_eq!(room.read(Range::After(10), 4), Ok((vec![], true)));
    assert_eq!(room.read(Range::Before(u64::MAX), 3), Ok((vec![8, 9, 10], false)));
    assert_eq!(room.read(Range::Before(4), 5), Ok((vec![1, 2, 3], true)));
    assert_eq!(room.read(Range::Before(1), 5), Ok((vec![], true)));
    let page = Page { messages_max: 10, bytes_max: 1 };
    let batch = room.log.read(Range::After(0), page).expect("a page");
    assert_eq!(batch.frames.len(), 1, "one message is always read, however large");
}

fn retention_moves_the_floor(make: Make<'_>) {
    let engine = make();
    let mut few = rule();
    few.history.messages_max = 3;
    let room = watch(&*engine, "few", few, at(0));
    (0..10).for_each(|i| drop(room.append("{}", at(i))));
    let bounds = room.log.bounds();
    assert_eq!((bounds.floor, bounds.head), (7, 10), "the newest three are kept");
    assert_eq!(room.read(Range::After(6), 10), Err(Reset::TooOld.into()));
    assert_eq!(room.read(Range::After(7), 10), Ok((vec![8, 9, 10], true)));
    let position = |seq| Position { epoch: bounds.epoch.clone(), seq };
    assert_eq!(bounds.check(&position(7)), Ok(()));
    assert_eq!(bounds.check(&position(6)), Err(Reset::TooOld));
    assert_eq!(bounds.check(&position(11)), Err(Reset::Future));
    let mut small = rule();
    small.history.bytes_max = 2_000;
    let room = watch(&*engine, "small", small, at(0));
    let large = format!("\"{}\"", "x".repeat(600));
    (0..10).for_each(|i| drop(room.append(&large, at(i))));
    let kept = room.log.bounds().head - room.log.bounds().floor;
    assert!((1..=3).contains(&kept), "bytes bound what is kept; {kept} messages are");
}

fn age_takes_messages(make: Make<'_>) {
    let engine = make();
    let mut brief = rule();
    brief.history.age_max = Duration::from_secs(60);
    let room = watch(&*engine, "r", brief.clone(), at(0));
    room.append("{}", at(0));
    room.append("{}", at(30_000));
    engine.unwatch(at(31_000), &name("r"));
    engine.tick(at(61_000));
    let room = watch(&*engine, "r", brief, at(61_000));
    let bounds = room.log.bounds();
    assert_eq!((bounds.floor, bounds.head), (1, 2), "the older is gone, the younger is kept");
}

fn a_log_outlives_its_watch(make: Make<'_>) {
    let engine = make();
    let room = watch(&*engine, "r", rule(), at(0));
    room.append("{}", at(0));
    let before = room.log.bounds();
    engine.unwatch(at(1_000), &name("r"));
    let again = watch(&*engine, "r", rule(), at(2_000));
    assert_eq!(again.log.bounds(), before, "messages keep their log and epoch");
    assert_eq!(seq(&again.append("{}", at(2_000))), 2);
    assert_eq!(again.delivered(), [2], "a watch delivers from its head on");
}

fn an_empty_log_is_forgotten(make: Make<'_>) {
    let engine = make();
    let before = engine.memory_bytes();
    let room = watch(&*engine, "r", rule(), at(0));
    let epoch = room.log.bounds().epoch;
    engine.unwatch(at(0), &name("r"));
    assert_eq!(engine.memory_bytes(), before, "nothing is left of it");
    let again = watch(&*engine, "r", rule(), at(0));
    assert_ne!(again.log.bounds().epoch, epoch, "a forgotten log never comes back as itself");
}

fn rooms_are_apart(make: Make<'_>) {
    let engine = make();
    let (one, two) = (watch(&*engine, "a", rule(), at(0)), watch(&*engine, "a:b", rule(), at(0)));
    one.keyed("m1", "{}", at(0)).expect("an append");
    assert_eq!(two.log.bounds().head, 0, "a room's log is its own");
    assert!(!two.keyed("m1", "{}", at(0)).expect("an append").duplicate, "and so are its keys");
    assert_ne!(one.log.bounds().epoch, two.log.bounds().epoch, "and so is its epoch");
}

fn a_log_outlives_its_process(open: &Store<'_>) {
    let said = |room: &Watched| {
        let page = Page { messages_max: 10, bytes_max: usize::MAX };
        let batch = room.log.read(Range::After(0), page).expect("a page");
        batch.frames.iter().map(|frame| (frame.timestamp(), frame.json().to_vec())).collect::<Vec<_>>()
    };
    let before = {
        let engine = open();
        let room = watch(&*engine, "r", rule(), at(0));
        (0..3).for_each(|i| drop(room.append(&format!("\"{i}\""), at(i))));
        (room.log.bounds(), said(&room))
    };
    let engine = open();
    let room = watch(&*engine, "r", rule(), at(0));
    assert_eq!((room.log.bounds(), said(&room)), before, "the epoch goes on, and every byte is the same");
    assert_eq!(seq(&room.append("{}", at(0))), 4, "and so does the order");
}

fn keys_outlive_the_process(open: &Store<'_>) {
    let first = watch(&*open(), "r", rule(), at(0)).keyed("m1", "{}", at(0)).expect("an append");
    let engine = open();
    let room = watch(&*engine, "r", rule(), at(0));
    let again = room.keyed("m1", "{}", at(1_000)).expect("a repeat");
    assert_eq!((again.position, again.duplicate), (first.position, true), "the first position");
    assert_eq!(room.keyed("m1", "{ }", at(1_000)), Err(AppendError::Conflict), "another content");
    let later = room.keyed("m1", "{}", at(5 * 60 * 1000 + 1)).expect("an append");
    assert!(!later.duplicate, "after five minutes the id is free");
}

fn floors_outlive_the_process(open: &Store<'_>) {
    let mut few = rule();
    few.history.messages_max = 3;
    let before = {
        let engine = open();
        let room = watch(&*engine, "r", few.clone(), at(0));
        (0..100).for_each(|i| drop(room.append("{}", at(i))));
        room.log.bounds()
    };
    let engine = open();
    let room = watch(&*engine, "r", few, at(0));
    assert_eq!(room.log.bounds(), before);
    assert_eq!(room.read(Range::After(97), 10), Ok((vec![98, 99, 100], true)));
}

fn an_epoch_outlives_its_messages(open: &Store<'_>) {
    let mut brief = rule();
    brief.history.age_max = Duration::from_secs(60);
    let before = {
        let engine = open();
        let room = watch(&*engine, "r", brief.clone(), at(0));
        room.append("{}", at(0));
        room.log.bounds()
    };
    let later = at(61_000);
    let engine = open();
    engine.tick(later);
    let room = watch(&*engine, "r", brief.clone(), later);
    assert_eq!(room.log.bounds(), Bounds { floor: 1, ..before.clone() });
    drop((room, engine));
    let engine = open();
    let room = watch(&*engine, "r", brief, later);
    let early = Position { epoch: before.epoch, seq: 0 };
    assert_eq!(room.log.bounds().check(&early), Err(Reset::TooOld), "which is not a new epoch");
    assert_eq!(seq(&room.append("{}", later)), 2, "no seq is given twice");
}
