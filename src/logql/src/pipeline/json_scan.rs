//! Where do the parts of a JSON text lie? A scanner that copies nothing and knows only what it has passed.
//!
//! As lenient as Loki's: what stands in arrays is not checked, numbers are whatever begins like one, a comma may stand
//! before a closing brace.

use memchr::{memchr2, memchr3};

/// Objects inside objects that are entered; deeper ones are a fault. Bounds the recursion over foreign text.
pub(super) const MAX_DEPTH: usize = 128;
/// Bytes of a string looked at one by one before searching in wide steps: most keys are shorter.
const SHORT: usize = 16;

/// Why a text is no JSON. Which fault is told is Loki's choice, also where another would fit better: the end of the text
/// behind a value counts as that of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// No object, one that does not close, or something else than a key or a comma where one belongs.
    Object,
    /// An array that does not close, or the end of the text where a comma or a key belongs.
    Array,
    /// A value that is a string and does not close.
    String,
    /// A key that does not close, or something else than a colon or a value where one belongs.
    Syntax,
    /// A key with an escape that JSON does not have.
    Escape,
    /// A value that begins like none.
    Value,
    /// Too many objects inside objects.
    Depth,
    /// No fault: the caller has what it wants.
    Enough,
}

impl Fault {
    /// What users are told (as Loki's users know it, where they do).
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Object | Self::Enough => "Value looks like object, but can't find closing '}' symbol",
            Self::Array => "Value is array, but can't find closing ']' symbol",
            Self::String => "Value is string, but can't find closing '\"' symbol",
            Self::Syntax => "Malformed JSON error",
            Self::Escape => "Encountered an invalid escape sequence in a string",
            Self::Value => "Unknown value type",
            Self::Depth => "Objects are nested too deeply",
        }
    }
}

/// The inside of a string, or the text of another value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether it holds a backslash.
    pub(super) escaped: bool,
}

/// A value that has been passed, or an object that has just been entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    String(Span),
    Number(Span),
    Bool(Span),
    Null,
    Array(Span),
    Object,
}

/// A place in a JSON text.
#[derive(Debug, Clone)]
pub(super) struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Scanner<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text: text.as_bytes(), at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Goes back to a place where a value begins.
    pub(super) fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    fn rest(&self) -> &'t [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next byte that is no blank.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at)? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }

    fn eat(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// Enters the object that the text must be.
    pub(super) fn expect_object(&mut self) -> Result<(), Fault> {
        if self.eat(b'{') { Ok(()) } else { Err(Fault::Object) }
    }

    /// Passes a key and its colon; `None`: passes the brace that closes the object. `first`: whether the brace that opens it
    /// stands in front, and no comma.
    pub(super) fn key(&mut self, first: bool) -> Result<Option<Span>, Fault> {
        match self.peek() {
            Some(b'"') => self.at += 1,
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(_) => return Err(Fault::Object),
            None if first => return Err(Fault::Syntax),
            None => return Err(Fault::Array),
        }
        let key = self.string().map_err(|_| Fault::Syntax)?;
        if self.eat(b':') { Ok(Some(key)) } else { Err(Fault::Syntax) }
    }

    /// Passes the comma behind a member, or the brace that closes the object (false).
    pub(super) fn next_member(&mut self) -> Result<bool, Fault> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(b'}') => {
                self.at += 1;
                Ok(false)
            }
            Some(_) => Err(Fault::Object),
            None => Err(Fault::Array),
        }
    }

    /// Passes a value; an object is only entered.
    pub(super) fn value(&mut self) -> Result<Value, Fault> {
        match self.peek().ok_or(Fault::Syntax)? {
            b'"' => {
                self.at += 1;
                self.string().map(Value::String)
            }
            b'{' => {
                self.at += 1;
                Ok(Value::Object)
            }
            b'[' => {
                let start = self.at;
                self.at = closing(self.text, start, b'[', b']').ok_or(Fault::Array)?;
                Ok(Value::Array(Span { start, end: self.at, escaped: false }))
            }
            first => self.token(first),
        }
    }

    fn token(&mut self, first: u8) -> Result<Value, Fault> {
        let start = self.at;
        let rest = self.rest();
        let ends = |b: &u8| matches!(b, b' ' | b'\n' | b'\r' | b'\t' | b',' | b'}' | b']');
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        let token = rest.get(..length).unwrap_or_default();
        let span = Span { start, end: start + length, escaped: false };
        let value = match first {
            b'0'..=b'9' | b'-' => Value::Number(span),
            b't' if token == b"true" => Value::Bool(span),
            b'f' if token == b"false" => Value::Bool(span),
            b'n' if token == b"null" => Value::Null,
            _ => return Err(Fault::Value),
        };
        self.at = span.end;
        Ok(value)
    }

    /// Passes a value wholly and says where it lies.
    pub(super) fn skip(&mut self) -> Result<(Value, Span), Fault> {
        self.peek();
        let start = self.at;
        let value = self.value()?;
        if value == Value::Object {
            self.at = self.end_of_object(start).ok_or(Fault::Object)?;
        }
        Ok((value, Span { start, end: self.at, escaped: false }))
    }

    /// Passes a string from behind its opening quote.
    fn string(&mut self) -> Result<Span, Fault> {
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = self.rest();
            let stops = |b: &u8| matches!(b, b'"' | b'\\');
            let near = rest.iter().take(SHORT).position(stops);
            let far = || Some(SHORT + memchr2(b'"', b'\\', rest.get(SHORT..)?)?);
            let stop = near.or_else(far).ok_or(Fault::String)?;
            if rest.get(stop) == Some(&b'"') {
                self.at += stop + 1;
                return Ok(Span { start, end: self.at - 1, escaped });
            }
            escaped = true;
            // Whatever follows a backslash is no end of the string.
            self.at = (self.at + stop + 2).min(self.text.len());
        }
    }

    /// Where the object that begins at or behind `start` ends, judged by braces alone.
    pub(super) fn end_of_object(&self, start: usize) -> Option<usize> {
        closing(self.text, start, b'{', b'}')
    }
}

