//! One step's log: every command that it ran and everything they said, in one file.
//!
//! Owns running a command against a deadline. Never prints: what of a log is shown is `run`'s to say.

use std::fs::{self, File};
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a step may take before it counts as hung. Generous: a slow machine is no failure.
const STEP_DEADLINE: Duration = Duration::from_mins(30);
const POLL: Duration = Duration::from_millis(50);

/// The log file of a step that is running.
pub(crate) struct Log {
    file: File,
    path: PathBuf,
    started: Instant,
}

impl Log {
    pub(crate) fn create(path: PathBuf) -> std::io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(Self { file: File::create(&path)?, path, started: Instant::now() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// All that has been written so far.
    pub(crate) fn text(&self) -> String {
        fs::read(&self.path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Runs a command to its end, its output in the log.
    ///
    /// # Errors
    /// A sentence that says why: it could not start, it failed, or the step's deadline passed.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<(), String> {
        let name = Path::new(command.get_program()).file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let mut child = self.start(command)?;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if self.elapsed() < STEP_DEADLINE => self.wait_a_little(),
                Ok(None) => return Err(stop(&mut child, &name)),
                Err(error) => return Err(format!("lost sight of `{name}`: {error}")),
            }
        };
        if status.success() { Ok(()) } else { Err(format!("`{name}` ended with {status}")) }
    }

    /// Starts a command whose output goes to the log, and leaves it running.
    pub(crate) fn start(&mut self, command: &mut Command) -> Result<Child, String> {
        let shown = format!("{command:?}");
        let spawned = writeln!(self.file, "$ {shown}")
            .and_then(|()| Ok((self.file.try_clone()?, self.file.try_clone()?)))
            .and_then(|(out, err)| command.stdin(Stdio::null()).stdout(out).stderr(err).spawn());
        spawned.map_err(|error| format!("cannot run `{shown}`: {error}"))
    }

    fn wait_a_little(&self) {
        let mut out = std::io::stdout();
        if out.is_terminal() {
            let _ = write!(out, "\x1b[s{} s\x1b[u", self.elapsed().as_secs());
            let _ = out.flush();
        }
        thread::sleep(POLL);
    }
}

fn stop(child: &mut Child, name: &str) -> String {
    let _ = child.kill();
    let _ = child.wait();
    format!("`{name}` was stopped: the step took longer than {} minutes", STEP_DEADLINE.as_secs() / 60)
}
