//! What do the parsers find in a line? As Loki's documentation describes its parsers, the plainest way.

use super::json::{self, Json, Value};
use super::row::{ERROR, Row, label_name};
use super::{go_regex, regex};

use strandline_logql::ast::Extraction;

const JSON_ERROR: &str = "JSONParserErr";

pub fn json_all(row: &mut Row) {
    let line = row.line.clone();
    let (fields, whole) = json::object(&line);
    for (name, field) in &fields {
        flatten(row, &label_name(name), field);
    }
    if !whole {
        row.fail_to_parse(JSON_ERROR);
    }
}

fn flatten(row: &mut Row, name: &str, json: &Json) {
    match &json.value {
        Value::Null | Value::Array(_) => {}
        Value::Plain => row.extract(name, json.text, false),
        Value::String(text) => row.extract(name, text, false),
        Value::Object(fields) => {
            for (inner, field) in fields {
                let inner = label_name(&format!("{name}_{}", inner.trim()));
                flatten(row, &inner, field);
            }
        }
    }
}

pub fn json_some(row: &mut Row, wanted: &[Extraction]) {
    let line = row.line.clone();
    if line.is_empty() {
        return;
    }
    if !line.starts_with(['{', '[', '"']) {
        if !row.named.as_ref().is_some_and(|named| named.is_empty()) {
            row.set(ERROR, JSON_ERROR);
        }
        return;
    }
    // Of a line that breaks off, what comes before.
    let (fields, whole) = json::object(&line);
    let value = if whole || line.starts_with('{') {
        Some(Json { text: &line, value: Value::Object(fields) })
    } else {
        json::value(&line)
    };
    for Extraction { name, expression } in wanted {
        let found = value.as_ref().and_then(|value| at_path(value, expression));
        match found {
            None if row.get(name).is_none() => row.extract(name, "", true),
            None => {}
            Some(Json { value: Value::Null, .. }) => row.extract(name, "", true),
            Some(Json { value: Value::String(text), .. }) => row.extract(name, text, true),
            Some(Json { text, .. }) => row.extract(name, text, true),
        }
    }
}

/// `a.b[0]["any key"]`
fn at_path<'j, 't>(json: &'j Json<'t>, path: &str) -> Option<&'j Json<'t>> {
    let step = regex(r#"^\.?(?:(\w+)|\[(\d+)\]|\["([^"]*)"\])"#);
    let Some(found) = step.captures(path) else { return path.is_empty().then_some(json) };
    let rest = &path[found[0].len()..];
    let inner = match (&json.value, found.get(2)) {
        (Value::Array(all), Some(index)) => all.get(index.as_str().parse::<usize>().unwrap())?,
        (Value::Object(fields), None) => {
            let key = found.get(1).or(found.get(3))?.as_str();
            &fields.iter().find(|(name, _)| name == key)?.1
        }
        _ => return None,
    };
    at_path(inner, rest)
}

pub fn unpack(row: &mut Row) {
    let line = row.line.clone();
    if line.is_empty() {
        return;
    }
    let (fields, whole) = json::object(&line);
    if !whole || !line.starts_with('{') {
        return row.fail_if_named(JSON_ERROR);
    }
    let text = |json: &Json| match &json.value {
        Value::String(text) => Some(text.clone()),
        _ => None,
    };
    let Some(entry) = fields.iter().find(|(name, _)| name == "_entry").and_then(|(_, json)| text(json))
    else {
        return;
    };
    for (name, field) in fields.iter().filter(|(name, _)| name != "_entry") {
        if let Some(text) = text(field) {
            row.extract(&label_name(name), &text, true);
        }
    }
    row.line = entry;
}

/// A key and its value, or a fault.
type Pair = Option<(String, String)>;

fn is_blank(c: char) -> bool {
    c <= ' '
}

fn logfmt_pairs(line: &str) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut rest = line.trim_start_matches(is_blank);
    while !rest.is_empty() {
        let (pair, behind) = logfmt_pair(rest);
        pairs.push(pair);
        rest = behind.trim_start_matches(is_blank);
    }
    pairs
}

