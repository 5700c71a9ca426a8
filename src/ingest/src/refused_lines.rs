//! Which lines of a push were refused, and why? By their number in the order in which their decoder, or who feeds
//! them, gives them to the intake, so that whoever read
//! them from somewhere can acknowledge the others, put these aside or send them again.

use crate::rejections::Reason;
use std::ops::Range;

/// Most ranges that are named of one push. With more, all lines from some number on are left open; who hands over no more
/// lines than this at a time is told about each.
pub const MAX_NAMED_RANGES: usize = 10_000;

/// Memory of one range.
pub(crate) const RANGE_BYTES: usize = size_of::<RefusedRange>();

/// Why a line was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It breaks a rule: given again, it is refused again.
    Invalid(Reason),
    /// Its stream is beyond a rate or a number of streams: it is to be given again later.
    OverLimit,
    /// The lines of its stream in this push are more than `limits.stream_burst`: they are to be given again in smaller pushes. A
    /// line that is refused so by itself never fits.
    TooMuchAtOnce,
}

/// Lines that follow each other and were refused for the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRange {
    /// Their numbers; the first line of a push has 0.
    pub lines: Range<u32>,
    /// Why.
    pub why: Refusal,
}

/// The refused lines of one push, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefusedLines {
    ranges: Vec<RefusedRange>,
    /// The first line about which nothing is said, if there is one.
    open_from: Option<u32>,
}

impl RefusedLines {
    /// The refused lines that are named.
    pub fn ranges(&self) -> &[RefusedRange] {
        &self.ranges
    }

    /// The first line of which is not said whether it was refused; `None` if each refused line is named.
    pub fn open_from(&self) -> Option<u32> {
        self.open_from
    }

    /// Each refused line that is named, with the reason.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Refusal)> + '_ {
        self.ranges.iter().flat_map(|range| range.lines.clone().map(|line| (line, range.why)))
    }

    /// Notes that a line was refused that comes after all others. Whether that takes memory for one more range.
    pub(crate) fn add(&mut self, line: u32, why: Refusal) -> bool {
        self.extend(line..line.saturating_add(1), why)
    }

    fn extend(&mut self, lines: Range<u32>, why: Refusal) -> bool {
        if self.open_from.is_some() || lines.is_empty() {
            return false;
        }
        let is_full = self.ranges.len() == MAX_NAMED_RANGES;
        match self.ranges.last_mut() {
            Some(last) if last.lines.end == lines.start && last.why == why => {
                last.lines.end = lines.end;
                false
            }
            _ if is_full => {
                self.open_from = Some(lines.start);
                false
            }
            _ => {
                self.ranges.push(RefusedRange { lines, why });
                true
            }
        }
    }

    /// The same, and of `spans` of refused streams (in order, apart from each other) each line that was not refused before.
    #[must_use]
    pub(crate) fn with_streams(self, spans: impl IntoIterator<Item = (Range<u32>, Refusal)>) -> Self {
        let open_from = self.open_from.unwrap_or(u32::MAX);
        let mut merged = Self::default();
        let mut before = self.ranges.into_iter().peekable();
        // All lines below are decided; a range may reach into the next span.
        let mut at = 0;
        for (span, why) in spans {
            at = span.start.max(at);
            let end = span.end.min(open_from);
            while let Some(range) = before.next_if(|range| range.lines.start < end) {
                merged.extend(at..range.lines.start.max(at), why);
                at = at.max(range.lines.end);
                merged.extend(range.lines, range.why);
            }
            merged.extend(at..end.max(at), why);
            at = at.max(end);
        }
        for range in before {
            merged.extend(range.lines, range.why);
        }
        merged.open_from = merged.open_from.or(self.open_from);
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OLD: Refusal = Refusal::Invalid(Reason::TooOld);
    const LONG: Refusal = Refusal::Invalid(Reason::LineTooLong);

    #[test]
    fn lines_that_follow_each_other_are_one_range() {
        let mut refused = RefusedLines::default();
        let grown: Vec<bool> =
            [(3, OLD), (4, OLD), (5, LONG), (7, LONG)].map(|(line, why)| refused.add(line, why)).into();
        assert_eq!(grown, [true, false, true, true]);
        let all: Vec<(u32, Refusal)> = refused.iter().collect();
        assert_eq!(all, [(3, OLD), (4, OLD), (5, LONG), (7, LONG)]);
        assert_eq!((refused.ranges().len(), refused.open_from()), (3, None));
    }

    #[test]
    fn what_is_not_named_is_said_to_be_open() {
        let mut refused = RefusedLines::default();
        for line in 0..3 * MAX_NAMED_RANGES as u32 {
            refused.add(2 * line, OLD);
        }
        let first_open = 2 * MAX_NAMED_RANGES as u32;
        assert_eq!((refused.ranges().len(), refused.open_from()), (MAX_NAMED_RANGES, Some(first_open)));
        let more = refused.clone().with_streams([(first_open - 1..first_open + 10, Refusal::OverLimit)]);
        assert!(more.ranges().len() <= MAX_NAMED_RANGES);
        assert!(more.open_from().is_some_and(|open| open <= first_open));
        assert!(more.iter().all(|(line, _)| Some(line) < more.open_from()));
    }

    proptest! {
        #[test]
        fn lines_over_a_limit_are_those_that_nothing_else_refused(
            lines in prop::collection::vec(prop::option::of(any::<bool>()), 0..60),
            in_span in prop::collection::vec(any::<bool>(), 60),
        ) {
            let mut refused = RefusedLines::default();
            for (line, why) in lines.iter().enumerate() {
                if let Some(old) = why {
                    refused.add(line as u32, if *old { OLD } else { LONG });
                }
            }
            let mut spans: Vec<Range<u32>> = Vec::new();
            for line in (0..lines.len()).filter(|line| in_span[*line]).map(|line| line as u32) {
                match spans.last_mut() {
                    // Some touch, as the spans of streams do.
                    Some(last) if last.end == line && line % 7 != 0 => last.end += 1,
                    _ => spans.push(line..line + 1),
                }
            }
            let wanted: Vec<(u32, Refusal)> = (0..lines.len())
                .filter_map(|line| match lines[line] {
                    Some(old) => Some((line as u32, if old { OLD } else { LONG })),
                    None => in_span[line].then_some((line as u32, Refusal::OverLimit)),
                })
                .collect();
            prop_assert_eq!(refused.with_streams(spans.into_iter().map(|span| (span, Refusal::OverLimit))).iter().collect::<Vec<_>>(), wanted);
        }
    }
}
