//! What rooms and connections share with the hub: limits, counters, the time, and the wheel of what is due.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use roomcast_protocol::Limits;
use roomcast_session::Now;
use tokio::runtime::Handle;

use crate::{Connection, Counters, Room, clock::Clock, rooms::IdleRooms, wheel::Wheel};

/// What rooms and connections share with the hub.
pub(crate) struct Shared {
    pub(crate) limits: Arc<Limits>,
    pub(crate) counters: Counters,
    pub(crate) runtime: Handle,
    pub(crate) idle: IdleRooms,
    clock: Clock,
    pub(super) wheel: Mutex<Wheel<(u64, Due)>>,
}

/// What the wheel holds, with the number of its alarm.
pub(super) enum Due {
    Connection(Weak<Connection>),
    Room(Weak<Room>),
}

impl Shared {
    /// Of a hub on the tokio runtime that this is called on, from now on.
    pub(super) fn new(limits: Limits) -> Self {
        let clock = Clock::start();
        let wheel = Mutex::new(Wheel::new(clock.now().ms));
        Self {
            limits: Arc::new(limits),
            counters: Counters::default(),
            runtime: Handle::current(),
            idle: IdleRooms::default(),
            clock,
            wheel,
        }
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(crate) fn schedule_room(&self, (due_ms, alarm): (u64, u64), room: &Arc<Room>) {
        self.wheel.lock().put(due_ms, (alarm, Due::Room(Arc::downgrade(room))));
    }

    pub(crate) fn schedule_connection(&self, due_ms: u64, connection: &Arc<Connection>) {
        if let Some(alarm) = connection.set_alarm(due_ms) {
            self.wheel.lock().put(due_ms, (alarm, Due::Connection(Arc::downgrade(connection))));
        }
    }

    /// Does what is due.
    pub(super) fn tick(&self, now: Now) {
        let due = self.wheel.lock().take(now.ms);
        for (alarm, due) in due {
            match due {
                Due::Connection(connection) => {
                    if let Some(connection) = connection.upgrade()
                        && let Some(again_ms) = connection.tick(now, alarm)
                    {
                        self.schedule_connection(again_ms, &connection);
                    }
                }
                Due::Room(room) => {
                    if let Some(room) = room.upgrade() {
                        room.tick(now, alarm);
                    }
                }
            }
        }
    }
}

/// 64 random bits.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    u64::from_le_bytes(bytes)
}
