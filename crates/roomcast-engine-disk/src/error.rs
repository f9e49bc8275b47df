//! What can be wrong with a store, told to whoever runs the server: what happened, the likely cause, the way out.

use std::{fmt, io, path::PathBuf};

use roomcast_hub::engine::EngineError;
use rusqlite::{ErrorCode, ffi};

/// Why a store was not opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has it.
    InUse {
        /// The directory.
        directory: PathBuf,
        /// The other process, as far as is known.
        process: String,
    },
    /// The directory can't be made or written.
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The database is of another program or version.
    Foreign {
        /// The file.
        file: PathBuf,
        /// What it is instead.
        is: String,
    },
    /// The database is damaged.
    Corrupt {
        /// The file.
        file: PathBuf,
        /// What was found.
        found: String,
    },
    /// SQLite refused.
    Sqlite {
        /// The file.
        file: PathBuf,
        /// Why.
        error: rusqlite::Error,
    },
    /// The system refused.
    Io {
        /// What was to be done.
        what: &'static str,
        /// Why.
        error: io::Error,
    },
    /// The library that was linked has known faults.
    Library {
        /// Its version.
        version: &'static str,
    },
}

impl OpenError {
    pub(crate) fn of(file: PathBuf, error: rusqlite::Error) -> Self {
        match engine_error(&error) {
            EngineError::Corrupt(found) => Self::Corrupt { file, found },
            EngineError::Unavailable(_) => Self::Sqlite { file, error },
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { directory, process } => write!(
                f,
                "{} is in use by another Roomcast ({process}): stop it, or use another directory",
                directory.display()
            ),
            Self::Directory { directory, error } => {
                let way_out = match error.kind() {
                    io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                        "a file is in its place or above it; move that"
                    }
                    _ => "make the directory writable for this user",
                };
                write!(
                    f,
                    "can't write in {}: {error}; {way_out}, or use another directory",
                    directory.display()
                )
            }
            Self::Foreign { file, is } => {
                write!(f, "{} is {is}: use the Roomcast that wrote it, or another directory", file.display())
            }
            Self::Corrupt { file, found } => write!(
                f,
                "{} is damaged ({found}): look at the disk, restore a backup, or move the directory away; \
                 what `sqlite3` says to `.recover` may help",
                file.display()
            ),
            Self::Sqlite { file, error } => write!(f, "can't open {}: {error}", file.display()),
            Self::Io { what, error } => write!(f, "can't {what}: {error}"),
            Self::Library { version } => write!(
                f,
                "SQLite {version} can lose writes when its log is reset; 3.51.3 is the least: build with the \
                 bundled one"
            ),
        }
    }
}

impl std::error::Error for OpenError {}

/// What an error of SQLite means for whoever asked.
pub(crate) fn engine_error(error: &rusqlite::Error) -> EngineError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => EngineError::Unavailable(
            "the disk, or what disk.bytes_max allows, is full: free some space".into(),
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            EngineError::Unavailable("another program writes in the database: end its transaction".into())
        }
        Some(code)
            if !matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) && !is_eio(error) =>
        {
            EngineError::Unavailable(error.to_string())
        }
        // Damage; without a code it is a value of a type that is never written.
        _ => EngineError::Corrupt(error.to_string()),
    }
}

/// Whether the disk can't give back what it was given. Where SQLite runs a statement it calls that damage itself, but
/// not where a connection is new.
fn is_eio(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_CORRUPTFS)
}
