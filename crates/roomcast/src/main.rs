//! The `roomcast` command: the first embedder of the libraries below it. It owns the command line, the
//! configuration, logging and signals, and no logic that somebody who embeds Roomcast would miss.

mod assembly;
mod certificate;
mod cli;
mod commands;
mod config;
mod console;
mod failure;
mod listen;
mod signals;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::Cli::parse().run().map_or_else(failure::Failure::tell, |()| ExitCode::SUCCESS)
}
