//! Which fields of a line become labels, and under which names?
//!
//! The first value of a name wins, whichever parser finds it. A name that the stream or the metadata has already gets
//! `_extracted` behind it. Of all that only what somebody will look at is made.

use super::reads::Reads;
use super::row::{EXTRACTED, Row, Text};
use std::collections::BTreeSet;

/// The labels that a parser has to make.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// `None`: all.
    names: Option<Names>,
    /// Whether anybody can see that the parser failed.
    pub(super) errors: bool,
    /// The labels after which a fault is no error any more.
    named: Option<Vec<String>>,
}

#[derive(Debug, Clone)]
struct Names {
    /// As they are looked at.
    shown: Vec<String>,
    /// These, and what they are called before a clash.
    fields: Vec<String>,
    /// Bit n: some field's name has n bytes (modulo 64).
    lengths: u64,
}

impl Wanted {
    /// What a parser has to make if `reads` is what is looked at behind it.
    pub(super) fn new(reads: &Reads, named: Option<&BTreeSet<String>>) -> Self {
        let errors = reads.sees_errors() && named.is_none_or(|named| !named.is_empty());
        let named = named.filter(|_| errors);
        let names = reads.names.as_ref().map(|names| {
            // Those must be found as well.
            let names: BTreeSet<String> = names.iter().chain(named.into_iter().flatten()).cloned().collect();
            let shown: Vec<String> = names.iter().cloned().collect();
            let unclashed = names.iter().filter_map(|name| name.strip_suffix(EXTRACTED));
            let mut fields: Vec<String> = unclashed.map(str::to_owned).chain(shown.iter().cloned()).collect();
            fields.sort_unstable();
            fields.dedup();
            let lengths = fields.iter().fold(0, |bits, name| bits | 1 << (name.len() % 64));
            Names { shown, fields, lengths }
        });
        Self { names, errors, named: named.map(|named| named.iter().cloned().collect()) }
    }

    /// Whether the row has all labels by now after which a fault is no error any more.
    pub(super) fn has_all_named(&self, row: &Row<'_>) -> bool {
        self.named.as_ref().is_some_and(|named| named.iter().all(|name| row.is_parsed(name)))
    }

    /// Whether there is nothing left to be found in the rest of the line.
    pub(super) fn is_done(&self, row: &Row<'_>) -> bool {
        let only_named =
            |named: &Vec<String>| self.names.as_ref().is_some_and(|names| names.shown.len() == named.len());
        self.named.as_ref().is_some_and(only_named) && self.has_all_named(row)
    }

    /// Whether there is nothing to do at all.
    pub(super) fn is_nothing(&self) -> bool {
        !self.errors && self.names.as_ref().is_some_and(|names| names.shown.is_empty())
    }

    /// Whether no label is wanted, though errors may be.
    pub(super) fn no_names(&self) -> bool {
        self.names.as_ref().is_some_and(|names| names.shown.is_empty())
    }

    /// Whether a field of this name may become a wanted label.
    pub(super) fn may(&self, field: &str) -> bool {
        self.names.as_ref().is_none_or(|names| {
            names.lengths & 1 << (field.len() % 64) != 0 && names.fields.iter().any(|name| name == field)
        })
    }

    /// Whether a field whose name begins so may become a wanted label.
    pub(super) fn may_begin(&self, prefix: &str) -> bool {
        self.names.as_ref().is_none_or(|names| {
            names.fields.iter().any(|name| name.len() > prefix.len() && name.starts_with(prefix))
        })
    }

    fn shows(&self, label: &str) -> bool {
        self.names.as_ref().is_none_or(|names| names.shown.iter().any(|name| name == label))
    }

    /// How many labels are wanted, if not all.
    pub(super) fn count(&self) -> Option<usize> {
        self.names.as_ref().map(|names| names.shown.len())
    }

    /// The labels wanted, if they are known and no error has to be found: then a parser may stop when it has them.
    pub(super) fn enough(&self) -> Option<usize> {
        self.names.as_ref().filter(|_| !self.errors).map(|names| names.shown.len())
    }
}

/// What to do when the label is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clash {
    /// The first value wins.
    Keep,
    /// The last value wins.
    Replace,
}

/// Makes a label of a field, if it is wanted; `value` is asked only then. Whether it was made.
pub(super) fn add<'a>(
    row: &mut Row<'a>,
    wanted: &Wanted,
    field: &str,
    clash: Clash,
    value: impl FnOnce(&mut Row<'a>) -> Text<'a>,
) -> bool {
    if field.is_empty() || !wanted.may(field) {
        return false;
    }
    if !row.is_given(field) {
        return add_shown(row, wanted, field, clash, value);
    }
    let mut name = std::mem::take(&mut row.scratch.name);
    name.clear();
    name.push_str(field);
    name.push_str(EXTRACTED);
    let added = add_shown(row, wanted, &name, clash, value);
    row.scratch.name = name;
    added
}

fn add_shown<'a>(
    row: &mut Row<'a>,
    wanted: &Wanted,
    name: &str,
    clash: Clash,
    value: impl FnOnce(&mut Row<'a>) -> Text<'a>,
) -> bool {
    if !wanted.shows(name) {
        return false;
    }
    if row.left() == 0 {
        row.note_overfull();
        return false;
    }
    if row.is_parsed(name) {
        if clash == Clash::Keep {
            return false;
        }
        let value = value(row);
        row.set(name, value);
    } else {
        let value = value(row);
        row.push(name, value);
    }
    true
}

/// Appends a field's name as a label's: blanks trimmed, `_` for each character that a label's name cannot have. Behind a
/// prefix, `_` stands between.
pub(super) fn push_name(out: &mut String, field: &str) {
    let field = field.trim();
    if !out.is_empty() || field.starts_with(|c: char| c.is_ascii_digit()) {
        out.push('_');
    }
    if field.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        out.push_str(field);
    } else {
        out.extend(field.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_label_names() {
        for (prefix, field, wanted) in [
            ("", "a.b", "a_b"),
            ("", " x ", "x"),
            ("", "1a", "_1a"),
            ("", "\u{e9}", "_"),
            ("", "a--b", "a__b"),
            ("n", "1", "n_1"),
            ("http", "x-id", "http_x_id"),
            ("", "", ""),
        ] {
            let mut out = prefix.to_owned();
            push_name(&mut out, field);
            assert_eq!(out, wanted);
        }
    }
}
