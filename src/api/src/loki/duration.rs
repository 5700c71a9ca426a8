//! How long is `1h30m`? Durations and numbers of seconds as Prometheus writes them.

use strandline_model::time::{DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS};

/// Units from the largest to the smallest: they come in this order, each at most once.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * DAY_NS),
    ("w", 7 * DAY_NS),
    ("d", DAY_NS),
    ("h", HOUR_NS),
    ("m", MINUTE_NS),
    ("s", SECOND_NS),
    ("ms", 1_000_000),
];

/// Nanoseconds of a Prometheus duration: whole numbers with units, `0` without one.
pub(crate) fn prometheus(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total = 0i64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = rest.get(..letters)?;
        let (_, ns) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.checked_mul(*ns)?)?;
        rest = rest.get(letters..)?;
    }
    (!text.is_empty()).then_some(total)
}

/// Nanoseconds of a number of seconds or of a Prometheus duration.
pub(crate) fn seconds_or_duration(text: &str) -> Option<i64> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => {
            let ns = seconds * SECOND_NS as f64;
            (ns.abs() < i64::MAX as f64).then_some(ns as i64)
        }
        Ok(_) => None,
        Err(_) => prometheus(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_prometheus_reads_them() {
        for (text, wanted) in [
            ("1h30m", Some(90 * MINUTE_NS)),
            ("250ms", Some(250_000_000)),
            ("1m5s7ms", Some(65 * SECOND_NS + 7_000_000)),
            ("1y2w3d", Some((365 + 14 + 3) * DAY_NS)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("1.5m", None),
            ("1m1h", None),
            ("1m1m", None),
            ("-1m", None),
            ("1x", None),
            ("h", None),
            ("9999999999y", None),
            ("é", None),
        ] {
            assert_eq!(prometheus(text), wanted, "{text}");
        }
        assert_eq!(seconds_or_duration("1.5"), Some(1_500_000_000));
        assert_eq!(seconds_or_duration("-2"), Some(-2 * SECOND_NS));
        assert_eq!(seconds_or_duration("5000ms"), Some(5 * SECOND_NS));
        assert_eq!(seconds_or_duration("1.5m"), None);
        assert_eq!((seconds_or_duration("NaN"), seconds_or_duration("1e300")), (None, None));
    }
}
