//! Where a reader stands between the log and the feed, and what comes next for it: the hand-over between replay
//! and live. Every reader goes through it, whether it joins, resumes, lags or was cut.
//!
//! Pure numbers. It reads neither log nor feed, and never waits for either.

/// A place in the feed: the index of the next entry, and the seq of the last logged message before it, 0 if none is
/// known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) index: u64,
    pub(crate) seq: u64,
}

/// What a feed has given up: the entries before an index, and with them the logged messages up to a seq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) before: u64,
    pub(crate) floor: u64,
}

/// What a reader gets next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The feed's entries from this index on, each for which [`Cursor::pass`] says so.
    Live(u64),
    /// What the log has after its seq, each message [`Cursor::replayed`]. If the log no longer has that, the reader is
    /// told to reload: [`Cursor::reset`].
    Replay,
}

/// A reader's place in one room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The next entry of the feed. Where the feed no longer has it, `seq` alone says where the reader stands.
    index: u64,
    /// The last logged message that it has.
    seq: u64,
    /// Ephemeral entries before this index are not for it: it was not at the tip then.
    live_from: u64,
    /// It could not be written to: what is ephemeral has been missed.
    lagged: bool,
}

impl Cursor {
    /// A reader that wants what comes from a place in the feed on.
    pub(crate) fn live(from: Place) -> Self {
        Self { index: from.index, seq: from.seq, live_from: from.index, lagged: false }
    }

    /// A reader that has everything up to a seq, and comes to the feed where it ends now.
    pub(crate) fn resumed(seq: u64, end: Place) -> Self {
        if seq == end.seq { Self::live(end) } else { Self { index: 0, seq, ..Self::live(end) } }
    }

    // What is known.

    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// What it must be made good for before it goes on: everything ephemeral from this index on.
    pub(crate) fn missed(&self, gone: Gone) -> Option<u64> {
        (self.lagged || self.index < gone.before).then(|| self.index.max(self.live_from))
    }

    /// What comes next. `first_above` finds the feed's first entry with a seq above one: who comes from the log has
    /// no index yet.
    pub(crate) fn next(&self, gone: Gone, first_above: impl FnOnce(u64) -> u64) -> Next {
        if self.index >= gone.before {
            return Next::Live(self.index);
        }
        if self.seq < gone.floor {
            return Next::Replay;
        }
        Next::Live(first_above(self.seq).min(self.live_from.max(gone.before)))
    }

    /// Whether it gets just what all readers get that stand at an index: every entry from there on, the first of
    /// which in the log has `first_seq`.
    pub(crate) fn shares(&self, index: u64, first_seq: u64) -> bool {
        self.index == index && self.live_from <= index && self.seq < first_seq
    }

    // How it moves.

    /// It got the feed up to a place.
    pub(crate) fn advance(&mut self, to: Place) {
        (self.index, self.seq) = (to.index, self.seq.max(to.seq));
    }

    /// It comes to an entry of the feed, and goes past. Answers whether the entry is due to it.
    pub(crate) fn pass(&mut self, index: u64, seq: u64) -> bool {
        let is_due = if seq > 0 { seq > self.seq } else { index >= self.live_from };
        self.advance(Place { index: index + 1, seq });
        is_due
    }

    /// It stands before an entry of the feed: what it was sent there for.
    pub(crate) fn stand(&mut self, index: u64) {
        self.index = index;
    }

    /// It got a message from the log.
    pub(crate) fn replayed(&mut self, seq: u64) {
        self.seq = seq;
    }

    /// It was told to reload, and goes on from a place.
    pub(crate) fn reset(&mut self, to: Place) {
        *self = Self::live(to);
    }

    /// It can't be written to.
    pub(crate) fn lag(&mut self) {
        self.lagged = true;
    }

    /// It can be, and nothing is due.
    pub(crate) fn caught_up(&mut self) {
        self.lagged = false;
    }

    /// It knows what was ephemeral before an index.
    pub(crate) fn mend(&mut self, live_from: u64) {
        (self.live_from, self.lagged) = (live_from, false);
    }

