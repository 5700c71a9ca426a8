//! How are texts written so that Go, HTML, JavaScript or a URL takes them for texts?

use std::fmt::Write;

/// A text in quotes, as Go writes it.
pub(super) fn quoted(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for chunk in text.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_escaped(&mut out, c, '"'));
        for byte in chunk.invalid() {
            // Writing into a string cannot fail, here and below.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

/// A character in quotes, as Go writes it.
pub(super) fn quoted_char(c: char) -> String {
    let mut out = String::from("'");
    push_escaped(&mut out, c, '\'');
    out.push('\'');
    out
}

/// Whether a text can stand in backquotes.
pub(super) fn fits_backquotes(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| {
        text.chars().all(|c| c == '\t' || !(c.is_control() || matches!(c, '`' | '\u{feff}')))
    })
}

fn push_escaped(out: &mut String, c: char, quote: char) {
    match c {
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        '\\' => out.push_str("\\\\"),
        c if c == quote => {
            out.push('\\');
            out.push(c);
        }
        c if is_printed(c) => out.push(c),
        c => {
            let _ = match u32::from(c) {
                code @ (0..0x20 | 0x7f) => write!(out, "\\x{code:02x}"),
                code @ 0..=0xffff => write!(out, "\\u{code:04x}"),
                code => write!(out, "\\U{code:08x}"),
            };
        }
    }
}

/// Whether Go prints a character as it is: no control, no space but the plain one, no formatting, no private use.
fn is_printed(c: char) -> bool {
    let is_space = c.is_whitespace() && c != ' ';
    let is_hidden = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..);
    !(c.is_control() || is_space || is_hidden)
}

/// For HTML.
pub(super) fn html(text: &[u8]) -> Vec<u8> {
    escaped(text, |byte| match byte {
        b'"' => Some("&#34;"),
        b'\'' => Some("&#39;"),
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        0 => Some("\u{fffd}"),
        _ => None,
    })
}

/// For a text in JavaScript.
pub(super) fn js(text: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    for c in String::from_utf8_lossy(text).chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' | '\0'..='\x1f' => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c if c.is_ascii() || is_printed(c) => out.push(c),
            c => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
        }
    }
    out.into_bytes()
}

/// For a query of a URL.
pub(super) fn query(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b' ' => out.push(b'+'),
            b'-' | b'_' | b'.' | b'~' => out.push(*byte),
            b if b.is_ascii_alphanumeric() => out.push(*b),
            b => out.extend_from_slice(format!("%{b:02X}").as_bytes()),
        }
    }
    out
}

/// What a query of a URL says.
pub(super) fn unquery(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = behind.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
                let value = digits.and_then(|digits| std::str::from_utf8(digits).ok());
                let Some(byte) = value.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
                    let shown = behind.get(..behind.len().min(2)).unwrap_or(&[]);
                    return Err(format!("invalid URL escape {}", quoted(&[b"%", shown].concat())));
                };
                out.push(byte);
                rest = behind.get(2..).unwrap_or(&[]);
            }
            byte => out.push(*byte),
        }
    }
    Ok(out)
}

fn escaped(text: &[u8], escape: impl Fn(u8) -> Option<&'static str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match escape(*byte) {
            Some(text) => out.extend_from_slice(text.as_bytes()),
            None => out.push(*byte),
        }
    }
    out
}
