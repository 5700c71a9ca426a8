//! What does the answer lack? Said in words, beside the answer: lines are never left out in silence.

use parking_lot::Mutex;
use std::fmt;
use strandline_model::time::Rfc3339;

/// Most warnings in one answer.
const MAX_WARNINGS: usize = 20;

/// Parts of the data that could not be read for one answer.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    unreadable: Mutex<Unreadable>,
}

#[derive(Debug, Default)]
struct Unreadable {
    warnings: Vec<String>,
    /// Beyond the most that are told.
    more: usize,
    more_rows: u64,
}

impl Damage {
    /// Notes that `rows` lines with timestamps in `time` could not be read.
    pub(crate) fn note(&self, part: fmt::Arguments<'_>, rows: u64, time: (i64, i64), why: &dyn fmt::Display) {
        metrics::counter!("strandline_query_unreadable_parts_total").increment(1);
        let (from, to) = (Rfc3339(time.0), Rfc3339(time.1));
        let warning =
            format!("{part} cannot be read; up to {rows} lines from {from} to {to} are missing: {why}");
        let mut unreadable = self.unreadable.lock();
        if unreadable.warnings.len() < MAX_WARNINGS {
            unreadable.warnings.push(warning);
        } else {
            unreadable.more += 1;
            unreadable.more_rows += rows;
        }
    }

    /// Notes what else is wrong with the answer.
    pub(crate) fn tell(&self, warning: String) {
        self.unreadable.lock().warnings.push(warning);
    }

    /// The warnings, in a stable order.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        let Unreadable { mut warnings, more, more_rows } = std::mem::take(&mut *self.unreadable.lock());
        warnings.sort_unstable();
        warnings.dedup();
        if more > 0 {
            warnings.push(format!("{more} further parts with up to {more_rows} lines cannot be read"));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_name_part_lines_and_time_and_stay_few() {
        let damage = Damage::default();
        for i in 0..30 {
            damage.note(
                format_args!("segment s{i:02}"),
                5,
                (0, 1_795_219_723_000_000_000),
                &"checksum does not hold",
            );
        }
        let warnings = damage.take_warnings();
        assert_eq!(warnings.len(), 21);
        assert_eq!(
            warnings[0],
            "segment s00 cannot be read; up to 5 lines from 1970-01-01T00:00:00Z to 2026-11-21T00:08:43Z are \
             missing: checksum does not hold"
        );
        assert_eq!(warnings[20], "10 further parts with up to 50 lines cannot be read");
    }
}
