//! The number of the last message that was acked as synced, in a file beside the database: evidence of what SQLite
//! can't see by itself, a log of its own that was damaged in the middle and is silently cut there.
//!
//! The file is written after the commit and never synced, so it is never ahead of what was acked; after a power
//! cut it may be behind, and then proves less.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
};

/// A number and its checksum.
const LEN: usize = 12;

#[derive(Debug)]
pub(crate) struct Acked(File);

impl Acked {
    /// Opens the file, and reads what it says; a damaged one says nothing.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, i64)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        (&mut file).take(LEN as u64).read_to_end(&mut bytes)?;
        let id = match bytes.split_first_chunk::<8>() {
            Some((id, crc)) if *crc == crc32fast::hash(id).to_le_bytes() => i64::from_le_bytes(*id),
            _ => 0,
        };
        Ok((Self(file), id))
    }

    /// Everything up to a message is acked.
    pub(crate) fn write(&self, id: i64) -> io::Result<()> {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(&id.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..8]).to_le_bytes();
        bytes[8..].copy_from_slice(&crc);
        self.0.write_all_at(&bytes, 0)
    }
}
