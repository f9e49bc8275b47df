//! A data message being put together from fragments, partial frames or compressed bytes.
//! It never sees a header; its buffers grow with the bytes that arrive, never with those declared.

use crate::{Event, OpCode, Violation, deflate};

/// A message of which something, but not all, has arrived, or which had to be inflated.
#[derive(Debug)]
pub(crate) struct Message {
    /// Frames begun so far.
    pub(crate) fragments: u32,
    body: Body,
    /// What has arrived of a compressed message: it is inflated once it is whole, so that no connection
    /// holds an inflater's 40 KB while it waits.
    compressed: Option<Vec<u8>>,
}

impl Message {
    pub(crate) fn new(opcode: OpCode, compressed: bool) -> Self {
        let body = match opcode {
            OpCode::Text => Body::Text(Text::default()),
            _ => Body::Binary(Vec::new()),
        };
        Self { fragments: 1, body, compressed: compressed.then(Vec::new) }
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.compressed.is_some()
    }

    /// Payload bytes that have arrived.
    pub(crate) fn received(&self) -> usize {
        self.compressed.as_ref().map_or_else(|| self.body.len(), Vec::len)
    }

    /// Bytes of heap in use.
    pub(crate) fn bytes_held(&self) -> usize {
        self.body.capacity() + self.compressed.as_ref().map_or(0, Vec::capacity)
    }

    /// Takes unmasked payload bytes.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), Violation> {
        match &mut self.compressed {
            Some(compressed) => compressed.extend_from_slice(piece),
            None => self.body.push(piece)?,
        }
        Ok(())
    }

    /// Ends the message with its last bytes. A compressed one may inflate to `bytes_max`.
    pub(crate) fn finish(&mut self, piece: &[u8], bytes_max: u32) -> Result<(), Violation> {
        match self.compressed.take() {
            None => self.body.push(piece)?,
            Some(compressed) if compressed.is_empty() => self.inflate(piece, bytes_max)?,
            Some(mut compressed) => {
                compressed.extend_from_slice(piece);
                self.inflate(&compressed, bytes_max)?;
            }
        }
        self.body.finish()
    }

    fn inflate(&mut self, compressed: &[u8], bytes_max: u32) -> Result<(), Violation> {
        deflate::inflate(compressed, |chunk| {
            if self.body.len() + chunk.len() > bytes_max as usize {
                return Err(Violation::InflatedTooLarge { max: bytes_max });
            }
            self.body.push(chunk)
        })
    }

    /// The finished message.
    pub(crate) fn event(&self) -> Event<'_> {
        match &self.body {
            Body::Text(text) => Event::Text(&text.checked),
            Body::Binary(bytes) => Event::Binary(bytes),
        }
    }
}

#[derive(Debug)]
enum Body {
    Text(Text),
    Binary(Vec<u8>),
}

impl Body {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Text(text) => text.checked.capacity(),
            Self::Binary(bytes) => bytes.capacity(),
        }
    }

    fn push(&mut self, piece: &[u8]) -> Result<(), Violation> {
        match self {
            Self::Text(text) => text.push(piece),
            Self::Binary(bytes) => {
                bytes.extend_from_slice(piece);
                Ok(())
            }
        }
    }

    fn finish(&self) -> Result<(), Violation> {
        match self {
            Self::Text(text) if text.tail_len > 0 => Err(text.violation(0)),
            _ => Ok(()),
        }
    }
}

/// Text that arrives in pieces and is checked as it does, so that a bad byte is told at once.
#[derive(Debug, Default)]
struct Text {
    checked: String,
    /// The start of a character whose other bytes are still to come: its first `tail_len` bytes count.
    tail: [u8; 4],
    tail_len: usize,
}

impl Text {
    fn len(&self) -> usize {
        self.checked.len() + self.tail_len
    }

    fn push(&mut self, piece: &[u8]) -> Result<(), Violation> {
        let piece = self.complete_tail(piece)?;
        let (whole, unfinished) = piece.split_at(piece.len() - unfinished_len(piece));
        let text = simdutf8::basic::from_utf8(whole).map_err(|_| self.violation(valid_len(whole)))?;
        self.checked.push_str(text);
        if !unfinished.is_empty() {
            self.keep_tail(unfinished)?;
        }
        Ok(())
    }

    /// Moves bytes from `piece` behind the unfinished character, if there is one, and returns what is left.
    fn complete_tail<'a>(&mut self, mut piece: &'a [u8]) -> Result<&'a [u8], Violation> {
        while let Some((&byte, rest)) = piece.split_first()
            && self.tail_len > 0
        {
            let mut tail = self.tail;
            tail[self.tail_len] = byte;
            let bytes = self.tail_len + 1;
            match std::str::from_utf8(&tail[..bytes]) {
                Ok(character) => {
                    self.checked.push_str(character);
                    self.tail_len = 0;
                }
                Err(error) if error.error_len().is_none() => (self.tail, self.tail_len) = (tail, bytes),
                Err(_) => return Err(self.violation(0)),
            }
            piece = rest;
        }
        Ok(piece)
    }

    /// Keeps the start of a character, unless no continuation could make it one.
    fn keep_tail(&mut self, unfinished: &[u8]) -> Result<(), Violation> {
        let hopeless = std::str::from_utf8(unfinished).is_err_and(|error| error.error_len().is_some());
        if hopeless {
            return Err(self.violation(0));
        }
        self.tail[..unfinished.len()].copy_from_slice(unfinished);
        self.tail_len = unfinished.len();
        Ok(())
    }

    fn violation(&self, beyond: usize) -> Violation {
        Violation::InvalidUtf8 { offset: self.checked.len() + beyond }
    }
}

/// How many bytes at the end look like the start of a character that isn't all there: 0 to 3.
fn unfinished_len(bytes: &[u8]) -> usize {
    for (back, byte) in bytes.iter().rev().take(3).enumerate() {
        let needed = match byte {
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
            0x80..=0xBF => continue,
            _ => return 0,
        };
        return if back + 1 < needed { back + 1 } else { 0 };
    }
    0
}

/// How many bytes at the start of `bytes` are UTF-8: for the report of an error only.
pub(crate) fn valid_len(bytes: &[u8]) -> usize {
    std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len)
}
