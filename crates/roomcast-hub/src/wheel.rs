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

/// When something is to be found in a wheel next. Nothing is ever taken out before its time: what is set to sooner
/// stands there twice, and what is found that isn't the last that was set is passed over, or it would come round for ever.
#[derive(Debug)]
pub(crate) struct Alarm {
    due_ms: u64,
    number: u64,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { due_ms: u64::MAX, number: 0 }
    }
}

impl Alarm {
    /// Sets it to a time, if that is sooner than it would ring. Answers the number to put into the wheel.
    pub(crate) fn set(&mut self, due_ms: u64) -> Option<u64> {
        let sooner = due_ms < self.due_ms;
        sooner.then(|| {
            (self.due_ms, self.number) = (due_ms, self.number + 1);
            self.number
        })
    }

    /// A number was found in the wheel. Answers whether it is the one; the alarm is off then.
    pub(crate) fn rings(&mut self, number: u64) -> bool {
        let rings = number == self.number;
        if rings {
            self.due_ms = u64::MAX;
        }
        rings
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
