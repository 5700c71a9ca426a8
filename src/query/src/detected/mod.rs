//! What do a tenant's lines and streams have to filter by? Labels worth showing, and the fields of a sample of lines with
//! their types.
//!
//! Loki's `detected_labels`, `detected_fields` and `detected_field/{name}/values` (loki-surface 4), from which Grafana's
//! Logs Drilldown builds its tabs.

mod fields;
mod kind;
mod labels;

use crate::engine::QueryEngine;
use crate::error::QueryError;
use crate::reader::{Reader, TENANT_LABEL};
use crate::request::LogRequest;
pub use fields::Parser;
use fields::Sample;
pub use kind::FieldKind;
use std::collections::{BTreeMap, BTreeSet};
use strandline_model::{Selector, TimeRange};

/// A field that sampled lines have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The label that a query knows it by.
    pub label: String,
    /// What its values are.
    pub kind: FieldKind,
    /// Distinct values in the sample.
    pub cardinality: usize,
    /// The parsers that find it in lines; none for structured metadata.
    pub parsers: Vec<Parser>,
    /// The keys that lead to it, if it was found in JSON.
    pub json_path: Vec<String>,
}

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
        reader: &Reader,
        range: TimeRange,
        selector: &Selector,
    ) -> Result<BTreeMap<String, usize>, QueryError> {
        let range = self.seen_by(reader, range);
        let mut sets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for part in reader.parts(selector) {
            let own = self.store().label_sets(&part.tenant, range, &part.selector)?;
            if part.shows_tenant() && !own.is_empty() {
                sets.entry(TENANT_LABEL.to_owned()).or_default().insert(part.tenant.to_string());
            }
            for (name, mut values) in own {
                sets.entry(part.shown_name(name)).or_default().append(&mut values);
            }
        }
        let relevant = sets.into_iter().filter(|(name, values)| labels::is_relevant(name, values));
        Ok(relevant.map(|(name, values)| (name, values.len())).collect())
    }

    /// Fields of the lines that a log query finds, at most `limit` of them, by name. The request keeps metadata apart.
    pub fn detected_fields(&self, request: &LogRequest, limit: usize) -> Result<Detected<Field>, QueryError> {
        let mut sample = self.sample(request, limit)?;
        Ok(Detected { found: sample.0.fields(), warnings: std::mem::take(&mut sample.1) })
    }

    /// Values of one field of the lines that a log query finds, at most `limit` of them.
    pub fn detected_values(
        &self,
        request: &LogRequest,
        name: &str,
        limit: usize,
    ) -> Result<Detected<String>, QueryError> {
        let (sample, warnings) = self.sample(request, usize::MAX)?;
        Ok(Detected { found: sample.values_of(name, limit), warnings })
    }

    fn sample(&self, request: &LogRequest, limit: usize) -> Result<(Sample, Vec<String>), QueryError> {
        let lines = self.logs_shared(&LogRequest { categorize: true, ..request.clone() })?;
        let mut sample = Sample::new(limit, self.config().max_memory_bytes)?;
        for stream in &lines.streams {
            if request.cancel.is_cancelled() {
                return Err(QueryError::Cancelled);
            }
            sample.add(stream)?;
        }
        Ok((sample, lines.warnings.clone()))
    }
}
