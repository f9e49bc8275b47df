//! DEFLATE itself: one inflater and a few compressors for each thread, none for a connection.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use crate::Violation;

/// What ends every flushed message and isn't sent (RFC 7692 §7.2.1).
const FLUSH_TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// The tail that was left out, then an empty last block: the stream ends at exactly this point, or the
/// message was cut inside a block.
const FLUSH_TAIL_AND_END: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

/// Bytes inflated before they are handed on and counted.
const CHUNK_BYTES: usize = 16 * 1024;

/// Blocks marked as the last in one message. A sender that can't flush otherwise ends each flush with one; a
/// message of nothing else would cost 100 times the work of an honest one.
const LAST_BLOCKS_MAX: usize = 64;

/// A message is compressed once and sent many times, so a smaller one is worth more than a quick one. On chat in
/// JSON level 2 writes four fifths of level 1's bytes in two to three times its time; above it, little is won.
const LEVEL: u32 = 2;

/// Window sizes a thread keeps compressors for (260 KB each at the most): the usual 15 bits, and one more.
const COMPRESSORS_MAX: usize = 2;

thread_local! {
    static COMPRESSORS: RefCell<Vec<(u8, Compress)>> = const { RefCell::new(Vec::new()) };
    static INFLATER: RefCell<Option<Inflater>> = const { RefCell::new(None) };
}

/// Appends `payload`, compressed as a whole message with a window of `window_bits`: to be sent with RSV1 set.
///
/// The same bytes are good for every connection whose [`Deflate::window_bits`](super::Deflate::window_bits)
/// is at least `window_bits`.
///
/// # Panics
///
/// If `window_bits` isn't 9 to 15; what `Deflate` says always is.
pub fn compress(payload: &[u8], window_bits: u8, out: &mut Vec<u8>) {
    assert!((WINDOW_BITS_MIN..=WINDOW_BITS_MAX).contains(&window_bits), "a window of {window_bits} bits");
    COMPRESSORS.with_borrow_mut(|compressors| {
        let compressor = compressor(compressors, window_bits);
        compressor.reset();
        compress_all(compressor, payload, out);
    });
    debug_assert!(out.ends_with(&FLUSH_TAIL), "a sync flush ends in an empty stored block");
    out.truncate(out.len() - FLUSH_TAIL.len());
}

/// The thread's compressor for this window: the one used last comes first, the one not used goes.
fn compressor(compressors: &mut Vec<(u8, Compress)>, window_bits: u8) -> &mut Compress {
    let known = compressors.iter().position(|(bits, _)| *bits == window_bits);
    let at = known.unwrap_or_else(|| {
        compressors.truncate(COMPRESSORS_MAX - 1);
        let new = Compress::new_with_window_bits(Compression::new(LEVEL), false, window_bits);
        compressors.push((window_bits, new));
        compressors.len() - 1
    });
    compressors.swap(0, at);
    &mut compressors[0].1
}

fn compress_all(compressor: &mut Compress, payload: &[u8], out: &mut Vec<u8>) {
    let mut rest = payload;
    loop {
        out.reserve(rest.len() + rest.len() / 64 + 64);
        let before = compressor.total_in();
        let status = compressor.compress_vec(rest, out, FlushCompress::Sync);
        status.expect("a compressor that was reset takes any input");
        rest = &rest[(compressor.total_in() - before) as usize..];
        // Room left over means that the flush is complete (zlib's manual on `deflate`).
        if rest.is_empty() && out.len() < out.capacity() {
            return;
        }
    }
}

/// Inflates a whole message and hands it to `take` in pieces, until that fails.
pub(crate) fn inflate(
    message: &[u8],
    take: impl FnMut(&[u8]) -> Result<(), Violation>,
) -> Result<(), Violation> {
    INFLATER.with_borrow_mut(|inflater| inflater.get_or_insert_with(Inflater::new).message(message, take))
}

struct Inflater {
    stream: Decompress,
    chunk: Box<[u8]>,
    last_blocks: usize,
}

impl Inflater {
    fn new() -> Self {
        Self { stream: Decompress::new(false), chunk: vec![0; CHUNK_BYTES].into(), last_blocks: 0 }
    }

