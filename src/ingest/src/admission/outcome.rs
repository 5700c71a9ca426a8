//! What has become of a push? Line by line if it was taken, in one error if it was refused whole.

use crate::formats::{DecodeError, Fault};
use crate::intake::IntakeError;
use crate::quota::OverRate;
use crate::refused_lines::RefusedLines;
use crate::rejections::Rejections;
use crate::submit::SubmitError;
use std::sync::Arc;
use strandline_model::Exhausted;
use strandline_store::StoreError;

/// A push that was taken. Its lines are on the disk and searchable but for those that are named as refused, and, where so many are
/// that not all are named, some behind [`RefusedLines::open_from`].
#[derive(Debug)]
pub struct Outcome {
    /// Lines that are stored.
    pub stored: usize,
    /// Lines that break a rule, counted by reason: given again, they are refused again.
    pub rejected: Rejections,
    /// Why some streams have to wait, one text each, of some of them. Their lines are to be given again later.
    pub over_limit: Vec<String>,
    /// Lines of such streams.
    pub over_limit_lines: u64,
    /// Which lines were refused, of both kinds.
    pub refused: RefusedLines,
}

/// Why nothing of a push was taken.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// It cannot be read, or is larger than pushes may be.
    #[error(transparent)]
    Decode(DecodeError),
    /// There is no memory for it at the moment, or never is.
    #[error(transparent)]
    NoMemory(Exhausted),
    /// Its tenant sends faster than it may.
    #[error(transparent)]
    OverRate(#[from] OverRate),
    /// The store does not take it: it is busy, stops, cannot write, or the push is too large for it.
    #[error(transparent)]
    NotTaken(StoreError),
    /// The store took it and could not make it safe.
    #[error(transparent)]
    NotStored(Arc<StoreError>),
    /// The store ended without an answer: nobody knows whether the lines are stored.
    #[error("the store stopped before it answered")]
    Unanswered,
    /// A part of the server broke; the log says more.
    #[error("internal error")]
    Internal,
}

impl PushError {
    /// Seconds after which the same push may be taken; `None` if it never will be (in parts it may). Lines that were stored though nobody
    /// could say so are known when they come again, and count once.
    pub fn retry_after_s(&self) -> Option<u64> {
        let may_pass = match self {
            Self::OverRate(error) => return (!error.never_fits).then_some(error.retry_after_s),
            Self::Decode(error) => error.fault() == Fault::NoMemoryNow,
            Self::NoMemory(error) => error.is_temporary(),
            Self::NotTaken(error) => !error.is_too_large(),
            Self::NotStored(_) | Self::Unanswered | Self::Internal => true,
        };
        may_pass.then_some(1)
    }

    /// The reason to count it under; lines over a rate are counted as such.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        Some(match self {
            Self::Decode(error) => match error.fault() {
                Fault::TooLarge => "too_large",
                Fault::NoStreams => "no_streams",
                Fault::Undecodable | Fault::NoMemoryNow | Fault::Decoder => "undecodable",
            },
            Self::NoMemory(error) if error.is_temporary() => "inflight_bytes",
            Self::NoMemory(_) => "too_large",
            Self::OverRate(_) => return None,
            Self::NotTaken(_) | Self::NotStored(_) | Self::Unanswered => "not_stored",
            Self::Internal => "internal",
        })
    }
}

impl From<DecodeError> for PushError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Intake(IntakeError::NoMemory(exhausted)) => Self::NoMemory(exhausted),
            error => Self::Decode(error),
        }
    }
}

impl From<SubmitError> for PushError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::NoMemory(exhausted) => Self::NoMemory(exhausted),
            SubmitError::Store(error) => Self::NotTaken(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_never_be_taken_is_not_to_be_given_again() {
        let too_large = StoreError::BatchTooLarge { bytes: 2, limit: 1 };
        assert_eq!(PushError::NotTaken(too_large).retry_after_s(), None);
        assert_eq!(PushError::NotTaken(StoreError::Busy).retry_after_s(), Some(1));
        assert_eq!(PushError::from(DecodeError::NoStreams).retry_after_s(), None);
        assert_eq!(PushError::from(DecodeError::TooLarge(1)).reason(), Some("too_large"));
        assert_eq!(PushError::Unanswered.retry_after_s(), Some(1));
    }
}
