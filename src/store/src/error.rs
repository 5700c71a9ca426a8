//! What can go wrong in the engine, with enough context to act on.

use std::io;

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk failed or refused.
    #[error("{path}: {source}")]
    Io {
        /// File or folder, relative to the data directory.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Bytes on disk are not what was written.
    #[error("{0}")]
    Corrupt(#[from] Corruption),
    /// The data directory was written by a newer program.
    #[error(
        "the data directory has format {found}, this program knows formats up to {known}: start a newer strandline; nothing was changed"
    )]
    NewerFormat {
        /// The number in the FORMAT file.
        found: u32,
        /// The newest number this program can read.
        known: u32,
    },
    /// Another process uses the data directory.
    #[error("the data directory is in use by another process (LOCK is held)")]
    Locked,
    /// Writes are refused for now; reads go on.
    #[error("the store is read-only: {0}")]
    ReadOnly(String),
    /// A batch is larger than one record of the log may be. Nothing of it was written.
    #[error(
        "a push of {bytes} bytes is larger than one record of the log may be ({limit} bytes): send less at once"
    )]
    BatchTooLarge {
        /// Bytes of the record, unpacked.
        bytes: usize,
        /// The most that a reader of the log accepts.
        limit: usize,
    },
    /// A part of a segment would be larger than readers accept. Nothing of the segment is kept.
    #[error("the {part} of a segment would take {bytes} bytes, readers accept {limit}")]
    PartTooLarge {
        /// Which part.
        part: &'static str,
        /// Its bytes.
        bytes: usize,
        /// The most that a reader accepts.
        limit: usize,
    },
    /// The store found that it contradicts itself.
    #[error("the store found a fault of its own and takes no more writes, restart the process: {0}")]
    Fault(&'static str),
    /// Too much is waiting to be written.
    #[error("too many writes are waiting; retry after a moment")]
    Busy,
    /// The engine is stopping.
    #[error("the store is shutting down")]
    Stopping,
    /// A background part of the engine stopped unexpectedly.
    #[error("the writer stopped after an internal error; restart the process")]
    Poisoned,
}

impl StoreError {
    /// Whether the same batch can never be taken, however often it is sent.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::BatchTooLarge { .. })
    }
}

/// Damage found in a file: which part of which file, and what is wrong with it.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{path}: {part} is damaged: {what}")]
pub struct Corruption {
    /// File, relative to the data directory.
    pub path: String,
    /// Part of the file.
    pub part: String,
    /// What does not hold.
    pub what: String,
}

impl Corruption {
    /// Damage in `part` of `path`.
    pub fn new(path: &str, part: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), part: part.into(), what: what.into() }
    }
}

/// Adds the path to an I/O error.
pub(crate) trait AtPath<T> {
    /// The same result with `path` in its error.
    fn at(self, path: &str) -> Result<T, StoreError>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, path: &str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Io { path: path.to_owned(), source })
    }
}
