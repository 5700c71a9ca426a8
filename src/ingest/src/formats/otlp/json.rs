//! Which resources, scopes and records does an export in JSON hold? OTLP's own mapping: ids in hex, numbers of 64 bits
//! as texts or numbers, enums as numbers or names.
//!
//! Lenient where nothing can be misunderstood: names in camel and snake case, in any order, `null` for what is not
//! there, values that stand without their type.

use super::super::error::DecodeError;
use super::super::json_reader::{JsonError, Reader};
use super::export::{Export, Id, Record};
use super::parts::Parts;
use super::value::AnyValue;
use std::borrow::Cow;

/// Feeds all records of an export.
pub(super) fn read_export(body: &[u8], export: &mut Export<'_, '_>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(body);
    each_key(&mut reader, "expected an object", |reader, key| match key {
        "resourceLogs" | "resource_logs" => each_element(reader, |reader| resource_logs(reader, export)),
        _ => skip(reader),
    })?;
    Ok(reader.end()?)
}

/// Calls `with` before each value of the object that stands next; `null` in its place is an empty one.
fn each_key<'a>(
    reader: &mut Reader<'a>,
    what: &'static str,
    mut with: impl FnMut(&mut Reader<'a>, &str) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    if reader.null()? {
        return Ok(());
    }
    reader.expect(b'{', what)?;
    let mut first = true;
    while let Some(key) = reader.next_key(&mut first)? {
        with(reader, &key)?;
    }
    Ok(())
}

/// Calls `with` before each element of the array that stands next; `null` in its place is an empty one.
fn each_element<'a>(
    reader: &mut Reader<'a>,
    mut with: impl FnMut(&mut Reader<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    if reader.null()? {
        return Ok(());
    }
    reader.expect(b'[', "expected an array")?;
    let mut first = true;
    while reader.next_element(&mut first)? {
        with(reader)?;
    }
    Ok(())
}

fn skip(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    reader.skip()?;
    Ok(())
}

/// A list that may stand before what it belongs to: it is passed over and read at the object's end.
struct Late<'a> {
    place: Option<Reader<'a>>,
}

impl<'a> Late<'a> {
    /// Passes over the list, to come back to it.
    fn pass(&mut self, reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        if self.place.is_some() {
            return Err(reader.error("the same list twice in one object").into());
        }
        self.place = Some(*reader);
        skip(reader)
    }
}

fn resource_logs(reader: &mut Reader<'_>, export: &mut Export<'_, '_>) -> Result<(), DecodeError> {
    let mut list = Late { place: None };
    export.begin_resource();
    each_key(reader, "expected resource logs", |reader, key| match key {
        "resource" => resource(reader, export),
        "scopeLogs" | "scope_logs" => list.pass(reader),
        _ => skip(reader),
    })?;
    export.end_resource()?;
    match list.place {
        Some(mut place) => each_element(&mut place, |reader| scope_logs(reader, export)),
        None => Ok(()),
    }
}

fn resource(reader: &mut Reader<'_>, export: &mut Export<'_, '_>) -> Result<(), DecodeError> {
    let mut parts = Parts::default();
    each_key(reader, "expected a resource", |reader, key| match key {
        "attributes" => each_element(reader, |reader| {
            let (key, value) = key_value(reader, 0, &mut parts)?;
            export.resource_attribute(&key, &value)
        }),
        "droppedAttributesCount" | "dropped_attributes_count" => {
            export.resource_dropped_attributes(unsigned(reader)?);
            Ok(())
        }
        _ => skip(reader),
    })
}

fn scope_logs(reader: &mut Reader<'_>, export: &mut Export<'_, '_>) -> Result<(), DecodeError> {
    let mut list = Late { place: None };
    export.begin_scope();
    each_key(reader, "expected scope logs", |reader, key| match key {
        "scope" => scope(reader, export),
        "logRecords" | "log_records" => list.pass(reader),
        _ => skip(reader),
    })?;
    match list.place {
        Some(mut place) => each_element(&mut place, |reader| export.record(&record(reader)?)),
        None => Ok(()),
    }
}

