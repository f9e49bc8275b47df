//! The real binary, driven as a user drives it: in a directory of its own, with an environment of its own.

// A test that can't go on should stop there.
#![allow(clippy::unwrap_used)]

mod check;
mod config;
mod init;
mod start;
mod talk;
mod token;
mod verify;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

/// A directory to run `roomcast` in.
struct Place(TempDir);

/// What a command said and how it ended.
#[derive(Debug)]
struct Told {
    stdout: String,
    stderr: String,
    success: bool,
}

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With a configuration.
    fn with(config: &str) -> Self {
        let place = Self::new();
        place.write("roomcast.toml", config);
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// A command with nothing of this process's environment.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roomcast"));
        command.args(arguments).current_dir(self.path()).env_clear();
        command
    }

    fn run(&self, arguments: &[&str]) -> Told {
        Told::from(self.command(arguments).output().unwrap())
    }

    fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Told {
        Told::from(self.command(arguments).envs(variables.iter().copied()).output().unwrap())
    }
}

impl Told {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl From<Output> for Told {
    fn from(output: Output) -> Self {
        Self {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            success: output.status.success(),
        }
    }
}
