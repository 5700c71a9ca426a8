//! A naive encoder of exports, for tests: OTLP's JSON in, the same message as protobuf out. Also used by `tests/it`.

use serde_json::Value;

/// An `ExportLogsServiceRequest`.
pub fn export(json: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for logs in list(json, "resourceLogs") {
        let mut message = Vec::new();
        // Last, for nothing promises that it comes first.
        for scope_logs in list(logs, "scopeLogs") {
            field(&mut message, 2, &scope_message(scope_logs));
        }
        if let Some(resource) = logs.get("resource") {
            let mut inner = Vec::new();
            attributes(&mut inner, 1, resource);
            number(&mut inner, 2, resource, "droppedAttributesCount");
            field(&mut message, 1, &inner);
        }
        field(&mut message, 3, b"schema");
        field(&mut out, 1, &message);
    }
    out
}

fn scope_message(json: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for record in list(json, "logRecords") {
        field(&mut out, 2, &record_message(record));
    }
    if let Some(scope) = json.get("scope") {
        let mut inner = Vec::new();
        text(&mut inner, 1, scope, "name");
        text(&mut inner, 2, scope, "version");
        attributes(&mut inner, 3, scope);
        number(&mut inner, 4, scope, "droppedAttributesCount");
        field(&mut out, 1, &inner);
    }
    out
}

fn record_message(json: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, name) in [(1, "timeUnixNano"), (11, "observedTimeUnixNano")] {
        if let Some(time) = json.get(name) {
            varint(&mut out, number << 3 | 1);
            out.extend_from_slice(&integer(time).to_le_bytes());
        }
    }
    number(&mut out, 2, json, "severityNumber");
    text(&mut out, 3, json, "severityText");
    if let Some(body) = json.get("body") {
        field(&mut out, 5, &value_message(body));
    }
    attributes(&mut out, 6, json);
    number(&mut out, 7, json, "droppedAttributesCount");
    if let Some(flags) = json.get("flags") {
        varint(&mut out, 8 << 3 | 5);
        out.extend_from_slice(&(integer(flags) as u32).to_le_bytes());
    }
    for (number, name) in [(9, "traceId"), (10, "spanId")] {
        if let Some(id) = json.get(name).and_then(Value::as_str) {
            let byte = |at: usize| u8::from_str_radix(id.get(at..at + 2).unwrap_or("0"), 16).unwrap_or(0);
            let bytes: Vec<u8> = (0..id.len()).step_by(2).map(byte).collect();
            field(&mut out, number, &bytes);
        }
    }
    text(&mut out, 12, json, "eventName");
    out
}

fn value_message(json: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let Some((kind, value)) = json.as_object().and_then(|object| object.iter().next()) else { return out };
    match kind.as_str() {
        "stringValue" => field(&mut out, 1, value.as_str().unwrap_or("").as_bytes()),
        "boolValue" => {
            varint(&mut out, 2 << 3);
            varint(&mut out, u64::from(value == &Value::Bool(true)));
        }
        "intValue" => {
            varint(&mut out, 3 << 3);
            varint(&mut out, integer(value));
        }
        "doubleValue" => {
            varint(&mut out, 4 << 3 | 1);
            out.extend_from_slice(&value.as_f64().unwrap_or(f64::NAN).to_le_bytes());
        }
        "arrayValue" => {
            let mut inner = Vec::new();
            for element in list(value, "values") {
                field(&mut inner, 1, &value_message(element));
            }
            field(&mut out, 5, &inner);
        }
        "kvlistValue" => {
            let mut inner = Vec::new();
            for pair in list(value, "values") {
                field(&mut inner, 1, &pair_message(pair));
            }
            field(&mut out, 6, &inner);
        }
        // Base64 in JSON; only what tests need.
        "bytesValue" if value == "AP8=" => field(&mut out, 7, b"\0\xff"),
        _ => {}
    }
    out
}

fn pair_message(json: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    text(&mut out, 1, json, "key");
    if let Some(value) = json.get("value") {
        field(&mut out, 2, &value_message(value));
    }
    out
}

fn attributes(out: &mut Vec<u8>, number: u64, json: &Value) {
    for pair in list(json, "attributes") {
        field(out, number, &pair_message(pair));
    }
}

fn list<'a>(json: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    json.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// A number, or a text that holds one; negative ones as two's complement.
fn integer(json: &Value) -> u64 {
    let wide = |text: &str| text.parse::<i128>().unwrap_or(0) as u64;
    json.as_str().map_or_else(|| wide(&json.to_string()), wide)
}

fn text(out: &mut Vec<u8>, number: u64, json: &Value, name: &str) {
    if let Some(text) = json.get(name).and_then(Value::as_str) {
        field(out, number, text.as_bytes());
    }
}

fn number(out: &mut Vec<u8>, number: u64, json: &Value, name: &str) {
    if let Some(value) = json.get(name) {
        varint(out, number << 3);
        varint(out, integer(value));
    }
}

fn field(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, n: u64) {
    strandline_model::metadata::put_varint(out, n);
}