fn scope(reader: &mut Reader<'_>, export: &mut Export<'_, '_>) -> Result<(), DecodeError> {
    let (mut name, mut version, mut dropped) = (Cow::Borrowed(""), Cow::Borrowed(""), 0);
    let mut parts = Parts::default();
    each_key(reader, "expected a scope", |reader, key| {
        match key {
            "name" => name = text(reader)?.0,
            "version" => version = text(reader)?.0,
            "attributes" => each_element(reader, |reader| {
                let (key, value) = key_value(reader, 0, &mut parts)?;
                export.scope_attribute(&key, &value);
                Ok(())
            })?,
            "droppedAttributesCount" | "dropped_attributes_count" => dropped = unsigned(reader)?,
            _ => skip(reader)?,
        }
        Ok(())
    })?;
    export.end_scope(&name, &version, dropped);
    Ok(())
}

fn record<'a>(reader: &mut Reader<'a>) -> Result<Record<'a>, DecodeError> {
    let mut record = Record::default();
    let mut parts = Parts::default();
    each_key(reader, "expected a log record", |reader, key| {
        match key {
            "timeUnixNano" | "time_unix_nano" => record.time = unsigned(reader)?,
            "observedTimeUnixNano" | "observed_time_unix_nano" => record.observed = unsigned(reader)?,
            "severityNumber" | "severity_number" => record.severity_number = severity(reader)?,
            "severityText" | "severity_text" => record.severity_text = text(reader)?.0,
            "body" => {
                let (body, replaced) = any_value(reader, 0, &mut parts)?;
                (record.body, record.replaced) = (Some(body), replaced);
            }
            "attributes" => each_element(reader, |reader| {
                record.attributes.push(key_value(reader, 0, &mut parts)?);
                Ok(())
            })?,
            "droppedAttributesCount" | "dropped_attributes_count" => {
                record.dropped_attributes = unsigned(reader)?;
            }
            "flags" => record.flags = unsigned(reader)? as u32,
            "traceId" | "trace_id" => record.trace_id = Some(Id::Hex(text(reader)?.0)),
            "spanId" | "span_id" => record.span_id = Some(Id::Hex(text(reader)?.0)),
            "eventName" | "event_name" => record.event_name = text(reader)?.0,
            _ => skip(reader)?,
        }
        Ok(())
    })?;
    Ok(record)
}

fn key_value<'a>(
    reader: &mut Reader<'a>,
    depth: usize,
    parts: &mut Parts,
) -> Result<(Cow<'a, str>, AnyValue<'a>), DecodeError> {
    let (mut name, mut content) = (Cow::Borrowed(""), AnyValue::Empty);
    parts.count(depth)?;
    each_key(reader, "expected an attribute", |reader, key| {
        match key {
            "key" => name = text(reader)?.0,
            "value" => content = any_value(reader, depth, parts)?.0,
            _ => skip(reader)?,
        }
        Ok(())
    })?;
    Ok((name, content))
}

