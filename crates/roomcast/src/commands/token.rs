//! `roomcast token`: mints tokens for trying things out and for back ends that have no library, and explains
//! what is wrong with one. What a token must be is the server's business.

mod mint;
mod verify;

use std::time::{Duration, SystemTime};

use clap::Subcommand;

use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  roomcast token mint --user ada                 signs one with the secret of roomcast.toml
  roomcast token mint --user ada --ttl 60 --room 'chat:*=join,send'
  roomcast token verify eyJhbGciOi…              says what is in it, or what is wrong with it";

/// Mint or verify tokens
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Mint(mint::Args),
    Verify(verify::Args),
}

impl Args {
    /// Does what was asked.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Mint(args) => args.run(),
            Command::Verify(args) => args.run(),
        }
    }
}

fn no_secret(purpose: &str) -> Failure {
    Failure::with_help(
        format!("there is no secret to {purpose} with: no `[auth] secret` in the configuration"),
        "write one with `roomcast init`, or name the file with --config FILE",
    )
}

/// The time since the Unix epoch.
fn unix_now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO)
}
