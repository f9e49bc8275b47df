//! One tick for all that is timed: what is due in the wheel, rooms that nobody uses, how the engine does.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use roomcast_protocol::server;
use roomcast_session::Now;

use super::{Hub, Inner};
use crate::{Connection, Room, room::Idleness, wheel::SLOT_MS};

/// How long an idle room is kept when memory is full, in place of `limits.idle_room_kept`.
const IDLE_MS_MIN: u64 = 1_000;
/// Idle rooms looked at in one tick.
const IDLE_ROOMS_PER_TICK: usize = 100_000;

impl Hub {
    /// Forgets rooms that nobody has used for long enough; sooner, the longest idle first, if memory is full.
    fn forget_idle_rooms(&self, now: Now) {
        for _ in 0..IDLE_ROOMS_PER_TICK {
            let kept_ms = self.limits().idle_room_kept.as_millis() as u64;
            let idle_ms = if self.0.engine.is_full() { IDLE_MS_MIN } else { kept_ms };
            let Some(name) = self.0.shared.idle.pop(now.ms.saturating_sub(idle_ms)) else { return };
            let Some(room) = self.0.rooms.get(&name) else { continue };
            let Idleness::Since(since_ms) = room.idleness(now) else { continue };
            if since_ms + idle_ms > now.ms {
                self.0.shared.idle.push(since_ms, &name);
            } else if !self.forget_room(now, &room, since_ms) {
                // Somebody holds it.
                self.0.shared.idle.push(now.ms, &name);
            }
        }
    }

    fn forget_room(&self, now: Now, room: &Arc<Room>, since_ms: u64) -> bool {
        let Inner { shared, engine, rooms, .. } = &*self.0;
        let gone =
            rooms.remove_if(room, || room.is_idle_since(since_ms), || engine.unwatch(now, room.name()));
        if gone {
            shared.counters.rooms.sub(1);
        }
        gone
    }

    /// Tells whoever comes while the log can't be reached; who is known to the sessions by now.
    pub(crate) fn tell_if_degraded(&self, connection: &Arc<Connection>) {
        if self.is_degraded() {
            let head = server::Head::at(self.now().wall);
            connection.say(|_, queue| queue.push(|out| server::degraded(head, out)));
        }
    }

    /// Looks how the engine does, and tells everybody when that changes.
    fn look_at_engine(&self) {
        let trouble = self.0.engine.trouble().unwrap_or_default();
        let degraded = trouble >= self.limits().degraded_after;
        if self.0.degraded.swap(degraded, Ordering::AcqRel) == degraded {
            return;
        }
        let tell = if degraded {
            tracing::error!(?trouble, "the log takes nothing: clients are told `degraded`");
            server::degraded
        } else {
            tracing::info!("the log takes messages again: clients are told `restored`");
            server::restored
        };
        let head = server::Head::at(self.now().wall);
        for connection in self.0.sessions.all() {
            connection.say(|_, queue| queue.push(|out| tell(head, out)));
        }
    }
}

/// Ticks until the hub is dropped.
pub(super) async fn tick_along(hub: Weak<Inner>) {
    let mut interval = tokio::time::interval(Duration::from_millis(SLOT_MS));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ticks = 0_u64;
    loop {
        interval.tick().await;
        let Some(inner) = hub.upgrade() else { return };
        let hub = Hub(inner);
        hub.0.shared.tick(hub.now());
        hub.forget_idle_rooms(hub.now());
        ticks += 1;
        if ticks.is_multiple_of(1000 / SLOT_MS) {
            hub.0.engine.tick(hub.now());
            hub.look_at_engine();
        }
    }
}

#[cfg(test)]
mod tests {
    use roomcast_protocol::{
        Code, Data, Grants, Limits, Pattern, Publish, SessionId, Timestamp, UserId, Wire,
    };
    use roomcast_session::{Identity, Principal};

    use super::*;
    use crate::{Authorizer, Entrance, Line, Publication, Publisher, RoomRule, engine::Memory};

    const ROOMS: usize = 10_000;
    /// As the protocol promises.
    const IDLE_MS: u64 = 60_000;

    fn later(hub: &Hub, ms: u64) -> Now {
        Now { ms: hub.now().ms + ms, ..hub.now() }
    }

