//! Messages on a bare stream of bytes, each after its length: how WebTransport carries them. Knows nothing of what
//! a message says.
//!
//! A length is a variable-length integer of QUIC (RFC 9000, section 16), 1, 2, 4 or 8 bytes of which the first two bits
//! say how many.

/// The longest length there is.
const LENGTH_MAX: usize = 8;

/// What goes before a message of so many bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    bytes: [u8; LENGTH_MAX],
    count: usize,
}

impl Length {
    pub(crate) fn of(message_bytes: usize) -> Self {
        let value = message_bytes as u64;
        let (count, tag) = match value {
            0..=0x3f => (1, 0),
            0x40..=0x3fff => (2, 0x40),
            0x4000..=0x3fff_ffff => (4, 0x80),
            _ => (8, 0xc0),
        };
        let mut bytes = [0; LENGTH_MAX];
        bytes[..count].copy_from_slice(&value.to_be_bytes()[LENGTH_MAX - count..]);
        bytes[0] |= tag;
        Self { bytes, count }
    }

    /// The length that `bytes` begin with, and how many bytes say it; `None` if some of them are still to come.
    fn read(bytes: &[u8]) -> Option<(u64, usize)> {
        let count = 1 << (bytes.first()? >> 6);
        let mut value = [0; LENGTH_MAX];
        value[LENGTH_MAX - count..].copy_from_slice(bytes.get(..count)?);
        value[LENGTH_MAX - count] &= 0x3f;
        Some((u64::from_be_bytes(value), count))
    }
}

impl std::ops::Deref for Length {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.count]
    }
}

/// Appends a message after its length.
pub fn push(message: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&Length::of(message.len()));
    out.extend_from_slice(message);
}

/// Why a stream can't be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedError {
    /// A message is announced that is longer than allowed, in bytes.
    TooLarge(u64),
    /// A message isn't UTF-8.
    NotUtf8,
}

/// Takes a stream apart. Owns no buffer between whole messages.
#[derive(Debug)]
pub struct CountedReader {
    message_bytes_max: usize,
    bytes: Vec<u8>,
    /// Where in them the next message begins.
    at: usize,
}

impl CountedReader {
    /// A reader that takes messages up to a size.
    pub fn new(message_bytes_max: usize) -> Self {
        Self { message_bytes_max, bytes: Vec::new(), at: 0 }
    }

    /// Takes the next bytes of the stream. Call [`Self::next`] for what they bring before handing in more.
    pub fn take(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.at));
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, by way of `read`; `None` if there is none yet.
    pub fn next<T>(&mut self, read: impl FnOnce(&str) -> T) -> Result<Option<T>, CountedError> {
        let Some((announced, count)) = Length::read(&self.bytes[self.at..]) else { return Ok(None) };
        let length = usize::try_from(announced).unwrap_or(usize::MAX);
        if length > self.message_bytes_max {
            return Err(CountedError::TooLarge(announced));
        }
        let start = self.at + count;
        let Some(message) = self.bytes.get(start..start + length) else { return Ok(None) };
        let text = simdutf8::basic::from_utf8(message).map_err(|_| CountedError::NotUtf8)?;
        let outcome = read(text);
        self.at = start + length;
        if self.at == self.bytes.len() {
            (self.bytes, self.at) = (Vec::new(), 0);
        }
        Ok(Some(outcome))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_are_those_of_rfc_9000() {
        // Appendix A.1 of RFC 9000.
        let check = |bytes: &[u8], value: u64| {
            assert_eq!(Length::read(bytes), Some((value, bytes.len())));
            assert_eq!(Length::read(&bytes[..bytes.len() - 1]), None);
        };
        check(&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652);
        check(&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333);
        check(&[0x7b, 0xbd], 15_293);
        check(&[0x25], 37);
        assert_eq!(&*Length::of(37), [0x25]);
        assert_eq!(&*Length::of(15_293), [0x7b, 0xbd]);
        assert_eq!(&*Length::of(494_878_333), [0x9d, 0x7f, 0x3e, 0x7d]);
    }

    #[test]
    fn a_length_longer_than_needed_is_taken() {
        let mut reader = CountedReader::new(64);
        reader.take(&[0x40, 2, b'{', b'}']);
        assert_eq!(reader.next(str::to_owned), Ok(Some("{}".into())));
    }

    #[test]
    fn what_can_not_be_read() {
        let read = |bytes: &[u8]| {
            let mut reader = CountedReader::new(64);
            reader.take(bytes);
            reader.next(str::to_owned)
        };
        assert_eq!(read(&[0x40, 65]), Err(CountedError::TooLarge(65)), "before a byte of it came");
        assert_eq!(read(&[0xff; 8]), Err(CountedError::TooLarge((1 << 62) - 1)));
        assert_eq!(read(&[2, 0xff, 0xff]), Err(CountedError::NotUtf8));
        assert_eq!(read(&[0]), Ok(Some(String::new())));
        assert_eq!(read(&[]), Ok(None));
    }

    proptest! {
        #[test]
        fn however_a_stream_is_cut_the_messages_are_the_same(
            messages in prop::collection::vec("[a-zä]{0,100}", 0..8),
            cuts in prop::collection::vec(1..40_usize, 1..64),
        ) {
            let mut stream = Vec::new();
            for message in &messages {
                push(message.as_bytes(), &mut stream);
            }
            let (mut reader, mut read, mut rest) = (CountedReader::new(1_000), Vec::new(), &*stream);
            for cut in cuts.iter().cycle() {
                let (bytes, later) = rest.split_at((*cut).min(rest.len()));
                rest = later;
                reader.take(bytes);
                while let Some(message) = reader.next(str::to_owned).unwrap() {
                    read.push(message);
                }
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(read, messages);
            prop_assert!(reader.bytes.is_empty());
        }
    }
}
