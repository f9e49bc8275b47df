//! Who is in a room: leased state, kept per session, told per user. Pure; time is passed in, and what is to be
//! told comes back as changes with the roster's version.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use roomcast_protocol::{
    SessionId, UserId,
    server::{Change, Member, Members},
};
use roomcast_session::Identity;
use smallvec::SmallVec;

use crate::{connection::ConnectionId, rule::PresenceRule};

/// How often the number of a large room is told, in milliseconds.
const COUNT_MS: u64 = 1_000;

/// What keeps a session a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// A live connection.
    Connection(ConnectionId),
    /// A sign of life, until then (ms); or, after an abrupt loss, the grace until then.
    Until(u64),
}

#[derive(Debug)]
struct Stay {
    session: SessionId,
    hold: Hold,
    /// Further connections of the session, a stream beside a socket; most have none.
    others: Vec<ConnectionId>,
    /// When a good-bye was said beside the connection (ms): it may overtake the end of a stream.
    bye_ms: Option<u64>,
}

impl Stay {
    fn new(session: &SessionId, hold: Hold) -> Self {
        Self { session: session.clone(), hold, others: Vec::new(), bye_ms: None }
    }

    /// A sign of life without a socket changes nothing for a session that has one.
    fn renew(&mut self, hold: Hold) {
        self.bye_ms = None;
        match (self.hold, hold) {
            (Hold::Connection(_), Hold::Until(_)) => {}
            (Hold::Connection(older), Hold::Connection(newer)) if older != newer => {
                self.others.retain(|other| *other != newer);
                self.others.push(older);
                self.hold = hold;
            }
            _ => self.hold = hold,
        }
    }

    /// A connection goes. Whether it was the one that held the stay, and no other does.
    fn let_go(&mut self, connection: ConnectionId) -> bool {
        if self.hold != Hold::Connection(connection) {
            self.others.retain(|other| *other != connection);
            return false;
        }
        match self.others.pop() {
            Some(other) => self.hold = Hold::Connection(other),
            None => return true,
        }
        false
    }

    fn is_leased(&self) -> bool {
        matches!(self.hold, Hold::Until(_))
    }
}

#[derive(Debug)]
struct Seat {
    arrival: u64,
    state: Box<str>,
    info: Option<Arc<str>>,
    stays: SmallVec<[Stay; 1]>,
}

impl Seat {
    fn member(&self, user: &UserId) -> Member {
        Member {
            user: user.clone(),
            state: self.state.clone(),
            info: self.info.clone(),
            connections: self.stays.len() as u32,
        }
    }
}

/// One thing to tell a room: the change, the version after it, the users then.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A change.
    Change(Change, u64, u64),
    /// All that is known, after a time of only counting.
    Sync,
}

/// The members of one room.
#[derive(Debug)]
pub(crate) struct Roster {
    rule: PresenceRule,
    v: u64,
    users: HashMap<UserId, Seat>,
    /// Users by their coming.
    arrivals: BTreeMap<u64, UserId>,
    /// Stays that end by themselves, soonest first.
    ends: BTreeSet<(u64, UserId, SessionId)>,
    counting: Counting,
}

/// Whether names are told, or only how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counting {
    /// Names.
    Names,
    /// Numbers; the last was told then, and whether it has changed since.
    Numbers { told_ms: u64, changed: bool },
}

impl Roster {
    /// An empty roster that begins at a random version below 2^48.
    pub(crate) fn new(rule: PresenceRule, random: u64) -> Self {
        Self {
            rule,
            v: random >> 16,
            users: HashMap::new(),
            arrivals: BTreeMap::new(),
            ends: BTreeSet::new(),
            counting: Counting::Names,
        }
    }

    /// A session comes, comes back, or renews; `state` is its new state, if it says one.
    pub(crate) fn enter(
        &mut self,
        now_ms: u64,
        who: &Identity,
        hold: Hold,
        state: Option<Box<str>>,
    ) -> Option<Told> {
        self.note_end(who, hold);
        let next_arrival = self.arrivals.last_key_value().map_or(0, |(last, _)| last + 1);
        let Some(seat) = self.users.get_mut(&who.user) else {
            let stays = SmallVec::from_iter([Stay::new(&who.session, hold)]);
            let seat = Seat {
                arrival: next_arrival,
                state: state.unwrap_or_default(),
                info: who.info.clone(),
                stays,
            };
            let member = seat.member(&who.user);
            self.arrivals.insert(next_arrival, who.user.clone());
            self.users.insert(who.user.clone(), seat);
            return self.tell(now_ms, Change::Join(member));
        };
        let stay = seat.stays.iter_mut().find(|stay| stay.session == who.session);
        let mut changed = stay.is_none();
        match stay {
            Some(stay) => stay.renew(hold),
            None => seat.stays.push(Stay::new(&who.session, hold)),
        }
        if let Some(state) = state {
            changed |= seat.state != state || seat.info != who.info;
            (seat.state, seat.info) = (state, who.info.clone());
        }
        let member = changed.then(|| seat.member(&who.user))?;
        self.tell(now_ms, Change::Update(member))
    }

