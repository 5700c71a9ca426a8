//! Is a label worth filtering by? Not if all its values are names of single things.

use std::collections::BTreeSet;
use strandline_logql::units::parse_float;

/// Shown whatever their values look like.
const ALWAYS: [&str; 4] = ["cluster", "instance", "namespace", "pod"];

/// Whether a label with these values is shown.
pub(super) fn is_relevant(name: &str, values: &BTreeSet<String>) -> bool {
    let is_flag = || values.len() <= 2 && values.iter().all(|value| value == "0" || value == "1");
    let names_things = || values.iter().all(|value| is_id(value));
    !values.is_empty() && (ALWAYS.contains(&name) || is_flag() || !names_things())
}

fn is_id(value: &str) -> bool {
    parse_float(value).is_ok() || is_uuid(value)
}

/// Whether this is a UUID in any of the forms that Go's `uuid.Parse` takes: with hyphens, behind `urn:uuid:`, in braces, or
/// as hexadecimal digits alone.
fn is_uuid(value: &str) -> bool {
    let bare = match value.len() {
        45 if value.get(..9).is_some_and(|urn| urn.eq_ignore_ascii_case("urn:uuid:")) => value.get(9..),
        38 => value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')),
        36 => Some(value),
        32 => return value.bytes().all(|b| b.is_ascii_hexdigit()),
        _ => None,
    };
    bare.is_some_and(|bare| {
        bare.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relevant(name: &str, values: &[&str]) -> bool {
        is_relevant(name, &values.iter().map(|value| (*value).to_owned()).collect())
    }

    #[test]
    fn labels_of_ids_are_left_out() {
        for (name, values, wanted) in [
            ("app", &["web", "db"][..], true),
            ("app", &[], false),
            ("pod", &[], false),
            ("port", &["80", "8080"], false),
            ("port", &["80", "8080", "http"], true),
            ("load", &["1e3", "-0.5", "NaN"], false),
            ("flag", &["0", "1"], true),
            ("flag", &["1"], true),
            ("flag", &["0", "2"], false),
            ("flag", &["0", "1", "2"], false),
            ("pod", &["1", "2"], true),
            ("cluster", &["7"], true),
            ("id", &["8c2f0f6e-9d5f-4c7a-8f3d-0a1b2c3d4e5f", "8c2f0f6e9d5f4c7a8f3d0a1b2c3d4e5f"], false),
            ("id", &["{8c2f0f6e-9d5f-4c7a-8f3d-0a1b2c3d4e5f}"], false),
            ("id", &["urn:uuid:8c2f0f6e-9d5f-4c7a-8f3d-0a1b2c3d4e5f"], false),
            ("id", &["8c2f0f6e-9d5f-4c7a-8f3d-0a1b2c3d4e5g"], true),
            ("id", &["8c2f0f6e09d5f04c7a08f3d00a1b2c3d4e5f"], true),
        ] {
            assert_eq!(relevant(name, values), wanted, "{name} {values:?}");
        }
    }
}