    #[tokio::test]
    async fn rooms_that_nobody_uses_leave_nothing_behind() {
        let hub = Hub::builder().build();
        (0..ROOMS).for_each(|i| drop(hub.room(&format!("r{i}")).unwrap()));
        assert_eq!(hub.counters().rooms.get(), ROOMS as u64);
        assert!(hub.memory_bytes() > 0);
        let epoch = hub.room("r0").unwrap().summary().head.epoch;
        hub.forget_idle_rooms(later(&hub, IDLE_MS - 10_000));
        assert_eq!(hub.counters().rooms.get(), ROOMS as u64, "a blink is no reset");
        hub.forget_idle_rooms(later(&hub, IDLE_MS));
        assert_eq!((hub.counters().rooms.get(), hub.memory_bytes()), (0, 0));
        assert_ne!(
            hub.room("r0").unwrap().summary().head.epoch,
            epoch,
            "a position from before is of no use"
        );
    }

    #[tokio::test]
    async fn an_idle_room_is_kept_as_long_as_configured() {
        let limits = Limits { idle_room_kept: Duration::from_secs(5), ..Limits::default() };
        let hub = Hub::builder().limits(limits).build();
        hub.room("r").unwrap();
        hub.forget_idle_rooms(later(&hub, 4_000));
        assert!(hub.find_room("r").is_some());
        hub.forget_idle_rooms(later(&hub, 5_000));
        assert!(hub.find_room("r").is_none());
    }

    #[tokio::test]
    async fn when_memory_is_full_the_longest_idle_room_goes_first() {
        let hub = Hub::builder().engine(Memory::new(1, crate::KeyLimits::default())).build();
        hub.room("r").unwrap();
        hub.forget_idle_rooms(later(&hub, IDLE_MS_MIN));
        assert!(hub.find_room("r").is_none());
    }

    #[tokio::test]
    async fn a_room_with_messages_is_found_again_after_it_was_put_away() {
        let hub = Hub::builder().build();
        let room = hub.room("r").unwrap();
        let publish = Publish::new("text".into(), Data::default(), false).unwrap();
        let publication = Publication { id: None, publish: &publish, publisher: Publisher::User("ada") };
        room.publish(&publication).await.unwrap();
        let head = room.summary().head;
        drop(room);
        // Whoever serves its readers lets go of it, too.
        tokio::task::yield_now().await;
        hub.forget_idle_rooms(later(&hub, IDLE_MS));
        assert!(hub.find_room("r").is_none());
        assert_eq!(hub.room("r").unwrap().summary().head, head);
    }

    #[tokio::test]
    async fn a_room_that_somebody_holds_is_kept() {
        let hub = Hub::builder().build();
        let room = hub.room("r").unwrap();
        hub.forget_idle_rooms(later(&hub, IDLE_MS));
        assert!(Arc::ptr_eq(&room, &hub.room("r").unwrap()), "what is said in another reaches nobody");
        drop(room);
        hub.forget_idle_rooms(later(&hub, 2 * IDLE_MS));
        assert!(hub.find_room("r").is_none());
    }

    fn ada() -> Identity {
        Identity {
            user: UserId::new("ada").unwrap(),
            principal: Principal::User,
            session: SessionId::new("abcdefghijklmnopqrstuv").unwrap(),
            grants: Arc::new(Grants::all()),
            info: None,
            expires_at: None,
        }
    }

    /// Every token is ada's.
    struct Ada;

    impl Authorizer for Ada {
        fn authenticate(&self, _: &str, _: &SessionId, _: Timestamp) -> Result<Identity, (Code, String)> {
            Ok(ada())
        }
    }

    #[tokio::test]
    async fn however_often_a_time_changes_one_is_waited_for() {
        let limits = Limits { typing_lease: Duration::ZERO, ..Limits::default() };
        let mut rule = RoomRule::new(Pattern::new("*").unwrap());
        rule.presence.lease = Duration::from_secs(3600);
        let hub = Hub::builder().limits(limits).rules(vec![rule]).authorizer(Arc::new(Ada)).build();
        let (line, wire) = (Line::Pipe(None), Wire::Counted);
        let entrance = Entrance { line, wire, identity: ada(), attempt: 0, bound: None };
        let connection = hub.admit(entrance).unwrap();
        let room = hub.room("r").unwrap();
        room.lease(&ada(), None);
        for i in 1..=10 {
            hub.turn(&connection).message(r#"{"type":"auth","data":{"token":"t"}}"#);
            room.show_typing(&ada(), true, &Data::default());
            hub.0.shared.tick(later(&hub, i * 2 * SLOT_MS));
        }
        hub.0.shared.tick(later(&hub, 60_000));
        let waiting = hub.0.shared.wheel.lock().take(u64::MAX / 2);
        assert_eq!(waiting.len(), 2, "for the connection and for the room");
    }
}