    /// Whether the session is a member.
    pub(crate) fn has(&self, who: &Identity) -> bool {
        self.users
            .get(&who.user)
            .is_some_and(|seat| seat.stays.iter().any(|stay| stay.session == who.session))
    }

    /// A session says that it goes: from the connection that holds it, or from nowhere, which counts if none does
    /// or as soon as none does.
    pub(crate) fn leave(
        &mut self,
        now_ms: u64,
        who: &Identity,
        connection: Option<ConnectionId>,
    ) -> Option<Told> {
        let stay = self.stay(who)?;
        let goes = connection.map_or(stay.is_leased(), |id| stay.let_go(id));
        stay.bye_ms = (!goes && connection.is_none()).then_some(now_ms).or(stay.bye_ms);
        self.remove(now_ms, &who.user, |stay| goes && stay.session == who.session)
    }

    /// A connection was lost: its session has the grace to come back, unless it has just said that it goes.
    pub(crate) fn lose(&mut self, now_ms: u64, who: &Identity, connection: ConnectionId) {
        let grace_ms = self.rule.grace.as_millis() as u64;
        let Some(stay) = self.stay(who) else { return };
        if stay.let_go(connection) {
            let gone = stay.bye_ms.is_some_and(|bye_ms| now_ms <= bye_ms + grace_ms);
            let end = Hold::Until(if gone { now_ms } else { now_ms + grace_ms });
            stay.hold = end;
            self.note_end(who, end);
        }
    }

    fn stay(&mut self, who: &Identity) -> Option<&mut Stay> {
        self.users.get_mut(&who.user)?.stays.iter_mut().find(|stay| stay.session == who.session)
    }

    /// When a session without a socket must be heard of again.
    pub(crate) fn lease(&self, now_ms: u64) -> Hold {
        Hold::Until(now_ms + self.rule.lease.as_millis() as u64)
    }

    fn note_end(&mut self, who: &Identity, hold: Hold) {
        if let Hold::Until(until_ms) = hold {
            self.ends.insert((until_ms, who.user.clone(), who.session.clone()));
        }
    }

    /// Ends the stays that are due, and tells a number that is due.
    pub(crate) fn expire(&mut self, now_ms: u64) -> Vec<Told> {
        let mut told = Vec::new();
        while self.ends.first().is_some_and(|(until_ms, ..)| *until_ms <= now_ms) {
            let Some((until_ms, user, session)) = self.ends.pop_first() else { break };
            // A stay that was renewed has a later end of its own.
            let ended = |stay: &Stay| stay.session == session && stay.hold == Hold::Until(until_ms);
            told.extend(self.remove(now_ms, &user, ended));
        }
        if let Counting::Numbers { told_ms, changed: true } = self.counting
            && now_ms >= told_ms + COUNT_MS
        {
            told.push(self.tell_crowd(now_ms));
        }
        // A sync is written when all this is done: it says what comes after it as well.
        if let Some(sync) = told.iter().position(|told| *told == Told::Sync) {
            told.truncate(sync + 1);
        }
        told
    }

