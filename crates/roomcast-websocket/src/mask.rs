//! The XOR mask of client frames (RFC 6455 §5.3), a word at a time.

/// Masks or unmasks `payload`, whose first byte meets the first byte of `key`.
///
/// A payload that arrives in pieces is unmasked piece by piece with [`rotated`] keys.
#[inline]
pub(crate) fn apply(payload: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = [a, b, c, d, a, b, c, d];
    let word_key = u64::from_ne_bytes(wide);
    // The compiler turns this loop into vector instructions; a hand-written one is no faster.
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ word_key).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(wide) {
        *byte ^= key;
    }
}

/// The key as it stands `offset` bytes into the payload.
#[inline]
pub(crate) fn rotated(mut key: [u8; 4], offset: u64) -> [u8; 4] {
    key.rotate_left((offset % 4) as usize);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_cut_equals_the_definition_in_the_rfc() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let plain: Vec<u8> = (0..67).collect();
        let expected: Vec<u8> = plain.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
        for cut in 0..=plain.len() {
            let mut bytes = plain.clone();
            let (first, second) = bytes.split_at_mut(cut);
            apply(first, key);
            apply(second, rotated(key, cut as u64));
            assert_eq!(bytes, expected, "cut at {cut}");
        }
    }
}