    fn message(
        &mut self,
        message: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        self.stream.reset(false);
        self.last_blocks = 0;
        self.feed(message, &mut take)?;
        match self.feed(&FLUSH_TAIL_AND_END, &mut take)? {
            Status::StreamEnd => Ok(()),
            Status::Ok | Status::BufError => Err(Violation::CorruptDeflate),
        }
    }

    /// Inflates `input` and hands on all that it stands for.
    fn feed(
        &mut self,
        mut input: &[u8],
        take: &mut impl FnMut(&[u8]) -> Result<(), Violation>,
    ) -> Result<Status, Violation> {
        loop {
            let (in_before, out_before) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.decompress(input, &mut self.chunk, FlushDecompress::Sync);
            let status = status.map_err(|_| Violation::CorruptDeflate)?;
            let consumed = (self.stream.total_in() - in_before) as usize;
            let produced = (self.stream.total_out() - out_before) as usize;
            take(&self.chunk[..produced])?;
            input = &input[consumed..];
            if status == Status::StreamEnd && !input.is_empty() {
                self.begin_again()?;
            } else if produced < self.chunk.len() {
                return Ok(status);
            }
        }
    }

    /// Goes on behind a block that is marked as the last (RFC 7692 §7.2.3.4).
    fn begin_again(&mut self) -> Result<(), Violation> {
        self.last_blocks += 1;
        if self.last_blocks > LAST_BLOCKS_MAX {
            return Err(Violation::CorruptDeflate);
        }
        self.stream.reset(false);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inflates with a window of exactly `window_bits`, as the least of peers would.
    fn inflate_with(window_bits: u8, compressed: &[u8]) -> Vec<u8> {
        let mut stream = Decompress::new_with_window_bits(false, window_bits);
        let mut out = Vec::with_capacity(1 << 20);
        let input = [compressed, &FLUSH_TAIL].concat();
        stream.decompress_vec(&input, &mut out, FlushDecompress::Sync).expect("valid data");
        out
    }

    #[test]
    fn a_window_is_never_exceeded() {
        // Repeats from 100 bytes to 40 KB away: each window has some in reach and some beyond it.
        let unit: Vec<u8> = (0..40_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let payload = [&unit[..], &unit[..100], &unit[..5000], &unit, &unit[30_000..]].concat();
        for window_bits in WINDOW_BITS_MIN..=WINDOW_BITS_MAX {
            let mut compressed = Vec::new();
            compress(&payload, window_bits, &mut compressed);
            assert_eq!(inflate_with(window_bits, &compressed), payload, "{window_bits} bits");
        }
    }

    #[test]
    fn the_same_bytes_come_out_whatever_was_compressed_before() {
        let mut first = Vec::new();
        compress(b"hello, hello", 12, &mut first);
        for window_bits in [15, 9, 10, 12] {
            compress(b"something else", window_bits, &mut Vec::new());
        }
        let mut again = b"kept".to_vec();
        compress(b"hello, hello", 12, &mut again);
        assert_eq!(again, [b"kept", &first[..]].concat());
    }

    #[test]
    fn a_thread_keeps_a_bounded_number_of_compressors() {
        for window_bits in WINDOW_BITS_MIN..=WINDOW_BITS_MAX {
            compress(b"x", window_bits, &mut Vec::new());
            compress(b"x", WINDOW_BITS_MAX, &mut Vec::new());
        }
        let kept: Vec<u8> = COMPRESSORS.with_borrow(|kept| kept.iter().map(|(bits, _)| *bits).collect());
        assert_eq!(kept, [15, 14]);
    }

    #[test]
    fn inflating_stops_as_soon_as_it_is_told_to() {
        let mut compressed = Vec::new();
        compress(&vec![0; 10 << 20], 15, &mut compressed);
        let mut seen = 0;
        let stopped = inflate(&compressed, |chunk| {
            seen += chunk.len();
            if seen > 1 << 20 { Err(Violation::InflatedTooLarge { max: 1 << 20 }) } else { Ok(()) }
        });
        assert_eq!(stopped, Err(Violation::InflatedTooLarge { max: 1 << 20 }));
        assert!(seen <= (1 << 20) + CHUNK_BYTES, "{seen} bytes were inflated");
    }
}
