//! What are the values of a field? Decides what a client offers to do with them.

use strandline_logql::units::{parse_bytes, parse_duration, parse_float};

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Whole numbers.
    Int,
    /// Numbers.
    Float,
    /// True or false.
    Boolean,
    /// Durations as Go writes them.
    Duration,
    /// Sizes with a unit.
    Bytes,
    /// Anything.
    String,
}

impl FieldKind {
    /// The type that one value looks like, tried in Loki's order.
    pub(super) fn of(value: &str) -> Self {
        if value.parse::<i64>().is_ok() {
            Self::Int
        } else if parse_float(value).is_ok() {
            Self::Float
        } else if is_boolean(value) {
            Self::Boolean
        } else if parse_duration(value).is_ok() {
            Self::Duration
        } else if parse_bytes(value).is_ok() {
            Self::Bytes
        } else {
            Self::String
        }
    }

    /// The name that clients know.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Duration => "duration",
            Self::Bytes => "bytes",
            Self::String => "string",
        }
    }
}

/// As Go's `strconv.ParseBool` reads it; numbers come before.
fn is_boolean(value: &str) -> bool {
    matches!(value, "t" | "T" | "true" | "TRUE" | "True" | "f" | "F" | "false" | "FALSE" | "False")
}

/// A size in bytes as a filter can compare it: `2.5 MiB` becomes `2.6MB`. Anything else, plain numbers too, stays.
pub(super) fn comparable(value: &str) -> String {
    if parse_float(value).is_ok() {
        return value.to_owned();
    }
    parse_bytes(value).map_or_else(|_| value.to_owned(), shown_bytes)
}

/// At most three digits and a decimal unit, rounded.
fn shown_bytes(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut scale, mut unit) = (1u64, 0);
    while bytes / scale >= 1000 && unit + 1 < UNITS.len() {
        scale *= 1000;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or("");
    let tenths = (bytes as f64 / scale as f64 * 10.0 + 0.5).floor();
    if bytes >= 10 && tenths < 100.0 {
        format!("{:.1}{name}", tenths / 10.0)
    } else if unit == 0 {
        format!("{bytes}{name}")
    } else {
        format!("{:.0}{name}", tenths / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_type_that_fits_is_the_one() {
        for (value, wanted) in [
            ("42", "int"),
            ("-1", "int"),
            ("+7", "int"),
            ("0", "int"),
            ("9223372036854775808", "float"),
            ("1.5", "float"),
            ("1e3", "float"),
            ("NaN", "float"),
            ("true", "boolean"),
            ("F", "boolean"),
            ("yes", "string"),
            ("tRUE", "string"),
            ("90s", "duration"),
            ("1h2m", "duration"),
            ("1d", "string"),
            ("10KB", "bytes"),
            ("2.5MiB", "bytes"),
            ("512 B", "bytes"),
            ("", "string"),
            ("hello", "string"),
        ] {
            assert_eq!(FieldKind::of(value).name(), wanted, "{value:?}");
        }
    }

    #[test]
    fn sizes_become_comparable_and_nothing_else_changes() {
        for (value, wanted) in [
            ("2.5MiB", "2.6MB"),
            ("3MiB", "3.1MB"),
            ("10KB", "10kB"),
            ("512B", "512B"),
            ("5b", "5B"),
            ("999999B", "1000kB"),
            ("1.5kb", "1.5kB"),
            ("16EiB", "16EiB"),
            ("42", "42"),
            ("1.5", "1.5"),
            ("90s", "90s"),
            ("word", "word"),
        ] {
            assert_eq!(comparable(value), wanted, "{value}");
        }
    }
}
