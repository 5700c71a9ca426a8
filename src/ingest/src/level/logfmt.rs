//! Which level field does a line of `key=value` pairs hold?
//!
//! Every `=` is looked at from behind first: only when a level field's name ends there are the pairs walked properly.

use memchr::{memchr, memchr_iter};

/// The value of the best level field in `line`; `None` when there is none.
pub(super) fn level_field(line: &[u8]) -> Option<&[u8]> {
    let candidate = |at: usize| line.get(..at).is_some_and(name_may_end);
    if memchr_iter(b'=', line).any(candidate) { best_field(line) } else { None }
}

/// Whether the last letters of `before` are those of a level field's name.
fn name_may_end(before: &[u8]) -> bool {
    let ends = |with: &[u8]| {
        before
            .len()
            .checked_sub(with.len())
            .and_then(|at| before.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(with))
    };
    match before.last().map(|b| b | 0x20) {
        Some(b'l') => ends(b"level") || ends(b"lvl"),
        Some(b'y') => ends(b"severity"),
        Some(b't') => ends(b"severity_text") || ends(b"severitytext"),
        _ => false,
    }
}

/// Place of a key in the list of level fields without regard to case, first is best.
fn rank(key: &[u8]) -> Option<usize> {
    const NAMES: [&[u8]; 6] =
        [b"level", b"log.level", b"severity", b"severitytext", b"lvl", b"severity_text"];
    NAMES.iter().position(|name| key.eq_ignore_ascii_case(name))
}

fn best_field(line: &[u8]) -> Option<&[u8]> {
    let mut best: Option<(usize, &[u8])> = None;
    let mut rest = line;
    while let Some((key, value, tail)) = next_pair(rest) {
        rest = tail;
        if let Some(rank) = rank(key).filter(|r| !value.is_empty() && best.is_none_or(|(b, _)| *r < b)) {
            best = Some((rank, value));
            if rank == 0 {
                break;
            }
        }
    }
    best.map(|(_, value)| value)
}

/// The next `key=value` and what follows it. What is no pair (a bare word, a stray quote) is skipped.
fn next_pair(mut rest: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    loop {
        let start = rest.iter().position(|b| *b > b' ')?;
        rest = rest.get(start..)?;
        let key_end = rest.iter().position(|b| *b <= b' ' || matches!(b, b'=' | b'"')).unwrap_or(rest.len());
        let (key, tail) = rest.split_at_checked(key_end)?;
        match tail.strip_prefix(b"=") {
            Some(tail) if tail.first() == Some(&b'"') => {
                let body = tail.get(1..)?;
                let len = closing_quote(body)?;
                return Some((key, body.get(..len)?, body.get(len + 1..)?));
            }
            Some(tail) => {
                let end = tail.iter().position(|b| *b <= b' ').unwrap_or(tail.len());
                let (value, tail) = tail.split_at_checked(end)?;
                if memchr(b'=', value).is_none() && memchr(b'"', value).is_none() {
                    return Some((key, value, tail));
                }
                rest = tail;
            }
            None => {
                let end = tail.iter().position(|b| *b <= b' ').unwrap_or(tail.len());
                rest = tail.get(end..)?;
            }
        }
    }
}

/// Length of quoted text up to its closing quote.
fn closing_quote(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', body.get(at..)?)?;
        if body.get(found) == Some(&b'"') {
            return Some(found);
        }
        at = found + 2;
    }
}
