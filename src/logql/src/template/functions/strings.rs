//! What do the functions on texts make? (`lower`, `trunc`, `replace`, `alignLeft`, ...)

use super::super::printf::first_runes;
use super::super::value::{Sink, Value, made};
use super::call::{Call, Function, piece};
use memchr::memmem;
use std::borrow::Cow;

pub(super) const TABLE: &[Function] = &[
    Function::of("lower", 1, |call| change_case(call, char::to_lowercase)),
    Function::of("upper", 1, |call| change_case(call, char::to_uppercase)),
    Function::of("ToLower", 1, |call| change_case(call, char::to_lowercase)),
    Function::of("ToUpper", 1, |call| change_case(call, char::to_uppercase)),
    Function::of("title", 1, title),
    Function::of("trunc", 2, trunc),
    Function::of("substr", 3, substr),
    Function::of("contains", 2, |call| {
        let part = call.bytes(0)?;
        Ok(Value::Bool(memmem::find(&call.bytes(1)?, &part).is_some()))
    }),
    Function::of("hasPrefix", 2, |call| {
        let part = call.bytes(0)?;
        Ok(Value::Bool(call.bytes(1)?.starts_with(&part)))
    }),
    Function::of("hasSuffix", 2, |call| {
        let part = call.bytes(0)?;
        Ok(Value::Bool(call.bytes(1)?.ends_with(&part)))
    }),
    Function::of("indent", 2, |call| indent(call, b"")),
    Function::of("nindent", 2, |call| indent(call, b"\n")),
    Function::of("replace", 3, |call| {
        let (old, new, text) = (call.bytes(0)?, call.bytes(1)?, call.bytes(2)?);
        made(|out| replace(out, &text, &old, &new, usize::MAX))
    }),
    Function::of("Replace", 4, |call| {
        let (text, old, new) = (call.bytes(0)?, call.bytes(1)?, call.bytes(2)?);
        // A negative count stands for all.
        let count = usize::try_from(call.int(3)?).unwrap_or(usize::MAX);
        made(|out| replace(out, &text, &old, &new, count))
    }),
    Function::of("repeat", 2, |call| {
        let count = call.count(0)?;
        let text = call.bytes(1)?;
        made(|out| out.push_times(&text, if text.is_empty() { 0 } else { count }))
    }),
    Function::of("trim", 1, trim_space),
    Function::of("TrimSpace", 1, trim_space),
    Function::of("trimAll", 2, |call| trim(call, 1, 0, true, true)),
    Function::of("Trim", 2, |call| trim(call, 0, 1, true, true)),
    Function::of("TrimLeft", 2, |call| trim(call, 0, 1, true, false)),
    Function::of("TrimRight", 2, |call| trim(call, 0, 1, false, true)),
    Function::of("trimPrefix", 2, |call| strip_prefix(call, 1, 0)),
    Function::of("TrimPrefix", 2, |call| strip_prefix(call, 0, 1)),
    Function::of("trimSuffix", 2, |call| strip_suffix(call, 1, 0)),
    Function::of("TrimSuffix", 2, |call| strip_suffix(call, 0, 1)),
    Function::of("alignLeft", 2, |call| align(call, true)),
    Function::of("alignRight", 2, |call| align(call, false)),
    Function::with("default", 1, usize::MAX, default),
];

/// Letter by letter, as Go does: what would become several letters stays as it is.
fn change_case<'a, M: Iterator<Item = char>>(
    call: &mut Call<'_, 'a>,
    map: impl Fn(char) -> M,
) -> Result<Value<'a>, String> {
    let text = call.text(0)?;
    Ok(Value::owned(text.chars().map(|c| changed(c, &map)).collect::<String>()))
}

fn changed<M: Iterator<Item = char>>(c: char, map: impl Fn(char) -> M) -> char {
    let mut mapped = map(c);
    match (mapped.next(), mapped.next()) {
        (Some(only), None) => only,
        // The dotted capital I is small without its dot.
        (Some('i'), Some(_)) if c == '\u{130}' => 'i',
        _ => c,
    }
}

/// The first letter of each word as a capital.
fn title<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>, String> {
    let text = call.text(0)?;
    let mut before = ' ';
    let title = text.chars().map(|c| {
        let starts_word = if before.is_ascii() {
            !(before.is_ascii_alphanumeric() || before == '_')
        } else {
            !before.is_alphanumeric() && before.is_whitespace()
        };
        before = c;
        if starts_word { changed(c, char::to_uppercase) } else { c }
    });
    Ok(Value::owned(title.collect::<String>()))
}

/// The first bytes, or the last ones if the count is negative.
fn trunc<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>, String> {
    let count = call.int(0)?;
    let length = count.unsigned_abs().min(1 << 40) as usize;
    Ok(piece(call.bytes(1)?, |text| match text.len().checked_sub(length) {
        Some(start) if count < 0 && start > 0 => text.get(start..).unwrap_or(text),
        Some(_) if count >= 0 => text.get(..length).unwrap_or(text),
        _ => text,
    }))
}

