//! Who is in a room and who is typing: leased state, told through the feed, versions in order.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use roomcast_protocol::{Data, Frame, Positions, Queue, Reset, server};
use roomcast_session::{Identity, Now};

use super::Room;
use crate::{
    Audience,
    connection::ConnectionId,
    cursor::Place,
    presence::{Hold, Roster, Told},
    typing::Typists,
    wheel::Alarm,
};

/// Members and typists: state that is leased, versioned, and told through the feed.
#[derive(Debug)]
pub(super) struct People {
    pub(super) roster: Roster,
    pub(super) typists: Typists,
    /// When the wheel looks at this room next.
    pub(super) alarm: Alarm,
}

impl People {
    /// When something ends by itself.
    fn due(&self) -> Option<u64> {
        self.roster.due_ms().into_iter().chain(self.typists.due_ms()).min()
    }
}

impl Room {
    /// Shows that a user types, or no longer. The caller drains.
    pub(crate) fn type_(
        self: &Arc<Self>,
        now: Now,
        who: &Identity,
        (on, data): (bool, Option<&Data<'_>>),
        sender: Option<ConnectionId>,
    ) {
        let mut people = self.people.lock();
        let tell = if on {
            people.typists.start(now.ms, (&who.session, &who.user), &self.shared.limits)
        } else {
            people.typists.stop(&who.session)
        };
        if tell {
            let audience = sender.map_or(Audience::All, Audience::AllBut);
            self.tell_typing(now, &who.user, (on, data), audience);
        }
        self.schedule(&mut people);
    }

    /// Whoever goes types no longer. The caller drains.
    pub(crate) fn hush(&self, now: Now, who: &Identity) {
        if self.people.lock().typists.stop(&who.session) {
            self.tell_typing(now, &who.user, (false, None), Audience::All);
        }
    }

    pub(super) fn tell_typing(
        &self,
        now: Now,
        user: &str,
        (on, data): (bool, Option<&Data<'_>>),
        audience: Audience,
    ) {
        let head = self.head(now);
        self.feed.push(Frame::new(now.wall, |out| server::typing(head, user, on, data, out)), audience);
    }

    /// Typing by request. It is not told to what the session itself reads with.
    pub fn show_typing(self: &Arc<Self>, who: &Identity, on: bool, data: &Data<'_>) {
        self.type_(self.shared.now(), who, (on, Some(data)), self.reader_of(who));
        self.drain_apart();
    }

    /// A member renews or sets its state. The caller drains. Answers whether it is a member.
    pub(crate) fn renew(
        self: &Arc<Self>,
        now: Now,
        who: &Identity,
        state: Option<Box<str>>,
        connection: ConnectionId,
    ) -> bool {
        let mut people = self.people.lock();
        let is_member = people.roster.has(who);
        if is_member {
            let told = people.roster.enter(now.ms, who, Hold::Connection(connection), state);
            self.tell(now, told, &people.roster);
        }
        is_member
    }

    /// A session without a socket is here, until its lease ends. Answers how long that is.
    pub fn lease(self: &Arc<Self>, who: &Identity, state: Option<Box<str>>) -> Duration {
        let now = self.shared.now();
        let mut people = self.people.lock();
        let hold = people.roster.lease(now.ms);
        let told = people.roster.enter(now.ms, who, hold, state);
        self.tell(now, told, &people.roster);
        self.schedule(&mut people);
        drop(people);
        self.touch();
        self.drain_apart();
        self.rule.presence.lease
    }

    /// Renews the lease of a session that is here: one that has gone meanwhile stays away. Answers how long a lease is.
    pub fn prolong(self: &Arc<Self>, who: &Identity) -> Duration {
        let is_member = self.people.lock().roster.has(who);
        if is_member { self.lease(who, None) } else { self.rule.presence.lease }
    }

    /// A session without a socket goes.
    pub fn unlease(self: &Arc<Self>, who: &Identity) {
        let now = self.shared.now();
        let mut people = self.people.lock();
        let told = people.roster.leave(now.ms, who, None);
        self.tell(now, told, &people.roster);
        drop(people);
        self.hush(now, who);
        self.drain_apart();
    }

    /// Puts what the roster says into the feed. Under the roster's lock, so that versions are in order.
    pub(super) fn tell(&self, now: Now, told: Option<Told>, roster: &Roster) {
        let Some(told) = told else { return };
        let head = self.head(now);
        let frame = Frame::new(now.wall, |out| match &told {
            Told::Change(change, v, count) => server::presence(head, change, *v, *count, out),
            Told::Sync => server::sync(head, &self.seen(roster, true), out),
        });
        // From before it can be seen: who comes between takes the roster for changed, and waits for the lock.
        self.roster_tip.store(u64::MAX, Ordering::Release);
        self.feed.push(frame, Audience::Roster);
        self.roster_tip.store(self.feed.tip(), Ordering::Release);
    }

    /// Makes good for presence that a reader missed who has seen the feed up to an index. Answers from where on
    /// it is at the tip again.
    pub(crate) fn catch_up(&self, reads_roster: bool, seen: u64, queue: &mut Queue) -> u64 {
        let tip = self.feed.tip();
        if !reads_roster || self.roster_tip.load(Ordering::Acquire) <= seen {
            return tip;
        }
        self.sync(queue).index
    }

    /// Tells a reader to reload. Answers where it goes on.
    ///
    /// `standing` says where the reader stands in all its rooms once it is at a seq of this one.
    pub(crate) fn reset(
        &self,
        reason: Reset,
        reads_roster: bool,
        standing: impl FnOnce(u64) -> Positions,
        queue: &mut Queue,
    ) -> Place {
        self.shared.counters.resets_total.add(1);
        let (now, epoch) = (self.shared.now(), self.log.bounds().epoch);
        let mut rest = Queue::of(queue.wire());
        let end = if reads_roster { self.sync(&mut rest) } else { self.feed.end() };
        queue.push_positions(|| standing(end.seq));
        queue.push(|out| server::reset(self.head(now), reason, &epoch, end.seq, out));
        queue.extend(rest.bytes());
        end
    }

    /// Appends a sync. Answers the place in the feed that it belongs to.
    pub(super) fn sync(&self, queue: &mut Queue) -> Place {
        let now = self.shared.now();
        let people = self.people.lock();
        let members = self.seen(&people.roster, true);
        queue.push(|out| server::sync(self.head(now), &members, out));
        self.feed.end()
    }

    /// Has the wheel look at the room in time.
    pub(super) fn schedule(self: &Arc<Self>, people: &mut People) {
        if let Some(due_ms) = people.due()
            && let Some(number) = people.alarm.set(due_ms)
        {
            self.shared.schedule_room((due_ms, number), self);
        }
    }

    /// Looks at the clock, if this is the alarm: leases that have ended, numbers that are due.
    pub(crate) fn tick(self: &Arc<Self>, now: Now, alarm: u64) {
        let mut people = self.people.lock();
        if !people.alarm.rings(alarm) {
            return;
        }
        for told in people.roster.expire(now.ms) {
            self.tell(now, Some(told), &people.roster);
        }
        for user in people.typists.expire(now.ms) {
            self.tell_typing(now, &user, (false, None), Audience::All);
        }
        self.schedule(&mut people);
        drop(people);
        self.drain();
    }
}
