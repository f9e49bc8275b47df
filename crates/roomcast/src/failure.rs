//! How a command fails: what it says and with which status it ends. Doesn't decide what a failure is.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

use roomcast_server::auth::SetupError;

use crate::config::Report;

const RED: Style = AnsiColor::Red.on_default().bold();
const BOLD: Style = Style::new().bold();

/// Why a command didn't do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A sentence, and what to do about it.
    Said {
        /// What happened, with the value seen and the likely cause.
        message: String,
        /// What to do.
        help: Option<String>,
    },
    /// A configuration that can't be used.
    Report(Box<Report>),
    /// All has been said, or nobody listens any more.
    Silent,
}

impl Failure {
    /// A failure without advice.
    pub(crate) fn said(message: impl Into<String>) -> Self {
        Self::Said { message: message.into(), help: None }
    }

    /// A failure and what to do about it.
    pub(crate) fn with_help(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Said { message: message.into(), help: Some(help.into()) }
    }

    /// Says it on standard error; the status is 1.
    pub(crate) fn tell(self) -> ExitCode {
        match self {
            Self::Said { message, help } => {
                anstream::eprintln!("{RED}error{RED:#}{BOLD}:{BOLD:#} {message}");
                if let Some(help) = help {
                    anstream::eprintln!("  {BOLD}help:{BOLD:#} {help}");
                }
            }
            Self::Report(report) => anstream::eprint!("{report}"),
            Self::Silent => {}
        }
        ExitCode::FAILURE
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        Self::said(error.to_string())
    }
}

impl From<roomcast_client::Error> for Failure {
    fn from(error: roomcast_client::Error) -> Self {
        Self::said(error.to_string())
    }
}
