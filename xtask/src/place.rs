//! Where things are: the repository, what is built, and what is installed for tests.
//!
//! Never creates anything.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository").to_path_buf()
}

/// Cargo's target directory, as cargo itself finds it.
pub(crate) fn target() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Logs, the Python environment and reports: all that this program writes.
pub(crate) fn scratch() -> PathBuf {
    target().join("xtask")
}

/// The release build of the server.
pub(crate) fn server() -> PathBuf {
    target().join("release/roomcast")
}

/// The release build of the echo server that Autobahn drives.
pub(crate) fn echo_server() -> PathBuf {
    target().join("release/examples/ws_echo")
}

/// The release build of the example that has rooms inside an app of its own.
pub(crate) fn embedder() -> PathBuf {
    target().join("release/examples/embed")
}

/// The Python environment.
pub(crate) fn environment() -> PathBuf {
    scratch().join("venv")
}

/// A program of it, such as `pytest`.
pub(crate) fn python(program: &str) -> PathBuf {
    environment().join("bin").join(program)
}
