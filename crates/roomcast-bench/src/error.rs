//! Why there is no report. Each text says what happened, the value seen, the likely cause and what to do.

use std::fmt;
use std::io;
use std::net::SocketAddr;

/// A measurement that couldn't be made.
#[derive(Debug)]
pub enum Error {
    /// An option's value makes no sense.
    Usage(String),
    /// `--url` can't be read, or its host has no address.
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody listens there.
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// More connections than this process may have open files.
    OpenFiles {
        /// Files that the plan takes.
        needed: u64,
        /// The hard limit.
        limit: u64,
    },
    /// A connection didn't get as far as being joined to its room.
    NotJoined {
        /// How many had joined by then.
        joined: u32,
        /// Of how many.
        of: u32,
        /// What the server said or didn't say.
        why: String,
    },
    /// No connection is left to publish.
    NobodyLeft(String),
    /// A server that the bench was to start isn't listening.
    Command {
        /// The command.
        command: String,
        /// What it did instead.
        why: String,
    },
    /// The system has no randomness for message ids.
    Random(getrandom::Error),
    /// The system refused something else.
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl Error {
    /// Wraps a system error with what was being done.
    pub(crate) fn io(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) => f.write_str(what),
            Self::Url { url, why } => {
                write!(f, "--url {url:?}: {why}; give http://HOST:PORT or ws://HOST:PORT/PATH")
            }
            Self::Unreachable { address, source } => write!(
                f,
                "can't connect to {address}: {source}. Start a server there (`roomcast dev`), name another \
                 one (`--url`), or let the bench start it: \
                 --server-cmd 'roomcast dev --listen 127.0.0.1:0'"
            ),
            Self::OpenFiles { needed, limit } => write!(
                f,
                "this needs {needed} open files, and the limit is {limit}: raise it (`ulimit -n {needed}`, \
                 as root or in limits.conf) or use fewer --connections"
            ),
            Self::NotJoined { joined, of, why } => write!(f, "{joined} of {of} connections joined: {why}"),
            Self::NobodyLeft(why) => write!(f, "the server closed every publishing connection: {why}"),
            Self::Command { command, why } => {
                write!(f, "`{command}` {why}; a server must print its address (`http://…`) when it listens")
            }
            Self::Random(source) => write!(f, "can't draw random message ids: {source}"),
            Self::Io { doing, source } => write!(f, "can't {doing}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable { source, .. } | Self::Io { source, .. } => Some(source),
            Self::Random(source) => Some(source),
            _ => None,
        }
    }
}
