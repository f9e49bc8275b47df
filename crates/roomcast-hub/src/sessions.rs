//! Which connection holds which session now. The newest try wins; whoever held it before is told.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use roomcast_protocol::{SessionId, UserId};
use roomcast_session::Identity;

use crate::{Connection, ConnectionId};

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

/// Live connections: sockets by session, and streams, of which a session may have many.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    sockets: Mutex<HashMap<Owner, Weak<Connection>>>,
    streams: Mutex<HashMap<ConnectionId, (UserId, Weak<Connection>)>>,
}

fn owner(who: &Identity) -> Owner {
    (who.user.clone(), who.session.clone())
}

impl Sessions {
    /// A connection takes its session, unless a later try has it.
    pub(crate) fn claim(&self, who: &Identity, connection: &Arc<Connection>) -> Claim {
        let mut sessions = self.sockets.lock();
        let held = sessions.get(&owner(who)).and_then(Weak::upgrade);
        if held.as_ref().is_some_and(|held| held.attempt() > connection.attempt()) {
            return Claim::Late;
        }
        sessions.insert(owner(who), Arc::downgrade(connection));
        held.map_or(Claim::Fresh, Claim::Displaces)
    }

    /// A connection is gone.
    pub(crate) fn release(&self, who: &Identity, connection: &Arc<Connection>) {
        let mut sessions = self.sockets.lock();
        let owner = owner(who);
        if sessions.get(&owner).is_some_and(|held| held.as_ptr() == Arc::as_ptr(connection)) {
            sessions.remove(&owner);
        }
        if sessions.len() < sessions.capacity() / 4 {
            sessions.shrink_to_fit();
        }
    }

    /// A stream or poll is there. It takes nothing over.
    pub(crate) fn add_stream(&self, who: &Identity, stream: &Arc<Connection>) {
        self.streams.lock().insert(stream.id(), (who.user.clone(), Arc::downgrade(stream)));
    }

    /// A stream or poll is gone.
    pub(crate) fn remove_stream(&self, id: ConnectionId) {
        let mut streams = self.streams.lock();
        streams.remove(&id);
        if streams.len() < streams.capacity() / 4 {
            streams.shrink_to_fit();
        }
    }

    /// All connections that are live.
    pub(crate) fn all(&self) -> Vec<Arc<Connection>> {
        let mut all: Vec<_> = self.sockets.lock().values().filter_map(Weak::upgrade).collect();
        all.extend(self.streams.lock().values().filter_map(|(_, stream)| stream.upgrade()));
        all
    }

    /// A user's connections that are live.
    pub(crate) fn of_user(&self, user: &str) -> Vec<Arc<Connection>> {
        let sockets = self.sockets.lock();
        let of_user = sockets.iter().filter(|((owner, _), _)| **owner == *user);
        let mut all: Vec<_> = of_user.filter_map(|(_, socket)| socket.upgrade()).collect();
        let streams = self.streams.lock();
        let of_user = streams.values().filter(|(owner, _)| **owner == *user);
        all.extend(of_user.filter_map(|(_, stream)| stream.upgrade()));
        all
    }
}
