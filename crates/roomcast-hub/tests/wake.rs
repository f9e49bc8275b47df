//! The wake-up of a room's readers under loom: every interleaving of those who move the tip, with every order of
//! memory that the atomics allow.

#![allow(clippy::unwrap_used, reason = "what a test can't set up fails it")]

use loom::{
    sync::{
        Arc, Mutex, atomic,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

#[path = "../src/wake.rs"]
mod wake;

use wake::Wake;

/// A room as far as waking goes: what a pass reads under the feed's lock, and the tip beside it.
struct Room {
    wake: Wake,
    feed: Mutex<u64>,
    tip: AtomicU64,
    is_passing: AtomicBool,
}

impl Room {
    fn new() -> Self {
        Self {
            wake: Wake::new(0),
            feed: Mutex::new(0),
            tip: AtomicU64::new(0),
            is_passing: AtomicBool::new(false),
        }
    }

    fn tip(&self) -> u64 {
        self.tip.load(Ordering::Acquire)
    }

    fn push(&self) {
        let mut feed = self.feed.lock().unwrap();
        *feed += 1;
        self.tip.store(*feed, Ordering::Release);
    }

    /// As the room does it.
    fn drain(&self) {
        if !self.wake.begin(self.tip()) {
            return;
        }
        loop {
            self.pass();
            if self.wake.finish(self.tip()) {
                return;
            }
        }
    }

    fn pass(&self) {
        assert!(!self.is_passing.swap(true, Ordering::Relaxed), "one pass at a time");
        // A pass takes a bounded part of what is due.
        let end = (*self.feed.lock().unwrap()).min(self.wake.drained() + 1);
        self.is_passing.store(false, Ordering::Relaxed);
        self.wake.passed(end);
    }
}

fn explore(publishers: usize, messages: usize, preemptions_max: usize) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions_max);
    model.check(move || {
        let room = Arc::new(Room::new());
        let publish = |room: Arc<Room>| {
            move || {
                for _ in 0..messages {
                    room.push();
                    room.drain();
                }
            }
        };
        let others: Vec<_> = (1..publishers).map(|_| thread::spawn(publish(room.clone()))).collect();
        publish(room.clone())();
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(
            room.wake.drained(),
            (publishers * messages) as u64,
            "a reader sleeps on a tip that has moved"
        );
        room.push();
        room.drain();
        assert_eq!(room.wake.drained(), room.tip(), "whoever comes after an idle room wakes it");
    });
}

#[test]
fn nobody_sleeps_on_a_moved_tip_between_two_who_move_it_twice() {
    explore(2, 2, 3);
}

#[test]
fn nobody_sleeps_on_a_moved_tip_among_three() {
    explore(3, 1, 2);
}
