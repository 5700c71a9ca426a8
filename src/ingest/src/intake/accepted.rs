//! What is left of a push that was read, and why is one refused whole?

use super::spans::StreamSpans;
use crate::active::NewStreams;
use crate::push_memory::PushMemory;
use crate::refused_lines::RefusedLines;
use crate::rejections::Rejections;
use strandline_model::{Batch, Exhausted, LabelError};

/// Why a whole push is refused. Nothing of it is stored.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IntakeError {
    /// A stream's labels are not a label set.
    #[error("couldn't parse labels: {0}")]
    Labels(#[from] LabelError),
    /// More streams than a push may have.
    #[error("push has more than {0} streams (limits.max_streams_per_push)")]
    TooManyStreams(usize),
    /// More lines than a push may have.
    #[error("push has more than {0} lines (limits.max_lines_per_push)")]
    TooManyLines(usize),
    /// An entry before the first stream: the decoder's mistake.
    #[error("entry without a stream")]
    NoStream,
    /// The batch would pass 4 GiB, or what the decoder set.
    #[error(
        "push is too large: its lines and metadata take more than {0} bytes (server.max_decompressed_bytes)"
    )]
    TooLarge(usize),
    /// There is no memory for it at the moment, or there never is.
    #[error("push needs more memory than there is: {0}")]
    NoMemory(#[from] Exhausted),
}

/// What is left of a push: the lines to store, and the refused ones to tell the client about.
#[derive(Debug)]
pub struct Accepted {
    /// The lines to store.
    pub batch: Batch,
    /// What was refused for good.
    pub rejected: Rejections,
    /// Which lines were refused, for good or until later.
    pub refused: RefusedLines,
    /// Which lines belong to which stream, if that is asked for: see [`StreamSpans`].
    pub(crate) spans: StreamSpans,
    /// Lines in which bytes that are not UTF-8 had to be replaced.
    pub replaced_lines: u64,
    /// Why streams have to wait, a line each, some of them; the client is to send these again.
    pub over_limit: Vec<String>,
    /// Lines of such streams.
    pub over_limit_lines: u64,
    /// Streams that this push was the first to bring, if they are counted: for `ActiveStreams::keep`.
    pub new_streams: Option<NewStreams>,
    /// The memory that the batch holds, if any was given.
    pub memory: Option<PushMemory>,
}
