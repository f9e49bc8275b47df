//! Who is typing: a lease of five seconds, renewals told at most once a second. Pure; time is passed in.

use roomcast_protocol::{SessionId, UserId};

/// How long a sign of typing holds, in milliseconds.
const LEASE_MS: u64 = 5_000;
/// How often a renewal is told, in milliseconds.
const RENEWAL_MS: u64 = 1_000;
/// Typists of a room kept at a time; beyond it a sign is passed over, as any ephemeral message may be.
const TYPISTS_MAX: usize = 1_000;

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
    pub(crate) fn start(&mut self, now_ms: u64, session: &SessionId, user: &UserId) -> bool {
        if let Some(typist) = self.0.iter_mut().find(|typist| typist.session == *session) {
            typist.until_ms = now_ms + LEASE_MS;
            let tell = now_ms >= typist.told_ms + RENEWAL_MS;
            typist.told_ms = if tell { now_ms } else { typist.told_ms };
            return tell;
        }
        let fits = self.0.len() < TYPISTS_MAX;
        if fits {
            let (session, user) = (session.clone(), user.clone());
            self.0.push(Typist { session, user, until_ms: now_ms + LEASE_MS, told_ms: now_ms });
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
    use super::*;

    #[test]
    fn a_lease() {
        let mut typists = Typists::default();
        let (session, user) =
            (SessionId::new("abcdefghijklmnopqrstuv").unwrap(), UserId::new("ada").unwrap());
        assert!(typists.start(0, &session, &user));
        assert!(!typists.start(999, &session, &user));
        assert!(typists.start(1_000, &session, &user));
        assert_eq!(typists.due_ms(), Some(6_000));
        assert!(typists.expire(5_999).is_empty());
        assert_eq!(typists.expire(6_000), std::slice::from_ref(&user));
        assert!(!typists.stop(&session));
        assert!(typists.start(7_000, &session, &user));
        assert!(typists.stop(&session));
    }
}
