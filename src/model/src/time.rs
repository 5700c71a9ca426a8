//! Time as the store sees it: i64 nanoseconds since the Unix epoch, UTC days, half-open ranges.

use std::fmt;
use std::str::FromStr;

/// Nanoseconds in a second.
pub const SECOND_NS: i64 = 1_000_000_000;
/// Nanoseconds in a minute.
pub const MINUTE_NS: i64 = 60 * SECOND_NS;
/// Nanoseconds in an hour.
pub const HOUR_NS: i64 = 60 * MINUTE_NS;
/// Nanoseconds in a UTC day.
pub const DAY_NS: i64 = 24 * HOUR_NS;

/// A half-open range of time: `start <= t < end`, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// First nanosecond inside.
    pub start: i64,
    /// First nanosecond after.
    pub end: i64,
}

impl TimeRange {
    /// Everything that a timestamp can name (but `i64::MAX` itself).
    pub const ALL: Self = Self { start: i64::MIN, end: i64::MAX };

    /// A range; empty when `end <= start`.
    pub fn new(start: i64, end: i64) -> Self {
        Self { start, end }
    }

    /// Whether `ts` lies inside.
    pub fn contains(&self, ts: i64) -> bool {
        self.start <= ts && ts < self.end
    }

    /// Whether any of `min..=max` lies inside.
    pub fn overlaps(&self, min: i64, max: i64) -> bool {
        self.start <= max && min < self.end && self.start < self.end
    }

    /// Whether all of `min..=max` lies inside.
    pub fn covers(&self, min: i64, max: i64) -> bool {
        self.start <= min && max < self.end
    }
}

/// A UTC day, counted from 1970-01-01; every i64 nanosecond timestamp has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(pub i32);

impl Day {
    /// The day that `ts` falls in.
    pub fn of(ts: i64) -> Self {
        // i64 nanoseconds span +-106,752 days, so the quotient always fits.
        Self(ts.div_euclid(DAY_NS) as i32)
    }

    /// First nanosecond of the day (saturating at the ends of i64).
    pub fn start_ns(self) -> i64 {
        i64::from(self.0).saturating_mul(DAY_NS)
    }

    /// First nanosecond after the day.
    pub fn end_ns(self) -> i64 {
        (i64::from(self.0) + 1).saturating_mul(DAY_NS)
    }
}

/// `YYYY-MM-DD`, proleptic Gregorian; the algorithm is Howard Hinnant's `civil_from_days`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let z = i64::from(self.0) + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// A timestamp as people read it: prints as `2026-11-21T00:43:13Z` (RFC 3339, UTC, whole seconds).
#[derive(Debug, Clone, Copy)]
pub struct Rfc3339(pub i64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = self.0.div_euclid(SECOND_NS).rem_euclid(86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{}T{hour:02}:{minute:02}:{second:02}Z", Day::of(self.0))
    }
}

/// The same with as many digits of the second's fraction as it has: `2026-11-21T00:43:13.5Z`.
#[derive(Debug, Clone, Copy)]
pub struct Rfc3339Nano(pub i64);

impl fmt::Display for Rfc3339Nano {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:09}", self.0.rem_euclid(SECOND_NS));
        let fraction = fraction.trim_end_matches('0');
        let second = Rfc3339(self.0).to_string();
        let point = if fraction.is_empty() { "" } else { "." };
        write!(f, "{}{point}{fraction}Z", second.trim_end_matches('Z'))
    }
}

/// A text that is not `YYYY-MM-DD`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a day of the form YYYY-MM-DD")]
pub struct DayError;

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let mut parts = text.split('-');
        let mut next = || parts.next().and_then(|p| p.parse::<i64>().ok()).ok_or(DayError);
        let (year, month, day) = (next()?, next()?, next()?);
        if !(0..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return Err(DayError);
        }
        let y = year - i64::from(month <= 2);
        let era = y.div_euclid(400);
        let yoe = y.rem_euclid(400);
        let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
        let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
        let found = Self((era * 146_097 + doe - 719_468) as i32);
        // Refuses 2026-02-30 and trailing text alike.
        if found.to_string() == text { Ok(found) } else { Err(DayError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_days() {
        assert_eq!(Day::of(0).to_string(), "1970-01-01");
        assert_eq!(Day::of(-1).to_string(), "1969-12-31");
        assert_eq!(Day::of(1_795_219_723_000_000_000).to_string(), "2026-11-21");
        assert_eq!("2024-02-29".parse(), Ok(Day(19_782)));
        assert_eq!("2026-02-30".parse::<Day>(), Err(DayError));
        assert_eq!("2026-02-03x".parse::<Day>(), Err(DayError));
    }

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
        for (ns, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_500_000_000, "1970-01-01T00:00:01.5Z"),
            (-5, "1969-12-31T23:59:59.999999995Z"),
            (1_795_219_723_000_000_010, "2026-11-21T00:08:43.00000001Z"),
        ] {
            assert_eq!(Rfc3339Nano(ns).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn every_timestamp_lies_in_its_day_and_days_print_and_parse(ts in any::<i64>()) {
            let day = Day::of(ts);
            prop_assert!(day.start_ns() <= ts && (ts < day.end_ns() || day.end_ns() == i64::MAX));
            prop_assert_eq!(day.to_string().parse(), Ok(day));
        }
    }
}
