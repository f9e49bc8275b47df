//! `roomcast check`: finds the mistakes in a configuration, all of them at once.

use std::path::Path;

use serde_json::json;

use super::layers::Layers;
use crate::{
    config::{DEFAULT_FILE, Severity},
    console,
    failure::Failure,
};

const EXAMPLES: &str = "\
Examples:
  roomcast check
  roomcast check --config /etc/roomcast.toml
  roomcast check --json | jq '.problems[]'

The exit status is 1 if there is an error, so that a deployment can stop on it.";

/// Find mistakes in a configuration
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    layers: Layers,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Tells every fault; fails if one of them is an error.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.judge() {
            Err(Failure::Said { message, help }) if self.json => {
                let file = self.layers.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
                let problem = json!({ "level": "error", "key": "", "message": message, "help": help });
                console::json(&json!({ "file": file, "ok": false, "problems": [problem] }))
                    .and(Err(Failure::Silent))
            }
            judged => judged,
        }
    }

    fn judge(&self) -> Result<(), Failure> {
        let mut loaded = self.layers.load(Vec::new())?;
        let Some(document) = loaded.report.document.as_ref() else {
            return Err(Failure::with_help(
                format!("there is no {DEFAULT_FILE} in this directory"),
                "name a file with --config FILE, or write one with `roomcast init`",
            ));
        };
        let file = document.path.display().to_string();
        loaded.require_keys();
        loaded.require_certificate();
        let (report, errors) = (&loaded.report, loaded.report.count(Severity::Error));
        if self.json {
            console::json(&json!({ "file": file, "ok": errors == 0, "problems": report.to_json() }))?;
        } else {
            console::line(format_args!(
                "{report}{file}: {}",
                summary(errors, report.count(Severity::Warning))
            ))?;
        }
        if errors == 0 { Ok(()) } else { Err(Failure::Silent) }
    }
}

fn summary(errors: usize, warnings: usize) -> String {
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    match (errors, warnings) {
        (0, 0) => "no mistakes found".into(),
        (0, warnings) => counted(warnings, "warning"),
        (errors, 0) => counted(errors, "error"),
        (errors, warnings) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    }
}
