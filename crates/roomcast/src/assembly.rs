//! Puts the libraries together as configured, and runs them until a signal says stop.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use roomcast_engine_disk::Disk;
use roomcast_hub::{Hub, engine::Memory};
use roomcast_protocol::{Grants, Rights};
use roomcast_server::{
    App, Settings, ShortLived,
    auth::{Authenticator, Keys, Origins, Requirements},
};
use tokio::runtime::Runtime;

use crate::{
    certificate::Certificate,
    config::{Config, Engine, Loaded, Rule},
    console,
    failure::Failure,
    listen::Listening,
    signals::Signals,
    telemetry,
};

/// What the disk has to write at the end, at least, however long the rest took.
const CLOSE_TIME_MIN: Duration = Duration::from_secs(1);

/// For whom the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For its developer.
    Dev,
    /// For others.
    Serve,
}

/// A server as configured, not yet running.
#[derive(Debug)]
pub(crate) struct Assembly {
    mode: Mode,
    config: Config,
    /// The store, if there is one; it belongs to this process from now on.
    disk: Option<Disk>,
    certificate: Option<Certificate>,
    /// What QUIC shows where nobody has a certificate.
    short_lived: Option<ShortLived>,
    authenticator: Arc<Authenticator>,
    origins: Origins,
}

impl Assembly {
    /// The server that `config`, which was loaded as `loaded`, asks for.
    pub(crate) fn new(mode: Mode, config: Config, loaded: &Loaded) -> Result<Self, Failure> {
        let origins = match mode {
            Mode::Dev => Origins::loopback(),
            Mode::Serve => Origins::new(config.server.origins.iter().map(String::as_str))?,
        };
        let authenticator = Arc::new(authenticator(mode, &config, loaded)?);
        let certificate = Certificate::of(&config, &loaded.directory())?;
        let short_lived = match mode {
            Mode::Dev if config.server.webtransport => Some(short_lived()?),
            _ => None,
        };
        let disk = match data_directory(&config, loaded) {
            Some(directory) => Some(open(&directory, &config)?),
            None => None,
        };
        Ok(Self { mode, config, disk, certificate, short_lived, authenticator, origins })
    }

    /// Prints the banner and serves until a signal says stop.
    pub(crate) fn run(self, listening: Listening, banner: &str) -> Result<(), Failure> {
        telemetry::start(&self.config);
        allow_many_connections();
        keep_pages_small();
        let runtime = Runtime::new().map_err(cannot("start threads"))?;
        let (disk, time) = (self.disk.clone(), self.config.server.settings().shutdown_timeout);
        let asked = OnceLock::new();
        let served = runtime.block_on(self.serve(listening, banner, &asked));
        // Everybody has been answered; what was taken is marked as whole, in what is left of the time.
        let passed = asked.get().map_or(Duration::ZERO, Instant::elapsed);
        if let Some(disk) = &disk {
            disk.close(time.saturating_sub(passed).max(CLOSE_TIME_MIN));
        }
        // What is left after the orderly end has had its time.
        runtime.shutdown_background();
        served
    }

    async fn serve(
        mut self,
        listening: Listening,
        banner: &str,
        asked: &OnceLock<Instant>,
    ) -> Result<(), Failure> {
        // Before anybody can know that there is something to stop.
        let signals = Signals::listen().map_err(cannot("wait for signals"))?;
        // Whoever started it may have closed the pipe once the first line was read; that is no reason to stop.
        console::line(banner).ok();
        let certificate = self.certificate.take();
        let tls = certificate.as_ref().map(Certificate::tls);
        let quic = tls.clone().or_else(|| self.short_lived.as_ref().map(ShortLived::tls));
        let settings = Settings { tls, quic, ..self.config.server.settings() };
        if let Some(certificate) = certificate {
            tokio::spawn(certificate.keep_fresh());
        }
        if let Some(certificate) = self.short_lived.clone() {
            tokio::spawn(certificate.keep_fresh());
        }
        let stop = async {
            let signal = signals.first().await;
            let _ = asked.set(Instant::now());
            tracing::info!(signal, "stopping; a second signal ends it at once");
        };
        let served = roomcast_server::serve(Arc::new(self.app()), listening.sockets, settings, stop).await;
        served.map_err(cannot("serve"))?;
        tracing::info!("stopped");
        Ok(())
    }

    fn app(self) -> App {
        let hub = Hub::builder().rules(self.config.room_rules()).authorizer(self.authenticator.clone());
        let hub = match self.disk {
            Some(disk) => hub.engine(disk),
            None => hub.engine(Memory::new(self.config.memory.bytes_max, self.config.idempotency)),
        };
        let hub = hub.limits(self.config.limits);
        App {
            hub: hub.build(),
            authenticator: self.authenticator,
            origins: self.origins,
            cookie: self.config.auth.cookie,
            playground: self.mode == Mode::Dev,
            pin: self.short_lived.map(|certificate| certificate.pin()),
        }
    }
}

/// Where the messages are kept, if on disk.
pub(crate) fn data_directory(config: &Config, loaded: &Loaded) -> Option<PathBuf> {
    (config.engine == Engine::Disk).then(|| config.disk.directory(&loaded.directory()))
}

fn open(directory: &std::path::Path, config: &Config) -> Result<Disk, Failure> {
    let disk = Disk::open(directory, config.disk.settings(config.idempotency));
    disk.map_err(|error| Failure::said(error.to_string()))
}

fn short_lived() -> Result<ShortLived, Failure> {
    ShortLived::new().map_err(|error| Failure::said(error.to_string()))
}

/// Names what failed.
fn cannot(what: &str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::said(format!("can't {what}: {error}"))
}

/// Every connection is an open file, and the usual limit of 1,024 is meant for other programs.
fn allow_many_connections() {
    match rlimit::increase_nofile_limit(rlimit::INFINITY) {
        Ok(files) => tracing::debug!(files, "limit of open files"),
        Err(error) => {
            tracing::warn!(%error, "the limit of open files stays as it is; raise it with ulimit -n");
        }
    }
}

/// Idle connections are many small things: in huge pages they hold several times the memory they use.
fn keep_pages_small() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay on; memory per connection is higher");
    }
}

/// What judges credentials, as configured by `config`, which was loaded as `loaded`.
pub(crate) fn authenticator(mode: Mode, config: &Config, loaded: &Loaded) -> Result<Authenticator, Failure> {
    let keys = loaded.token_keys(config).into_iter().map(|(_, key)| key).collect();
    Ok(Authenticator {
        keys: Keys::new(keys)?,
        requirements: Requirements {
            issuer: config.auth.issuer.clone(),
            audience: config.auth.audience.clone(),
            require_exp: config.auth.require_exp,
        },
        api_keys: Loaded::api_keys(config),
        users: grants(&config.rooms, |rule| rule.users),
        anonymous: grants(&config.rooms, |rule| rule.anonymous),
        backend: Arc::new(Grants::all()),
        named_guests: mode == Mode::Dev,
        token_bytes_max: config.limits.token_bytes_max,
    })
}

fn grants(rules: &[Rule], rights: impl Fn(&Rule) -> Rights) -> Arc<Grants> {
    Arc::new(Grants::Rules(rules.iter().map(|rule| (rule.pattern.clone(), rights(rule))).collect()))
}
