//! A stream of events cut into blocks (HTML Living Standard, section 9.2), as far as this server writes them: lines
//! end in `\n`, and the data of an event is one line.

/// A message and what is around it are smaller.
const BLOCK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What of a stream is no whole block yet.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    unread: Vec<u8>,
}

impl Blocks {
    /// Takes more of the stream. Answers the data of each event that is whole now.
    pub(super) fn take(&mut self, chunk: &[u8]) -> Result<Vec<String>, String> {
        // The end of a block may lie across chunks.
        let mut from = self.unread.len().saturating_sub(1);
        self.unread.extend_from_slice(chunk);
        let mut events = Vec::new();
        let mut begin = 0;
        while let Some(at) = self.unread[from..].windows(2).position(|pair| pair == b"\n\n") {
            let block = &self.unread[begin..from + at];
            (begin, from) = (from + at + 2, from + at + 2);
            events.extend(data(block)?);
        }
        self.unread.drain(..begin);
        if self.unread.len() > BLOCK_BYTES_MAX {
            return Err(format!("an event has more than {BLOCK_BYTES_MAX} bytes"));
        }
        Ok(events)
    }
}

fn data(block: &[u8]) -> Result<Option<String>, String> {
    let Some(line) = block.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"data:")) else {
        return Ok(None);
    };
    String::from_utf8(line.to_vec()).map(Some).map_err(|error| format!("an event is no UTF-8: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_whole_however_the_stream_is_cut() {
        let stream =
            "retry: 2000\n\nid: e.1\nevent: system\ndata: {\"ü\":1}\n\n: alive\n\ndata: {}\n\ndata: {";
        for size in 1..stream.len() {
            let mut blocks = Blocks::default();
            let chunks = stream.as_bytes().chunks(size);
            let events: Vec<_> = chunks.flat_map(|chunk| blocks.take(chunk).unwrap()).collect();
            assert_eq!(events, [" {\"ü\":1}", " {}"], "{size}");
            assert_eq!(blocks.take(b"}\n\n").unwrap(), [" {}"], "{size}");
        }
    }

    #[test]
    fn what_never_ends_is_refused() {
        let mut blocks = Blocks::default();
        let endless = vec![b'x'; BLOCK_BYTES_MAX];
        assert!(blocks.take(&endless).is_ok());
        assert!(blocks.take(b"xx").unwrap_err().contains("more than"));
        assert!(Blocks::default().take(b"data: \xff\n\n").unwrap_err().contains("UTF-8"));
    }
}
