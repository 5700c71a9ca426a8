//! What do a tenant's lines and streams have to filter by? Labels worth showing, and the fields of a sample of lines with
//! their types.
//!
//! Loki's `detected_labels`, `detected_fields` and `detected_field/{name}/values`, from which Grafana's
//! Logs Drilldown builds its tabs.

mod fields;
mod kind;
mod labels;

use crate::deadline::Deadline;
use crate::engine::QueryEngine;
use crate::error::QueryError;
use crate::lookup::{ITEM_BYTES, Looked, Looking};
use crate::reader::{Reader, TENANT_LABEL};
use crate::result::LogResult;
use crate::slot::Slot;
use fields::Sample;
pub use fields::{Field, Parser};
pub use kind::FieldKind;
use std::collections::{BTreeMap, BTreeSet};
use strandline_model::{Selector, TimeRange};

/// What was detected, and what of the sample could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detected<T> {
    /// By name, or in the order of appearance for values.
    pub found: Vec<T>,
    /// What the sample lacks.
    pub warnings: Vec<String>,
}

impl QueryEngine {
    /// Labels of selected streams that are worth filtering by, with the number of their values, in `range` (to the day).
    pub fn detected_labels(
        &self,
        slot: &Slot,
        reader: &Reader,
        range: TimeRange,
        selector: &Selector,
    ) -> Result<Looked<BTreeMap<String, usize>>, QueryError> {
        let mut looking = Looking::new(self, slot, reader, range);
        let mut sets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for part in reader.parts(selector) {
            let size = |sets: &BTreeMap<String, BTreeSet<String>>| {
                sets.values().flatten().map(|value| value.len() + ITEM_BYTES).sum()
            };
            let own = looking.part(&part, |storage, streams| storage.label_sets(streams), size)?;
            if part.shows_tenant() && !own.is_empty() {
                sets.entry(TENANT_LABEL.to_owned()).or_default().insert(part.tenant.to_string());
            }
            for (name, mut values) in own {
                sets.entry(part.shown_name(name)).or_default().append(&mut values);
            }
        }
        let relevant = sets.into_iter().filter(|(name, values)| labels::is_relevant(name, values));
        let found = relevant.map(|(name, values)| (name, values.len())).collect();
        Ok(looking.done(found))
    }

    /// Fields of lines that a log query found with metadata kept apart (`categorize`), at most `limit` of them, by name.
    pub fn detected_fields(
        &self,
        lines: &LogResult,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<Detected<Field>, QueryError> {
        let sample = self.sample(lines, limit, deadline)?;
        Ok(Detected { found: sample.fields(), warnings: lines.warnings.clone() })
    }

    /// Values of one field of such lines, at most `limit` of them.
    pub fn detected_values(
        &self,
        lines: &LogResult,
        name: &str,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<Detected<String>, QueryError> {
        let sample = self.sample(lines, usize::MAX, deadline)?;
        Ok(Detected { found: sample.values_of(name, limit), warnings: lines.warnings.clone() })
    }

    fn sample(&self, lines: &LogResult, limit: usize, deadline: &Deadline) -> Result<Sample, QueryError> {
        let mut sample = Sample::new(limit, self.config().max_memory_bytes)?;
        // What the fields take lives beside the lines, and as long.
        let of_lines = lines.held.bytes();
        let stop = |bytes: usize| {
            let held = lines.held.hold(of_lines.saturating_add(bytes));
            held.err().or_else(|| deadline.passed())
        };
        for stream in &lines.streams {
            sample.add(stream, &stop)?;
        }
        Ok(sample)
    }
}
