//! Under which keys does a JSON line hold the fields that `| json` makes labels of?

use super::extract::push_name;
use super::json_scan::{Fault, MAX_DEPTH, Scanner, Span, Value, unescape};

/// Calls `each` with every field of a JSON object that would become a label: the label's name before any clash, and the keys
/// that lead to it as they are written. What stands before a fault is told.
pub fn json_keys(line: &str, mut each: impl FnMut(&str, &[String])) {
    let mut walk = Walk { text: line, scanner: Scanner::new(line), keys: Vec::new(), each: &mut each };
    // Whoever asks has seen the parser's own error.
    let _ = walk.scanner.expect_object().and_then(|()| walk.object(""));
}

struct Walk<'t, 'e> {
    text: &'t str,
    scanner: Scanner<'t>,
    /// The keys on the way to where the scanner is.
    keys: Vec<String>,
    each: &'e mut dyn FnMut(&str, &[String]),
}

impl Walk<'_, '_> {
    fn object(&mut self, around: &str) -> Result<(), Fault> {
        let mut first = true;
        while let Some(key) = self.scanner.key(std::mem::take(&mut first))? {
            let key = self.key_text(key);
            let mut name = around.to_owned();
            push_name(&mut name, &key);
            self.keys.push(key);
            match self.scanner.value()? {
                Value::Object if self.keys.len() > MAX_DEPTH => return Err(Fault::Depth),
                Value::Object => self.object(&name)?,
                Value::String(_) | Value::Number(_) | Value::Bool(_) => (self.each)(&name, &self.keys),
                Value::Null | Value::Array(_) => {}
            }
            self.keys.pop();
            if !self.scanner.next_member()? {
                break;
            }
        }
        Ok(())
    }

    fn key_text(&self, key: Span) -> String {
        let raw = self.text.get(key.start..key.end).unwrap_or("");
        let mut text = String::new();
        match key.escaped {
            true => unescape(raw, &mut text).map_or_else(String::new, |()| text),
            false => raw.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::Stage;
    use crate::{Category, Needed, Patterns, Pipeline, Row};
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use strandline_model::Labels;

    fn shown(line: &str) -> Vec<String> {
        let mut found = Vec::new();
        json_keys(line, |name, keys| found.push(format!("{name}: {}", keys.join("/"))));
        found
    }

    #[test]
    fn keys_are_told_as_written() {
        assert_eq!(
            shown(
                r#"{"a":1,"http":{"x-id":"r","in":{"b\"c":true}},"n":null,"l":[{"x":1}],"dotted.key":"v"}"#
            ),
            ["a: a", "http_x_id: http/x-id", r#"http_in_b_c: http/in/b"c"#, "dotted_key: dotted.key"]
        );
        assert_eq!(shown(r#"{"a":1,"b":"#), ["a: a"]);
        assert_eq!(shown("plain"), [""; 0]);
        assert_eq!(shown(&"{\"a\":".repeat(5000)), [""; 0]);
    }

    fn object() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![Just("1".to_owned()), Just("\"x\"".to_owned()), Just("null".to_owned())];
        leaf.prop_recursive(4, 24, 4, |inner| {
            proptest::collection::vec(("[a-c.]{1,3}", inner), 0..4).prop_map(|members| {
                let members: Vec<String> = members.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
                format!("{{{}}}", members.join(","))
            })
        })
    }

    proptest! {
        #[test]
        fn names_are_those_of_the_parser(line in object()) {
            let pipeline = Pipeline::compile(&[Stage::Json(Vec::new())], &Needed::All, &mut Patterns::default()).unwrap();
            let labels = Labels::default();
            let mut row = Row::new(0, 0, line.as_bytes(), &labels, []);
            pipeline.process(&mut row);
            let made = row.labels().filter(|l| l.category == Category::Parsed && !l.name.starts_with("__error"));
            let made: BTreeSet<String> = made.map(|l| l.name.to_owned()).collect();
            let mut told = BTreeSet::new();
            json_keys(&line, |name, _| {
                told.insert(name.to_owned());
            });
            prop_assert_eq!(told, made);
        }
    }
}