/// The first pair of a text, and what stands behind it.
fn logfmt_pair(text: &str) -> (Pair, &str) {
    let (quoted, bare) = (
        regex(r#"(?s)^([^\x00-\x20="]+)="((?:[^"\\]|\\.)*)""#),
        regex(r#"^([^\x00-\x20="]+)(?:=([^\x00-\x20="]*))?(?:[\x00-\x20]|$)"#),
    );
    if let Some(found) = quoted.captures(text) {
        let value = serde_json::from_str(&format!("\"{}\"", &found[2])).ok();
        return (value.map(|value| (found[1].to_owned(), value)), &text[found[0].len()..]);
    }
    if let Some(found) = bare.captures(text) {
        let value = found.get(2).map_or("", |value| value.as_str());
        return (Some((found[1].to_owned(), value.to_owned())), &text[found[0].len()..]);
    }
    // A quote that is not closed takes all that is left.
    if regex(r#"^[^\x00-\x20="]+=""#).is_match(text) {
        return (None, "");
    }
    // From what does not belong there to the next blank.
    let fault = regex(r#"^[^\x00-\x20="]*(?:=[^\x00-\x20="]*)?"#).find(text).map_or(0, |found| found.end());
    let end = text[fault..].find(is_blank).map_or(text.len(), |blank| fault + blank);
    (None, &text[end..])
}

pub fn logfmt(row: &mut Row, strict: bool, keep_empty: bool, wanted: &[Extraction]) {
    for Extraction { name, .. } in wanted {
        if row.shown(name) == *name {
            row.extract(name, "", true);
        }
    }
    for pair in logfmt_pairs(&row.line.clone()) {
        let Some((key, value)) = pair else {
            if strict {
                return row.fail_to_parse("LogfmtParserErr");
            }
            continue;
        };
        let key = label_name(&key);
        if wanted.is_empty() {
            if keep_empty || !value.is_empty() {
                row.extract(&key, &value, false);
            }
            continue;
        }
        let asked = |wanted: &&Extraction| label_name(wanted.expression.trim_matches('"')) == key;
        let target = wanted.iter().find(asked).or_else(|| wanted.iter().find(|wanted| wanted.name == key));
        if let Some(target) = target {
            row.extract(&target.name, &value, true);
        }
    }
}

pub fn regexp(row: &mut Row, pattern: &str) {
    let regex = go_regex(pattern);
    let line = row.line.clone();
    let Some(found) = regex.captures(&line) else { return };
    for name in regex.capture_names().flatten() {
        row.extract(name, found.name(name).map_or("", |group| group.as_str()), false);
    }
}

/// The captures of a pattern, each behind its literal: `a <b> c<d>` is `("a ", b), (" c", d)`, and the literal at the end.
pub fn pattern_parts(pattern: &str) -> (Vec<(&str, &str)>, &str) {
    let capture = regex("<([A-Za-z_][A-Za-z0-9_]*)>");
    let mut parts = Vec::new();
    let mut at = 0;
    for found in capture.captures_iter(pattern) {
        let whole = found.get(0).unwrap();
        parts.push((&pattern[at..whole.start()], found.get(1).unwrap().as_str()));
        at = whole.end();
    }
    (parts, &pattern[at..])
}

pub fn pattern(row: &mut Row, pattern: &str) {
    let (parts, last) = pattern_parts(pattern);
    let line = row.line.clone();
    let Some(mut rest) = line.strip_prefix(parts[0].0).filter(|_| !line.is_empty()) else { return };
    for (i, (_, name)) in parts.iter().enumerate() {
        let literal = parts.get(i + 1).map_or(last, |part| part.0);
        let hit = if literal.is_empty() { None } else { rest.split_once(literal) };
        if *name != "_" {
            row.extract(name, hit.map_or(rest, |(value, _)| value), false);
        }
        match hit {
            Some((_, behind)) => rest = behind,
            None => return,
        }
    }
}
