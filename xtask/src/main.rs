//! `cargo xtask check` and `cargo xtask test`: exactly what CI runs, in one command each.
//!
//! Owns which steps there are and their order. Never holds a test itself: those live in the crates and in `tests/`.

mod autobahn;
mod check;
mod log;
mod place;
mod run;
mod sizes;
mod test;
mod tools;

use std::process::ExitCode;

use run::Run;

const USAGE: &str = "\
Usage: cargo xtask check                      format, lints, docs, dependencies, sizes
       cargo xtask test [--long] [--only X]   all of check, then every test there is

  --long     200 kills in place of 10, cuts inside TLS at every byte, polls that are parked for long behind proxies,
             and all of Autobahn's chapters on compression (12 and 13); says first how long that takes
  --only X   of the steps after the builds, only those whose name contains X";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut run = Run::new();
    match words.as_slice() {
        ["check"] => check::all(&mut run),
        ["test", options @ ..] => match test::Plan::from_options(options) {
            Ok(plan) => plan.carry_out(&mut run),
            Err(message) => return usage(&message),
        },
        [] | ["help" | "--help" | "-h"] => return usage("say what to do"),
        other => return usage(&format!("unknown task `{}`", other.join(" "))),
    }
    run.finish()
}

fn usage(message: &str) -> ExitCode {
    eprintln!("{message}\n\n{USAGE}");
    ExitCode::from(2)
}
