//! What are the labels of a logfmt line? (`| logfmt`)
//!
//! `key=value key="quoted value" key`. A malformed pair is skipped, or with `--strict` ends the line with an error.

use super::extract::{Clash, Wanted, add, push_name};
use super::json_scan::unescape;
use super::row::{Input, Row, Text};
use crate::ast::Extraction;
use memchr::memchr2;
use std::ops::Range;

const LOGFMT_ERROR: &str = "LogfmtParserErr";

/// How a line is read.
#[derive(Debug, Clone)]
pub(super) struct Logfmt {
    strict: bool,
    keep_empty: bool,
    /// Label and key of each field that is asked for; none: all fields.
    fields: Vec<(String, String)>,
}

impl Logfmt {
    /// Checks the keys.
    pub(super) fn compile(
        strict: bool,
        keep_empty: bool,
        extractions: &[Extraction],
    ) -> Result<Self, String> {
        let fields = extractions.iter().map(|extraction| {
            let key = extraction.expression.trim();
            let bare = !key.is_empty() && !key.bytes().any(|b| b <= b' ' || b == b'=' || b == b'"');
            let key = if bare { Some(key) } else { quoted_key(key) };
            let key = key.ok_or_else(|| {
                format!("cannot parse expression [{}]: a key is expected", extraction.expression)
            })?;
            Ok((extraction.name.clone(), key.to_owned()))
        });
        Ok(Self { strict, keep_empty, fields: fields.collect::<Result<_, String>>()? })
    }

    /// Makes labels of the line's pairs.
    pub(super) fn extract(&self, row: &mut Row<'_>, wanted: &Wanted) {
        let errors = self.strict && wanted.errors;
        if wanted.no_names() && !errors {
            return;
        }
        let fault = row.read(|row, input| {
            if self.fields.is_empty() { self.all(row, wanted, input) } else { self.named(row, wanted, input) }
        });
        if let (Err(fault), true) = (fault, errors && !wanted.has_all_named(row)) {
            row.set_error(LOGFMT_ERROR);
            row.set_details(&format!("logfmt syntax error at pos {} : {}", fault.at + 1, fault.what));
        }
    }

    fn all<'a>(&self, row: &mut Row<'a>, wanted: &Wanted, input: Input<'_, 'a>) -> Result<(), Fault> {
        let mut name = std::mem::take(&mut row.scratch.bytes);
        name.clear();
        let mut name = String::from_utf8(name).unwrap_or_default();
        // Errors are seen only when the line is read to its end.
        let enough = if self.strict { wanted.enough() } else { wanted.enough().or(wanted.count()) };
        let mut left = enough.unwrap_or(usize::MAX);
        let mut pairs = Pairs { text: input.text, at: 0 };
        let outcome = loop {
            match pairs.next() {
                None => break Ok(()),
                Some(Err(fault)) if self.strict => break Err(fault),
                Some(Err(_)) => {}
                Some(Ok(pair)) => {
                    if !self.keep_empty && pair.value.is_empty() {
                        continue;
                    }
                    name.clear();
                    push_name(&mut name, input.text.get(pair.key.clone()).unwrap_or(""));
                    left -= usize::from(add(row, wanted, &name, Clash::Keep, |row| pair.text(input, row)));
                    if left == 0 {
                        break Ok(());
                    }
                }
            }
        };
        row.scratch.bytes = name.into_bytes();
        outcome
    }

    fn named<'a>(&self, row: &mut Row<'a>, wanted: &Wanted, input: Input<'_, 'a>) -> Result<(), Fault> {
        for (label, _) in &self.fields {
            if !row.is_given(label) {
                add(row, wanted, label, Clash::Replace, |_| Text::Borrowed(""));
            }
        }
        for pair in (Pairs { text: input.text, at: 0 }) {
            let pair = match pair {
                Ok(pair) => pair,
                Err(fault) if self.strict => return Err(fault),
                Err(_) => continue,
            };
            let key = input.text.get(pair.key.clone()).unwrap_or("");
            // A key that has a label's name counts too, as in Loki.
            let field = self.fields.iter().find(|(_, wanted)| is_key(key, wanted));
            let field = field.or_else(|| self.fields.iter().find(|(label, _)| is_key(key, label)));
            if let Some((label, _)) = field {
                add(row, wanted, label, Clash::Replace, |row| pair.text(input, row));
            }
        }
        Ok(())
    }
}

