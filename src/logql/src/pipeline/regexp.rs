//! What do the named groups of a pattern match in a line? (`| regexp`)

use super::extract::{Clash, Wanted, add};
use super::row::{Row, Text};
use crate::needle;
use crate::pattern::{Groups, Pattern};
use crate::patterns::{Extent, Patterns, search_weight};
use regex::bytes::Regex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use strandline_model::Needle;
use strandline_model::labels::is_label_name;

/// Tells regexes apart, for a row keeps the positions of the groups of each.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// A pattern and its groups.
#[derive(Debug, Clone)]
pub(super) struct Regexp {
    regex: Arc<Regex>,
    number: u64,
    groups: Vec<(usize, String)>,
    weight: usize,
    needle: Needle,
}

impl Regexp {
    pub(super) fn compile(pattern: &str, patterns: &mut Patterns) -> Result<Self, String> {
        let parsed = Pattern::parse(pattern, Groups::Named)?;
        let regex = patterns.compile(&parsed, Extent::Part)?;
        let mut groups: Vec<(usize, String)> = Vec::new();
        for (i, name) in regex.capture_names().enumerate() {
            let Some(name) = name else { continue };
            if !is_label_name(name) {
                return Err(format!("invalid extracted label name '{name}'"));
            }
            if groups.iter().any(|(_, known)| known == name) {
                return Err(format!("duplicate extracted label name '{name}'"));
            }
            groups.push((i, name.to_owned()));
        }
        if groups.is_empty() {
            return Err("at least one named capture must be supplied".to_owned());
        }
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let weight = search_weight(parsed.estimated_bytes());
        Ok(Self { regex, number, groups, weight, needle: needle::of_pattern(&parsed.hir) })
    }

    /// How many times as long as a search for a text it may take.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// What a line that any group matches must contain.
    pub(super) fn needle(&self) -> &Needle {
        &self.needle
    }

    /// Whether `label` is a group's name.
    pub(super) fn makes(&self, label: &str) -> bool {
        self.groups.iter().any(|(_, name)| name == label)
    }

    /// Makes labels of the groups, if the pattern matches.
    pub(super) fn extract(&self, row: &mut Row<'_>, wanted: &Wanted) {
        if !self.groups.iter().any(|(_, name)| wanted.may(name)) {
            return;
        }
        let mut locations = row.take_locations(self.number, || self.regex.capture_locations());
        row.read(|row, input| {
            if self.regex.captures_read(&mut locations, input.text.as_bytes()).is_none() {
                return;
            }
            for (i, name) in &self.groups {
                let range = locations.get(*i);
                add(row, wanted, name, Clash::Keep, |row| {
                    // A group that took no part is there, but empty.
                    range.map_or(Text::Borrowed(""), |(start, end)| input.value(row, start..end))
                });
            }
        });
        row.give_locations(self.number, locations);
    }
}
