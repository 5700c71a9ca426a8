//! What is a segment called?

use std::fmt;
use std::str::FromStr;

/// A segment's name: 48 bits of time (ms), 80 bits that make it unique in its directory; printed as 32 hex digits,
/// which sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId(pub u128);

impl SegmentId {
    /// The bits of an id that count up within a process.
    pub(crate) const COUNTER: u64 = 0xffff_ffff_ffff;

    /// Those bits of this id.
    pub(crate) fn counter(self) -> u64 {
        self.0 as u64 & Self::COUNTER
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A text that is not 32 lower-case hex digits.
#[derive(Debug, thiserror::Error)]
#[error("not a segment id")]
pub struct SegmentIdError;

impl FromStr for SegmentId {
    type Err = SegmentIdError;

    fn from_str(text: &str) -> Result<Self, SegmentIdError> {
        let plain = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !plain {
            return Err(SegmentIdError);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| SegmentIdError)
    }
}
