//! Which level word stands first in free text?
//!
//! Nearly every line is read to its end here, so the search for a word's first three letters works on blocks of
//! bytes in a form that the compiler turns into vector code; only hits are looked at closely.

use super::severity::Level;

/// Places where a word may begin that are looked at together.
const LANES: usize = 32;
/// The bytes that takes: a word's first three letters from each place.
const BLOCK: usize = LANES + 2;

/// The level of the first level word with boundaries on both sides.
pub(super) fn first_level(line: &[u8]) -> Level {
    let Some(last) = line.len().checked_sub(BLOCK) else { return first_level_of_short(line) };
    let mut at = 0;
    loop {
        // The last block overlaps the one before it. Words have three letters or more, so none begins behind it.
        let block = line.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>());
        if block.is_some_and(may_start_word)
            && let Some(level) = (at..at + LANES).find_map(|i| word_at(line, i))
        {
            return level;
        }
        if at == last {
            return Level::Unknown;
        }
        at = (at + LANES).min(last);
    }
}

/// As [`first_level`] for a line shorter than a block: padded with zeros, which are letters of no word.
fn first_level_of_short(line: &[u8]) -> Level {
    let mut block = [0u8; BLOCK];
    if let Some(start) = block.get_mut(..line.len()) {
        start.copy_from_slice(line);
    }
    if !may_start_word(&block) {
        return Level::Unknown;
    }
    (0..line.len()).find_map(|i| word_at(line, i)).unwrap_or(Level::Unknown)
}

/// Whether the first three letters of a level word stand anywhere in `block`.
#[inline]
fn may_start_word(block: &[u8; BLOCK]) -> bool {
    let mut hit = [0u8; LANES];
    for i in 0..LANES {
        let (a, b, c) = (block[i] | 0x20, block[i + 1] | 0x20, block[i + 2] | 0x20);
        let three = |x: u8, y: u8, z: u8| u8::from(a == x) & u8::from(b == y) & u8::from(c == z);
        hit[i] = three(b't', b'r', b'a')
            | three(b'd', b'e', b'b')
            | three(b'f', b'a', b't')
            | three(b'c', b'r', b'i')
            | three(b'e', b'r', b'r')
            | three(b'w', b'a', b'r')
            | three(b'i', b'n', b'f');
    }
    hit.iter().fold(0, |all, one| all | one) != 0
}

/// The level of the word that begins at `i`, if one does.
#[inline]
fn word_at(line: &[u8], i: usize) -> Option<Level> {
    let rest = line.get(i..)?;
    let [a, b, c] = *rest.first_chunk::<3>()?;
    match [a | 0x20, b | 0x20, c | 0x20] {
        [b't', b'r', b'a'] => bounded(line, i, b"trace", Level::Trace),
        [b'd', b'e', b'b'] => bounded(line, i, b"debug", Level::Debug),
        [b'f', b'a', b't'] => bounded(line, i, b"fatal", Level::Fatal),
        [b'c', b'r', b'i'] => bounded(line, i, b"critical", Level::Critical),
        [b'e', b'r', b'r'] => {
            bounded(line, i, b"error", Level::Error).or_else(|| bounded(line, i, b"err", Level::Error))
        }
        [b'w', b'a', b'r'] => {
            bounded(line, i, b"warning", Level::Warn).or_else(|| bounded(line, i, b"warn", Level::Warn))
        }
        [b'i', b'n', b'f'] => bounded(line, i, b"info", Level::Info),
        _ => None,
    }
}

/// `level` when `word` stands at `i` with boundaries on both sides.
fn bounded(line: &[u8], i: usize, word: &[u8], level: Level) -> Option<Level> {
    let found = line.get(i..i + word.len())?.eq_ignore_ascii_case(word)
        && (i == 0 || line.get(i - 1).is_some_and(|b| begins_word_after(*b)))
        && line.get(i + word.len()).is_none_or(|b| ends_word_before(*b));
    found.then_some(level)
}

fn begins_word_after(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'[' | b'(' | b'{' | b'"' | b'\'' | b'=' | b'|')
}

fn ends_word_before(b: u8) -> bool {
    begins_word_after(b) || matches!(b, b']' | b')' | b'}' | b':' | b',' | b'!')
}
