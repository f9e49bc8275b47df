//! `roomcast init`: writes a first configuration with a fresh secret. Never overwrites one.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::{
    config::{DEFAULT_FILE, Secret, template},
    console,
    failure::Failure,
};

const EXAMPLES: &str = "\
Examples:
  roomcast init                          writes roomcast.toml here
  roomcast init --config /etc/chat.toml";

/// Write a commented roomcast.toml with a fresh secret
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The file to write; it must not be there yet
    #[arg(long, short, value_name = "FILE", default_value = DEFAULT_FILE)]
    config: PathBuf,
}

impl Args {
    /// Writes the file and says what to do next.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let secret =
            Secret::fresh().map_err(|error| Failure::said(format!("no random bytes to be had: {error}")))?;
        write_new(&self.config, &template(&secret))?;
        console::line(self.next_steps())
    }

    fn next_steps(&self) -> String {
        let file = self.config.display();
        let named =
            if self.config == Path::new(DEFAULT_FILE) { String::new() } else { format!(" --config {file}") };
        format!(
            "Wrote {file}: a fresh secret, and one rule that lets everybody with a token do everything.\n\
             \n\
             Next:\n  \
             roomcast serve{named}\n  \
             roomcast token mint --user ada{named}\n  \
             roomcast check{named}    after every change"
        )
    }
}

/// Writes a file that only its owner may read, and that wasn't there.
fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    create_private(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::with_help(
                format!(
                    "{} is already there and may hold your secrets; it was left as it is",
                    path.display()
                ),
                "remove it first, or write another one with --config FILE",
            ),
            _ => Failure::with_help(
                format!("can't write {}: {error}", path.display()),
                "its directory must be there, and this user allowed to write in it",
            ),
        }
    })
}

fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
