//! The signals that end the process: the first asks for an orderly stop, the second ends it at once.

use std::{io, process};

/// The status of a process that was told to end now, as shells know it from Ctrl-C.
const INTERRUPTED: i32 = 130;

/// SIGTERM and Ctrl-C, caught since this was made.
#[derive(Debug)]
pub(crate) struct Signals(Caught);

impl Signals {
    /// Begins to catch the signals; until now they would have ended the process.
    pub(crate) fn listen() -> io::Result<Self> {
        Caught::new().map(Self)
    }

    /// Waits for the first one and says which it was. From then on a second one ends the process.
    pub(crate) async fn first(mut self) -> &'static str {
        let first = self.0.next().await;
        tokio::spawn(async move {
            self.0.next().await;
            process::exit(INTERRUPTED);
        });
        first
    }
}

#[cfg(unix)]
#[derive(Debug)]
struct Caught {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Caught {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "Ctrl-C",
        }
    }
}

#[cfg(not(unix))]
#[derive(Debug)]
struct Caught(tokio::signal::windows::CtrlC);

#[cfg(not(unix))]
impl Caught {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> &'static str {
        self.0.recv().await;
        "Ctrl-C"
    }
}
