//! `cargo xtask test`: the checks, then every test, from the smallest to whole browsers.
//!
//! Two builds serve all of it: a debug build for the Rust tests, a release build of the server, the echo server and
//! the example `embed` that every test from outside shares.

use std::fs;
use std::process::Command;

use crate::check::{self, cargo};
use crate::log::Log;
use crate::run::Run;
use crate::{autobahn, place, tools};

type Suite = (&'static str, fn(&Plan, &mut Log) -> Result<String, String>);

/// Tests that drive the release build from outside, in their order.
const SUITES: [Suite; 11] = [
    ("clients in Python", |_, log| pytest("interop", log)),
    ("clients in Node", |_, log| node_test("interop", log)),
    ("TypeScript SDK", |_, log| sdk(log)),
    ("scenarios", |plan, log| pytest_with_time("scenarios", plan, log)),
    ("security", |_, log| pytest("security", log)),
    ("proxies", |plan, log| pytest_with_time("proxies", plan, log)),
    ("histories", |_, log| pytest("history", log)),
    ("crashes", |plan, log| pytest_with_time("crash", plan, log)),
    ("browser", |_, log| node_test("browser", log)),
    ("examples", |_, log| node_test("examples", log)),
    ("Autobahn", |plan, log| autobahn::run(plan.long, log)),
];

/// What takes longer with `--long`, and how many minutes then, on two cores.
const LONG: [(&str, u64); 4] = [("scenarios", 2), ("proxies", 2), ("crashes", 3), ("Autobahn", 6)];

/// What was asked for on the command line.
#[derive(Default)]
pub(crate) struct Plan {
    long: bool,
    only: Option<String>,
}

impl Plan {
    pub(crate) fn from_options(options: &[&str]) -> Result<Self, String> {
        let mut plan = Self::default();
        let mut rest = options;
        while let Some((option, tail)) = rest.split_first() {
            rest = match (*option, tail) {
                ("--long", tail) => {
                    plan.long = true;
                    tail
                }
                ("--only", [name, tail @ ..]) => {
                    plan.only = Some((*name).to_owned());
                    tail
                }
                (other, _) => return Err(format!("unknown or incomplete option `{other}`")),
            };
        }
        let names = SUITES.map(|(name, _)| name);
        if !names.iter().any(|name| plan.wants(name)) {
            let asked = plan.only.unwrap_or_default();
            return Err(format!("`--only {asked}` is none of: {}", names.join(", ")));
        }
        Ok(plan)
    }

    pub(crate) fn carry_out(&self, run: &mut Run) {
        self.say_how_long();
        let python = run.step("install Python packages", tools::python_packages);
        let npm = run.step("install npm packages", tools::npm_packages);
        let chromium = run.step("install Chromium", tools::chromium);
        let proxies = run.step("install nginx and Caddy", tools::proxies);
        if self.only.is_none() {
            check::steps(run, python);
            rust_tests(run);
        }
        let built = run.step("release build", release_build);
        let ready = python && npm && chromium && proxies && built;
        for (name, suite) in SUITES.iter().filter(|(name, _)| self.wants(name)) {
            if ready {
                run.step(name, |log| suite(self, log));
            } else {
                run.blocked(name, "an installation or the release build");
            }
        }
    }

    fn say_how_long(&self) {
        let parts = LONG.iter().filter(|(name, _)| self.long && self.wants(name));
        let told: Vec<_> = parts.map(|(name, minutes)| format!("{name} about {minutes} min")).collect();
        if !told.is_empty() {
            println!("with --long, on two cores: {}", told.join(", "));
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.to_lowercase().contains(&only.to_lowercase()))
    }
}

fn rust_tests(run: &mut Run) {
    run.step("unit and integration tests", |log| {
        log.run(cargo("test").args(["--workspace", "--no-fail-fast"]))?;
        Ok(count(log, "test result: ok. ", "passed"))
    });
    run.step("conformance vectors", |log| {
        log.run(cargo("test").args(["--workspace", "--test", "conformance*"]))?;
        Ok(count(log, "test result: ok. ", "passed"))
    });
}

fn release_build(log: &mut Log) -> Result<(), String> {
    let what = ["--bin", "roomcast", "--example", "ws_echo", "--example", "embed"];
    log.run(cargo("build").args(["--quiet", "--release"]).args(what))
}

fn pytest(folder: &str, log: &mut Log) -> Result<String, String> {
    pytest_with(folder, None, log)
}

/// With `--long`: 200 kills of the server in place of 10, cuts inside TLS at every byte and not at records' edges, polls
/// through proxies that are parked for as long as they may be.
fn pytest_with_time(folder: &str, plan: &Plan, log: &mut Log) -> Result<String, String> {
    pytest_with(folder, plan.long.then_some(("ROOMCAST_LONG", "1")), log)
}

fn pytest_with(folder: &str, more: Option<(&str, &str)>, log: &mut Log) -> Result<String, String> {
    let tests = place::root().join("tests");
    let mut command = Command::new(place::python("pytest"));
    log.run(command.arg(folder).current_dir(tests).envs(environment()).envs(more))?;
    Ok(count(log, "", "passed"))
}

/// Node 20 finds tests by its own rules for names; naming the files leaves nothing to them.
fn node_test(folder: &str, log: &mut Log) -> Result<String, String> {
    let tests = place::root().join("tests");
    let entries = fs::read_dir(tests.join(folder)).map_err(|error| format!("tests/{folder}: {error}"))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with(".test.mjs"));
    files.sort();
    if files.is_empty() {
        return Err(format!("no *.test.mjs in tests/{folder}"));
    }
    let options = ["--test", "--test-reporter=spec", "--test-concurrency=4", "--test-timeout=120000"];
    log.run(Command::new("node").args(options).args(files).current_dir(tests).envs(environment()))?;
    Ok(count(log, "ℹ pass ", ""))
}

