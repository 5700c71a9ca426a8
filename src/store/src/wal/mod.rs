//! The write-ahead log: what makes an acknowledged line survive a kill and a power cut.
//!
//! One writer appends groups of frames to a preallocated file and syncs once per group. Frames stand alone (they
//! carry their streams' labels), so a damaged one costs exactly its own lines. Files whose frames have all reached
//! segments are recycled. Format, and the argument for each kind of crash: `schema/wal.md`.

mod mark;
mod record;
mod replay;
mod writer;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use record::decode_batch;
pub(crate) use record::encode_batch;
pub use replay::ReplayReport;
pub(crate) use replay::{ReplayFrom, Replayed, replay};
pub(crate) use writer::{OldFile, Wal};

/// The folder of the log.
pub(crate) const DIR: &str = "wal";

/// When a group becomes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// Before it is acknowledged: survives power loss.
    Always,
    /// At least this often (nanoseconds); a power cut loses what came since. A killed process loses nothing.
    Interval(i64),
    /// Whenever the system likes.
    Off,
}

/// Name of the file with this number; the number is also the epoch of its frames.
pub(crate) fn file_path(number: u64) -> String {
    format!("{DIR}/{number:016x}.wal")
}

/// The number in a file name of the log.
pub(crate) fn file_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests;
