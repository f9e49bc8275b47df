//! The certificate that `server.tls_certificate` and `server.tls_key` name: read at the start, and again when its
//! files change. What is done with it is for the server library.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use roomcast_server::Tls;

use crate::{config::Config, failure::Failure};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Where certificate and key are kept.
#[derive(Debug)]
pub(crate) struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    tls: Tls,
}

impl Certificate {
    /// The certificate that `config` names, with its key or not at all; relative paths are relative to `directory`.
    pub(crate) fn of(config: &Config, directory: &Path) -> Result<Option<Self>, Failure> {
        let (Some(chain), Some(key)) = (&config.server.tls_certificate, &config.server.tls_key) else {
            return Ok(None);
        };
        let (chain, key) = (directory.join(chain), directory.join(key));
        let tls = Tls::new(&read(&chain)?, &read(&key)?)
            .map_err(|error| Failure::said(format!("{} with {}: {error}", chain.display(), key.display())))?;
        Ok(Some(Self { chain, key, tls }))
    }

    /// What the server speaks TLS with.
    pub(crate) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// Shows what the files hold whenever they have changed. A pair that is not whole yet is tried again.
    pub(crate) async fn keep_fresh(self) {
        let mut shown = self.changed();
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            look.tick().await;
            let now = self.changed();
            if now == shown || now.0.is_none() || now.1.is_none() {
                continue;
            }
            shown = now;
            match self.reload() {
                Ok(()) => {
                    tracing::info!(certificate = %self.chain.display(), "shows a new certificate");
                }
                Err(reason) => {
                    tracing::error!(reason, "the certificate changed and can't be used; the old one stays");
                }
            }
        }
    }

    fn reload(&self) -> Result<(), String> {
        let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        self.tls.reload(&read(&self.chain)?, &read(&self.key)?).map_err(|error| error.to_string())
    }

    fn changed(&self) -> (Option<SystemTime>, Option<SystemTime>) {
        let of = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        (of(&self.chain), of(&self.key))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| {
        Failure::with_help(
            format!("can't read {}: {error}", path.display()),
            "paths in the configuration are relative to its file; the server's user must be able to read them",
        )
    })
}