    /// When [`Self::expire`] has something to do next.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        let ends = self.ends.first().map(|(until_ms, ..)| *until_ms);
        let count = match self.counting {
            Counting::Numbers { told_ms, changed: true } => Some(told_ms + COUNT_MS),
            _ => None,
        };
        ends.into_iter().chain(count).min()
    }

    fn remove(&mut self, now_ms: u64, user: &UserId, goes: impl Fn(&Stay) -> bool) -> Option<Told> {
        let seat = self.users.get_mut(user)?;
        let before = seat.stays.len();
        seat.stays.retain(|stay| !goes(stay));
        if seat.stays.len() == before {
            return None;
        }
        let member = seat.member(user);
        if member.connections > 0 {
            return self.tell(now_ms, Change::Update(member));
        }
        self.arrivals.remove(&seat.arrival);
        self.users.remove(user);
        self.tell(now_ms, Change::Leave(member))
    }

    /// Counts a change, and decides how it is told: by name, as a number now or later, or with all names again.
    fn tell(&mut self, now_ms: u64, change: Change) -> Option<Told> {
        self.v += 1;
        match self.counting {
            Counting::Names if !self.is_crowd() => {
                Some(Told::Change(change, self.v, self.users.len() as u64))
            }
            Counting::Numbers { told_ms, .. } if now_ms < told_ms + COUNT_MS => {
                self.counting = Counting::Numbers { told_ms, changed: true };
                None
            }
            _ => Some(self.tell_crowd(now_ms)),
        }
    }

    /// Whether they are too many to be told one by one.
    pub(crate) fn is_crowd(&self) -> bool {
        self.users.len() > self.rule.roster_max
    }

    /// Tells how many they are, or all names again if they are few enough. Both once a second at most: who comes and
    /// goes at the threshold must not have all names sent to everybody each time.
    fn tell_crowd(&mut self, now_ms: u64) -> Told {
        if !self.is_crowd() {
            self.counting = Counting::Names;
            return Told::Sync;
        }
        self.counting = Counting::Numbers { told_ms: now_ms, changed: false };
        Told::Change(Change::Count, self.v, self.users.len() as u64)
    }

    /// The members, the longest present first, at most `limit` of them.
    pub(crate) fn members(&self, limit: usize) -> Members {
        let seats = self.arrivals.values().take(limit);
        let members = seats.filter_map(|user| Some(self.users.get(user)?.member(user))).collect();
        Members { v: Some(self.v), members, count: self.count() }
    }

    /// Users in the room.
    pub(crate) fn count(&self) -> u64 {
        self.users.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use roomcast_protocol::Grants;
    use roomcast_session::Principal;

    use super::*;

    fn who(user: &str, session: char) -> Identity {
        Identity {
            user: UserId::new(user).unwrap(),
            principal: Principal::User,
            session: SessionId::new(&session.to_string().repeat(22)).unwrap(),
            grants: Arc::new(Grants::all()),
            info: None,
            expires_at: None,
        }
    }

    fn on(connection: u64) -> Hold {
        Hold::Connection(ConnectionId(connection))
    }

    fn roster(roster_max: usize) -> Roster {
        Roster::new(PresenceRule { roster_max, ..PresenceRule::default() }, 0)
    }

    /// The event, connections and count of what is told.
    fn brief(told: Option<Told>) -> String {
        match told {
            None => "-".into(),
            Some(Told::Sync) => "sync".into(),
            Some(Told::Change(change, v, count)) => {
                let (event, n) = match &change {
                    Change::Join(member) => ("join", member.connections),
                    Change::Leave(member) => ("leave", member.connections),
                    Change::Update(member) => ("update", member.connections),
                    Change::Count => ("count", 0),
                };
                format!("{event} x{n} v{v} of {count}")
            }
        }
    }

    #[test]
    fn told_per_user_kept_per_session() {
        let mut room = roster(100);
        assert_eq!(brief(room.enter(0, &who("ada", 'a'), on(1), None)), "join x1 v1 of 1");
        assert_eq!(brief(room.enter(0, &who("ada", 'b'), on(2), None)), "update x2 v2 of 1");
        assert_eq!(brief(room.enter(0, &who("ada", 'b'), on(2), None)), "-");
        assert_eq!(
            brief(room.enter(0, &who("ada", 'b'), on(2), Some("{\"x\":1}".into()))),
            "update x2 v3 of 1"
        );
        assert_eq!(brief(room.leave(0, &who("ada", 'a'), Some(ConnectionId(1)))), "update x1 v4 of 1");
        assert_eq!(brief(room.leave(0, &who("ada", 'b'), Some(ConnectionId(2)))), "leave x0 v5 of 0");
    }

    #[test]
    fn a_stream_beside_a_socket_counts_once_and_either_may_go_first() {
        for (first, last) in [(1, 2), (2, 1)] {
            let mut room = roster(100);
            room.enter(0, &who("ada", 'a'), on(1), None);
            assert_eq!(brief(room.enter(0, &who("ada", 'a'), on(2), None)), "-");
            room.lose(0, &who("ada", 'a'), ConnectionId(first));
            assert!(room.expire(60_000).is_empty(), "the other is still there");
            assert_eq!(brief(room.leave(0, &who("ada", 'a'), Some(ConnectionId(last)))), "leave x0 v2 of 0");
        }
    }

    #[test]
    fn grace_after_a_loss() {
        let mut room = roster(100);
        room.enter(0, &who("ada", 'a'), on(1), None);
        room.lose(1_000, &who("ada", 'a'), ConnectionId(1));
        assert_eq!(room.due_ms(), Some(11_000));
        assert_eq!(brief(room.enter(5_000, &who("ada", 'a'), on(2), None)), "-");
        assert!(room.expire(20_000).is_empty());
        room.lose(20_000, &who("ada", 'a'), ConnectionId(1));
        assert_eq!(room.due_ms(), None, "an older connection's loss is none");
        room.lose(20_000, &who("ada", 'a'), ConnectionId(2));
        assert_eq!(brief(room.expire(30_000).pop()), "leave x0 v2 of 0");
    }

    #[test]
    fn a_lease_is_renewed() {
        let mut room = roster(100);
        let hold = room.lease(0);
        room.enter(0, &who("ada", 'a'), hold, None);
        let hold = room.lease(20_000);
        room.enter(20_000, &who("ada", 'a'), hold, None);
        assert!(room.expire(30_000).is_empty());
        assert_eq!(brief(room.expire(50_000).pop()), "leave x0 v2 of 0");
    }

    #[test]
    fn a_sign_of_life_beside_a_socket_takes_nothing_from_it() {
        let mut room = roster(100);
        room.enter(0, &who("ada", 'a'), on(1), None);
        let hold = room.lease(0);
        assert_eq!(brief(room.enter(0, &who("ada", 'a'), hold, Some("{}".into()))), "update x1 v2 of 1");
        assert!(room.expire(60_000).is_empty());
        assert_eq!(brief(room.leave(60_000, &who("ada", 'a'), None)), "-");
        assert_eq!(brief(room.leave(60_000, &who("ada", 'a'), Some(ConnectionId(1)))), "leave x0 v3 of 0");
    }

    #[test]
    fn a_good_bye_that_overtakes_the_end_of_its_stream_counts() {
        let mut room = roster(100);
        let ada = who("ada", 'a');
        room.enter(0, &ada, on(1), None);
        assert_eq!(brief(room.leave(0, &ada, None)), "-");
        room.lose(1, &ada, ConnectionId(1));
        assert_eq!(brief(room.expire(1).pop()), "leave x0 v2 of 0");

        room.enter(10, &ada, on(2), None);
        room.leave(10, &ada, None);
        room.enter(11, &ada, on(3), None);
        room.lose(12, &ada, ConnectionId(2));
        room.lose(12, &ada, ConnectionId(3));
        assert!(room.expire(12).is_empty(), "whoever comes back has not gone");

        room.enter(20, &ada, on(4), None);
        room.leave(20, &ada, None);
        room.lose(60_000, &ada, ConnectionId(4));
        assert!(room.expire(60_000).is_empty(), "a good-bye of long ago says nothing");
    }

    #[test]
    fn large_rooms_are_counted() {
        let mut room = roster(2);
        for (i, user) in ["a", "b"].iter().enumerate() {
            room.enter(0, &who(user, 's'), on(i as u64), None);
        }
        assert_eq!(brief(room.enter(0, &who("c", 's'), on(3), None)), "count x0 v3 of 3");
        assert_eq!(brief(room.enter(500, &who("d", 's'), on(4), None)), "-");
        assert_eq!(room.due_ms(), Some(1_000));
        assert_eq!(brief(room.expire(1_000).pop()), "count x0 v4 of 4");
        room.leave(1_001, &who("d", 's'), Some(ConnectionId(4)));
        assert_eq!(brief(room.leave(1_002, &who("c", 's'), Some(ConnectionId(3)))), "-");
        assert_eq!(
            brief(room.enter(1_003, &who("c", 's'), on(3), None)),
            "-",
            "however often it comes and goes"
        );
        assert_eq!(brief(room.leave(1_004, &who("c", 's'), Some(ConnectionId(3)))), "-");
        assert_eq!(room.due_ms(), Some(2_000));
        assert_eq!(room.expire(2_000), [Told::Sync]);
        assert_eq!(room.members(10).members.len(), 2);
        assert_eq!(&*room.members(1).members[0].user, "a");
    }

    #[test]
    fn a_sync_says_what_ends_with_it() {
        let mut room = roster(2);
        for (i, user) in ["a", "b", "c"].into_iter().enumerate() {
            room.enter(0, &who(user, 's'), on(i as u64), None);
        }
        room.lose(2_000, &who("b", 's'), ConnectionId(1));
        room.lose(2_000, &who("c", 's'), ConnectionId(2));
        assert_eq!(room.expire(12_000), [Told::Sync], "it is written with the version after all of it");
        assert_eq!(room.members(10).v, Some(5));
    }
}
