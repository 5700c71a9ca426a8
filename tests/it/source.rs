//! Which part of a Rust source text is code? Comments and literals must not trip a check that looks for code.

/// The text with comments and the contents of literals blanked; every line stays where it is.
pub fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match piece(&bytes[at..], at > 0 && is_word(bytes[at - 1])) {
            Piece::Code(length) => {
                at += length;
                continue;
            }
            Piece::Blank(length) => (at + length).min(bytes.len()),
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    // Blanks replace whole literals and comments, so what is left is whole characters.
    String::from_utf8_lossy(&out).into_owned()
}

/// The code before a file's `#[cfg(test)] mod ..`; nothing of a file that is all tests.
pub fn without_tests(path: &str, code: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    if file.ends_with("tests.rs") || path.contains("/tests/") {
        return String::new();
    }
    let mut kept = String::new();
    let mut lines = code.lines().peekable();
    while let Some(line) = lines.next() {
        let test_module = line.trim() == "#[cfg(test)]"
            && lines.peek().is_some_and(|next| next.trim_start().starts_with("mod ") && next.contains('{'));
        if test_module {
            break;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

enum Piece {
    Code(usize),
    Blank(usize),
}

fn piece(rest: &[u8], inside_word: bool) -> Piece {
    match rest {
        [b'/', b'/', ..] => Piece::Blank(rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())),
        [b'/', b'*', ..] => Piece::Blank(block_comment(rest)),
        [b'"', ..] => Piece::Blank(quoted(rest)),
        [b'r', b'"' | b'#', ..] if !inside_word => raw_string(rest).map_or(Piece::Code(1), Piece::Blank),
        [b'b', b'r', ..] if !inside_word => {
            raw_string(&rest[1..]).map_or(Piece::Code(1), |length| Piece::Blank(length + 1))
        }
        // A character, unlike a lifetime, closes.
        [b'\'', b'\\', ..] => Piece::Blank(character(rest)),
        [b'\'', b, ..] if b.is_ascii() && rest.get(2) == Some(&b'\'') => Piece::Blank(3),
        _ => Piece::Code(1),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|b| **b == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let body = &rest[2 + hashes..];
    let length = body.windows(close.len()).position(|window| window == close).unwrap_or(body.len());
    Some(2 + hashes + length + close.len())
}

fn character(rest: &[u8]) -> usize {
    // The escaped character itself may be a quote.
    rest.iter().skip(3).position(|b| *b == b'\'').map_or(rest.len(), |at| at + 4)
}

#[test]
fn comments_and_literals_are_blanked_and_code_stays() {
    for (text, left) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        ("a(\"b // c\") d", "a(        ) d"),
        ("a(\"b\\\"c\") d", "a(      ) d"),
        ("r\"a\\\" b", "      b"),
        ("br##\"a\"# b\"## c", "              c"),
        ("'\"' a", "    a"),
        ("'\\'' a '\\u{1f}' b", "     a          b"),
        ("&'a str", "&'a str"),
        ("for r#type in x", "for r#type in x"),
        ("\"\u{e9}\" \u{e9}", "     \u{e9}"),
        ("\"a\nb\" c", "  \n   c"),
    ] {
        let blanked = code(text);
        assert_eq!(blanked.trim_end_matches(' '), left.trim_end_matches(' '), "{text}");
        assert_eq!(blanked.lines().count(), text.lines().count());
    }
}