/// Whether a line's key is the one that is asked for, as it stands or as a label's name.
fn is_key(key: &str, wanted: &str) -> bool {
    let is_name = |key: &str| key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if key == wanted || is_name(key) {
        return key == wanted;
    }
    let mut name = String::new();
    push_name(&mut name, key);
    name == wanted
}

fn quoted_key(text: &str) -> Option<&str> {
    let key = text.strip_prefix('"')?.strip_suffix('"')?;
    (!key.is_empty() && !key.contains(['"', '\\'])).then_some(key)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fault {
    at: usize,
    what: &'static str,
}

#[derive(Debug, Clone)]
struct Pair {
    key: Range<usize>,
    value: Range<usize>,
    escaped: bool,
}

impl Pair {
    fn text<'a>(&self, input: Input<'_, 'a>, row: &mut Row<'a>) -> Text<'a> {
        if !self.escaped {
            return input.value(row, self.value.clone());
        }
        let raw = input.text.get(self.value.clone()).unwrap_or("");
        // The pair was checked when it was found.
        let value = row.build(|out| unescape(raw, out)).unwrap_or(Text::Borrowed(""));
        row.without_replacements(value)
    }
}

struct Pairs<'t> {
    text: &'t str,
    at: usize,
}

impl Iterator for Pairs<'_> {
    type Item = Result<Pair, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        let blanks = bytes.get(self.at..)?.iter().position(|b| *b > b' ')?;
        self.at += blanks;
        let start = self.at;
        let rest = bytes.get(start..).unwrap_or_default();
        let length = rest.iter().position(|b| *b <= b' ' || matches!(b, b'=' | b'"')).unwrap_or(rest.len());
        let end = start + length;
        let key = start..end;
        match rest.get(length) {
            Some(b'=') if length == 0 => return Some(Err(self.skip(end, "unexpected '='"))),
            Some(b'"') => return Some(Err(self.skip(end, "unexpected '\"'"))),
            _ if self.text.get(key.clone()).is_some_and(|k| k.contains(char::REPLACEMENT_CHARACTER)) => {
                return Some(Err(self.skip(end, "invalid key")));
            }
            Some(b'=') => {}
            _ => {
                self.at = end;
                return Some(Ok(Pair { key, value: end..end, escaped: false }));
            }
        }
        let value = end + 1;
        Some(match bytes.get(value) {
            Some(b'"') => self.quoted(key, value + 1),
            _ => self.bare(key, value),
        })
    }
}

impl Pairs<'_> {
    /// Goes on behind the next blank.
    fn skip(&mut self, at: usize, what: &'static str) -> Fault {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        self.at = at + rest.iter().position(|b| *b <= b' ').unwrap_or(rest.len());
        Fault { at, what }
    }

    fn bare(&mut self, key: Range<usize>, start: usize) -> Result<Pair, Fault> {
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let length = rest.iter().position(|b| *b <= b' ' || matches!(b, b'=' | b'"')).unwrap_or(rest.len());
        match rest.get(length) {
            Some(b'=') => return Err(self.skip(start + length, "unexpected '='")),
            Some(b'"') => return Err(self.skip(start + length, "unexpected '\"'")),
            _ => {}
        }
        self.at = start + length;
        Ok(Pair { key, value: start..self.at, escaped: false })
    }

    fn quoted(&mut self, key: Range<usize>, start: usize) -> Result<Pair, Fault> {
        let bytes = self.text.as_bytes();
        let (mut at, mut escaped) = (start, false);
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(stop) = memchr2(b'"', b'\\', rest) else {
                self.at = bytes.len();
                return Err(Fault { at: self.at, what: "unterminated quoted value" });
            };
            at += stop;
            if bytes.get(at) == Some(&b'"') {
                break;
            }
            escaped = true;
            at = (at + 2).min(bytes.len());
        }
        self.at = at + 1;
        let raw = self.text.get(start..at).unwrap_or("");
        if escaped && unescape(raw, &mut String::new()).is_none() {
            return Err(Fault { at: start, what: "invalid quoted value" });
        }
        Ok(Pair { key, value: start..at, escaped })
    }
}
