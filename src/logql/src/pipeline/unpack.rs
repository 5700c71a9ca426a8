//! What did promtail's `pack` stage wrap up? (`| unpack`)
//!
//! `{"_entry":"the line","pod":"a"}`: the strings become labels and the entry the line. Without an entry the line was
//! not packed, and nothing happens.

use super::extract::{Clash, Wanted, add, push_name};
use super::json::{report, string_value};
use super::json_scan::{Fault, Scanner, Span, Value, unescape};
use super::row::{Input, Row};

const ENTRY: &str = "_entry";

/// Makes labels and the line of a packed line.
pub(super) fn unpack(row: &mut Row<'_>, wanted: &Wanted) {
    if row.line().is_empty() {
        return;
    }
    let mut line = std::mem::take(&mut row.scratch.bytes);
    let outcome = row.read(|row, input| {
        if !input.text.starts_with('{') {
            return Err(Fault::Object);
        }
        // First all of it is read: of a malformed line nothing is taken.
        let Some(entry) = fields(input, |_, _| {})? else { return Ok(false) };
        let mut name = std::mem::take(&mut row.scratch.name);
        fields(input, |key, value| {
            name.clear();
            push_name(&mut name, key);
            add_field(row, wanted, input, &name, value);
        })?;
        row.scratch.name = name;
        let raw = input.text.get(entry.start..entry.end).unwrap_or("");
        let mut text = String::from_utf8(std::mem::take(&mut line)).unwrap_or_default();
        text.clear();
        if unescape(raw, &mut text).is_none() {
            text.clear();
        }
        if text.contains(char::REPLACEMENT_CHARACTER) {
            text = text.replace(char::REPLACEMENT_CHARACTER, " ");
        }
        line = text.into_bytes();
        Ok(true)
    });
    match outcome {
        Ok(true) => row.scratch.bytes = row.change_line(line),
        Ok(false) => row.scratch.bytes = line,
        Err(fault) => {
            row.scratch.bytes = line;
            report(row, wanted, fault);
        }
    }
}

fn add_field<'a>(row: &mut Row<'a>, wanted: &Wanted, input: Input<'_, 'a>, name: &str, value: Span) {
    add(row, wanted, name, Clash::Replace, |row| string_value(input, row, value));
}

/// Calls `each` with every string of the object but the entry, which is returned.
fn fields(input: Input<'_, '_>, mut each: impl FnMut(&str, Span)) -> Result<Option<Span>, Fault> {
    let mut scanner = Scanner::new(input.text);
    scanner.expect_object()?;
    let mut entry = None;
    let mut first = true;
    while let Some(key) = scanner.key(std::mem::take(&mut first))? {
        let (value, _) = scanner.skip()?;
        if let Value::String(value) = value {
            let raw = input.text.get(key.start..key.end).unwrap_or("");
            let mut unescaped = String::new();
            let key = if key.escaped {
                unescape(raw, &mut unescaped).ok_or(Fault::Escape)?;
                unescaped.as_str()
            } else {
                raw
            };
            if key == ENTRY {
                entry = Some(value);
            } else {
                each(key, value);
            }
        }
        if !scanner.next_member()? {
            break;
        }
    }
    Ok(entry)
}
