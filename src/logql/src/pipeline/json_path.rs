//! What stands at some places of a JSON line? (`| json name="a.b[0]"`)
//!
//! One pass over the line finds all of them; it ends when the last is found. Only a fault in a value that is asked for
//! is reported.

use super::extract::{Clash, Wanted, add};
use super::json::{JSON_ERROR, report, string_value};
use super::json_scan::{Fault, MAX_DEPTH, Scanner, Span, Value, unescape};
use super::row::{Input, Row, Text};
use crate::ast::Extraction;

/// Most places of one stage: the search keeps them in one word of bits.
const MAX_PLACES: usize = 64;

/// Paths into a line in a line and the labels that they become.
#[derive(Debug, Clone)]
pub(super) struct JsonPaths {
    labels: Vec<String>,
    paths: Vec<Vec<Step>>,
}

/// One step on the way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl JsonPaths {
    /// Reads the path of each place.
    pub(super) fn compile(extractions: &[Extraction]) -> Result<Self, String> {
        if extractions.len() > MAX_PLACES {
            return Err(format!("more than {MAX_PLACES} expressions"));
        }
        let mut places = Self { labels: Vec::new(), paths: Vec::new() };
        for extraction in extractions {
            let path = parse_path(&extraction.expression)
                .map_err(|e| format!("cannot parse expression [{}]: {e}", extraction.expression))?;
            places.labels.push(extraction.name.clone());
            places.paths.push(path);
        }
        Ok(places)
    }

    /// Makes labels of what stands at the places.
    pub(super) fn extract(&self, row: &mut Row<'_>, wanted: &Wanted) {
        if wanted.is_nothing() || row.line().is_empty() {
            return;
        }
        let fault = row.read(|row, input| {
            let scanner = Scanner::new(input.text);
            // Not even a blank may stand before it.
            if !matches!(input.text.as_bytes().first(), Some(b'{' | b'[' | b'"')) {
                return Err(None);
            }
            let mut search =
                Search { places: self, row, wanted, input, scanner, left: self.all(), fault: None };
            // A fault beside the places is none of ours.
            let _ = search.value(self.all(), 0);
            let (left, fault) = (search.left, search.fault);
            for (i, label) in self.labels.iter().enumerate() {
                if left & 1 << i != 0 && row.get(label).is_none() {
                    add(row, wanted, label, Clash::Keep, |_| Text::Borrowed(""));
                }
            }
            fault.map_or(Ok(()), |fault| Err(Some(fault)))
        });
        match fault {
            Err(Some(fault)) => report(row, wanted, fault),
            Err(None) if wanted.errors => row.set_error(JSON_ERROR),
            _ => {}
        }
    }

    fn all(&self) -> u64 {
        (0..self.paths.len()).fold(0, |bits, i| bits | 1 << i)
    }
}

struct Search<'r, 'a, 't> {
    places: &'r JsonPaths,
    row: &'r mut Row<'a>,
    wanted: &'r Wanted,
    input: Input<'t, 'a>,
    scanner: Scanner<'t>,
    /// The places not found yet, as bits.
    left: u64,
    fault: Option<Fault>,
}

