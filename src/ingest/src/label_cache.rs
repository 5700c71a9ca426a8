//! Which stream does a label text name, without parsing it again in every push?
//!
//! Agents send the same few label texts for weeks, in the same spelling. The cache maps a hash of the text to the
//! parsed, enriched labels. It is shared by all pushes and bounded in bytes.

use crate::enrich::with_service_name;
use crate::level;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use strandline_model::{LabelError, Labels, StreamId, TenantId};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Bytes that a cache holds unless told otherwise: room for 100,000 label sets of the usual size. Most of it is shared with
/// the head, which holds the same labels.
pub const DEFAULT_CACHE_BYTES: usize = 32 << 20;
const SHARDS: usize = 16;
/// Bytes of the maps and of the allocator per cached label set, measured roughly.
const OVERHEAD_BYTES: usize = 112;

/// A label set as entries are stored under it.
#[derive(Debug)]
pub struct KnownStream {
    /// The labels, `service_name` included.
    pub labels: Arc<Labels>,
    /// Their hash.
    pub id: StreamId,
    /// The level that the labels give to every entry.
    pub level: Option<Box<str>>,
    /// The period in which the stream was last counted as active.
    pub(crate) counted_in: AtomicU64,
}

impl KnownStream {
    /// Enriches the labels that a client sent.
    pub fn new(sent: Labels) -> Self {
        let labels = with_service_name(sent);
        let level = level::of_labels(&labels).map(Box::from);
        Self { id: labels.stream_id(), level, labels: Arc::new(labels), counted_in: AtomicU64::new(0) }
    }
}

/// Parsed label texts of all tenants.
#[derive(Debug)]
pub struct LabelCache {
    shards: Vec<Mutex<Shard>>,
    max_shard_bytes: usize,
    seed: RandomState,
}

#[derive(Debug, Default)]
struct Shard {
    streams: HashMap<u128, Arc<KnownStream>, HashedAlready>,
    bytes: usize,
    /// Texts that found no room since the shard filled up.
    turned_away: usize,
}

impl Default for LabelCache {
    fn default() -> Self {
        Self::new(DEFAULT_CACHE_BYTES)
    }
}

impl LabelCache {
    /// A cache of about `max_bytes`.
    pub fn new(max_bytes: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, max_shard_bytes: max_bytes / SHARDS, seed: RandomState::new() }
    }

    /// The seed of `tenant`'s keys: secret, so that nobody can aim a collision, and another tenant's never.
    pub(crate) fn seed(&self, tenant: &TenantId) -> u64 {
        self.seed.hash_one(tenant.as_str())
    }

    /// The stream that `text` names; `parse` is asked when it is not known.
    pub(crate) fn get_or_parse(
        &self,
        seed: u64,
        text: &[u8],
        parse: impl FnOnce() -> Result<Labels, LabelError>,
    ) -> Result<Arc<KnownStream>, LabelError> {
        let key = xxh3_128_with_seed(text, seed);
        // The low bits choose the bucket inside the shard's map, so the shard goes by the high ones.
        let Some(shard) = self.shards.get((key >> 120) as usize % SHARDS) else {
            return parse().map(KnownStream::new).map(Arc::new);
        };
        if let Some(found) = shard.lock().streams.get(&key) {
            return Ok(found.clone());
        }
        // Parsed outside the lock: another push may do the same at the same time, which harms nobody.
        let found = Arc::new(KnownStream::new(parse()?));
        shard.lock().insert(key, found.clone(), self.max_shard_bytes);
        Ok(found)
    }
}

impl Shard {
    /// A full shard keeps what it has, or a push with more label sets than there is room for would throw out each of
    /// them just before its next use. When it has turned away twice as many as it holds, its content is outdated.
    fn insert(&mut self, key: u128, stream: Arc<KnownStream>, max_bytes: usize) {
        let bytes = stream.labels.memory_bytes() + OVERHEAD_BYTES;
        if self.bytes + bytes > max_bytes {
            self.turned_away += 1;
            if self.turned_away <= 2 * self.streams.len() {
                return;
            }
            *self = Self::default();
        }
        if bytes <= max_bytes && self.streams.insert(key, stream).is_none() {
            self.bytes += bytes;
        }
    }
}

/// Takes a key that is a hash for its own hash.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct OwnHash(u64);

/// Builds [`OwnHash`].
pub(crate) type HashedAlready = BuildHasherDefault<OwnHash>;

impl Hasher for OwnHash {
    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*b);
        }
    }

    fn write_u128(&mut self, n: u128) {
        self.0 = n as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(cache: &LabelCache, text: &str) -> Arc<KnownStream> {
        cache.get_or_parse(1, text.as_bytes(), || Labels::parse(text)).unwrap()
    }

    #[test]
    fn a_text_is_parsed_once() {
        let cache = LabelCache::default();
        let first = get(&cache, r#"{app="x", level="WRN"}"#);
        assert_eq!(first.labels.to_string(), r#"{app="x", level="WRN", service_name="x"}"#);
        assert_eq!(first.level.as_deref(), Some("warn"));
        assert_eq!(first.id, first.labels.stream_id());
        let again = cache.get_or_parse(1, br#"{app="x", level="WRN"}"#, || unreachable!()).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert!(cache.get_or_parse(1, b"{", || Labels::parse("{")).is_err());
        // Another tenant's seed leads elsewhere.
        let mut asked = false;
        let parse = || {
            asked = true;
            Labels::parse("{}")
        };
        cache.get_or_parse(2, br#"{app="x", level="WRN"}"#, parse).unwrap();
        assert!(asked);
    }

    #[test]
    fn memory_stays_bounded_and_outdated_content_leaves() {
        let cache = LabelCache::new(SHARDS * 4096);
        let held = |cache: &LabelCache| cache.shards.iter().map(|s| s.lock().bytes).sum::<usize>();
        for i in 0..5000 {
            get(&cache, &format!("{{old=\"{i}\"}}"));
            assert!(held(&cache) <= SHARDS * 4096);
        }
        for i in 0..5000 {
            get(&cache, &format!("{{new=\"{i}\"}}"));
        }
        let all_new = |s: &Mutex<Shard>| s.lock().streams.values().all(|k| k.labels.get("new").is_some());
        assert!(cache.shards.iter().all(all_new));
        assert!(held(&cache) > SHARDS * 1024);
        get(&cache, &format!("{{huge=\"{}\"}}", "x".repeat(10_000)));
        assert!(held(&cache) <= SHARDS * 4096);
    }
}
