//! A coarse timer wheel: what is due lies in the slot of its time, and one tick for all takes a slot out.
//! No timer, and no wake-up, per connection or room.

/// Width of a slot, in milliseconds.
pub(crate) const SLOT_MS: u64 = 250;
/// Slots of the wheel: 32 s, more than any heartbeat waits. What is due later is looked at and put back.
const SLOTS: usize = 128;

/// Things and the times they are due.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    slots: Vec<Vec<T>>,
    /// The slot number up to which everything has been taken.
    taken: u64,
}

impl<T> Wheel<T> {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), taken: now_ms / SLOT_MS }
    }

    /// Puts a thing where it is found at `due_ms`, or a wheel's turn from now if that is sooner.
    pub(crate) fn put(&mut self, due_ms: u64, thing: T) {
        let slot = due_ms.div_ceil(SLOT_MS).clamp(self.taken + 1, self.taken + SLOTS as u64);
        self.slots[(slot % SLOTS as u64) as usize].push(thing);
    }

    /// Takes out everything that is due.
    pub(crate) fn take(&mut self, now_ms: u64) -> Vec<T> {
        let until = now_ms / SLOT_MS;
        let turns = until.saturating_sub(self.taken).min(SLOTS as u64);
        let first = until + 1 - turns;
        self.taken = self.taken.max(until);
        (first..=until)
            .flat_map(|slot| std::mem::take(&mut self.slots[(slot % SLOTS as u64) as usize]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_things_come_out_in_time() {
        let mut wheel = Wheel::new(1_000);
        wheel.put(0, "past");
        wheel.put(1_500, "soon");
        wheel.put(1_501, "a little later");
        wheel.put(1_000_000, "far");
        assert_eq!(wheel.take(1_100), Vec::<&str>::new());
        assert_eq!(wheel.take(1_250), ["past"]);
        assert_eq!(wheel.take(1_500), ["soon"]);
        assert_eq!(wheel.take(1_750), ["a little later"]);
        assert_eq!(wheel.take(32_999), Vec::<&str>::new());
        assert_eq!(wheel.take(33_000), ["far"]);
    }

    #[test]
    fn a_long_pause_takes_every_slot_once() {
        let mut wheel = Wheel::new(0);
        (0..1_000).for_each(|i| wheel.put(i * 40, i));
        assert_eq!(wheel.take(10_000_000).len(), 1_000);
        wheel.put(10_000_001, 1);
        assert_eq!(wheel.take(10_000_250), [1]);
    }
}
