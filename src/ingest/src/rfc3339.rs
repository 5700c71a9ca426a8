//! How does a timestamp read in a message? In RFC 3339, UTC, whole seconds.

use std::fmt;
use strandline_model::Day;
use strandline_model::time::SECOND_NS;

/// Nanoseconds since the epoch that print as `2026-11-21T00:43:13Z`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rfc3339(pub(crate) i64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = self.0.div_euclid(SECOND_NS).rem_euclid(86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{}T{hour:02}:{minute:02}:{second:02}Z", Day::of(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-5, "1969-12-31T23:59:59Z"),
            (1_795_219_723_999_999_999, "2026-11-21T00:08:43Z"),
            (i64::MAX, "2262-04-11T23:47:16Z"),
            (i64::MIN, "1677-09-21T00:12:43Z"),
        ] {
            assert_eq!(Rfc3339(ns).to_string(), text);
        }
    }
}
