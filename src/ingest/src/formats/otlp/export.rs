//! What do a resource, a scope and a record become? Labels, metadata and a line, as Loki makes them.
//!
//! Attributes of the resource that the rules call labels make the stream; all others, and those of the scope, are
//! metadata of every record. They are made once and copied to each.

use super::super::error::DecodeError;
use super::value::AnyValue;
use crate::intake::{Intake, IntakeError};
use crate::metadata::{SharedMetadata, normalised_name};
use std::borrow::Cow;
use std::sync::Arc;
use strandline_model::otlp::{AttributeAction, OtlpRules};
use strandline_model::{LabelError, Limits};

/// Bytes of one stream's labels that are gathered; more than the label limits leave, and the intake refuses what is
/// longer.
const MAX_LABEL_BYTES: usize = 1 << 20;

/// An id of a trace or span.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Id<'a> {
    /// As protobuf has it.
    Raw(&'a [u8]),
    /// In hex, as JSON has it.
    Hex(Cow<'a, str>),
}

/// A log record as it was sent. Times are nanoseconds since the epoch, 0 for none.
#[derive(Debug, Default)]
pub(super) struct Record<'a> {
    pub(super) time: u64,
    pub(super) observed: u64,
    pub(super) severity_number: i64,
    pub(super) severity_text: Cow<'a, str>,
    pub(super) body: Option<AnyValue<'a>>,
    /// In a line of JSON bytes that are no text were replaced.
    pub(super) replaced: bool,
    pub(super) attributes: Vec<(Cow<'a, str>, AnyValue<'a>)>,
    pub(super) dropped_attributes: u64,
    pub(super) flags: u32,
    pub(super) trace_id: Option<Id<'a>>,
    pub(super) span_id: Option<Id<'a>>,
    pub(super) event_name: Cow<'a, str>,
}

/// Labels as they are handed to the intake.
type Pairs = Vec<(String, String)>;

/// Feeds an intake with the parts of an export, in the order resource, scope, records.
#[derive(Debug)]
pub(super) struct Export<'i, 'c> {
    intake: &'i mut Intake<'c>,
    rules: Arc<OtlpRules>,
    /// Labels of the resource.
    labels: Pairs,
    label_bytes: usize,
    /// The labels of the stream that was begun last; `None` before the first one of a resource.
    begun: Option<Pairs>,
    resource: SharedMetadata,
    scope: SharedMetadata,
    /// The name of an attribute and its parts.
    name: String,
}

impl<'i, 'c> Export<'i, 'c> {
    pub(super) fn new(intake: &'i mut Intake<'c>) -> Self {
        Self {
            rules: Arc::clone(&intake.limits().otlp),
            intake,
            labels: Vec::new(),
            label_bytes: 0,
            begun: None,
            resource: SharedMetadata::default(),
            scope: SharedMetadata::default(),
            name: String::new(),
        }
    }

    /// A resource begins; its attributes follow.
    pub(super) fn begin_resource(&mut self) {
        self.labels.clear();
        self.label_bytes = 0;
        self.begun = None;
        self.resource.clear();
        self.scope.clear();
    }

    pub(super) fn resource_attribute(&mut self, key: &str, value: &AnyValue<'_>) -> Result<(), DecodeError> {
        match self.rules.of_resource(key) {
            AttributeAction::Drop => Ok(()),
            AttributeAction::IndexLabel => {
                set_name(&mut self.name, key);
                add_labels(&mut self.labels, &mut self.label_bytes, &mut self.name, value)
            }
            AttributeAction::StructuredMetadata => {
                set_name(&mut self.name, key);
                share(&mut self.resource, &mut self.name, value, self.intake.limits());
                Ok(())
            }
        }
    }

    pub(super) fn resource_dropped_attributes(&mut self, count: u64) {
        share_count(&mut self.resource, "resource_dropped_attributes_count", count, self.intake.limits());
    }

    /// The resource is known; its records follow.
    pub(super) fn end_resource(&mut self) -> Result<(), DecodeError> {
        self.begin_stream(Vec::new())
    }

    /// A scope begins; its attributes follow.
    pub(super) fn begin_scope(&mut self) {
        self.scope.clear();
    }

    pub(super) fn scope_attribute(&mut self, key: &str, value: &AnyValue<'_>) {
        if self.rules.of_scope(key) != AttributeAction::Drop {
            set_name(&mut self.name, key);
            share(&mut self.scope, &mut self.name, value, self.intake.limits());
        }
    }

    /// What else a scope says, after its attributes.
    pub(super) fn end_scope(&mut self, name: &str, version: &str, dropped_attributes: u64) {
        let limits = self.intake.limits();
        self.scope.add("scope_name", name, limits);
        self.scope.add("scope_version", version, limits);
        share_count(&mut self.scope, "scope_dropped_attributes_count", dropped_attributes, limits);
    }

