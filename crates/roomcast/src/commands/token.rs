//! `roomcast token`: mints tokens for trying things out and for back ends that have no library, and explains
//! what is wrong with one. What a token must be is the server's business.

mod mint;
mod verify;

use std::time::{Duration, SystemTime};

use clap::Subcommand;

use crate::failure::Failure;

/// Mint or verify tokens
#[derive(Debug, clap::Args)]
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

/// The time since the Unix epoch.
fn unix_now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO)
}
