//! What a client is made with.

use std::{fmt, sync::Arc, time::SystemTime};

use roomcast_protocol::SessionId;
use roomcast_session::client::{self, Backoff, Secret, Settings, Status, Token, Transport, Why};
use tokio::sync::{Notify, mpsc, watch};

use crate::{
    access::Access,
    address::{Address, AddressError, shown},
    client::Client,
    dial::Dialer,
    driver::{Driver, TokenFunction, Ways},
    random,
};

/// Commands that wait for the client's task; whoever gives one more waits with it.
const COMMANDS_MAX: usize = 64;

/// Why there is no client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetupError {
    /// The URL names no server.
    Address(AddressError),
    /// TLS can't be set up on this machine.
    Tls(String),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => error.fmt(f),
            Self::Tls(why) => write!(f, "TLS can't be set up: {why}"),
        }
    }
}

impl std::error::Error for SetupError {}

/// Makes a [`Client`].
pub struct Builder {
    url: String,
    user: Option<String>,
    session: SessionId,
    settings: Settings,
    fetch_token: Option<TokenFunction>,
    roots: Vec<Vec<u8>>,
}

impl fmt::Debug for Builder {
    /// Without the token and the session.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("url", &shown(&self.url))
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(crate) fn new(url: &str) -> Self {
        let (url, session) = (url.into(), random::session());
        let transports = vec![Transport::WebSocket, Transport::Events, Transport::Poll];
        let settings = Settings { transports, ..Settings::default() };
        Self { url, user: None, session, settings, fetch_token: None, roots: Vec::new() }
    }

    /// A name, for a server that lets guests choose one (`roomcast dev`). A token's user counts before it.
    #[must_use]
    pub fn user(mut self, name: &str) -> Self {
        self.user = Some(name.into());
        self
    }

    /// A session kept from an earlier run, instead of a new one: a guest keeps its name by it. It is a secret. Of
    /// two clients with one session the later one goes on, and the other ends.
    #[must_use]
    pub fn session(mut self, session: SessionId) -> Self {
        self.session = session;
        self
    }

    /// A token or an API key, presented on every connection. The client ends with it; see [`Self::token_fn`].
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.settings.token = Token::Fixed(token.into());
        self.fetch_token = None;
        self
    }

    /// What fetches a token, told why: asked before each connection, and a minute before the token in use expires,
    /// so that the client goes on without a break. `None` makes it a guest. When it fails, it is asked again after
    /// the backoff.
    #[must_use]
    pub fn token_fn<F, R, E>(mut self, fetch: F) -> Self
    where
        F: Fn(Why) -> R + Send + 'static,
        R: Future<Output = Result<Option<String>, E>> + Send + 'static,
        E: fmt::Display,
    {
        self.settings.token = Token::Fetched;
        self.fetch_token = Some(Box::new(move |why| {
            let token = fetch(why);
            let told = |token: Option<String>| token.map(Secret::from);
            Box::pin(async move { token.await.map(told).map_err(|error| error.to_string()) })
        }));
        self
    }

    /// Certificates, as PEM, that are trusted beside those that the system trusts: for a certificate authority of
    /// your own.
    #[must_use]
    pub fn root_certificates(mut self, pem: &[u8]) -> Self {
        self.roots.push(pem.into());
        self
    }

    /// How messages may travel, the best first: by default WebSocket, then Server-Sent Events, then long poll. Each
    /// is tried for ten seconds; what got through is tried first from then on.
    #[must_use]
    pub fn transports(mut self, transports: impl Into<Vec<Transport>>) -> Self {
        self.settings.transports = transports.into();
        self
    }

    /// How long to wait between tries; the default is what the protocol asks of clients.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.backoff = backoff;
        self
    }

    /// How often to come back in a row without getting through before the client ends; by default it never gives up.
    #[must_use]
    pub fn retries_max(mut self, retries: u32) -> Self {
        self.settings.retries_max = Some(retries);
        self
    }

    /// Messages and other requests that may wait for an answer, 1,024 by default. One more is
    /// [`Error::QueueFull`](crate::Error::QueueFull).
    #[must_use]
    pub fn requests_max(mut self, requests: usize) -> Self {
        self.settings.requests_max = requests;
        self
    }

    /// Bytes of a message that the server takes, 64 KiB by default. A larger one is
    /// [`Error::TooLarge`](crate::Error::TooLarge).
    #[must_use]
    pub fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.settings.message_bytes_max = bytes;
        self
    }

    /// Starts the client. It connects in the background, and comes back for as long as the server would have it:
    /// [`Client::status`] tells how it stands.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn connect(self) -> Result<Client, SetupError> {
        let Self { url, user, session, mut settings, fetch_token, roots } = self;
        let address: Address = url.parse().map_err(SetupError::Address)?;
        let dialer = Dialer::new(address, &roots)?;
        settings.nonce = random::number();
        let access = Arc::new(Access { dialer, session: session.clone(), user });
        let ways = Ways { access, attempts_before: unix_seconds(), fetch_token };
        let (commands, orders) = mpsc::channel(COMMANDS_MAX);
        let drained = Arc::new(Notify::new());
        let (tell, status) = watch::channel(Status::Connecting { attempt: 1 });
        let machine = client::Client::new(settings);
        let driver = Driver::new(ways, machine, (orders, drained.clone()), tell);
        tokio::spawn(driver.run());
        Ok(Client::new(commands, drained, status, session))
    }
}

/// Greater in a later run, if the clock is right; if not, the server may take the later run for the earlier.
fn unix_seconds() -> u32 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
}
