//! How fast a user may ask over HTTP, where there is no connection to count on. The same rate as for a
//! connection, and the same hold after a refusal, so that order holds.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    time::Duration,
};

use parking_lot::Mutex;
use roomcast_protocol::{Code, Limits, UserId};
use roomcast_session::{Bucket, Identity, Principal};

use super::problem::Problem;

const SHARDS: usize = 16;
/// How often a full shard is looked through, at most.
const SWEEP_MS: u64 = 1_000;
/// Users of one shard whose rate is known at a time. Beyond it a new one must wait.
const USERS_MAX: usize = 8_192;

/// The rates of those who have asked lately.
#[derive(Debug)]
pub(super) struct Rates {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Shard {
    users: HashMap<UserId, Rate>,
    /// A full shard is looked through for those who asked long ago, but not before then.
    sweep_due_ms: u64,
}

#[derive(Debug, Default)]
struct Rate {
    bucket: Bucket,
    held_until_ms: u64,
    /// When nothing of this matters any more.
    stale_ms: u64,
}

impl Default for Rates {
    fn default() -> Self {
        Self { shards: Default::default(), hasher: RandomState::new() }
    }
}

impl Rates {
    /// Counts a request, or says when to come back. Back ends know no rate.
    pub(super) fn take(&self, now_ms: u64, who: &Identity, limits: &Limits) -> Result<(), Problem> {
        let Limits { sends_per_second, sends_burst, retry_after_min, .. } = *limits;
        if sends_per_second == 0 || who.principal == Principal::Backend {
            return Ok(());
        }
        let shard = self.hasher.hash_one(&*who.user) as usize % SHARDS;
        let mut shard = self.shards[shard].lock();
        if !shard.has_place(now_ms, &who.user) {
            let message = "too many users ask at once; go on oldest first";
            return Err(Problem::new(Code::RateLimited, message).after(retry_after_min));
        }
        let rate = shard.users.entry(who.user.clone()).or_default();
        rate.stale_ms = now_ms + 1000 * (2 + u64::from(sends_burst / sends_per_second));
        rate.take(now_ms, limits).map_err(|wait| {
            let message = format!(
                "{} asks more than {sends_per_second} times a second (burst {sends_burst}); go on oldest first",
                who.user
            );
            Problem::new(Code::RateLimited, message).after(wait)
        })
    }
}

impl Shard {
    fn has_place(&mut self, now_ms: u64, user: &UserId) -> bool {
        if self.users.len() >= USERS_MAX && now_ms >= self.sweep_due_ms && !self.users.contains_key(user) {
            self.users.retain(|_, rate| now_ms < rate.stale_ms);
            self.sweep_due_ms = now_ms + SWEEP_MS;
        }
        self.users.len() < USERS_MAX || self.users.contains_key(user)
    }
}

impl Rate {
    fn take(&mut self, now_ms: u64, limits: &Limits) -> Result<(), Duration> {
        if now_ms < self.held_until_ms {
            return Err(Duration::from_millis(self.held_until_ms - now_ms));
        }
        self.bucket.take(now_ms, limits.sends_per_second, limits.sends_burst).map_err(|wait| {
            let wait = wait.max(limits.retry_after_min);
            self.held_until_ms = now_ms + wait.as_millis() as u64;
            self.stale_ms = self.stale_ms.max(self.held_until_ms);
            wait
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use roomcast_protocol::{Grants, SessionId};

    use super::*;

    fn who(user: &str, principal: Principal) -> Identity {
        let session = SessionId::new("abcdefghijklmnopqrstuv").unwrap();
        let grants = Arc::new(Grants::all());
        let user = UserId::new(user).unwrap();
        Identity { user, principal, session, grants, info: None, expires_at: None }
    }

    #[test]
    fn held_after_the_first_refusal() {
        let limits = Limits { sends_per_second: 10, sends_burst: 2, ..Limits::default() };
        let rates = Rates::default();
        let take = |now_ms| rates.take(now_ms, &who("ada", Principal::User), &limits);
        assert!(take(0).is_ok() && take(0).is_ok());
        assert_eq!(take(0).unwrap_err().code, Code::RateLimited);
        assert!(take(999).is_err(), "a place is free again, but order must hold");
        assert!(take(1_000).is_ok());
        assert!(rates.take(0, &who("bob", Principal::User), &limits).is_ok());
        assert!((0..100).all(|_| rates.take(0, &who("ada", Principal::Backend), &limits).is_ok()));
    }

    #[test]
    fn bounded() {
        let limits = Limits::default();
        let rates = Rates::default();
        let take = |now_ms, i: usize| rates.take(now_ms, &who(&format!("u{i}"), Principal::User), &limits);
        let refused = (0..SHARDS * USERS_MAX * 2).filter(|i| take(0, *i).is_err()).count();
        assert!(refused >= SHARDS * USERS_MAX, "{refused}");
        assert!(take(0, 0).is_ok(), "who is known goes on");
        assert!(take(60_000, usize::MAX).is_ok());
        assert!(
            rates.shards.iter().map(|shard| shard.lock().users.len()).sum::<usize>() < SHARDS * USERS_MAX
        );
    }
}
