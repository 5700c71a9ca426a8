//! Which level field does a JSON line hold?
//!
//! A shallow walk: keys of the outer object and of the objects directly in it, nothing is decoded or allocated. Most
//! lines without such a field are recognised before the walk, by the absence of anything like the key's first bytes.

use super::fields::field_rank;
use memchr::memchr2;

/// Objects inside one another that are looked into.
const MAX_DEPTH: usize = 2;
const LANES: usize = 32;

/// The text of the first string field with a level's name, in document order. `line` begins with `{`.
pub(super) fn level_field(line: &[u8]) -> Option<&[u8]> {
    if may_hold_key(line) { Walk { line, at: 1 }.object() } else { None }
}

/// Whether a level field's key may stand in `line`: a quote that is not escaped and what can follow it.
fn may_hold_key(line: &[u8]) -> bool {
    let mut at = 0;
    while let Some(block) = line.get(at..).and_then(|rest| rest.first_chunk::<{ LANES + 4 }>()) {
        if block_may_hold_key(block) && (at..at + LANES).any(|i| key_may_begin(line, i)) {
            return true;
        }
        at += LANES;
    }
    (at..line.len()).any(|i| key_may_begin(line, i))
}

/// The vector form of [`key_may_begin`], for many places at once.
#[inline]
fn block_may_hold_key(block: &[u8; LANES + 4]) -> bool {
    let mut hit = [0u8; LANES];
    for i in 0..LANES {
        let is = |at: usize, letter: u8| u8::from(block[i + at] | 0x20 == letter);
        let quote = u8::from(block[i] == b'"');
        let level = is(1, b'l') & is(2, b'e') & is(3, b'v');
        let log_level = is(1, b'l') & is(2, b'o') & u8::from(block[i + 4] == b'.');
        let lvl = is(1, b'l') & is(2, b'v') & u8::from(block[i + 4] == b'"');
        let severity = is(1, b's') & is(2, b'e') & is(3, b'v');
        hit[i] = quote & (level | log_level | lvl | severity);
    }
    hit.iter().fold(0, |all, one| all | one) != 0
}

fn key_may_begin(line: &[u8], i: usize) -> bool {
    let Some(rest) = line.get(i..).and_then(|rest| rest.strip_prefix(b"\"")) else { return false };
    if i > 0 && line.get(i - 1) == Some(&b'\\') {
        return false;
    }
    let end = memchr::memchr(b'"', rest.get(..14).unwrap_or(rest));
    end.and_then(|end| rest.get(..end)).is_some_and(|key| field_rank(key).is_some())
}

struct Walk<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    /// Walks the pairs of the outer object, whose `{` has been read. Ends at the first byte that is not JSON.
    fn object(mut self) -> Option<&'a [u8]> {
        let mut depth = 1;
        loop {
            match self.next()? {
                b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        return None;
                    }
                }
                b',' => {}
                b'"' => {
                    let key = self.string()?;
                    if self.next()? != b':' {
                        return None;
                    }
                    match self.next()? {
                        b'"' => {
                            let value = self.string()?;
                            if field_rank(key).is_some() {
                                return Some(value);
                            }
                        }
                        b'{' if depth < MAX_DEPTH => depth += 1,
                        b'{' | b'[' => self.skip_nested()?,
                        _ => self.skip_scalar(),
                    }
                }
                _ => return None,
            }
        }
    }

    /// The next byte that is not blank.
    fn next(&mut self) -> Option<u8> {
        loop {
            let b = *self.line.get(self.at)?;
            self.at += 1;
            if !matches!(b, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(b);
            }
        }
    }

    /// The raw text up to the closing quote; the opening one has been read.
    fn string(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        loop {
            let found = self.at + memchr2(b'"', b'\\', self.line.get(self.at..)?)?;
            if self.line.get(found) == Some(&b'"') {
                self.at = found + 1;
                return self.line.get(start..found);
            }
            self.at = found + 2;
        }
    }

    /// Skips to behind the bracket that closes the one just read.
    fn skip_nested(&mut self) -> Option<()> {
        let mut open = 1usize;
        while open > 0 {
            let b = *self.line.get(self.at)?;
            self.at += 1;
            match b {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => open += 1,
                b'}' | b']' => open -= 1,
                _ => {}
            }
        }
        Some(())
    }

    fn skip_scalar(&mut self) {
        let rest = self.line.get(self.at..).unwrap_or_default();
        self.at += rest.iter().take_while(|b| !matches!(b, b',' | b'}' | b']' | b'"' | b'{' | b'[')).count();
    }
}
