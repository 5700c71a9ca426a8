//! Where does history end and the live tail begin? Every entry that is committed once the tail is open comes once.
//!
//! The tail joins its matcher first, then history is read: so there is no gap, but what is committed in between may come
//! both ways. History cannot say up to which commit it saw, since heads grow while they are read. So it notes its entries,
//! and live ones that it has are left out: up to the last commit that it can have seen, which is the one after the last
//! that had ended when it did, for a batch is in the head a moment before its commit ends.

use super::entry::TailEntry;
use super::frame::Frame;
use crate::language::LogQuery;
use crate::logs::best::Hit;
use crate::logs::staged;
use crate::memory::Held;
use crate::result::Answer;
use crate::stats::QueryStats;
use hashbrown::HashSet;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;

/// The newest entries of the past, and where live ones go on.
#[derive(Debug)]
pub struct History {
    /// By time, in frames of a bounded size.
    pub frames: Vec<Frame>,
    /// What could not be read.
    pub warnings: Vec<String>,
    /// The memory that it takes.
    pub held: Held,
    pub(super) seam: Seam,
}

/// Which live entries history has shown already.
#[derive(Debug, Clone)]
pub(super) struct Seam {
    /// Up to this commit entries were there before the tail: history shows them or they are too old.
    since: u64,
    /// History can have seen batches up to this commit.
    until: u64,
    known: Arc<HashSet<u64>>,
    identity: Identity,
}

/// Tells entries apart.
#[derive(Debug, Clone)]
struct Identity {
    query: LogQuery,
    hasher: RandomState,
}

impl Answer for History {
    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn with_stats(self, _: QueryStats) -> Self {
        self
    }
}

impl Identity {
    /// The same for the same stored entry, whichever way it came.
    fn of(&self, found: &Hit) -> u64 {
        let mut state = self.hasher.build_hasher();
        (&found.labels, found.key, line_identity(found)).hash(&mut state);
        // Segments do not decode metadata that the query takes no notice of.
        let metadata = strandline_model::Metadata(&found.metadata);
        metadata
            .iter()
            .filter(|(name, _)| self.query.reads_metadata(name))
            .for_each(|pair| pair.hash(&mut state));
        state.finish()
    }
}

/// That of the stored line.
fn line_identity(found: &Hit) -> u64 {
    if found.identity != 0 {
        return found.identity;
    }
    staged::identity(&found.line)
}

impl Seam {
    /// Between a tail that is open since a commit and its history, which has `shown` and can have seen commits up to
    /// `until`.
    pub(super) fn new(query: &LogQuery, (since, until): (u64, u64), shown: &[Hit]) -> Self {
        let identity = Identity { query: query.clone(), hasher: RandomState::new() };
        let known = Arc::new(shown.iter().map(|hit| identity.of(hit)).collect());
        Self { since, until, known, identity }
    }

    /// Whether the tail shows this live entry.
    pub(super) fn shows(&self, entry: &TailEntry) -> bool {
        let commit = entry.commit();
        commit > self.since && (commit > self.until || !self.known.contains(&self.identity.of(&entry.0)))
    }

    /// History can have seen batches up to this commit.
    pub(super) fn until(&self) -> u64 {
        self.until
    }
}
