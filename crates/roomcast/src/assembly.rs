//! Puts the libraries together as configured, and runs them until a signal says stop.

use std::sync::Arc;

use roomcast_protocol::{Grants, Rights};
use roomcast_server::auth::{Authenticator, Keys, Requirements};

use crate::{
    config::{Config, Loaded, Rule},
    failure::Failure,
    listen::Listening,
    signals, telemetry,
};

/// For whom the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For its developer.
    Dev,
    /// For others.
    Serve,
}

/// Serves on `listening` until a signal says stop.
pub(crate) fn serve(_mode: Mode, config: &Config, listening: Listening) -> Result<(), Failure> {
    telemetry::start(config);
    let runtime = tokio::runtime::Runtime::new();
    let runtime = runtime.map_err(|error| Failure::said(format!("can't start threads: {error}")))?;
    runtime.block_on(async {
        let _listening = listening;
        let signal = signals::stop().await;
        let signal = signal.map_err(|error| Failure::said(format!("can't wait for signals: {error}")))?;
        tracing::info!(signal, "stopping");
        Ok(())
    })
}

/// What judges credentials, as configured by `config`, which was loaded as `loaded`.
pub(crate) fn authenticator(mode: Mode, config: &Config, loaded: &Loaded) -> Result<Authenticator, Failure> {
    let keys = loaded.token_keys(config).into_iter().map(|(_, key)| key).collect();
    Ok(Authenticator {
        keys: Keys::new(keys).map_err(|error| Failure::said(error.to_string()))?,
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
