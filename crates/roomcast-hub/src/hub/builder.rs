//! How a hub is made: limits, rules, an engine, and who verifies tokens.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
};

use roomcast_protocol::{Code, Limits, SessionId, Timestamp};
use roomcast_session::Identity;

use super::{Hub, Inner, shared::Shared, ticks};
use crate::{
    RoomRule,
    engine::{Engine, Memory},
    rooms::Rooms,
    rule::Rules,
    sessions::Sessions,
};

/// Verifies the token that a client sends in place.
pub trait Authorizer: Send + Sync + 'static {
    /// Who the token says it is, for a session that is live; or the code and what to do.
    fn authenticate(
        &self,
        token: &str,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<Identity, (Code, String)>;
}

/// Refuses every token: for hubs whose clients never change theirs.
#[derive(Debug)]
struct NoTokens;

impl Authorizer for NoTokens {
    fn authenticate(&self, _: &str, _: &SessionId, _: Timestamp) -> Result<Identity, (Code, String)> {
        Err((Code::Unauthorized, "this server verifies no tokens".into()))
    }
}

/// Makes a [`Hub`].
pub struct Builder {
    limits: Limits,
    rules: Vec<RoomRule>,
    engine: Option<Box<dyn Engine>>,
    authorizer: Arc<dyn Authorizer>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("limits", &self.limits)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self { limits: Limits::default(), rules: Vec::new(), engine: None, authorizer: Arc::new(NoTokens) }
    }
}

impl Builder {
    /// Limits other than the protocol's defaults.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How rooms behave; the first rule whose pattern matches decides.
    #[must_use]
    pub fn rules(mut self, rules: Vec<RoomRule>) -> Self {
        self.rules = rules;
        self
    }

    /// An engine other than [`Memory`] with its defaults.
    #[must_use]
    pub fn engine(mut self, engine: impl Engine) -> Self {
        self.engine = Some(Box::new(engine));
        self
    }

    /// Who verifies tokens that clients send in place.
    #[must_use]
    pub fn authorizer(mut self, authorizer: Arc<dyn Authorizer>) -> Self {
        self.authorizer = authorizer;
        self
    }

    /// Starts the hub on the tokio runtime that this is called on.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn build(self) -> Hub {
        let inner = Arc::new(Inner {
            shared: Arc::new(Shared::new(self.limits)),
            rules: Rules::new(self.rules),
            engine: self.engine.unwrap_or_else(|| Box::new(Memory::default())),
            authorizer: self.authorizer,
            rooms: Rooms::default(),
            sessions: Sessions::default(),
            connections: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            degraded: AtomicBool::new(false),
        });
        tokio::spawn(ticks::tick_along(Arc::downgrade(&inner)));
        Hub(inner)
    }
}
