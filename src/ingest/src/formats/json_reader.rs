//! What stands next in a JSON text? A pull reader over bytes: borrowed where nothing is escaped, never recursive.
//!
//! serde's visitors see each value once, in its order. A push may name its labels after its lines, numbers are wanted as
//! they were written, and one bad byte must not cost a push: hence a reader of our own.

use memchr::memchr2;
use std::borrow::Cow;

/// Deepest nesting that is read over.
const MAX_DEPTH: u32 = 128;

/// Where and why a text is not the JSON that was expected.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("invalid JSON at byte {at}: {what}")]
pub struct JsonError {
    /// Byte from 0.
    pub at: usize,
    /// What was wanted or wrong.
    pub what: &'static str,
}

/// A JSON string, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text<'a> {
    pub(super) text: Cow<'a, str>,
    /// Something that is not Unicode was replaced.
    pub(super) replaced: bool,
}

/// A position in a JSON text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn error(&self, what: &'static str) -> JsonError {
        JsonError { at: self.at, what }
    }

    /// The byte that the next value (or bracket) begins with; 0 at the end.
    pub(super) fn peek(&mut self) -> u8 {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn eat(&mut self, b: u8) -> bool {
        let found = self.peek() == b && self.at < self.bytes.len();
        self.at += usize::from(found);
        found
    }

    /// Takes `b`, or says what was wanted.
    pub(super) fn expect(&mut self, b: u8, what: &'static str) -> Result<(), JsonError> {
        if self.eat(b) { Ok(()) } else { Err(self.error(what)) }
    }

    /// Nothing but blanks may be left.
    pub(super) fn end(&mut self) -> Result<(), JsonError> {
        self.peek();
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.error("expected the end")) }
    }

    /// Moves to the next element of an array whose `[` has been read; false at its end.
    pub(super) fn next_element(&mut self, first: &mut bool) -> Result<bool, JsonError> {
        self.next_item(b']', first, "expected ',' or ']'")
    }

    /// The next key of an object whose `{` has been read, up to its value; `None` at its end.
    pub(super) fn next_key(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>, JsonError> {
        if !self.next_item(b'}', first, "expected ',' or '}'")? {
            return Ok(None);
        }
        let key = self.string("expected a key")?.text;
        self.expect(b':', "expected ':'")?;
        Ok(Some(key))
    }

    fn next_item(&mut self, close: u8, first: &mut bool, what: &'static str) -> Result<bool, JsonError> {
        if self.eat(close) {
            return Ok(false);
        }
        if !std::mem::take(first) {
            self.expect(b',', what)?;
        }
        Ok(true)
    }

    /// Takes `null` when it stands next.
    pub(super) fn null(&mut self) -> Result<bool, JsonError> {
        if self.peek() != b'n' {
            return Ok(false);
        }
        match self.scalar()? {
            "null" => Ok(true),
            _ => Err(self.error("expected null")),
        }
    }

    /// A number, `true`, `false` or `null` as it is written.
    pub(super) fn scalar(&mut self) -> Result<&'a str, JsonError> {
        self.peek();
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b)).count();
        let text = std::str::from_utf8(rest.get(..len).unwrap_or_default()).unwrap_or("");
        if !matches!(text, "true" | "false" | "null") && !is_number(text) {
            return Err(self.error("expected a value"));
        }
        self.at += len;
        Ok(text)
    }

    /// A string.
    pub(super) fn string(&mut self, what: &'static str) -> Result<Text<'a>, JsonError> {
        self.expect(b'"', what)?;
        let start = self.at;
        let end = self.string_end()?;
        let raw = self.bytes.get(start..end).unwrap_or_default();
        self.at = end + 1;
        if memchr::memchr(b'\\', raw).is_none() {
            return Ok(match String::from_utf8_lossy(raw) {
                Cow::Borrowed(text) => Text { text: Cow::Borrowed(text), replaced: false },
                replaced => Text { text: replaced, replaced: true },
            });
        }
        unescaped(raw).ok_or(JsonError { at: start, what: "invalid escape in a string" })
    }

    /// The place of the quote that ends the string begun before `at`.
    fn string_end(&self) -> Result<usize, JsonError> {
        let mut at = self.at;
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            match memchr2(b'"', b'\\', rest) {
                Some(found) if rest.get(found) == Some(&b'"') => return Ok(at + found),
                Some(found) => at += found + 2,
                None => return Err(JsonError { at: self.bytes.len(), what: "expected a closing quote" }),
            }
        }
    }

    /// Reads over a value of any kind and returns it as it is written.
    pub(super) fn skip(&mut self) -> Result<&'a [u8], JsonError> {
        self.peek();
        let start = self.at;
        // One bit per open bracket: set for an object.
        let mut open: u128 = 0;
        let mut depth = 0;
        loop {
            match self.peek() {
                bracket @ (b'{' | b'[') => {
                    if depth == MAX_DEPTH {
                        return Err(self.error("nested too deeply"));
                    }
                    self.at += 1;
                    depth += 1;
                    open = open << 1 | u128::from(bracket == b'{');
                    if !self.first_item(&mut open, &mut depth)? {
                        continue;
                    }
                }
                b'"' => self.skip_string()?,
                _ => {
                    self.scalar()?;
                }
            }
            if !self.after_value(&mut open, &mut depth)? {
                return Ok(self.bytes.get(start..self.at).unwrap_or_default());
            }
        }
    }

    /// Behind an opening bracket: whether it is closed at once. If not, stands before the first value in it.
    fn first_item(&mut self, open: &mut u128, depth: &mut u32) -> Result<bool, JsonError> {
        let object = *open & 1 == 1;
        if self.eat(if object { b'}' } else { b']' }) {
            *open >>= 1;
            *depth -= 1;
            return Ok(true);
        }
        if object {
            self.skip_key()?;
        }
        Ok(false)
    }

    /// Behind a value: closes what ends here. False when the outermost value has ended, else stands before a value.
    fn after_value(&mut self, open: &mut u128, depth: &mut u32) -> Result<bool, JsonError> {
        while *depth > 0 {
            let object = *open & 1 == 1;
            if self.eat(b',') {
                if object {
                    self.skip_key()?;
                }
                return Ok(true);
            }
            self.expect(if object { b'}' } else { b']' }, "expected ',' or a closing bracket")?;
            *open >>= 1;
            *depth -= 1;
        }
        Ok(false)
    }

    fn skip_key(&mut self) -> Result<(), JsonError> {
        self.skip_string()?;
        self.expect(b':', "expected ':'")
    }

    fn skip_string(&mut self) -> Result<(), JsonError> {
        self.expect(b'"', "expected a string")?;
        self.at = self.string_end()? + 1;
        Ok(())
    }
}

