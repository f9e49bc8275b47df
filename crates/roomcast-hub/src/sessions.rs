//! Which connection holds which session now. The newest try wins; whoever held it before is told.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use roomcast_protocol::{SessionId, UserId};
use roomcast_session::Identity;

use crate::Connection;

/// Sessions belong to a user: two users who present the same one have two.
type Owner = (UserId, SessionId);

/// What came of a connection that presents a session.
#[derive(Debug)]
pub(crate) enum Claim {
    /// Nobody held it.
    Fresh,
    /// This connection held it and must go.
    Displaces(Arc<Connection>),
    /// A later try of the same client holds it.
    Late,
}

/// Live connections by session.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<Owner, Weak<Connection>>>);

fn owner(who: &Identity) -> Owner {
    (who.user.clone(), who.session.clone())
}

impl Sessions {
    /// A connection takes its session, unless a later try has it.
    pub(crate) fn claim(&self, who: &Identity, connection: &Arc<Connection>) -> Claim {
        let mut sessions = self.0.lock();
        let held = sessions.get(&owner(who)).and_then(Weak::upgrade);
        if held.as_ref().is_some_and(|held| held.attempt() > connection.attempt()) {
            return Claim::Late;
        }
        sessions.insert(owner(who), Arc::downgrade(connection));
        held.map_or(Claim::Fresh, Claim::Displaces)
    }

    /// A connection is gone.
    pub(crate) fn release(&self, who: &Identity, connection: &Arc<Connection>) {
        let mut sessions = self.0.lock();
        let owner = owner(who);
        if sessions.get(&owner).is_some_and(|held| held.as_ptr() == Arc::as_ptr(connection)) {
            sessions.remove(&owner);
        }
        if sessions.len() < sessions.capacity() / 4 {
            sessions.shrink_to_fit();
        }
    }

    /// All connections that are live.
    pub(crate) fn all(&self) -> Vec<Arc<Connection>> {
        self.0.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// A user's connections that are live.
    pub(crate) fn of_user(&self, user: &str) -> Vec<Arc<Connection>> {
        let sessions = self.0.lock();
        let of_user = sessions.iter().filter(|((owner, _), _)| **owner == *user);
        of_user.filter_map(|(_, connection)| connection.upgrade()).collect()
    }
}
