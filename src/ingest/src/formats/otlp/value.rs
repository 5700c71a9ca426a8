//! What does an `AnyValue` say, as a line, as the text of a label or metadata, and as JSON?

use crate::metadata::text_or_spaces;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use std::fmt::{Display, Write};

/// A value of an attribute or body, borrowed from the message where it can be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum AnyValue<'a> {
    /// No value is set.
    Empty,
    /// A text; in protobuf it may be any bytes.
    Text(Cow<'a, [u8]>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    List(Vec<AnyValue<'a>>),
    /// In the order of the message, names may repeat.
    Map(Vec<(Cow<'a, str>, AnyValue<'a>)>),
}

impl<'a> AnyValue<'a> {
    /// The value as a line: a text byte for byte, all else as [`Self::text`].
    pub(super) fn line(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Text(bytes) => Cow::Borrowed(bytes),
            other => match other.text() {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            },
        }
    }

    /// The value as text: lists and maps as compact JSON, bytes as base64.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Empty => Cow::Borrowed(""),
            Self::Text(bytes) => text_or_spaces(bytes),
            Self::Bytes(bytes) => Cow::Owned(STANDARD.encode(bytes)),
            Self::Bool(_) | Self::Int(_) | Self::Double(_) | Self::List(_) | Self::Map(_) => {
                let mut out = String::new();
                self.write(&mut out);
                Cow::Owned(out)
            }
        }
    }

    /// Appends the value as JSON, but for what a number cannot say there.
    fn write(&self, out: &mut String) {
        match self {
            Self::Empty => out.push_str("null"),
            Self::Text(bytes) => push_quoted(out, &text_or_spaces(bytes)),
            Self::Bytes(bytes) => push_quoted(out, &STANDARD.encode(bytes)),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) => push_display(out, value),
            Self::Double(value) => push_double(out, *value),
            Self::List(values) => {
                out.push('[');
                for (i, value) in values.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    value.write_within(out);
                }
                out.push(']');
            }
            Self::Map(pairs) => write_map(out, pairs),
        }
    }

    fn write_within(&self, out: &mut String) {
        match self {
            Self::Double(value) if !value.is_finite() => {
                out.push('"');
                push_double(out, *value);
                out.push('"');
            }
            other => other.write(out),
        }
    }

    /// Calls `with` for this value, or for each leaf of a map, with the name that leads there: `parent_child`.
    pub(super) fn flatten(&self, name: &mut String, with: &mut impl FnMut(&str, &str)) {
        let Self::Map(pairs) = self else { return with(name, &self.text()) };
        let parent = name.len();
        for (key, value) in pairs {
            name.push('_');
            name.push_str(key);
            value.flatten(name, with);
            name.truncate(parent);
        }
    }
}

/// Names in their order and each once, as Loki has them; the last of equal ones counts.
fn write_map(out: &mut String, pairs: &[(Cow<'_, str>, AnyValue<'_>)]) {
    let mut sorted: Vec<&(Cow<'_, str>, AnyValue<'_>)> = pairs.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    out.push('{');
    let mut first = true;
    for (i, (key, value)) in sorted.iter().enumerate() {
        if sorted.get(i + 1).is_some_and(|next| next.0 == *key) {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        push_quoted(out, key);
        out.push(':');
        value.write_within(out);
    }
    out.push('}');
}

fn push_quoted(out: &mut String, text: &str) {
    // Text always has a form in JSON.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// The shortest text that reads back, with an exponent where Go's encoder has one.
fn push_double(out: &mut String, value: f64) {
    let size = value.abs();
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((digits, power)) if !power.starts_with('-') => {
                push_display(out, &format_args!("{digits}e+{power}"));
            }
            _ => out.push_str(&text),
        }
    } else {
        push_display(out, &value);
    }
}

fn push_display(out: &mut String, what: &dyn Display) {
    // Writing into a string does not fail.
    let _ = write!(out, "{what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> AnyValue<'static> {
        AnyValue::Text(Cow::Owned(value.as_bytes().to_vec()))
    }

    #[test]
    fn values_as_text() {
        let list = |values: &[AnyValue<'static>]| AnyValue::List(values.to_vec());
        let map = |pairs: &[(&'static str, AnyValue<'static>)]| {
            AnyValue::Map(pairs.iter().map(|(k, v)| (Cow::Borrowed(*k), v.clone())).collect())
        };
        for (value, wanted) in [
            (AnyValue::Empty, ""),
            (text("a\"b"), "a\"b"),
            (AnyValue::Bool(true), "true"),
            (AnyValue::Int(-3), "-3"),
            (AnyValue::Double(1.5), "1.5"),
            (AnyValue::Double(2.0), "2"),
            (AnyValue::Double(1e21), "1e+21"),
            (AnyValue::Double(-1e20), "-100000000000000000000"),
            (AnyValue::Double(2.5e-7), "2.5e-7"),
            (AnyValue::Double(0.000_001), "0.000001"),
            (AnyValue::Double(f64::NAN), "NaN"),
            (AnyValue::Bytes(b"\x00\xff"), "AP8="),
            (list(&[]), "[]"),
            (list(&[text("x\n"), AnyValue::Int(1), AnyValue::Empty]), "[\"x\\n\",1,null]"),
            (list(&[AnyValue::Double(f64::INFINITY), AnyValue::Bytes(b"a")]), "[\"+Inf\",\"YQ==\"]"),
            (
                map(&[("b", AnyValue::Int(1)), ("a", list(&[map(&[])])), ("b", AnyValue::Int(2))]),
                "{\"a\":[{}],\"b\":2}",
            ),
        ] {
            assert_eq!(value.text(), wanted, "{value:?}");
            assert_eq!(value.line(), wanted.as_bytes(), "{value:?}");
        }
        assert_eq!(AnyValue::Text(Cow::Borrowed(b"a\xffb")).line(), b"a\xffb".as_slice());
        assert_eq!(AnyValue::Text(Cow::Borrowed(b"a\xffb")).text(), "a b");
    }

    #[test]
    fn maps_become_pairs() {
        let inner = AnyValue::Map(vec![("c".into(), text("1")), ("d".into(), AnyValue::List(vec![]))]);
        let value = AnyValue::Map(vec![("b".into(), inner), ("e".into(), AnyValue::Bool(false))]);
        let mut pairs = Vec::new();
        value.flatten(&mut "a".to_owned(), &mut |name, value| pairs.push(format!("{name}={value}")));
        assert_eq!(pairs, ["a_b_c=1", "a_b_d=[]", "a_e=false"]);
    }
}
