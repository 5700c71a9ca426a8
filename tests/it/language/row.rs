//! What a stage works on: a line, its labels, and what went wrong so far.

use super::data::{Entry, Labels};
use std::collections::BTreeSet;

pub const ERROR: &str = "__error__";
pub const DETAILS: &str = "__error_details__";
/// What the details of an error are, for tests: their text is for people.
pub const SOME_DETAILS: &str = "...";

/// Where a label comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    Stream,
    Metadata,
    /// A stage made it.
    Parsed,
}

impl Category {
    /// The name of the label, and with it the category's.
    pub fn of(self, name: &str) -> String {
        format!("{self:?} {name}")
    }
}

#[derive(Debug, Clone)]
pub struct Row {
    pub ts: i64,
    pub line: String,
    /// What the query sees.
    pub labels: Vec<(String, String, Category)>,
    /// Names that the entry came with.
    given: BTreeSet<String>,
    /// Of a metric query that reads no other labels: those that it names.
    pub named: Option<BTreeSet<String>>,
}

impl Row {
    pub fn of(entry: &Entry) -> Self {
        let mut labels = Vec::new();
        for (name, value) in &entry.labels {
            labels.push((name.clone(), value.clone(), Category::Stream));
        }
        for (name, value) in &entry.metadata {
            let clashes = entry.labels.contains_key(name);
            let name = if clashes { format!("{name}_extracted") } else { name.clone() };
            labels.push((name, value.clone(), Category::Metadata));
        }
        let given = entry.labels.keys().chain(entry.metadata.keys()).cloned().collect();
        Self { ts: entry.ts, line: entry.line.clone(), labels, given, named: None }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|label| label.0 == name).map(|label| label.1.as_str())
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.labels.push((name.to_owned(), value.to_owned(), Category::Parsed));
    }

    pub fn remove(&mut self, name: &str) {
        self.labels.retain(|label| label.0 != name);
    }

    pub fn fail(&mut self, error: &str) {
        self.set(ERROR, error);
        self.set(DETAILS, SOME_DETAILS);
    }

    /// Fails because the line cannot be parsed, unless nobody looks at more than was found before.
    pub fn fail_to_parse(&mut self, error: &str) {
        let is_found =
            |name: &String| self.labels.iter().any(|label| label.0 == *name && label.2 == Category::Parsed);
        if !self.named.as_ref().is_some_and(|named| named.iter().all(is_found)) {
            self.fail(error);
        }
    }

    /// Fails unless parsers do nothing at all.
    pub fn fail_if_named(&mut self, error: &str) {
        if !self.named.as_ref().is_some_and(BTreeSet::is_empty) {
            self.fail(error);
        }
    }

    /// The name under which a field is shown.
    pub fn shown(&self, name: &str) -> String {
        if self.given.contains(name) { format!("{name}_extracted") } else { name.to_owned() }
    }

    /// A label from the line; one that a stage made before stays, unless this one `wins`.
    pub fn extract(&mut self, name: &str, value: &str, wins: bool) {
        let name = self.shown(name);
        let made = self.labels.iter().any(|label| label.0 == name && label.2 == Category::Parsed);
        if !name.is_empty() && (wins || !made) {
            self.set(&name, value);
        }
    }

    pub fn all(&self) -> Labels {
        self.labels.iter().map(|(name, value, _)| (name.clone(), value.clone())).collect()
    }

    /// The labels under names that tell where they come from.
    pub fn categorized(&self) -> Labels {
        self.labels.iter().map(|(name, value, category)| (category.of(name), value.clone())).collect()
    }
}

/// A field's name as a label's.
pub fn label_name(field: &str) -> String {
    let name: String =
        field.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}