/// Packed as it would be published, then its own tests: alone, against the server, and in Chromium.
fn sdk(log: &mut Log) -> Result<String, String> {
    let folder = place::root().join("sdk/js");
    let all: [&[&str]; 4] =
        [&["ci", "--no-audit", "--no-fund"], &["pack", "--dry-run"], &["test"], &["run", "test:server"]];
    for words in all {
        log.run(Command::new("npm").args(words).current_dir(&folder).envs(environment()))?;
    }
    Ok(count(log, "ℹ pass ", ""))
}

/// Where tests find what is built and installed.
fn environment() -> [(&'static str, std::path::PathBuf); 3] {
    [("ROOMCAST_BIN", place::server()), ("EMBED_BIN", place::embedder()), ("PYTHON", place::python("python"))]
}

/// Adds up the numbers that stand after `before` (or before `after`) in the log's lines.
fn count(log: &Log, before: &str, after: &str) -> String {
    let total: u64 = log.text().lines().filter_map(|line| number(line, before, after)).sum();
    format!("{total} passed")
}

fn number(line: &str, before: &str, after: &str) -> Option<u64> {
    let (_, rest) = line.split_once(before)?;
    let end = if after.is_empty() { rest.len() } else { rest.find(after)? };
    rest[..end].split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{LONG, Plan, SUITES, number};

    #[test]
    fn options_are_read_or_refused() {
        let plan = Plan::from_options(&["--long", "--only", "auto"]).unwrap();
        assert!(plan.long && plan.wants("Autobahn") && !plan.wants("browser"));
        assert!(Plan::from_options(&["--only"]).is_err());
        assert!(Plan::from_options(&["--fast"]).is_err());
        let refused = Plan::from_options(&["--only", "cuts"]).err().unwrap();
        assert!(refused.contains("`--only cuts` is none of: clients in Python, "), "{refused}");
    }

    #[test]
    fn what_takes_long_is_among_the_suites() {
        assert!(LONG.iter().all(|(name, _)| SUITES.iter().any(|(suite, _)| name == suite)));
    }

    #[test]
    fn each_runner_s_closing_line_is_read() {
        let cargo = "test result: ok. 12 passed; 0 failed; 0 ignored";
        assert_eq!(number(cargo, "test result: ok. ", "passed"), Some(12));
        assert_eq!(number("===== 7 passed in 1.20s =====", "", "passed"), Some(7));
        assert_eq!(number("ℹ pass 5", "ℹ pass ", ""), Some(5));
        assert_eq!(number("nothing of the kind", "", "passed"), None);
    }
}
