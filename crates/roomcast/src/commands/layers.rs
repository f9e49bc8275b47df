//! The flags that set keys of the configuration, shared by the commands that read one.

use std::{env, path::PathBuf};

use crate::{
    config::{self, Config, Flag, Loaded},
    failure::Failure,
};

/// Which file, and which keys over it.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Layers {
    /// The configuration file [default: roomcast.toml, if it is there]
    #[arg(long, short, value_name = "FILE", env = "ROOMCAST_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Set any key, over the file and the environment; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    pub(crate) set: Vec<(String, String)>,
}

/// How much is logged, and how.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct LogArgs {
    /// What is logged: error, warn, info, debug, trace, or a filter like `info,hyper=debug`
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How log lines look: text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) =
        text.split_once('=').ok_or("write it as KEY=VALUE, such as memory.bytes_max=1000000000")?;
    Ok((key.trim().into(), value.trim().into()))
}

/// A flag that sets `key`, if it was given.
pub(crate) fn flag(name: &str, key: &str, value: Option<&String>) -> Option<Flag> {
    value.map(|value| Flag { name: name.into(), key: key.into(), value: value.clone() })
}

impl LogArgs {
    /// As values for the keys they stand for.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let log = flag("--log", "log", self.log.as_ref());
        log.into_iter().chain(flag("--log-format", "log_format", self.log_format.as_ref())).collect()
    }
}

impl Layers {
    /// The configuration that holds, with these further flags; faults and all.
    pub(crate) fn load(&self, flags: Vec<Flag>) -> Result<Loaded, Failure> {
        let document = config::find(self.config.as_deref())?;
        let set = |(key, value): &(String, String)| Flag {
            name: format!("--set {key}"),
            key: key.clone(),
            value: value.clone(),
        };
        let flags: Vec<_> = self.set.iter().map(set).chain(flags).collect();
        Ok(config::load(document, environment(), &flags))
    }

    /// The configuration that holds, or all its faults; warnings are told on standard error.
    pub(crate) fn config(&self, flags: Vec<Flag>) -> Result<(Config, Loaded), Failure> {
        usable(self.load(flags)?)
    }
}

/// The configuration that holds where no file is read.
pub(crate) fn without_file(flags: &[Flag]) -> Loaded {
    config::load(None, environment(), flags)
}

/// The variables that are text; others can't be meant for a key.
fn environment() -> impl Iterator<Item = (String, String)> {
    env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The values of a configuration without errors; warnings are told on standard error.
pub(crate) fn usable(mut loaded: Loaded) -> Result<(Config, Loaded), Failure> {
    let Some(config) = loaded.config.take() else {
        return Err(Failure::Report(Box::new(loaded.report)));
    };
    anstream::eprint!("{}", loaded.report);
    Ok((config, loaded))
}