/// Behind the bracket that closes the first one from `start` on; brackets in strings do not count.
fn closing(text: &[u8], start: usize, open: u8, close: u8) -> Option<usize> {
    let (mut at, mut depth) = (start, 0usize);
    loop {
        at += memchr3(open, close, b'"', text.get(at..)?)?;
        let byte = *text.get(at)?;
        at += 1;
        if byte == b'"' {
            let mut string = Scanner { text, at };
            string.string().ok()?;
            at = string.at;
        } else if byte == open {
            depth += 1;
        } else {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return Some(at);
            }
        }
    }
}

/// Appends the inside of a JSON string without its escapes. `None` at a false escape.
///
/// Half a surrogate pair becomes U+FFFD, as in Go.
pub(super) fn unescape(raw: &str, out: &mut String) -> Option<()> {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(rest.get(..at)?);
        let letter = rest.as_bytes().get(at + 1)?;
        rest = rest.get(at + 2..)?;
        out.push(match letter {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'\'' => '\'',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = code_unit(rest)?;
                rest = rest.get(4..)?;
                match char::from_u32(first) {
                    Some(c) => c,
                    None => match pair(first, rest) {
                        Some(c) => {
                            rest = rest.get(6..)?;
                            c
                        }
                        None => char::REPLACEMENT_CHARACTER,
                    },
                }
            }
            _ => return None,
        });
    }
    out.push_str(rest);
    Some(())
}

/// Four hexadecimal digits.
fn code_unit(text: &str) -> Option<u32> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}

fn pair(high: u32, behind: &str) -> Option<char> {
    let low = code_unit(behind.strip_prefix("\\u")?)?;
    if !(0xd800..0xdc00).contains(&high) || !(0xdc00..0xe000).contains(&low) {
        return None;
    }
    char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_resolved() {
        for (raw, wanted) in [
            ("plain", Some("plain")),
            (r#"a\"b\\c\/d\n"#, Some("a\"b\\c/d\n")),
            (r"\u00e9\ud83d\ude80!", Some("\u{e9}\u{1f680}!")),
            (r"\ud83dx\ude80", Some("\u{fffd}x\u{fffd}")),
            (r"\ud83d\u0041", Some("\u{fffd}A")),
            (r"\x41", None),
            (r"\u00", None),
            (r"\u+0e9", None),
            ("\\", None),
            ("\\\u{e9}", None),
        ] {
            let mut out = String::new();
            let done = unescape(raw, &mut out);
            assert_eq!(done.map(|()| out.as_str()), wanted, "{raw}");
        }
    }

    #[test]
    fn ends_are_found_past_strings() {
        for (text, wanted) in [
            (r#"{"a":"}"} x"#, Some(9)),
            (r#"{"a":{"b":1}}"#, Some(13)),
            (r#"{"a":"\"}"}"#, Some(11)),
            (r#"{"a":"}"#, None),
            ("{", None),
        ] {
            assert_eq!(Scanner::new(text).end_of_object(0), wanted, "{text}");
        }
    }
}
