//! `roomcast config`: every effective value and where it came from.

use serde_json::json;

use super::layers::Layers;
use crate::{
    config::{self, Loaded},
    console,
    failure::Failure,
};

const EXAMPLES: &str = "\
Examples:
  roomcast config
  roomcast config | grep -v default              only what somebody set
  roomcast config --set limits.sends_burst=500   what would hold with this flag
  roomcast config --json | jq '.values[] | select(.key == \"server.listen\")'

Secrets are shown as \"…\".";

/// Show every value that holds, and where it came from
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    layers: Layers,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print the reference page of all keys instead
    #[arg(long, hide = true)]
    reference: bool,
}

impl Args {
    /// Prints the values of the configuration that holds for `serve`.
    pub(crate) fn run(self) -> Result<(), Failure> {
        if self.reference {
            return console::line(config::reference().trim_end());
        }
        let loaded = self.layers.load(Vec::new())?;
        if loaded.report.has_errors() {
            return Err(Failure::Report(Box::new(loaded.report)));
        }
        if self.json { console::json(&as_json(&loaded)) } else { console::line(as_text(&loaded)) }
    }
}

fn as_json(loaded: &Loaded) -> serde_json::Value {
    let document = loaded.report.document.as_ref();
    let file = document.map(|document| document.path.display().to_string());
    let values: Vec<_> = loaded.entries.iter().map(|entry| entry.to_json(document)).collect();
    json!({ "file": file, "values": values })
}

/// Three columns: key, value, source.
fn as_text(loaded: &Loaded) -> String {
    let document = loaded.report.document.as_ref();
    let rows = loaded.entries.iter().map(|entry| (&entry.key, entry.text(), entry.origin.describe(document)));
    let rows: Vec<_> = rows.collect();
    let width = |column: &dyn Fn(usize) -> usize| (0..rows.len()).map(column).max().unwrap_or(0);
    let keys = width(&|row| rows[row].0.chars().count());
    // One long value doesn't push all the sources off the screen.
    let values = width(&|row| rows[row].1.chars().count()).min(32);
    let line =
        |(key, value, source): &(&String, String, String)| format!("{key:keys$}  {value:values$}  {source}");
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