    pub(super) fn record(&mut self, record: &Record<'_>) -> Result<(), DecodeError> {
        let own = self.attributes(record)?;
        // Nearly always both are empty.
        let with_own = self.begun.as_ref().is_none_or(|begun| begun.len() > self.labels.len());
        if with_own || !own.is_empty() {
            self.begin_stream(own)?;
        }
        self.fields(record);
        // Of equal names the last one counts: the record's, the resource's, the scope's.
        self.intake.shared_metadata(&self.resource);
        self.intake.shared_metadata(&self.scope);
        if record.replaced {
            self.intake.count_replaced_line();
        }
        let line = record.body.as_ref().map(AnyValue::line).unwrap_or_default();
        match self.time_of(record) {
            Some(ts) => self.intake.entry(ts, &line)?,
            None => self.intake.entry_without_time()?,
        }
        Ok(())
    }

    /// When it happened, else when it was seen, else now; `None` past what 64 bits with a sign can say.
    fn time_of(&self, record: &Record<'_>) -> Option<i64> {
        match (record.time, record.observed) {
            (0, 0) => Some(self.intake.now_ns()),
            (0, observed) => i64::try_from(observed).ok(),
            (time, _) => i64::try_from(time).ok(),
        }
    }

    /// Adds the attributes of a record; returns those that are labels.
    fn attributes(&mut self, record: &Record<'_>) -> Result<Pairs, DecodeError> {
        let mut own = Vec::new();
        let mut own_bytes = 0;
        for (key, value) in &record.attributes {
            set_name(&mut self.name, key);
            match self.rules.of_log(key) {
                AttributeAction::Drop => {}
                AttributeAction::IndexLabel => {
                    add_labels(&mut own, &mut own_bytes, &mut self.name, value)?;
                }
                AttributeAction::StructuredMetadata => {
                    let intake = &mut *self.intake;
                    value.flatten(&mut self.name, &mut |name, value| intake.metadata(name, value));
                }
            }
        }
        if self.rules.severity_text_as_label && !record.severity_text.is_empty() {
            own.push(("severity_text".to_owned(), record.severity_text.clone().into_owned()));
        }
        Ok(own)
    }

    /// Adds what else a record says as metadata.
    fn fields(&mut self, record: &Record<'_>) {
        let intake = &mut *self.intake;
        let mut number = |name: &str, n: i128| {
            if n != 0 {
                intake.metadata(name, &n.to_string());
            }
        };
        if record.time != 0 {
            number("observed_timestamp", record.observed.into());
        }
        number("severity_number", record.severity_number.into());
        number("dropped_attributes_count", record.dropped_attributes.into());
        number("flags", record.flags.into());
        if !self.rules.severity_text_as_label {
            intake.metadata("severity_text", &record.severity_text);
        }
        for (name, id) in [("trace_id", &record.trace_id), ("span_id", &record.span_id)] {
            if let Some(id) = id.as_ref().and_then(id_text) {
                intake.metadata(name, &id);
            }
        }
        intake.metadata("event_name", &record.event_name);
    }

    /// Begins the stream of the resource's labels and `own` ones, unless it is the one begun last.
    fn begin_stream(&mut self, own: Pairs) -> Result<(), DecodeError> {
        let labels: Pairs = self.labels.iter().cloned().chain(own).collect();
        if self.begun.as_ref() != Some(&labels) {
            self.intake.begin_stream_pairs(&labels)?;
            self.begun = Some(labels);
        }
        Ok(())
    }
}

fn set_name(name: &mut String, key: &str) {
    name.clear();
    name.push_str(key);
}

fn share(shared: &mut SharedMetadata, name: &mut String, value: &AnyValue<'_>, limits: &Limits) {
    value.flatten(name, &mut |name, value| shared.add(name, value, limits));
}

fn share_count(shared: &mut SharedMetadata, name: &str, count: u64, limits: &Limits) {
    if count > 0 {
        shared.add(name, &count.to_string(), limits);
    }
}

/// Adds `value`, under `name`, to labels that take `bytes` so far.
fn add_labels(
    labels: &mut Pairs,
    bytes: &mut usize,
    name: &mut String,
    value: &AnyValue<'_>,
) -> Result<(), DecodeError> {
    let mut nameless = None;
    value.flatten(name, &mut |name, value| {
        if value.is_empty() || *bytes > MAX_LABEL_BYTES {
            return;
        }
        match normalised_name(name) {
            Some(normal) => {
                *bytes += normal.len() + value.len();
                labels.push((normal.into_owned(), value.to_owned()));
            }
            None => nameless = Some(name.to_owned()),
        }
    });
    match nameless {
        Some(name) => Err(IntakeError::from(LabelError::Name(name)).into()),
        None => Ok(()),
    }
}

/// An id as metadata: lower-case hex; `None` when it is empty or all zeros, which both mean that there is none.
fn id_text(id: &Id<'_>) -> Option<String> {
    match id {
        Id::Raw(bytes) => {
            let digit = |n: u8| char::from_digit(n.into(), 16).unwrap_or('0');
            let hex = || bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect();
            bytes.iter().any(|b| *b != 0).then(hex)
        }
        Id::Hex(text) => text.bytes().any(|b| b != b'0').then(|| text.to_ascii_lowercase()),
    }
}
