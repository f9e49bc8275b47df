//! What `pub` and `sub` share: the way to a server, and how the connection goes.

use std::{fs, path::PathBuf};

use roomcast_client::{Client, Status, Transport};

use crate::failure::Failure;

/// How messages travel, as it is written on the command line.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum By {
    /// WebSocket
    Websocket,
    /// Server-Sent Events, and requests
    Events,
    /// Long poll, and requests
    Poll,
}

impl From<By> for Transport {
    fn from(by: By) -> Self {
        match by {
            By::Websocket => Self::WebSocket,
            By::Events => Self::Events,
            By::Poll => Self::Poll,
        }
    }
}

/// Which server, and as whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Server {
    /// The server
    #[arg(long, value_name = "URL", env = "ROOMCAST_URL", default_value = "http://127.0.0.1:8000")]
    url: String,
    /// A token, as `roomcast token mint` prints one
    #[arg(long, value_name = "JWT", env = "ROOMCAST_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A name, for `roomcast dev`, which needs no token
    #[arg(long, value_name = "NAME", env = "ROOMCAST_USER")]
    user: Option<String>,
    /// How messages travel; without it, by the first of these that gets through
    #[arg(long, value_name = "TRANSPORT", value_enum)]
    transport: Option<By>,
    /// Certificates to trust beside the system's, as PEM, for a server with https:// and an authority of your own
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Server {
    /// Does `work` with a client of this server, and says good-bye. A first connection that fails ends it; one
    /// that is lost later is told on standard error and made anew.
    pub(crate) fn with_client(
        &self,
        work: impl AsyncFnOnce(&Client) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::said(format!("can't start: {error}")))?;
        let done = runtime.block_on(async {
            let client = self.client()?;
            let outcome = tokio::select! {
                failure = self.watch(&client) => Err(failure),
                outcome = work(&client) => outcome,
            };
            client.close().await;
            outcome
        });
        // A thread that still waits for standard input is not waited for.
        runtime.shutdown_background();
        done.map_err(|failure| self.advised(failure))
    }

    /// With what to do, where a server refused somebody without a token.
    fn advised(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Said { message, help: None }
                if self.token.is_none() && message.contains("(unauthorized: ") =>
            {
                let help =
                    "give it one with --token; where the configuration is, `roomcast token mint` makes it";
                Failure::with_help(message, help)
            }
            other => other,
        }
    }

    fn client(&self) -> Result<Client, Failure> {
        let mut builder = Client::builder(&self.url);
        if let Some(token) = &self.token {
            builder = builder.token(token);
        }
        if let Some(user) = &self.user {
            builder = builder.user(user);
        }
        if let Some(by) = self.transport {
            builder = builder.transports([by.into()]);
        }
        if let Some(file) = &self.ca_file {
            let pem = fs::read(file).map_err(|error| {
                Failure::said(format!("can't read --ca-file {}: {error}", file.display()))
            })?;
            builder = builder.root_certificates(&pem);
        }
        builder.connect().map_err(|error| Failure::said(format!("--url: {error}")))
    }

    fn what_to_look_at(&self) -> &'static str {
        if self.url.starts_with("https:") {
            "is it running there, and with TLS? `roomcast dev` is http://; --url names another"
        } else {
            "is it running there? `roomcast dev` starts one; --url names another"
        }
    }

    /// Tells how the connection goes, until it is of no use any more.
    async fn watch(&self, client: &Client) -> Failure {
        let mut status = client.status();
        let mut was_connected = false;
        loop {
            match &*status.borrow_and_update() {
                Status::Connected { .. } => was_connected = true,
                Status::Waiting { cause, .. } if !was_connected => {
                    return Failure::with_help(
                        format!("can't reach {}: {cause}", self.url),
                        self.what_to_look_at(),
                    );
                }
                Status::Waiting { cause, retry_in } => {
                    anstream::eprintln!("{cause}; trying again in {:.1} s", retry_in.as_secs_f64());
                }
                Status::Ended(ended) => return Failure::said(ended.reason.clone()),
                _ => {}
            }
            if status.changed().await.is_err() {
                return Failure::said("the client has stopped");
            }
        }
    }
}