/// A value, and whether bytes of its text had to be replaced.
fn any_value<'a>(
    reader: &mut Reader<'a>,
    depth: usize,
    parts: &mut Parts,
) -> Result<(AnyValue<'a>, bool), DecodeError> {
    parts.count(depth)?;
    if reader.peek() != b'{' {
        return Ok(bare(reader)?);
    }
    let mut found = (AnyValue::Empty, false);
    each_key(reader, "expected a value", |reader, key| {
        let value = match key {
            // The text of bytes is base64 already, and shown as such.
            "stringValue" | "string_value" | "bytesValue" | "bytes_value" => {
                let (text, replaced) = text(reader)?;
                found.1 |= replaced;
                as_text(text)
            }
            "boolValue" | "bool_value" => AnyValue::Bool(text(reader)?.0 == "true"),
            "intValue" | "int_value" => {
                let text = text(reader)?.0;
                integer(&text).and_then(|n| i64::try_from(n).ok()).map_or(as_text(text), AnyValue::Int)
            }
            "doubleValue" | "double_value" => {
                let text = text(reader)?.0;
                text.parse().map_or(as_text(text), AnyValue::Double)
            }
            "arrayValue" | "array_value" => {
                let mut values = Vec::new();
                each_value(reader, |reader| {
                    values.push(any_value(reader, depth + 1, parts)?.0);
                    Ok(())
                })?;
                AnyValue::List(values)
            }
            "kvlistValue" | "kvlist_value" => {
                let mut pairs = Vec::new();
                each_value(reader, |reader| {
                    pairs.push(key_value(reader, depth + 1, parts)?);
                    Ok(())
                })?;
                AnyValue::Map(pairs)
            }
            _ => return skip(reader),
        };
        found.0 = value;
        Ok(())
    })?;
    Ok(found)
}

/// Elements of `{"values": [...]}`.
fn each_value<'a>(
    reader: &mut Reader<'a>,
    mut with: impl FnMut(&mut Reader<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    each_key(reader, "expected an object of values", |reader, key| match key {
        "values" => each_element(reader, &mut with),
        _ => skip(reader),
    })
}

/// A value without its type, as some write it by hand.
fn bare<'a>(reader: &mut Reader<'a>) -> Result<(AnyValue<'a>, bool), JsonError> {
    Ok(match reader.peek() {
        b'"' => {
            let (text, replaced) = text(reader)?;
            (as_text(text), replaced)
        }
        _ => match reader.scalar()? {
            "null" => (AnyValue::Empty, false),
            other => (as_text(Cow::Borrowed(other)), false),
        },
    })
}

fn as_text(text: Cow<'_, str>) -> AnyValue<'_> {
    AnyValue::Text(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

/// A text; numbers and booleans as they are written, `null` as an empty one. And whether bytes of it were replaced.
fn text<'a>(reader: &mut Reader<'a>) -> Result<(Cow<'a, str>, bool), JsonError> {
    if reader.peek() == b'"' {
        let text = reader.string("expected a text")?;
        return Ok((text.text, text.replaced));
    }
    let scalar = reader.scalar()?;
    Ok((Cow::Borrowed(if scalar == "null" { "" } else { scalar }), false))
}

/// A number that is not negative, as a number or a text; nothing there is 0.
fn unsigned(reader: &mut Reader<'_>) -> Result<u64, JsonError> {
    let place = *reader;
    let text = text(reader)?.0;
    if text.is_empty() {
        return Ok(0);
    }
    let number = integer(&text).and_then(|n| u64::try_from(n).ok());
    number.ok_or_else(|| place.error("expected a number that is not negative"))
}

/// A whole number, also one written as `1e3` or `5.0`.
fn integer(text: &str) -> Option<i128> {
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        // Beyond, a float is no exact number any more, and none that the fields can hold.
        (number.fract() == 0.0 && number.abs() < 1e20).then_some(number as i128)
    })
}

/// A severity number, by number or name (`SEVERITY_NUMBER_WARN2`); an unknown name is none.
fn severity(reader: &mut Reader<'_>) -> Result<i64, JsonError> {
    let text = text(reader)?.0;
    Ok(match integer(&text) {
        Some(number) => i64::try_from(number).unwrap_or(0),
        None => named_severity(&text).unwrap_or(0),
    })
}

fn named_severity(name: &str) -> Option<i64> {
    const NAMES: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
    let name = name.strip_prefix("SEVERITY_NUMBER_")?;
    let (name, step) = match name.as_bytes().last() {
        Some(digit @ b'2'..=b'4') => (name.get(..name.len() - 1)?, i64::from(digit - b'1')),
        _ => (name, 0),
    };
    let place = NAMES.iter().position(|n| *n == name)?;
    Some(place as i64 * 4 + 1 + step)
}
