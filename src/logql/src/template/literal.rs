//! Which value does a constant of a template have? (Go's syntax of numbers, characters and quoted texts.)

use super::tree::Number;
use crate::pipeline::units::parse_float;

/// A number, with its sign.
pub(super) fn number(text: &str) -> Option<Number> {
    if let Some(value) = integer(text) {
        return Some(Number { int: Some(value), float: value as f64, is_float: false });
    }
    if !text.contains(['.', 'e', 'E', 'p', 'P']) {
        return None;
    }
    let float = parse_float(text).ok()?;
    let is_whole = float.fract() == 0.0 && float.abs() < 9.2e18;
    Some(Number { int: is_whole.then_some(float as i64), float, is_float: true })
}

/// An integer with its sign, in any of Go's bases.
pub(super) fn integer(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    let (digits, radix) = match lower.get(..2) {
        Some("0x") => (lower.get(2..)?, 16),
        Some("0o") => (lower.get(2..)?, 8),
        Some("0b") => (lower.get(2..)?, 2),
        Some(_) if lower.starts_with('0') => (lower.get(1..)?, 8),
        _ => (lower.as_str(), 10),
    };
    if digits.starts_with('_') && radix == 10 || digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let sign = if text.starts_with('-') { "-" } else { "" };
    i64::from_str_radix(&format!("{sign}{}", digits.replace('_', "")), radix).ok()
}

/// `'x'` with its quotes.
pub(super) fn character(text: &str) -> Option<i64> {
    let inside = text.strip_prefix('\'')?.strip_suffix('\'')?;
    let mut rest = inside.chars();
    let value = match rest.next()? {
        '\\' => match escape(&mut rest, '\'')? {
            Escaped::Char(c) => i64::from(u32::from(c)),
            Escaped::Byte(b) => i64::from(b),
        },
        c => i64::from(u32::from(c)),
    };
    rest.next().is_none().then_some(value)
}

/// `"text"` with its quotes. Bytes, since `\xff` need not be UTF-8.
pub(super) fn quoted(text: &str) -> Option<Vec<u8>> {
    let inside = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut out = Vec::with_capacity(inside.len());
    let mut buffer = [0; 4];
    let mut rest = inside.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match escape(&mut rest, '"')? {
                Escaped::Char(c) => out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()),
                Escaped::Byte(b) => out.push(b),
            },
            c => out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()),
        }
    }
    Some(out)
}

enum Escaped {
    Char(char),
    Byte(u8),
}

/// Behind a backslash.
fn escape(rest: &mut std::str::Chars<'_>, quote: char) -> Option<Escaped> {
    Some(Escaped::Char(match rest.next()? {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        '\\' => '\\',
        'x' => return u8::try_from(digits(rest, 2, 16)?).ok().map(Escaped::Byte),
        'u' => char::from_u32(digits(rest, 4, 16)?)?,
        'U' => char::from_u32(digits(rest, 8, 16)?)?,
        c @ '0'..='7' => {
            let value = c.to_digit(8)? * 64 + digits(rest, 2, 8)?;
            return u8::try_from(value).ok().map(Escaped::Byte);
        }
        c if c == quote => c,
        _ => return None,
    }))
}

fn digits(rest: &mut std::str::Chars<'_>, count: usize, radix: u32) -> Option<u32> {
    let mut value = 0u32;
    for _ in 0..count {
        value = value.checked_mul(radix)?.checked_add(rest.next()?.to_digit(radix)?)?;
    }
    Some(value)
}

/// A text in backquotes: everything counts but carriage returns.
pub(super) fn raw(text: &str) -> Vec<u8> {
    let inside = text.strip_prefix('`').and_then(|text| text.strip_suffix('`')).unwrap_or("");
    inside.bytes().filter(|b| *b != b'\r').collect()
}
