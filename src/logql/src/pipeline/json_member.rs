//! Can a line's JSON have this field with this value? A search that is much faster than to read the JSON, and never says
//! no where reading it would say yes.
//!
//! A label without `_` is a field of the outermost object, and stands there letter by letter unless it has an escape.

use memchr::memmem::Finder;

/// A field, and the values of which it must have one.
#[derive(Debug, Clone)]
pub(super) struct JsonMember {
    label: String,
    field: Finder<'static>,
    values: Vec<String>,
    escape: Finder<'static>,
}

impl JsonMember {
    /// `None`: nothing can be told of such a field or such values.
    pub(super) fn new(label: &str, values: &[String]) -> Option<Self> {
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        // A digit in front gets a `_`, which is none of the field's.
        let starts_plain = label.starts_with(|c: char| c.is_ascii_alphabetic());
        (starts_plain && plain(label) && values.iter().all(|value| plain(value))).then(|| Self {
            label: label.to_owned(),
            field: Finder::new(label.as_bytes()).into_owned(),
            values: values.to_vec(),
            escape: Finder::new(b"\\u").into_owned(),
        })
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Whether the line may have the field with one of the values.
    pub(super) fn may_be_in(&self, line: &[u8]) -> bool {
        let mut from = 0;
        while let Some(hit) = line.get(from..).and_then(|rest| self.field.find(rest)) {
            from += hit + self.label.len();
            let rest = line.get(from..).unwrap_or_default();
            if self.is_followed_by_value(rest) {
                return true;
            }
        }
        self.escape.find(line).is_some()
    }

    fn is_followed_by_value(&self, rest: &[u8]) -> bool {
        let rest = match rest.first() {
            Some(b'"') => rest.get(1..).unwrap_or_default(),
            // Blanks around a name do not count, and behind a false escape anything may come.
            Some(b) => return b.is_ascii_whitespace() || *b == b'\\' || !b.is_ascii(),
            None => return false,
        };
        let Some(value) = rest.trim_ascii_start().strip_prefix(b":") else { return false };
        let value = value.trim_ascii_start();
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        self.values.iter().any(|wanted| value.starts_with(wanted.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_with_the_field_and_a_value_may_have_them() {
        let member = JsonMember::new("id", &["12".to_owned(), "ab-c".to_owned()]).unwrap();
        for (line, wanted) in [
            (r#"{"id":12}"#, true),
            (r#"{"id": "12"}"#, true),
            ("{\"x\":1,\"id\" \t:\n\"ab-c\"}", true),
            (r#"{"id":3,"id":12}"#, true),
            (r#"{"id ":"12"}"#, true),
            (r#"{"\u0069d":12}"#, true),
            (r#"{"id":"1\u0032"}"#, true),
            (r#"{"id":13,"x":12}"#, false),
            (r#"{"idx":12}"#, false),
            (r#"{"id":"ab"}"#, false),
            (r#"{"id"#, false),
            ("", false),
        ] {
            assert_eq!(member.may_be_in(line.as_bytes()), wanted, "{line}");
        }
        for (label, value) in [("a_b", "1"), ("1a", "1"), ("a", ""), ("a", "x/y"), ("a", "é")] {
            assert!(JsonMember::new(label, &[value.to_owned()]).is_none(), "{label} {value}");
        }
    }
}
