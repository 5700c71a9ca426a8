//! What is a token, and where are the tokens of a text?
//!
//! A token is a maximal run of `[A-Za-z0-9_]` and bytes from 0x80 up. The classes are of bytes, not of characters:
//! no multi-byte character is ever split, no text is invalid, and index and needle are cut by the same rule.

/// A token that is not indexed whole is indexed by this many of its first bytes.
pub(super) const CUT_BYTES: usize = 128;
/// No longer token is indexed whole.
pub(super) const MAX_TERM_BYTES: usize = 8192;

/// Whether `byte` can be part of a token.
#[inline]
pub(super) fn is_token_byte(byte: u8) -> bool {
    // Branch-free, so that the compiler turns a loop over it into vector code.
    ((byte | 0x20).wrapping_sub(b'a') < 26) | (byte.wrapping_sub(b'0') < 10) | (byte == b'_') | (byte >= 0x80)
}

/// One bit per byte of `chunk`, the first byte lowest: is it a token byte?
#[inline]
fn token_mask(chunk: &[u8; 64]) -> u64 {
    // The bytes 0 and 1 of a word, gathered into its top byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let flags = chunk.map(|byte| u8::from(is_token_byte(byte)));
    let (words, _) = flags.as_chunks::<8>();
    words.iter().enumerate().fold(0, |mask, (i, word)| {
        let bits = u64::from_le_bytes(*word).wrapping_mul(GATHER) >> 56;
        mask | bits << (8 * i)
    })
}

/// Calls `found(start, end)` for every token of `text`, in order.
#[inline]
pub(super) fn for_each_token(text: &[u8], mut found: impl FnMut(usize, usize)) {
    let mut open = None;
    let (chunks, tail) = text.as_chunks::<64>();
    for (i, chunk) in chunks.iter().enumerate() {
        scan_chunk(i * 64, token_mask(chunk), &mut open, &mut found);
    }
    if !tail.is_empty() {
        let mut last = [0; 64];
        last[..tail.len()].copy_from_slice(tail);
        scan_chunk(chunks.len() * 64, token_mask(&last), &mut open, &mut found);
    }
    if let Some(start) = open {
        found(start, text.len());
    }
}

/// Reports the tokens that end inside one chunk; `open` is the start of a token that goes on behind it.
#[inline]
fn scan_chunk(base: usize, mask: u64, open: &mut Option<usize>, found: &mut impl FnMut(usize, usize)) {
    let mut edges = mask ^ (mask << 1 | u64::from(open.is_some()));
    let mut next_edge = || {
        let at = base + edges.trailing_zeros() as usize;
        let any = edges != 0;
        edges &= edges.wrapping_sub(1);
        any.then_some(at)
    };
    if let Some(start) = *open {
        let Some(end) = next_edge() else { return };
        *open = None;
        found(start, end);
    }
    while let Some(start) = next_edge() {
        let Some(end) = next_edge() else {
            *open = Some(start);
            return;
        };
        found(start, end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(text: &[u8]) -> Vec<&[u8]> {
        let mut out = Vec::new();
        for_each_token(text, |start, end| out.push(&text[start..end]));
        out
    }

    #[test]
    fn every_byte_is_in_its_class() {
        for byte in 0..=u8::MAX {
            let token = byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
            assert_eq!(is_token_byte(byte), token, "{byte:#x}");
        }
    }

    #[test]
    fn lines_are_cut_at_punctuation_only() {
        assert_eq!(tokens("a_1=größe, b\n\nc".as_bytes()), ["a_1", "größe", "b", "c"].map(str::as_bytes));
        assert!(tokens(b"").is_empty() && tokens(b" -\n").is_empty());
    }

    proptest! {
        #[test]
        fn the_masks_find_what_splitting_finds(text in prop::collection::vec(prop::sample::select(b"ab_ .\n\xff".as_slice()), 0..400)) {
            let split: Vec<&[u8]> = text.split(|&b| !is_token_byte(b)).filter(|t| !t.is_empty()).collect();
            prop_assert_eq!(tokens(&text), split);
        }

        #[test]
        fn long_tokens_cross_chunks(lead in 0usize..70, len in 1usize..300) {
            let text = [vec![b' '; lead], vec![b'x'; len], vec![b' ']].concat();
            prop_assert_eq!(tokens(&text), vec![&text[lead..lead + len]]);
        }
    }
}
