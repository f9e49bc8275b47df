//! What is printed on standard output. A reader that went away, as in `roomcast config | head`, ends the command
//! quietly; colour is dropped where it doesn't belong.

use std::io::{self, Write};

use crate::failure::Failure;

/// Prints a line, at once.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    told(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// Prints a value as indented JSON.
pub(crate) fn json(value: &serde_json::Value) -> Result<(), Failure> {
    line(format_args!("{value:#}"))
}

fn told(result: io::Result<()>) -> Result<(), Failure> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Silent,
        _ => Failure::said(format!("can't write to standard output: {error}")),
    })
}
