//! When is it, and where? A time with the zone that it prints in.

use chrono::{DateTime, Datelike, FixedOffset, LocalResult, NaiveDateTime, Offset, TimeZone, Timelike, Utc};
use chrono_tz::{OffsetName, Tz};

/// A time and its zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    at: DateTime<FixedOffset>,
    /// The zone's short name, such as `CET`; empty: it has none.
    zone: String,
}

/// The place whose clock a time without an offset was read from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Zone(Tz);

impl Zone {
    /// What the server's clock shows.
    pub(super) const LOCAL: Self = Self(Tz::UTC);

    /// A zone of the time zone database; UTC when there is none of this name.
    pub(super) fn named(name: &str) -> Self {
        Self(name.parse().unwrap_or(Tz::UTC))
    }
}

impl Zone {
    /// The offset that a short name stands for in this zone, about the time that a clock shows.
    pub(super) fn offset_of(self, name: &str, clock: NaiveDateTime) -> Option<FixedOffset> {
        // Summer time has its name in winter, too.
        let days = [0, 91, 182, 273].into_iter().map(chrono::TimeDelta::days);
        let mut offsets = days.filter_map(|days| {
            let clock = clock.checked_add_signed(days)?;
            self.0.offset_from_local_datetime(&clock).earliest()
        });
        offsets.find(|offset| offset.abbreviation() == Some(name)).map(|offset| offset.fix())
    }
}

impl Moment {
    /// What Go takes for no time: the first day of the first year.
    pub(super) fn zero() -> Self {
        Self::from_unix(-62_135_596_800, 0).unwrap_or_else(|| Self {
            at: DateTime::<Utc>::UNIX_EPOCH.fixed_offset(),
            zone: "UTC".to_owned(),
        })
    }

    /// A time in UTC; none beyond the years that there are.
    pub(super) fn from_unix(seconds: i64, nanos: u32) -> Option<Self> {
        let at = DateTime::<Utc>::from_timestamp(seconds, nanos)?.fixed_offset();
        Some(Self { at, zone: "UTC".to_owned() })
    }

    /// A time in UTC.
    pub(super) fn from_ns(ns: i64) -> Self {
        let nanos = u32::try_from(ns.rem_euclid(1_000_000_000)).unwrap_or(0);
        Self::from_unix(ns.div_euclid(1_000_000_000), nanos).unwrap_or_else(Self::zero)
    }

    /// What a clock shows in a zone. Of two times that it shows twice, the earlier one.
    pub(super) fn on_clock(clock: NaiveDateTime, zone: Zone) -> Option<Self> {
        let offset = match zone.0.offset_from_local_datetime(&clock) {
            LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _) => offset,
            // Skipped by the clock: as if it had not been put forward.
            LocalResult::None => {
                let before = clock.checked_sub_signed(chrono::TimeDelta::hours(3))?;
                zone.0.offset_from_local_datetime(&before).earliest()?
            }
        };
        let name = offset.abbreviation().unwrap_or("").to_owned();
        Self::at_offset(clock, offset.fix(), &name)
    }

    /// What a clock shows so far east of Greenwich.
    pub(super) fn at_offset(clock: NaiveDateTime, offset: FixedOffset, zone: &str) -> Option<Self> {
        let at = offset.from_local_datetime(&clock).single()?;
        Some(Self { at, zone: zone.to_owned() })
    }

    /// The same time by the server's clock.
    pub(super) fn local(&self) -> Self {
        Self { at: self.at.with_timezone(&Utc).fixed_offset(), zone: "UTC".to_owned() }
    }

    pub(super) fn unix_seconds(&self) -> i64 {
        self.at.timestamp()
    }

    pub(super) fn unix_millis(&self) -> i64 {
        self.at.timestamp_millis()
    }

    /// Wraps around where 64 bits do not hold it, as in Go.
    pub(super) fn unix_nanos(&self) -> i64 {
        let nanos = i64::from(self.at.timestamp_subsec_nanos());
        self.at.timestamp().wrapping_mul(1_000_000_000).wrapping_add(nanos)
    }

    pub(super) fn year(&self) -> i32 {
        self.at.year()
    }

    pub(super) fn month(&self) -> u32 {
        self.at.month()
    }

    pub(super) fn day(&self) -> u32 {
        self.at.day()
    }

    pub(super) fn day_of_year(&self) -> u32 {
        self.at.ordinal()
    }

    /// From Sunday on.
    pub(super) fn day_of_week(&self) -> usize {
        self.at.weekday().num_days_from_sunday() as usize
    }

    pub(super) fn hour(&self) -> u32 {
        self.at.hour()
    }

    pub(super) fn minute(&self) -> u32 {
        self.at.minute()
    }

    pub(super) fn second(&self) -> u32 {
        self.at.second()
    }

    pub(super) fn nanos(&self) -> u32 {
        self.at.timestamp_subsec_nanos()
    }

    /// Seconds east of Greenwich.
    pub(super) fn offset(&self) -> i32 {
        self.at.offset().local_minus_utc()
    }

    pub(super) fn zone(&self) -> &str {
        &self.zone
    }
}
