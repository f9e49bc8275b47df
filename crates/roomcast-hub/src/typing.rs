//! Who is typing: a short lease, renewals told at most once a second. Pure; time is passed in.

use roomcast_protocol::{Limits, SessionId, UserId};

/// How often a renewal is told, in milliseconds.
const RENEWAL_MS: u64 = 1_000;

#[derive(Debug)]
struct Typist {
    session: SessionId,
    user: UserId,
    until_ms: u64,
    told_ms: u64,
}

/// The typists of a room.
#[derive(Debug, Default)]
pub(crate) struct Typists(Vec<Typist>);

impl Typists {
    /// A session types: whether to tell.
    pub(crate) fn start(
        &mut self,
        now_ms: u64,
        (session, user): (&SessionId, &UserId),
        limits: &Limits,
    ) -> bool {
        let until_ms = now_ms + limits.typing_lease.as_millis() as u64;
        if let Some(typist) = self.0.iter_mut().find(|typist| typist.session == *session) {
            typist.until_ms = until_ms;
            let tell = now_ms >= typist.told_ms + RENEWAL_MS;
            typist.told_ms = if tell { now_ms } else { typist.told_ms };
            return tell;
        }
        let fits = self.0.len() < limits.typists_per_room_max;
        if fits {
            let (session, user) = (session.clone(), user.clone());
            self.0.push(Typist { session, user, until_ms, told_ms: now_ms });
        }
        fits
    }

    /// A session types no longer: whether to tell.
    pub(crate) fn stop(&mut self, session: &SessionId) -> bool {
        let at = self.0.iter().position(|typist| typist.session == *session);
        at.map(|at| self.0.swap_remove(at)).is_some()
    }

    /// Takes out those whose lease has ended.
    pub(crate) fn expire(&mut self, now_ms: u64) -> Vec<UserId> {
        let mut ended = Vec::new();
        self.0.retain(|typist| {
            let stays = now_ms < typist.until_ms;
            if !stays {
                ended.push(typist.user.clone());
            }
            stays
        });
        ended
    }

    /// When the next lease ends.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.0.iter().map(|typist| typist.until_ms).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn typist(session: &str) -> (SessionId, UserId) {
        (SessionId::new(session).unwrap(), UserId::new("ada").unwrap())
    }

    #[test]
    fn a_lease() {
        let (mut typists, limits) = (Typists::default(), Limits::default());
        let (session, user) = typist("abcdefghijklmnopqrstuv");
        assert!(typists.start(0, (&session, &user), &limits));
        assert!(!typists.start(999, (&session, &user), &limits));
        assert!(typists.start(1_000, (&session, &user), &limits));
        assert_eq!(typists.due_ms(), Some(6_000));
        assert!(typists.expire(5_999).is_empty());
        assert_eq!(typists.expire(6_000), std::slice::from_ref(&user));
        assert!(!typists.stop(&session));
        assert!(typists.start(7_000, (&session, &user), &limits));
        assert!(typists.stop(&session));
    }

    #[test]
    fn the_limits_are_as_configured() {
        let limits =
            Limits { typing_lease: Duration::from_secs(2), typists_per_room_max: 1, ..Limits::default() };
        let mut typists = Typists::default();
        let (first, second) = (typist("abcdefghijklmnopqrstuv"), typist("bcdefghijklmnopqrstuvw"));
        assert!(typists.start(0, (&first.0, &first.1), &limits));
        assert!(!typists.start(0, (&second.0, &second.1), &limits), "the room has its one typist");
        assert_eq!(typists.due_ms(), Some(2_000));
    }
}
