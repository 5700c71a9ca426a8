//! Who may have how many of the process's open files: the store its segments, clients their connections and tails?
//!
//! Connections and tails come from strangers. Were the limit left to whoever comes first, enough of them would leave the store
//! without a descriptor for its log.

use strandline_api::ApiConfig;
use strandline_store::disk::raise_open_file_limit;

/// Files beside segments and connections: the log, the manifest, the saved label index, segments being written or
/// read at the moment, the runtime's own, connections beyond the bounds (32).
const RESERVED: usize = 96;
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
    /// Connections of clients, tails included.
    pub clients: usize,
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
        Self { segments, clients: limit.saturating_sub(segments + RESERVED).max(2 * LEAST) }
    }

    /// Lowers what `api` lets clients have to what they may: tails get a quarter at least, which other connections cannot
    /// take, and these the rest, which tails cannot take. `of_address` is what is set for one address, if anything.
    pub fn bound(self, api: &mut ApiConfig, of_address: Option<usize>) {
        let (connections, tails) = (api.max_connections, api.max_tails);
        let for_tails = (self.clients / 4).max(self.clients.saturating_sub(connections));
        api.max_tails = tails.min(for_tails);
        api.max_connections = connections.min(self.clients - api.max_tails);
        let half = api.max_connections.div_ceil(2);
        api.max_connections_of_address = of_address.unwrap_or(half).min(api.max_connections);
        if (api.max_connections, api.max_tails) != (connections, tails) {
            tracing::warn!(
                max_connections = api.max_connections,
                max_tails = api.max_tails,
                "the limit of open files (ulimit -n) leaves less than server.max_connections and server.max_tails say"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_has_its_share_of_every_limit() {
        for (limit, segments, clients) in
            [(0, 16, 32), (64, 16, 32), (256, 64, 96), (1024, 256, 672), (1 << 20, 256, (1 << 20) - 352)]
        {
            assert_eq!(OpenFileShares::of(limit), OpenFileShares { segments, clients }, "{limit}");
        }
        assert_eq!(OpenFileShares::of(u64::MAX).segments, 256);
    }

    #[test]
    fn connections_and_tails_have_theirs_too() {
        let bounds = |limit, max_connections, max_tails, of_address| {
            let mut api = ApiConfig { max_connections, max_tails, ..ApiConfig::default() };
            OpenFileShares::of(limit).bound(&mut api, of_address);
            (api.max_connections, api.max_connections_of_address, api.max_tails)
        };
        assert_eq!(bounds(1 << 20, 1024, 4000, None), (1024, 512, 4000));
        assert_eq!(bounds(4096, 1024, 4000, None), (1024, 512, 2720));
        assert_eq!(bounds(1024, 1024, 4000, None), (504, 252, 168));
        assert_eq!(bounds(1024, 1024, 4000, Some(900)), (504, 504, 168));
        assert_eq!(bounds(1024, 1024, 10, Some(9)), (662, 9, 10));
        assert_eq!(bounds(256, 1024, 4000, None), (72, 36, 24));
    }
}
