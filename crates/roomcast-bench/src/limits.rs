//! Whether this process may open as many files as a plan takes.

use crate::error::Error;

/// What a process needs besides its connections.
const SPARE_FILES: u64 = 128;

/// Raises the soft limit as far as needed; servers started later inherit it.
pub(crate) fn allow_connections(connections: u32) -> Result<(), Error> {
    let needed = u64::from(connections) + SPARE_FILES;
    let limit = rlimit::increase_nofile_limit(needed).map_err(Error::io("raise the limit of open files"))?;
    if limit < needed { Err(Error::OpenFiles { needed, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_connections_are_refused_with_both_numbers() {
        let text = allow_connections(u32::MAX).unwrap_err().to_string();
        assert!(text.contains("4294967423 open files"), "{text}");
        assert!(text.contains("ulimit -n"), "{text}");
        allow_connections(10).unwrap();
    }
}
