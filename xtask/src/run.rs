//! The list of steps as it is carried out: one line each, a log each, one summary at the end.
//!
//! Never stops at a failure: the next step's result is worth knowing too.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::log::Log;
use crate::place;

const TAIL_LINES: usize = 40;

/// What a step came to; each holds the remark that stands behind its name.
pub(crate) enum Outcome {
    Passed(String),
    Failed(String),
    /// It could not be looked at here; said plainly, and counted as neither.
    Skipped(String),
}

impl From<Result<(), String>> for Outcome {
    fn from(result: Result<(), String>) -> Self {
        result.map(|()| String::new()).into()
    }
}

impl From<Result<String, String>> for Outcome {
    fn from(result: Result<String, String>) -> Self {
        match result {
            Ok(remark) => Self::Passed(remark),
            Err(why) => Self::Failed(why),
        }
    }
}

/// The steps done so far.
pub(crate) struct Run {
    started: Instant,
    steps: usize,
    passed: usize,
    skipped: usize,
    failed: Vec<String>,
}

impl Run {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), steps: 0, passed: 0, skipped: 0, failed: Vec::new() }
    }

    /// Carries out one step and tells how it went. True if it did not fail.
    pub(crate) fn step<O: Into<Outcome>>(&mut self, name: &str, work: impl FnOnce(&mut Log) -> O) -> bool {
        self.steps += 1;
        print!("{name:.<32} ");
        let _ = std::io::stdout().flush();
        let file = format!("{:02}-{}.log", self.steps, name.replace([' ', ':', ','], "-"));
        let mut log = match Log::create(place::scratch().join(file)) {
            Ok(log) => log,
            Err(error) => return self.count(name, Outcome::Failed(format!("no log: {error}")), None),
        };
        let outcome = work(&mut log).into();
        self.count(name, outcome, Some(&log))
    }

    /// Counts a step that can't be carried out because an earlier one failed.
    pub(crate) fn blocked(&mut self, name: &str, by: &str) {
        self.steps += 1;
        print!("{name:.<32} ");
        self.count(name, Outcome::Failed(format!("not run: {by} failed")), None);
    }

    fn count(&mut self, name: &str, outcome: Outcome, log: Option<&Log>) -> bool {
        let took = seconds(log.map(Log::elapsed).unwrap_or_default());
        match outcome {
            Outcome::Passed(remark) => {
                self.passed += 1;
                println!("ok      {took:>8}  {remark}");
                return true;
            }
            Outcome::Skipped(why) => {
                self.skipped += 1;
                println!("skipped {took:>8}  {why}");
                return true;
            }
            Outcome::Failed(why) => println!("FAILED  {took:>8}  {why}"),
        }
        self.failed.push(name.to_owned());
        if let Some(log) = log {
            show_tail(log);
        }
        false
    }

    /// Prints the summary; its last line is for programs too.
    pub(crate) fn finish(self) -> ExitCode {
        println!("\n{} in all; logs in {}", seconds(self.started.elapsed()), relative(&place::scratch()));
        if !self.failed.is_empty() {
            println!("failed: {}", self.failed.join(", "));
        }
        let skipped = if self.skipped == 0 { String::new() } else { format!(", {} skipped", self.skipped) };
        println!("{} passed, {} failed{skipped}", self.passed, self.failed.len());
        ExitCode::from(u8::from(!self.failed.is_empty()))
    }
}

fn show_tail(log: &Log) {
    let text = log.text();
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
        println!("    | {line}");
    }
    println!("    the whole log: {}", relative(log.path()));
}

fn relative(path: &Path) -> String {
    path.strip_prefix(place::root()).unwrap_or(path).display().to_string()
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
