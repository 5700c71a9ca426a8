//! What stays of a line when all that is likely to change from line to line is left out?
//!
//! A line is cut into words and what stands between them. Words with digits, very long ones and ones that a pattern filter
//! could not spell are variable. What is left is the line's shape; lines of one shape differ in variable words alone. This is
//! the masking step of log template miners such as Drain (He et al., "Drain: An Online Log Parsing Approach with Fixed
//! Depth Tree", 2017).

/// Stands for a variable word. It is no UTF-8, so no other part of a shape holds it.
pub(super) const VARIABLE: u8 = 0xff;
/// How a variable word shows, and how `|>` reads it.
const SHOWN: &str = "<_>";
/// What follows this many words is one variable part.
const MAX_WORDS: usize = 96;
/// A longer word is variable.
const MAX_WORD_BYTES: usize = 48;
/// No look behind this: what follows is one variable part.
const MAX_LINE_BYTES: usize = 4096;

/// Whether a byte stands between words.
fn is_between(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'\t'
            | b'\r'
            | b'='
            | b','
            | b'"'
            | b'\''
            | b'('
            | b')'
            | b'['
            | b']'
            | b'{'
            | b'}'
            | b'`'
            | b';'
            | b'|'
    )
}

/// How long the part before the next word is. A colon is part of a word unless it begins it: `12:30`, but `"n":7`.
fn gap(text: &[u8]) -> usize {
    text.iter().position(|b| !is_between(*b) && *b != b':').unwrap_or(text.len())
}

/// Writes the shape of `line` into `out`, which is emptied first.
pub(super) fn of(line: &[u8], out: &mut Vec<u8>) {
    out.clear();
    // The lines behind the first, of a stack trace for example, are seldom the same twice.
    let end = memchr::memchr(b'\n', line).unwrap_or(line.len()).min(MAX_LINE_BYTES);
    let (mut rest, behind) = line.split_at(end);
    let mut words = 0;
    while !rest.is_empty() && words < MAX_WORDS {
        let gap = gap(rest);
        let (between, from_word) = rest.split_at(gap);
        out.extend_from_slice(between);
        let len = from_word.iter().position(|b| is_between(*b)).unwrap_or(from_word.len());
        let (word, tail) = from_word.split_at(len);
        if !word.is_empty() {
            words += 1;
            if is_variable(word) { out.push(VARIABLE) } else { out.extend_from_slice(word) }
        }
        rest = tail;
    }
    if !(rest.is_empty() && behind.is_empty()) && out.last() != Some(&VARIABLE) {
        out.push(VARIABLE);
    }
}

fn is_variable(word: &[u8]) -> bool {
    // `<a>` would be a capture.
    let odd = |b: &u8| b.is_ascii_digit() || matches!(b, b'<' | b'>') || b.is_ascii_control();
    word.len() > MAX_WORD_BYTES || word.iter().any(odd) || std::str::from_utf8(word).is_err()
}

/// A word and what stands before it.
type Word<'a> = (&'a [u8], &'a [u8]);

/// The words of a shape, and what stands behind the last.
pub(super) fn words(shape: &[u8]) -> (Vec<Word<'_>>, &[u8]) {
    let (mut found, mut rest) = (Vec::new(), shape);
    loop {
        let gap = gap(rest);
        let (between, from_word) = rest.split_at(gap);
        if from_word.is_empty() {
            return (found, between);
        }
        let len = match from_word.iter().position(|b| is_between(*b) || *b == VARIABLE) {
            Some(0) => 1,
            Some(len) => len,
            None => from_word.len(),
        };
        let (word, tail) = from_word.split_at(len);
        found.push((between, word));
        rest = tail;
    }
}

/// A shape as text that a pattern filter (`|>`) takes.
pub(super) fn shown(shape: &[u8]) -> String {
    let mut text = String::with_capacity(shape.len());
    for part in shape.split_inclusive(|b| *b == VARIABLE) {
        let literal = part.strip_suffix(&[VARIABLE]);
        text.push_str(&String::from_utf8_lossy(literal.unwrap_or(part)));
        if literal.is_some() {
            text.push_str(SHOWN);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shape(line: &str) -> String {
        let mut out = Vec::new();
        of(line.as_bytes(), &mut out);
        shown(&out)
    }

    #[test]
    fn words_with_digits_are_variable() {
        assert_eq!(shape("user 7 logged in from 10.0.0.7 in 21ms"), "user <_> logged in from <_> in <_>");
        assert_eq!(
            shape(r#"level=info ts=2026-01-01T00:00:00Z msg="took it" n=5"#),
            r#"level=info ts=<_> msg="took it" n=<_>"#
        );
        assert_eq!(shape(r#"{"a":"b c","n":12,"ok":true}"#), r#"{"a":"b c","n":<_>,"ok":true}"#);
        assert_eq!(shape("<b>bold</b> text"), "<_> text");
        assert_eq!(shape("panic: oh\n  at main.rs:5\n"), "panic: oh<_>");
        assert_eq!(shape("code 5\n  at main.rs:5\n"), "code <_>");
        assert_eq!(shape(""), "");
        assert_eq!(shape(&"x".repeat(50)), "<_>");
        assert_eq!(shape(&"a ".repeat(100)), format!("{}<_>", "a ".repeat(96).trim_end()));
    }

    proptest! {
        #[test]
        fn a_shape_is_a_pattern_that_its_line_passes(line in r#"[a-z0-9 =",<>_|{}\[\]\n\\é`-]{1,60}"#) {
            let text = shape(&line);
            // An empty pattern, and one without any text, is none.
            prop_assume!(text.replace("<_>", "").chars().any(|c| !c.is_whitespace()));
            let quoted = serde_json::to_string(&text).unwrap();
            let query = crate::LogQuery::parse(&format!("{{a=\"b\"}} |> {quoted}")).unwrap();
            prop_assert!(query.takes_until(line.as_bytes(), &|| false), "{} for {:?}", text, line);
        }

        #[test]
        fn words_and_what_is_between_make_the_shape(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut out = Vec::new();
            of(&line, &mut out);
            let (words, end) = words(&out);
            let again: Vec<u8> = words.iter().flat_map(|(between, word)| [*between, *word]).chain([end]).flatten().copied().collect();
            prop_assert_eq!(again, out);
        }
    }
}