/// The bytes from a start to an end; a negative start is the beginning, a negative end is the end.
fn substr<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>, String> {
    let (start, end) = (call.int(0)?, call.int(1)?);
    let text = call.bytes(2)?;
    let length = text.len();
    let out_of_range = || format!("slice bounds out of range [{start}:{end}] with length {length}");
    let (from, to) = match (usize::try_from(start), usize::try_from(end)) {
        // With a negative start the end is taken as it is.
        (Err(_), Ok(to)) if to <= length => (0, to),
        (Err(_), _) => return Err(out_of_range()),
        (Ok(from), to) => (from, to.unwrap_or(length).min(length)),
    };
    if from > to {
        return Err(out_of_range());
    }
    Ok(piece(text, |text| text.get(from..to).unwrap_or(text)))
}

fn indent<'a>(call: &mut Call<'_, 'a>, before: &[u8]) -> Result<Value<'a>, String> {
    let spaces = call.count(0)?;
    let text = call.bytes(1)?;
    made(|out| {
        out.push(before)?;
        for (i, line) in text.split(|b| *b == b'\n').enumerate() {
            out.push(if i == 0 { b"" } else { b"\n" })?;
            out.push_times(b" ", spaces)?;
            out.push(line)?;
        }
        Ok(())
    })
}

/// The first `count` places of `old`; an empty one is found in front of each character and at the end.
fn replace(out: &mut Sink<'_>, text: &[u8], old: &[u8], new: &[u8], count: usize) -> Result<(), String> {
    let mut rest = text;
    if !old.is_empty() {
        for at in memmem::find_iter(text, old).take(count) {
            let here = text.len() - rest.len();
            out.push(text.get(here..at).unwrap_or(&[]))?;
            out.push(new)?;
            rest = text.get(at + old.len()..).unwrap_or(&[]);
        }
        return out.push(rest);
    }
    for _ in 0..count {
        out.push(new)?;
        if rest.is_empty() {
            break;
        }
        let first = first_runes(rest, 1);
        out.push(first)?;
        rest = rest.get(first.len()..).unwrap_or(&[]);
    }
    out.push(rest)
}

fn trim_space<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>, String> {
    Ok(match call.text(0)? {
        Cow::Borrowed(text) => Value::text(text.trim()),
        Cow::Owned(text) => Value::owned(text.trim()),
    })
}

/// Without the characters of a set at the ends.
fn trim<'a>(
    call: &mut Call<'_, 'a>,
    text: usize,
    set: usize,
    is_left: bool,
    is_right: bool,
) -> Result<Value<'a>, String> {
    let (text, set) = (call.text(text)?, call.text(set)?);
    let cut = |text: &str| {
        let start = text.len() - text.trim_start_matches(|c| is_left && set.contains(c)).len();
        let end = text.trim_end_matches(|c| is_right && set.contains(c)).len();
        start..end.max(start)
    };
    let range = cut(&text);
    Ok(match text {
        Cow::Borrowed(text) => Value::text(text.get(range).unwrap_or("")),
        Cow::Owned(text) => Value::owned(text.get(range).unwrap_or("")),
    })
}

fn strip_prefix<'a>(call: &mut Call<'_, 'a>, text: usize, part: usize) -> Result<Value<'a>, String> {
    let (text, part) = (call.bytes(text)?, call.bytes(part)?);
    Ok(piece(text, |text| text.strip_prefix(part.as_ref()).unwrap_or(text)))
}

fn strip_suffix<'a>(call: &mut Call<'_, 'a>, text: usize, part: usize) -> Result<Value<'a>, String> {
    let (text, part) = (call.bytes(text)?, call.bytes(part)?);
    Ok(piece(text, |text| text.strip_suffix(part.as_ref()).unwrap_or(text)))
}

/// Exactly so many characters: filled up with spaces, or cut. What is no UTF-8 counts a character each byte.
fn align<'a>(call: &mut Call<'_, 'a>, is_left: bool) -> Result<Value<'a>, String> {
    let count = call.int(0)?;
    let text = call.text(1)?;
    let Ok(count) = usize::try_from(count) else { return Ok(Value::owned(text.into_owned())) };
    let length = text.chars().count();
    if let Some(missing) = count.checked_sub(length) {
        return made(|out| {
            out.push_times(b" ", if is_left { 0 } else { missing })?;
            out.push(text.as_bytes())?;
            out.push_times(b" ", if is_left { missing } else { 0 })
        });
    }
    let cut = if is_left { count } else { length - count };
    let at = text.char_indices().nth(cut).map_or(text.len(), |(at, _)| at);
    let (left, right) = text.split_at_checked(at).unwrap_or((&text, ""));
    Ok(Value::owned(if is_left { left } else { right }))
}

/// The last argument, unless it is empty.
fn default<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>, String> {
    let given = call.value(1);
    Ok(if given.is_true() { given } else { call.value(0) })
}