    /// The same, told by a join that asks for nothing else; what is logged is still to come.
    pub(crate) fn rejoined(self, end: Place) -> Self {
        Self { live_from: end.index, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, ops::Range, sync::Arc};

    use proptest::{collection::vec, prelude::*};
    use roomcast_protocol::{Draft, Frame, Timestamp};

    use super::*;
    use crate::{
        Audience,
        feed::{Due, Feed},
    };

    const READERS: usize = 3;
    /// Bytes of the feed that one step of a reader takes: a few messages.
    const STEP_BYTES: usize = 300;
    /// Messages that one reading of the log brings.
    const PAGE: usize = 3;

    /// What may happen, in any order.
    #[derive(Clone, Debug)]
    enum Event {
        /// The engine keeps so many messages more.
        Append(u64),
        /// It delivers so many of those that it hasn't delivered.
        Deliver(u64),
        /// The roster changes.
        Change,
        /// The log gives up its oldest messages.
        Trim(u64),
        /// A pass hands the feed's run to everybody; each takes no more than so many entries of it.
        Pass([u64; READERS]),
        /// A reader writes what is due from its own cursor; so many steps of it are taken. In the middle of a step the
        /// roster may change.
        Flush(usize, usize, bool),
        /// A reader can't be written to.
        Lag(usize),
        /// A reader is cut, and comes back to this many messages before the head; its join is not acked yet.
        Resume(usize, u64),
        /// Its join is acked.
        Release(usize),
        /// A reader joins again and asks for nothing.
        Rejoin(usize),
    }

    fn event() -> impl Strategy<Value = Event> {
        let cut = || prop_oneof![2 => 0..4_u64, 3 => Just(u64::MAX)];
        prop_oneof![
            4 => (1..6_u64).prop_map(Event::Append),
            4 => (1..6_u64).prop_map(Event::Deliver),
            3 => Just(Event::Change),
            1 => (0..8_u64).prop_map(Event::Trim),
            4 => [cut(), cut(), cut()].prop_map(Event::Pass),
            4 => (0..READERS, 0..8_usize, any::<bool>())
                .prop_map(|(reader, steps, races)| Event::Flush(reader, steps, races)),
            1 => (0..READERS).prop_map(Event::Lag),
            2 => (0..READERS, 0..8_u64).prop_map(|(reader, back)| Event::Resume(reader, back)),
            3 => (0..READERS).prop_map(Event::Release),
            1 => (0..READERS).prop_map(Event::Rejoin),
        ]
    }

    /// A reader, and what its client believes.
    #[derive(Clone, Debug)]
    struct Reader {
        cursor: Cursor,
        /// The last message that it has.
        seq: u64,
        /// The version of the roster that it knows.
        version: u64,
        /// Versions up to here came while it could not be written to.
        stale: u64,
        held: bool,
    }

    impl Reader {
        fn gets(&mut self, seq: u64) {
            assert_eq!(seq, self.seq + 1, "each message once and in order: {self:?}");
            self.seq = seq;
        }

        fn hears(&mut self, version: u64) {
            assert_eq!(version, self.version + 1, "each change once and in order: {self:?}");
            assert!(version > self.stale, "what is ephemeral waits for nobody: {self:?}");
            self.version = version;
        }

        fn is_synced(&mut self, version: u64) {
            assert!(version > self.version, "who has missed nothing is told nothing twice: {self:?}");
            self.version = version;
        }
    }

    /// A room: its log and its feed, and the readers before them.
    struct World {
        /// What the log keeps.
        log: Range<u64>,
        /// The last message that the engine has delivered.
        delivered: u64,
        feed: Feed,
        /// Versions of the roster by their place in the feed; the last one, and the index after it.
        versions: HashMap<u64, u64>,
        version: u64,
        roster_tip: u64,
        drained: u64,
        readers: Vec<Reader>,
    }

    fn logged(seq: u64) -> Arc<Frame> {
        Draft::new(("text", None, "r"), Timestamp(0), |out| out.extend_from_slice(b"{}")).seal(seq, seq - 1)
    }

    impl World {
        fn new() -> Self {
            let feed = Feed::new(0);
            let cursor = Cursor::live(feed.end());
            let reader = Reader { cursor, seq: 0, version: 0, stale: 0, held: false };
            Self {
                log: 1..1,
                delivered: 0,
                feed,
                versions: HashMap::new(),
                version: 0,
                roster_tip: 0,
                drained: 1,
                readers: vec![reader; READERS],
            }
        }

        fn happens(&mut self, event: &Event) {
            match *event {
                Event::Append(count) => self.log.end += count,
                Event::Deliver(count) => (0..count).for_each(|_| self.deliver()),
                Event::Change => self.change(),
                Event::Trim(count) => self.log.start = (self.log.start + count).min(self.log.end),
                Event::Pass(cuts) => self.pass(cuts),
                Event::Flush(reader, steps, races) => self.flush(reader, steps, races),
                Event::Lag(reader) => self.readers[reader].cursor.lag(),
                Event::Resume(reader, back) => self.resume(reader, back),
                Event::Release(reader) => self.readers[reader].held = false,
                Event::Rejoin(reader) => {
                    let version = self.version;
                    let reader = &mut self.readers[reader];
                    (reader.cursor, reader.version) = (reader.cursor.rejoined(self.feed.end()), version);
                }
            }
        }

        fn deliver(&mut self) {
            if self.delivered + 1 < self.log.end {
                self.delivered += 1;
                self.feed.push(logged(self.delivered), Audience::All);
            }
        }

        fn change(&mut self) {
            self.version += 1;
            self.versions.insert(self.feed.tip(), self.version);
            let draft =
                Draft::volatile(("presence", None, "r"), Timestamp(0), |out| out.extend_from_slice(b"{}"));
            self.feed.push(draft, Audience::Roster);
            self.roster_tip = self.feed.tip();
            for reader in self.readers.iter_mut().filter(|reader| reader.cursor.lagged) {
                reader.stale = self.version;
            }
        }

        /// As a room does it.
        fn pass(&mut self, cuts: [u64; READERS]) {
            let (base, entries) = self.feed.run(self.drained, STEP_BYTES);
            let seqs: Vec<_> = entries.iter().map(|entry| entry.frame.seq()).collect();
            let first_seq = seqs.iter().copied().find(|seq| *seq > 0).unwrap_or(u64::MAX);
            for (number, cut) in cuts.into_iter().enumerate() {
                let reader = &mut self.readers[number];
                let waits = reader.held || reader.cursor.lagged;
                if waits || reader.cursor.index() >= base + seqs.len() as u64 {
                    continue;
                }
                if !reader.cursor.shares(base, first_seq) {
                    self.flush(number, usize::try_from(cut).unwrap_or(usize::MAX), false);
                    continue;
                }
                for (index, seq) in (base..).zip(&seqs).take(usize::try_from(cut).unwrap_or(usize::MAX)) {
                    match self.versions.get(&index) {
                        Some(version) => reader.hears(*version),
                        None => reader.gets(*seq),
                    }
                    reader.cursor.advance(Place { index: index + 1, seq: *seq });
                }
                if cut < seqs.len() as u64 {
                    reader.cursor.lag();
                }
            }
            self.drained = base + seqs.len() as u64;
            self.feed.forget_before(self.drained);
        }

        /// As an outbox does it: puts together what is due, and moves by what of it was taken.
        fn flush(&mut self, number: usize, steps: usize, mut races: bool) {
            if self.readers[number].held {
                return;
            }
            for _ in 0..steps {
                let before = self.readers[number].clone();
                self.step(number, std::mem::take(&mut races));
                if before.cursor == self.readers[number].cursor {
                    return self.readers[number].cursor.caught_up();
                }
            }
            self.readers[number].cursor.lag();
        }

        /// One step: what lies between two places where a write may be cut.
        fn step(&mut self, number: usize, races: bool) {
            let mut cursor = self.readers[number].cursor;
            if let Some(seen) = cursor.missed(self.feed.gone()) {
                if self.roster_tip > seen {
                    self.readers[number].is_synced(self.version);
                }
                cursor.mend(self.feed.tip());
                self.readers[number].cursor = cursor;
            }
            if races {
                self.change();
            }
            let reader = &mut self.readers[number];
            match self.feed.due(&cursor, STEP_BYTES) {
                Due::Entries(from, entries) => {
                    cursor.stand(from);
                    if let Some(entry) = entries.first()
                        && cursor.pass(from, entry.frame.seq())
                    {
                        match self.versions.get(&from) {
                            Some(version) => reader.hears(*version),
                            None => reader.gets(entry.frame.seq()),
                        }
                    }
                }
                Due::InLog if cursor.seq() + 1 < self.log.start => {
                    let end = self.feed.end();
                    assert!(end.seq > cursor.seq(), "a reset goes forward");
                    cursor.reset(end);
                    (reader.seq, reader.version) = (end.seq, self.version);
                }
                Due::InLog => {
                    for seq in (cursor.seq() + 1..self.log.end).take(PAGE) {
                        reader.gets(seq);
                        cursor.replayed(seq);
                    }
                }
            }
            reader.cursor = cursor;
        }

        /// The position is looked at as a join does it.
        fn resume(&mut self, number: usize, back: u64) {
            let (end, head) = (self.feed.end(), self.log.end - 1);
            let since = head.saturating_sub(back);
            let seq = if since + 1 < self.log.start { end.seq } else { since };
            let (cursor, version) = (Cursor::resumed(seq, end), self.version);
            self.readers[number] = Reader { cursor, seq, version, stale: version, held: true };
        }

        /// Everybody is brought to the tip.
        fn come_to_rest(&mut self) {
            self.happens(&Event::Deliver(self.log.end));
            for reader in 0..READERS {
                self.happens(&Event::Release(reader));
                self.flush(reader, usize::MAX, false);
            }
        }
    }

    #[test]
    fn who_has_everything_is_live_at_once() {
        let end = Place { index: 9, seq: 5 };
        assert_eq!(Cursor::resumed(5, end), Cursor::live(end));
        assert_ne!(Cursor::resumed(4, end), Cursor::live(end));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn everything_once_and_in_order_or_a_reset(events in vec(event(), 0..120)) {
            let mut world = World::new();
            for event in &events {
                world.happens(event);
            }
            world.come_to_rest();
            for reader in &world.readers {
                prop_assert_eq!(reader.seq, world.delivered, "nothing is left out at the end");
                prop_assert_eq!(reader.version, world.version, "nor of who is here");
                prop_assert_eq!(reader.cursor.index(), world.feed.tip());
            }
            world.happens(&Event::Change);
            world.happens(&Event::Append(1));
            world.happens(&Event::Deliver(1));
            while world.drained < world.feed.tip() {
                world.happens(&Event::Pass([u64::MAX; READERS]));
            }
            prop_assert!(world.readers.iter().all(|reader| reader.seq == world.delivered));
        }
    }
}
