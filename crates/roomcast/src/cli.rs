//! The tree of commands. What each does is in its module under `commands`.

use clap::{Parser, Subcommand};

use crate::{
    commands::{bench, check, config, dev, init, publish, serve, subscribe, token, verify},
    failure::Failure,
};

const EXAMPLES: &str = "\
Examples:
  roomcast dev                        try it: http://127.0.0.1:8000, no keys, nothing to set up
  roomcast sub general                read a room of it; `roomcast pub general Hello` writes to it
  roomcast init && roomcast serve     run it for others, with a secret of its own
  roomcast token mint --user ada      a token to connect with

Every command has its own examples: roomcast token --help";

/// Realtime rooms: every client gets every message once and in order, or is told that it must reload
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Dev(dev::Args),
    Serve(serve::Args),
    Init(init::Args),
    Check(check::Args),
    Config(config::Args),
    Token(token::Args),
    Pub(publish::Args),
    Sub(subscribe::Args),
    Bench(Box<roomcast_bench::Args>),
    Verify(verify::Args),
}

impl Cli {
    /// Does what was asked.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Dev(args) => args.run(),
            Command::Serve(args) => args.run(),
            Command::Init(args) => args.run(),
            Command::Check(args) => args.run(),
            Command::Config(args) => args.run(),
            Command::Token(args) => args.run(),
            Command::Pub(args) => args.run(),
            Command::Sub(args) => args.run(),
            Command::Bench(args) => bench::run(&args),
            Command::Verify(args) => args.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_tree_is_sound() {
        super::Cli::command().debug_assert();
    }
}