impl Search<'_, '_, '_> {
    /// Looks at a value to which the first `depth` steps of `places` lead, and passes it.
    fn value(&mut self, places: u64, depth: usize) -> Result<(), Fault> {
        let ending = self.select(places & self.left, |path| path.len() == depth);
        let deeper = self.select(places & self.left, |path| path.len() > depth);
        self.scanner.peek();
        let start = self.scanner.at();
        if deeper != 0 && depth < MAX_DEPTH {
            let value = self.scanner.value()?;
            match value {
                Value::Object => self.members(deeper, depth)?,
                Value::Array(span) => {
                    self.scanner.go_to(span.start + 1);
                    self.elements(deeper, depth)?;
                    self.scanner.go_to(span.end);
                }
                _ => {}
            }
            if ending == 0 {
                return Ok(());
            }
            self.scanner.go_to(start);
        }
        match self.scanner.skip() {
            Ok((value, span)) => self.found(ending, value, span),
            Err(fault) if ending != 0 => {
                self.fault = Some(fault);
                return Err(fault);
            }
            Err(fault) => return Err(fault),
        }
        if self.left == 0 { Err(Fault::Enough) } else { Ok(()) }
    }

    fn members(&mut self, places: u64, depth: usize) -> Result<(), Fault> {
        let mut first = true;
        while let Some(key) = self.scanner.key(std::mem::take(&mut first))? {
            let raw = self.input.text.get(key.start..key.end).unwrap_or("");
            let mut unescaped = String::new();
            if key.escaped {
                let _ = unescape(raw, &mut unescaped);
            }
            let name = if key.escaped { unescaped.as_str() } else { raw };
            let here = self.select(
                places & self.left,
                |path| matches!(path.get(depth), Some(Step::Key(wanted)) if wanted == name),
            );
            self.value(here, depth + 1)?;
            if !self.scanner.next_member()? {
                break;
            }
        }
        Ok(())
    }

    fn elements(&mut self, places: u64, depth: usize) -> Result<(), Fault> {
        let last = self.paths(places).filter_map(|path| match path.get(depth) {
            Some(Step::Index(index)) => Some(*index),
            _ => None,
        });
        let Some(last) = last.max() else { return Ok(()) };
        for index in 0..=last {
            if self.scanner.peek() == Some(b']') {
                break;
            }
            let here = self.select(places & self.left, |path| path.get(depth) == Some(&Step::Index(index)));
            self.value(here, depth + 1)?;
            if self.scanner.peek() != Some(b',') {
                break;
            }
            self.scanner.go_to(self.scanner.at() + 1);
        }
        Ok(())
    }

    fn paths(&self, places: u64) -> impl Iterator<Item = &[Step]> {
        let paths = self.places.paths.iter().enumerate();
        paths.filter(move |(i, _)| places & 1 << i != 0).map(|(_, path)| path.as_slice())
    }

    fn select(&self, places: u64, takes: impl Fn(&[Step]) -> bool) -> u64 {
        if places == 0 {
            return 0;
        }
        let paths = self.places.paths.iter().enumerate();
        paths.filter(|(i, path)| places & 1 << i != 0 && takes(path)).fold(0, |bits, (i, _)| bits | 1 << i)
    }

    fn found(&mut self, places: u64, value: Value, span: Span) {
        let (labels, input) = (&self.places.labels, self.input);
        for (i, label) in labels.iter().enumerate().filter(|(i, _)| places & 1 << i != 0) {
            add(self.row, self.wanted, label, Clash::Replace, |row| match value {
                Value::String(span) => string_value(input, row, span),
                Value::Null => Text::Borrowed(""),
                _ => input.value(row, span.start..span.end),
            });
            self.left &= !(1 << i);
        }
    }
}

/// `a.b[0]["any key"].c`
fn parse_path(text: &str) -> Result<Vec<Step>, String> {
    let unexpected = |rest: &str| match rest.chars().next() {
        Some(c) => format!("unexpected {c:?}"),
        None => "unexpected end".to_owned(),
    };
    let mut steps = Vec::new();
    let mut rest = text.trim();
    loop {
        if let Some(inside) = rest.strip_prefix('[') {
            let (step, behind) = bracketed(inside).ok_or_else(|| unexpected(inside))?;
            steps.push(step);
            rest = behind;
        } else {
            rest = if steps.is_empty() {
                rest
            } else {
                rest.strip_prefix('.').ok_or_else(|| unexpected(rest))?
            };
            let length =
                rest.bytes().position(|b| !b.is_ascii_alphanumeric() && b != b'_').unwrap_or(rest.len());
            let (name, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
            if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(unexpected(rest));
            }
            steps.push(Step::Key(name.to_owned()));
            rest = behind;
        }
        if rest.is_empty() {
            return if steps.len() <= MAX_DEPTH { Ok(steps) } else { Err("too many steps".to_owned()) };
        }
    }
}

/// A step from behind its bracket, and what follows it.
fn bracketed(inside: &str) -> Option<(Step, &str)> {
    if let Some(quoted) = inside.strip_prefix('"') {
        let mut scanner = Scanner::new(inside);
        let (_, span) = scanner.skip().ok()?;
        let raw = quoted.get(..span.end.checked_sub(2)?)?;
        let mut key = String::new();
        unescape(raw, &mut key)?;
        let behind = inside.get(span.end..)?.strip_prefix(']')?;
        return Some((Step::Key(key), behind));
    }
    let (index, behind) = inside.split_once(']')?;
    Some((Step::Index(index.parse().ok()?), behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let key = |text: &str| Step::Key(text.to_owned());
        for (text, wanted) in [
            ("a", vec![key("a")]),
            ("a.b_1", vec![key("a"), key("b_1")]),
            ("[0]", vec![Step::Index(0)]),
            ("a[1][2].c", vec![key("a"), Step::Index(1), Step::Index(2), key("c")]),
            (r#"a.b[0]["x y"].c"#, vec![key("a"), key("b"), Step::Index(0), key("x y"), key("c")]),
            (r#"["a\"]"]"#, vec![key("a\"]")]),
        ] {
            assert_eq!(parse_path(text), Ok(wanted), "{text}");
        }
        for text in
            ["", ".", "a.", ".a", "a..b", "a[", "a[x]", "a[-1]", r#"a["b]"#, "1a", "a b", "a]", "a[1]b"]
        {
            assert!(parse_path(text).is_err(), "{text}");
        }
    }
}
