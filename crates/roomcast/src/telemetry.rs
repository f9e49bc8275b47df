//! Logging: lines on standard error, as text or as JSON. Standard output is for what a command answers.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Config, LogFormat};

/// It shows the whole URL of every session, and so its token; what there is to know our own code says.
const MUTE: &str = "web_transport_quinn=off";

/// Starts logging as configured, for the rest of the process.
pub(crate) fn start(config: &Config) {
    let filter = EnvFilter::new(config.log.as_str()).add_directive(MUTE.parse().expect("a directive"));
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => lines.with_ansi(wants_colour()).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

fn wants_colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