/// Whether `text` is a number by JSON's grammar.
fn is_number(text: &str) -> bool {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole.len() == 1 || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits)
}

/// `raw` with its escapes resolved. What is not Unicode (a lone surrogate, a stray byte) becomes U+FFFD.
fn unescaped(raw: &[u8]) -> Option<Text<'static>> {
    let mut out = String::with_capacity(raw.len());
    let mut replaced = false;
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        push_lossy(&mut out, rest.get(..at)?, &mut replaced);
        let escape = *rest.get(at + 1)?;
        rest = rest.get(at + 2..)?;
        out.push(match escape {
            b'"' | b'\\' | b'/' => char::from(escape),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => unicode_escape(&mut rest)?.unwrap_or_else(|| {
                replaced = true;
                char::REPLACEMENT_CHARACTER
            }),
            _ => return None,
        });
    }
    push_lossy(&mut out, rest, &mut replaced);
    Some(Text { text: Cow::Owned(out), replaced })
}

fn push_lossy(out: &mut String, bytes: &[u8], replaced: &mut bool) {
    let text = String::from_utf8_lossy(bytes);
    *replaced |= matches!(text, Cow::Owned(_));
    out.push_str(&text);
}

/// The character of `\uXXXX` (behind the `u`), of two such escapes when they form a pair; inner `None` for a surrogate
/// that stands alone.
fn unicode_escape(rest: &mut &[u8]) -> Option<Option<char>> {
    let first = hex4(rest)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some(char::from_u32(first));
    }
    let Some(mut second_rest) = rest.strip_prefix(b"\\u") else { return Some(None) };
    let second = hex4(&mut second_rest)?;
    if !(0xdc00..0xe000).contains(&second) {
        return Some(None);
    }
    *rest = second_rest;
    Some(char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)))
}

fn hex4(rest: &mut &[u8]) -> Option<u32> {
    let (digits, tail) = rest.split_at_checked(4)?;
    let mut n = 0;
    for digit in digits {
        n = n << 4 | char::from(*digit).to_digit(16)?;
    }
    *rest = tail;
    Some(n)
}

#[cfg(test)]
#[path = "json_reader_tests.rs"]
mod tests;
