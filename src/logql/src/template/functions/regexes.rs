//! What do the functions with patterns make? (`regexReplaceAll`, `count`, ...)

use super::super::constant_pattern::compile;
use super::super::value::{Sink, Value, made};
use super::call::{Call, Function};
use crate::pattern::GroupRegex;
use regex::bytes::Captures;
use std::ops::{Deref, Range};

pub(super) const TABLE: &[Function] = &[
    Function::on_pattern("regexReplaceAll", 3, |call| {
        let pattern = pattern(call)?;
        let (text, new) = (call.bytes(1)?, call.bytes(2)?);
        made(|out| replace(out, &pattern, &text, &new, true))
    }),
    Function::on_pattern("regexReplaceAllLiteral", 3, |call| {
        let pattern = pattern(call)?;
        let (text, new) = (call.bytes(1)?, call.bytes(2)?);
        made(|out| replace(out, &pattern, &text, &new, false))
    }),
    Function::on_pattern("count", 2, |call| {
        let pattern = pattern(call)?;
        let text = call.bytes(1)?;
        let found =
            pattern.regex().find_iter(&text).filter(|found| !is_inside_character(&text, &found.range()));
        Ok(Value::Int(found.count() as i64))
    }),
];

/// The pattern, compiled when the template was read or else now.
fn pattern<'a>(call: &mut Call<'_, 'a>) -> Result<Compiled<'a>, String> {
    match call.pattern {
        Some(compiled) => compiled.as_ref().map(Compiled::Once).map_err(Clone::clone),
        None => compile(&call.bytes(0)?).map(Compiled::Now),
    }
}

/// A pattern of the template or of the line.
enum Compiled<'a> {
    Once(&'a GroupRegex),
    Now(GroupRegex),
}

impl Deref for Compiled<'_> {
    type Target = GroupRegex;

    fn deref(&self) -> &GroupRegex {
        match self {
            Self::Once(pattern) => pattern,
            Self::Now(pattern) => pattern,
        }
    }
}

fn replace(
    out: &mut Sink<'_>,
    pattern: &GroupRegex,
    text: &[u8],
    new: &[u8],
    expands: bool,
) -> Result<(), String> {
    let mut end = 0;
    if !expands || !new.contains(&b'$') {
        for found in
            pattern.regex().find_iter(text).filter(|found| !is_inside_character(text, &found.range()))
        {
            out.push(text.get(end..found.start()).unwrap_or(&[]))?;
            out.push(new)?;
            end = found.end();
        }
    } else {
        for groups in pattern.regex().captures_iter(text) {
            let Some(found) = groups.get(0).filter(|found| !is_inside_character(text, &found.range())) else {
                continue;
            };
            out.push(text.get(end..found.start()).unwrap_or(&[]))?;
            expand(out, new, pattern, &groups)?;
            end = found.end();
        }
    }
    out.push(text.get(end..).unwrap_or(&[]))
}

/// Whether nothing was found, between two bytes of one character: Go looks only between characters.
fn is_inside_character(text: &[u8], found: &Range<usize>) -> bool {
    found.is_empty() && text.get(found.start).is_some_and(|byte| byte & 0xc0 == 0x80)
}

/// Writes `new` with the groups that it names: `$1`, `${1}`, `$name`; `$$` is a dollar sign.
fn expand(out: &mut Sink<'_>, new: &[u8], pattern: &GroupRegex, groups: &Captures<'_>) -> Result<(), String> {
    let mut rest = new;
    while let Some(at) = memchr::memchr(b'$', rest) {
        out.push(rest.get(..at).unwrap_or(&[]))?;
        rest = rest.get(at + 1..).unwrap_or(&[]);
        if let Some(behind) = rest.strip_prefix(b"$") {
            out.push(b"$")?;
            rest = behind;
        } else if let Some((name, behind)) = group_name(rest) {
            let number = name.parse::<usize>().ok();
            let group = number.map_or_else(|| pattern.named(groups, name), |number| groups.get(number));
            out.push(group.map_or(&[], |group| group.as_bytes()))?;
            rest = behind;
        } else {
            // Malformed: a plain dollar sign.
            out.push(b"$")?;
        }
    }
    out.push(rest)
}

/// The name behind a dollar sign, and what follows it.
fn group_name(text: &[u8]) -> Option<(&str, &[u8])> {
    let braced = text.strip_prefix(b"{");
    let inside = braced.unwrap_or(text);
    let length = inside.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    let (name, behind) = inside.split_at_checked(length)?;
    let behind = if braced.is_some() { behind.strip_prefix(b"}")? } else { behind };
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
    Some((name, behind))
}
