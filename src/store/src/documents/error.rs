//! What a document can be refused for, and what can be wrong with it.

use super::{MAX_KIND_BYTES, MAX_NAME_BYTES, Version};
use crate::error::{Corruption, StoreError};
use std::fmt;
use std::io;

/// Why nothing came of a call.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The name is empty or too long.
    #[error("a document's name has 1 to {MAX_NAME_BYTES} bytes")]
    Name,
    /// The kind is not one.
    #[error(
        "a kind of documents is lower-case letters, digits and '-', a letter first, at most {MAX_KIND_BYTES} bytes"
    )]
    Kind,
    /// The document would go beyond a bound. Nothing was changed.
    #[error("{bound}: {limit} at most")]
    TooMuch {
        /// Which bound.
        bound: Bound,
        /// How far it goes: bytes or documents.
        limit: u64,
    },
    /// What is stored is not what was expected. Nothing was changed.
    #[error("the document has changed: {}", stored(*found))]
    Conflict {
        /// The version that is there; `None` if there is no document.
        found: Option<Version>,
    },
    /// The change is in place and is what readers see, but the folder could not be synced: a power cut may undo it. To be
    /// sure, do it again.
    #[error("{path}: the change may not survive a power cut: {source}")]
    Unsynced {
        /// Folder, relative to the data directory.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The disk failed or refused ([`StoreError::Io`]) and the old document is still there, sound as far as is known; the stored
    /// document is damaged ([`StoreError::Corrupt`]); or the store takes no writes ([`StoreError::Fault`]).
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a stored document does not say its version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its file is damaged, and stays so until it is put again or deleted.
    #[error(transparent)]
    Damaged(Corruption),
    /// The system refused to read it, which may pass: no reason to replace a document that may be sound.
    #[error("{path}: could not be read: {what}")]
    Refused {
        /// File, relative to the data directory.
        path: String,
        /// Of which kind the system's reason is.
        kind: io::ErrorKind,
        /// The system's reason.
        what: String,
    },
}

impl From<Unreadable> for StoreError {
    fn from(why: Unreadable) -> Self {
        match why {
            Unreadable::Damaged(damage) => Self::Corrupt(damage),
            Unreadable::Refused { path, kind, what } => Self::Io { path, source: io::Error::new(kind, what) },
        }
    }
}

/// What is bounded. The bounds are in [`DocumentLimits`](super::DocumentLimits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Bytes of one document.
    DocumentBytes,
    /// Documents of one owner and kind.
    CollectionDocuments,
    /// Bytes of all documents of one owner.
    OwnerBytes,
    /// Documents of all tenants together.
    TotalDocuments,
    /// Bytes of all documents of all tenants together.
    TotalBytes,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DocumentBytes => "too many bytes in one document",
            Self::CollectionDocuments => "too many documents of this kind",
            Self::OwnerBytes => "too many bytes in all documents of this tenant",
            Self::TotalDocuments => "too many documents of all tenants together",
            Self::TotalBytes => "too many bytes in the documents of all tenants together",
        })
    }
}

fn stored(found: Option<Version>) -> String {
    found.map_or("there is none".to_owned(), |version| format!("its version is {}", version.0))
}
