//! Who may have how many of the process's open files: the store its segments, clients their connections?
//!
//! Connections come from strangers. Were the limit left to whoever comes first, enough of them would leave the store
//! without a descriptor for its log.

use strandline_store::disk::raise_open_file_limit;

/// Files beside segments and connections: the log, the manifest, the saved label index, segments being written or
/// read at the moment, the runtime's own.
const RESERVED: usize = 64;
/// Most segment files that are kept open; more than this gain little.
const MAX_SEGMENTS: usize = 256;
/// Fewest of each, however low the limit is.
const LEAST: usize = 16;
/// What a limit that cannot be found out is taken to be: the lowest that is common.
const UNKNOWN_LIMIT: u64 = 1024;

/// How the open files are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFileShares {
    /// Segment files that the store may keep open.
    pub segments: usize,
    /// Connections of clients.
    pub connections: usize,
}

impl OpenFileShares {
    /// Raises the limit of this process as far as it goes and shares it out.
    pub fn of_process() -> Self {
        let limit = raise_open_file_limit().unwrap_or_else(|error| {
            tracing::warn!(%error, "the limit of open files cannot be found out");
            UNKNOWN_LIMIT
        });
        let shares = Self::of(limit);
        tracing::debug!(limit, ?shares, "open files");
        shares
    }

    fn of(limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let segments = (limit / 4).clamp(LEAST, MAX_SEGMENTS);
        Self { segments, connections: limit.saturating_sub(segments + RESERVED).max(LEAST) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_has_its_share_of_every_limit() {
        for (limit, segments, connections) in
            [(0, 16, 16), (64, 16, 16), (256, 64, 128), (1024, 256, 704), (1 << 20, 256, (1 << 20) - 320)]
        {
            assert_eq!(OpenFileShares::of(limit), OpenFileShares { segments, connections }, "{limit}");
        }
        assert_eq!(OpenFileShares::of(u64::MAX).segments, 256);
    }
}
