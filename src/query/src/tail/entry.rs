//! What does a tail show of an entry?

use crate::logs::best::Hit;
use crate::logs::group;
use std::sync::Arc;
use strandline_model::{Labels, Metadata};

/// An entry that passed a query's stages.
#[derive(Debug, Clone)]
pub struct TailEntry(pub(super) Hit);

/// An entry's labels by origin, each packed as [`Metadata`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apart {
    /// What is left of the stream's.
    pub stream: Vec<u8>,
    /// What is left of the structured metadata.
    pub metadata: Vec<u8>,
    /// What the query's stages made.
    pub parsed: Vec<u8>,
}

impl TailEntry {
    /// Nanoseconds since the epoch.
    pub fn ts(&self) -> i64 {
        // Entries of a tail are looked for from the newest on, where key and timestamp are the same.
        self.0.key
    }

    /// The line as the query shows it, not always UTF-8.
    pub fn line(&self) -> &[u8] {
        &self.0.line
    }

    /// The labels of the stream as stored.
    pub fn stream(&self) -> &Arc<Labels> {
        &self.0.labels
    }

    /// All labels, whatever their origin, packed as [`Metadata`].
    pub fn labels(&self) -> Vec<u8> {
        group::joined(&self.0)
    }

    /// The labels by origin.
    pub fn apart(&self) -> Apart {
        match &self.0.shown {
            Some(shown) => Apart {
                stream: shown.stream.to_vec(),
                metadata: shown.metadata.to_vec(),
                parsed: shown.parsed.to_vec(),
            },
            None => {
                let mut stream = Vec::new();
                Metadata::pack(&mut stream, &mut self.0.labels.iter().collect());
                let metadata = group::kept_apart(&self.0.labels, self.0.metadata.clone());
                Apart { stream, metadata: metadata.into_vec(), parsed: Vec::new() }
            }
        }
    }

    /// For a live entry: the number of the commit that brought it.
    pub(super) fn commit(&self) -> u64 {
        self.0.arrival
    }

    /// Memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.0.bytes()
    }
}
