//! Who is at the other end, and for how long that is known.

use std::{sync::Arc, time::Duration};

use roomcast_protocol::{Grants, SessionId, Timestamp, UserId};

/// On whose behalf a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A person or device: the author of what it says, bound by rates.
    User,
    /// An application's back end with an API key: names any author, knows no rate.
    Backend,
}

/// What a token, a key or the guest rule says of a client. Decided at the door, shared by all that follows.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Who. For a back end the id of its key.
    pub user: UserId,
    /// On whose behalf.
    pub principal: Principal,
    /// Which of the user's sessions.
    pub session: SessionId,
    /// What may be done where.
    pub grants: Arc<Grants>,
    /// What presence tells of the user, a JSON object.
    pub info: Option<Arc<str>>,
    /// When the token ends; `None` for what doesn't.
    pub expires_at: Option<Timestamp>,
}

/// The life of a credential. A session never outlives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// It doesn't end.
    Endless,
    /// It ends then, and nothing has been said of it yet.
    Valid(Timestamp),
    /// It ends then, and the client knows.
    Announced(Timestamp),
}

/// What a look at the clock asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing for so long; `None` is for ever.
    Wait(Option<Duration>),
    /// Tell the client that so much is left; then look again after as long.
    Announce(Duration),
    /// It has ended.
    Ended,
}

impl Credential {
    /// The credential of a token that ends then.
    pub fn until(expires_at: Option<Timestamp>) -> Self {
        expires_at.map_or(Self::Endless, Self::Valid)
    }

    /// Looks at the wall clock.
    pub fn look(&mut self, now: Timestamp, notice: Duration) -> Due {
        let (Self::Valid(end) | Self::Announced(end)) = *self else { return Due::Wait(None) };
        if now >= end {
            return Due::Ended;
        }
        let left = Duration::from_millis(end.0 - now.0);
        match *self {
            Self::Valid(_) if left <= notice => {
                *self = Self::Announced(end);
                Due::Announce(left)
            }
            Self::Valid(_) => Due::Wait(Some(left.saturating_sub(notice))),
            _ => Due::Wait(Some(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_once_then_ended() {
        let notice = Duration::from_secs(60);
        let mut token = Credential::until(Some(Timestamp(100_000)));
        let mut look = |now| token.look(Timestamp(now), notice);
        assert_eq!(look(10_000), Due::Wait(Some(Duration::from_secs(30))));
        assert_eq!(look(41_000), Due::Announce(Duration::from_secs(59)));
        assert_eq!(look(42_000), Due::Wait(Some(Duration::from_secs(58))));
        assert_eq!(look(100_000), Due::Ended);
        assert_eq!(Credential::until(None).look(Timestamp(u64::MAX), notice), Due::Wait(None));
    }
}
