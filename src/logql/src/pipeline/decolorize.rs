//! What is a line without its terminal colors? (`| decolorize`)
//!
//! Escape sequences as ECMA-48 (section 5.4 and 8.3.89) has them: `ESC [ ... letter`, `ESC ] ... BEL`, `ESC ( B`.

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

/// Bytes of the sequence with which `text` begins.
fn sequence(text: &[u8]) -> Option<usize> {
    match text {
        [ESCAPE, b'[', rest @ ..] => Some(2 + control(rest)?),
        // U+009B is both in one.
        [0xc2, 0x9b, rest @ ..] => Some(2 + control(rest)?),
        [ESCAPE, b']', rest @ ..] => {
            let end = memchr2(BELL, ESCAPE, rest)?;
            match rest.get(end..)? {
                [BELL, ..] => Some(2 + end + 1),
                [ESCAPE, b'\\', ..] => Some(2 + end + 2),
                _ => None,
            }
        }
        [ESCAPE, rest @ ..] => {
            let between = rest.iter().take_while(|b| matches!(b, 0x20..=0x2f)).count();
            matches!(rest.get(between), Some(0x30..=0x7e)).then_some(1 + between + 1)
        }
        _ => None,
    }
}

fn control(rest: &[u8]) -> Option<usize> {
    let parameters = rest.iter().take_while(|b| matches!(b, 0x30..=0x3f)).count();
    let between = rest.iter().skip(parameters).take_while(|b| matches!(b, 0x20..=0x2f)).count();
    let end = parameters + between;
    matches!(rest.get(end), Some(0x40..=0x7e)).then_some(end + 1)
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
            ("\x1b]0;title\x07x\x1b]8;;u\x1b\\y", "xy"),
            ("\x1b(Bx\x1bMy", "xy"),
            ("\u{9b}31mred", "red"),
            ("caf\u{e9} \u{a9}", "caf\u{e9} \u{a9}"),
            ("\x1b", "\x1b"),
            ("\x1b[31", "\x1b[31"),
            ("\x1b\u{e9}", "\x1b\u{e9}"),
        ] {
            let mut out = Vec::new();
            strip(line.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), wanted, "{line:?}");
        }
    }
}
