//! Which number does a row stand for? (`| unwrap`)

use super::label_filter::LabelFilter;
use super::reads::Reads;
use super::row::Row;
use super::units::{parse_bytes, parse_duration, parse_float, seconds};
use crate::ast::{Conversion, Unwrap};
use crate::error::ParseError;
use crate::patterns::Patterns;
use std::collections::BTreeSet;

/// The error of values that are no numbers.
const SAMPLE_ERROR: &str = "SampleExtractionErr";

/// The label whose value is taken, how, and what must hold for it.
#[derive(Debug, Clone)]
pub struct Unwrapped {
    label: String,
    conversion: Option<Conversion>,
    filters: Vec<LabelFilter>,
    reads: BTreeSet<String>,
}

impl Unwrapped {
    /// Compiles the filters behind the label.
    pub fn compile(unwrap: &Unwrap, patterns: &mut Patterns) -> Result<Self, ParseError> {
        let filters = unwrap.filters.iter().map(|filter| LabelFilter::compile(filter, patterns));
        Ok(Self {
            label: unwrap.label.clone(),
            conversion: unwrap.conversion,
            filters: filters.collect::<Result<_, _>>().map_err(ParseError::Whole)?,
            reads: Reads::of_unwrap(unwrap),
        })
    }

    /// The label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The labels that are looked at; the pipeline before needs them.
    pub fn reads(&self) -> &BTreeSet<String> {
        &self.reads
    }

    /// The number of a row that has passed the pipeline, if it has one that passes the filters.
    ///
    /// The label then goes, unless `keeps_label` (the caller groups by it). A value that is no number counts as 0 and
    /// marks the row; a label that is missing or empty gives nothing.
    pub fn sample(&self, row: &mut Row<'_>, keeps_label: bool) -> Option<f64> {
        let text = row.get(&self.label).filter(|text| !text.is_empty())?;
        let outcome = match self.conversion {
            None => parse_float(text),
            Some(Conversion::Bytes) => parse_bytes(text).map(|bytes| bytes as f64),
            Some(Conversion::Duration | Conversion::DurationSeconds) => parse_duration(text).map(seconds),
        };
        let value = outcome.unwrap_or_else(|details| {
            row.set_error(SAMPLE_ERROR);
            row.set_details(&details);
            0.0
        });
        if !self.filters.iter().all(|filter| filter.takes(row)) {
            return None;
        }
        if !keeps_label {
            row.remove(&self.label);
        }
        Some(value)
    }
}
