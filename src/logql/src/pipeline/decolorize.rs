//! What is a line without its terminal colors? (`| decolorize`)
//!
//! Escape sequences as Loki finds them, which are nearly those of ECMA-48 (section 5.4 and 8.3.89): `ESC [ ... letter`,
//! `ESC ] ... BEL`, `ESC ( B`.

use super::row::Row;
use memchr::memchr2;

const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;

/// Removes escape sequences from the line.
pub(super) fn decolorize(row: &mut Row<'_>) {
    let line = row.line();
    if memchr2(ESCAPE, 0xc2, line).is_none() {
        return;
    }
    let mut out = Vec::with_capacity(line.len());
    strip(line, &mut out);
    if out.len() != line.len() {
        row.change_line(out);
    }
}

fn strip(mut line: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr2(ESCAPE, 0xc2, line) {
        let (before, from) = line.split_at_checked(at).unwrap_or((line, &[]));
        out.extend_from_slice(before);
        let length = sequence(from).unwrap_or(0);
        if length == 0 {
            out.extend(from.first());
        }
        line = from.get(length.max(1)..).unwrap_or_default();
    }
    out.extend_from_slice(line);
}

/// Bytes of the sequence with which `text` begins, as Loki finds it: ESC or U+009B, brackets and `#;?`, and then either
/// letters, digits and `;` up to BEL, or parameters and one letter of a set that has the digits too. So a sequence that is
/// cut off in its parameters goes, its last digit taken for the letter.
fn sequence(text: &[u8]) -> Option<usize> {
    let start = match text {
        [ESCAPE, ..] => 1,
        [0xc2, 0x9b, ..] => 2,
        _ => return None,
    };
    let run = |from: usize, most: usize, inside: fn(u8) -> bool| {
        from + text.iter().skip(from).take(most).take_while(|b| inside(**b)).count()
    };
    let opened = run(start, usize::MAX, |b| b"[]()#;?".contains(&b));
    let titled = run(opened, usize::MAX, |b| b.is_ascii_alphanumeric() || b == b';');
    if text.get(titled) == Some(&BELL) {
        return Some(titled + 1);
    }
    let mut end = run(opened, 4, |b| b.is_ascii_digit());
    if end > opened {
        while text.get(end) == Some(&b';') {
            end = run(end + 1, 4, |b| b.is_ascii_digit());
        }
    }
    // The longest parameters behind which a letter stands.
    let last = (opened..=end).rev().find(|at| text.get(*at).is_some_and(|b| is_final(*b)))?;
    Some(last + 1)
}

/// Whether a sequence may end with this letter.
fn is_final(b: u8) -> bool {
    matches!(
        b,
        b'0'..=b'9' | b'A'..=b'P' | b'R' | b'Z' | b'c' | b'f'..=b'n' | b't' | b'q' | b'r' | b'y' | b'=' | b'>' | b'<' | b'~'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_go_and_text_stays() {
        for (line, wanted) in [
            ("plain", "plain"),
            ("\x1b[31mred\x1b[0m", "red"),
            ("\x1b[1;38;5;200mx\x1b[K", "x"),
            ("\x1b]0;title\x07x\x1b]8;;u\x1b\\y", "x;;u\x1b\\y"),
            ("\x1b]0;a title\x07x", ";a title\x07x"),
            ("\x1b(Bx\x1bMy", "xy"),
            ("a\x1b[31;1", "a"),
            ("a\x1b[31;", "a;"),
            ("a\x1b[", "a\x1b["),
            ("\x1b[12345m", "m"),
            ("\x1b[1;Qx", ";Qx"),
            ("\u{9b}31mred", "red"),
            ("caf\u{e9} \u{a9}", "caf\u{e9} \u{a9}"),
            ("\x1b", "\x1b"),
            ("\x1b[31", ""),
            ("\x1b\u{e9}", "\x1b\u{e9}"),
        ] {
            let mut out = Vec::new();
            strip(line.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), wanted, "{line:?}");
        }
    }
}
