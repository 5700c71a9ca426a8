//! Which resources, scopes and records does an `ExportLogsServiceRequest` hold? (`schema/otlp.proto`)
//!
//! Nothing promises that a resource stands before its records, nor a scope: both are looked for first.

use super::super::error::DecodeError;
use super::super::wire::{Fields, WireError};
use super::export::{Export, Id, Record};
use super::parts::Parts;
use super::value::AnyValue;
use crate::metadata::text_or_spaces;
use std::borrow::Cow;

/// Feeds all records of an export.
pub(super) fn read_export(message: &[u8], export: &mut Export<'_, '_>) -> Result<(), DecodeError> {
    for field in Fields(message) {
        if let (1, value) = field? {
            read_resource_logs(value.bytes("ResourceLogs")?, export)?;
        }
    }
    Ok(())
}

fn read_resource_logs(message: &[u8], export: &mut Export<'_, '_>) -> Result<(), DecodeError> {
    export.begin_resource();
    for field in Fields(message) {
        if let (1, value) = field? {
            read_resource(value.bytes("Resource")?, export)?;
        }
    }
    export.end_resource()?;
    for field in Fields(message) {
        if let (2, value) = field? {
            read_scope_logs(value.bytes("ScopeLogs")?, export)?;
        }
    }
    Ok(())
}

fn read_resource(message: &[u8], export: &mut Export<'_, '_>) -> Result<(), DecodeError> {
    let mut parts = Parts::default();
    for field in Fields(message) {
        match field? {
            (1, value) => {
                let (key, value) = key_value(value.bytes("Attributes")?, 0, &mut parts)?;
                export.resource_attribute(&key, &value)?;
            }
            (2, value) => export.resource_dropped_attributes(value.varint("DroppedAttributesCount")?),
            _ => {}
        }
    }
    Ok(())
}

fn read_scope_logs(message: &[u8], export: &mut Export<'_, '_>) -> Result<(), DecodeError> {
    export.begin_scope();
    for field in Fields(message) {
        if let (1, value) = field? {
            read_scope(value.bytes("Scope")?, export)?;
        }
    }
    for field in Fields(message) {
        if let (2, value) = field? {
            export.record(&read_record(value.bytes("LogRecords")?)?)?;
        }
    }
    Ok(())
}

fn read_scope(message: &[u8], export: &mut Export<'_, '_>) -> Result<(), DecodeError> {
    let (mut name, mut version, mut dropped) = (Cow::Borrowed(""), Cow::Borrowed(""), 0);
    let mut parts = Parts::default();
    for field in Fields(message) {
        match field? {
            (1, value) => name = text_or_spaces(value.bytes("Name")?),
            (2, value) => version = text_or_spaces(value.bytes("Version")?),
            (3, value) => {
                let (key, value) = key_value(value.bytes("Attributes")?, 0, &mut parts)?;
                export.scope_attribute(&key, &value);
            }
            (4, value) => dropped = value.varint("DroppedAttributesCount")?,
            _ => {}
        }
    }
    export.end_scope(&name, &version, dropped);
    Ok(())
}

fn read_record(message: &[u8]) -> Result<Record<'_>, DecodeError> {
    let mut record = Record::default();
    let mut parts = Parts::default();
    for field in Fields(message) {
        match field? {
            (1, value) => record.time = value.fixed64("TimeUnixNano")?,
            (11, value) => record.observed = value.fixed64("ObservedTimeUnixNano")?,
            (2, value) => record.severity_number = value.varint("SeverityNumber")? as i64,
            (3, value) => record.severity_text = text_or_spaces(value.bytes("SeverityText")?),
            (5, value) => record.body = Some(any_value(value.bytes("Body")?, 0, &mut parts)?),
            (6, value) => {
                record.attributes.push(key_value(value.bytes("Attributes")?, 0, &mut parts)?);
            }
            (7, value) => record.dropped_attributes = value.varint("DroppedAttributesCount")?,
            (8, value) => record.flags = value.fixed32("Flags")?,
            (9, value) => record.trace_id = Some(Id::Raw(value.bytes("TraceId")?)),
            (10, value) => record.span_id = Some(Id::Raw(value.bytes("SpanId")?)),
            (12, value) => record.event_name = text_or_spaces(value.bytes("EventName")?),
            _ => {}
        }
    }
    Ok(record)
}

fn key_value<'a>(
    message: &'a [u8],
    depth: usize,
    parts: &mut Parts,
) -> Result<(Cow<'a, str>, AnyValue<'a>), DecodeError> {
    let (mut key, mut content) = (Cow::Borrowed(""), AnyValue::Empty);
    parts.count(depth)?;
    for field in Fields(message) {
        match field? {
            (1, value) => key = text_or_spaces(value.bytes("Key")?),
            (2, value) => content = any_value(value.bytes("Value")?, depth, parts)?,
            _ => {}
        }
    }
    Ok((key, content))
}

fn any_value<'a>(message: &'a [u8], depth: usize, parts: &mut Parts) -> Result<AnyValue<'a>, DecodeError> {
    parts.count(depth)?;
    let mut found = AnyValue::Empty;
    for field in Fields(message) {
        found = match field? {
            (1, value) => AnyValue::Text(Cow::Borrowed(value.bytes("StringValue")?)),
            (2, value) => AnyValue::Bool(value.varint("BoolValue")? != 0),
            (3, value) => AnyValue::Int(value.varint("IntValue")? as i64),
            (4, value) => AnyValue::Double(f64::from_bits(value.fixed64("DoubleValue")?)),
            (5, value) => {
                let values = elements(value.bytes("ArrayValue")?, "Values");
                let read = |message: Result<&'a [u8], WireError>| any_value(message?, depth + 1, parts);
                AnyValue::List(values.map(read).collect::<Result<_, _>>()?)
            }
            (6, value) => {
                let pairs = elements(value.bytes("KvlistValue")?, "Values");
                let read = |message: Result<&'a [u8], WireError>| key_value(message?, depth + 1, parts);
                AnyValue::Map(pairs.map(read).collect::<Result<_, _>>()?)
            }
            (7, value) => AnyValue::Bytes(value.bytes("BytesValue")?),
            _ => continue,
        };
    }
    Ok(found)
}

/// The messages in field 1 of a list.
fn elements<'a>(
    list: &'a [u8],
    name: &'static str,
) -> impl Iterator<Item = Result<&'a [u8], WireError>> + use<'a> {
    Fields(list).filter_map(move |field| match field {
        Ok((1, value)) => Some(value.bytes(name)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}
