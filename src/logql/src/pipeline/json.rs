//! What are the labels of a JSON line? (`| json` without expressions)
//!
//! Objects inside objects are flattened with `_`, arrays and nulls skipped. What a malformed line held before the fault
//! is kept, except that an inner object which never closes gives nothing.

use super::extract::{Clash, Wanted, add, push_name};
use super::json_scan::{Fault, MAX_DEPTH, Scanner, Span, Value, unescape};
use super::row::{Input, Row, Text};

/// The error of lines that are no JSON.
pub(super) const JSON_ERROR: &str = "JSONParserErr";

/// Makes labels of the fields of the line.
pub(super) fn extract(row: &mut Row<'_>, wanted: &Wanted) {
    if wanted.is_nothing() {
        return;
    }
    let outcome = row.read(|row, input| {
        let mut path = std::mem::take(&mut row.scratch.bytes);
        path.clear();
        let name = String::from_utf8(path).unwrap_or_default();
        let left = wanted.enough().unwrap_or(usize::MAX);
        let mut fields =
            Fields { row, wanted, input, scanner: Scanner::new(input.text), name, open: Vec::new(), left };
        let outcome = fields.line();
        let name = std::mem::take(&mut fields.name);
        fields.row.scratch.bytes = name.into_bytes();
        outcome
    });
    if let Err(fault) = outcome
        && !wanted.has_all_named(row)
    {
        report(row, wanted, fault);
    }
}

/// Marks a row whose line is no JSON.
pub(super) fn report(row: &mut Row<'_>, wanted: &Wanted, fault: Fault) {
    if wanted.errors {
        row.set_error(JSON_ERROR);
        row.set_details(fault.text());
    }
}

/// The value of a string as a label's value.
pub(super) fn string_value<'a>(input: Input<'_, 'a>, row: &mut Row<'a>, span: Span) -> Text<'a> {
    if !span.escaped {
        return input.value(row, span.start..span.end);
    }
    let raw = input.text.get(span.start..span.end).unwrap_or("");
    // A string with a false escape has no value.
    let value = row.build(|out| unescape(raw, out)).unwrap_or(Text::Borrowed(""));
    row.without_replacements(value)
}

struct Fields<'r, 'a, 't> {
    row: &'r mut Row<'a>,
    wanted: &'r Wanted,
    input: Input<'t, 'a>,
    scanner: Scanner<'t>,
    /// The name of the field so far: those of the objects around it.
    name: String,
    /// The objects around: where each begins, and how many labels there were.
    open: Vec<(usize, usize)>,
    /// How many labels are still to be found.
    left: usize,
}

impl<'a, 't> Fields<'_, 'a, 't> {
    fn line(&mut self) -> Result<(), Fault> {
        self.scanner.expect_object()?;
        match self.object(true) {
            Err(Fault::Enough) => Ok(()),
            Err(fault) => Err(if self.forget_unclosed() { Fault::Object } else { fault }),
            Ok(()) => Ok(()),
        }
    }

    /// The fields of an object, from behind its brace. `names`: whether any of them may be wanted.
    fn object(&mut self, names: bool) -> Result<(), Fault> {
        let prefix = self.name.len();
        let mut first = true;
        while let Some(key) = self.scanner.key(std::mem::take(&mut first))? {
            if names || key.escaped && self.wanted.errors {
                self.push_key(key)?;
            }
            let outcome = self.member(names);
            self.name.truncate(prefix);
            outcome?;
            // Inside another object not: it may turn out not to close.
            if self.left == 0 && self.open.is_empty() {
                return Err(Fault::Enough);
            }
            if !self.scanner.next_member()? {
                break;
            }
        }
        Ok(())
    }

    fn push_key(&mut self, key: Span) -> Result<(), Fault> {
        let raw = self.input.text.get(key.start..key.end).unwrap_or("");
        if key.escaped {
            let mut text = String::new();
            unescape(raw, &mut text).ok_or(Fault::Escape)?;
            push_name(&mut self.name, &text);
        } else {
            push_name(&mut self.name, raw);
        }
        Ok(())
    }

    fn member(&mut self, names: bool) -> Result<(), Fault> {
        let start = self.scanner.at();
        let value = self.scanner.value()?;
        match value {
            Value::Object => {
                if self.open.len() >= MAX_DEPTH {
                    return Err(Fault::Depth);
                }
                self.open.push((start, self.row.mark()));
                let names = names && self.wanted.may_begin(&self.name);
                self.object(names)?;
                self.open.pop();
            }
            Value::String(span) if names => self.add(|input, row| string_value(input, row, span)),
            Value::Number(span) | Value::Bool(span) if names => {
                self.add(|input, row| input.value(row, span.start..span.end));
            }
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, value: impl FnOnce(Input<'t, 'a>, &mut Row<'a>) -> Text<'a>) {
        let input = self.input;
        let added = add(self.row, self.wanted, &self.name, Clash::Keep, |row| value(input, row));
        if added {
            self.left -= 1;
            if self.wanted.is_done(self.row) {
                self.left = 0;
            }
        }
    }

    /// Takes back what was found in the outermost object that is not closed: a fault cuts all of it off. Whether there is
    /// one.
    fn forget_unclosed(&mut self) -> bool {
        let mut end = self.input.text.len();
        for (start, mark) in &self.open {
            match Scanner::new(self.input.text.get(..end).unwrap_or("")).end_of_object(*start) {
                Some(closed) => end = closed,
                None => {
                    self.row.rewind(*mark);
                    return true;
                }
            }
        }
        false
    }
}
