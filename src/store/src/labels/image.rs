//! How does the catalogue survive a restart, and how is a wrong image told from a right one? The only file that
//! names sled.
//!
//! An image is a set of records (one page of one tenant each), cut into pieces of a few kilobytes, since sled puts
//! large values into files of their own. A `meta` record has the manifest's generation number and the sum of the
//! hashes of all pieces: a piece that is lost, altered, left over or older than the others changes the sum. sled
//! checks nothing of that kind and is known to come up with a part of what it was given.
//!
//! sled's `flush` writes without `fsync`; what makes an image durable is [`Image::save`]'s own sync of its files.

use super::bounds::Bounds;
use super::guard::guarded;
use crate::disk::{Disk, RealDisk};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use strandline_model::TenantId;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const SEGMENT_BYTES: usize = 512 * 1024;
const CACHE_BYTES: u64 = 8 << 20;
/// sled's file of data, on which it holds a lock.
const DB_FILE: &str = "db";
/// Milliseconds that a close waits for sled's threads.
const RELEASE_TRIES: u32 = 2000;
const META_KEY: &[u8] = b"m";
const META_VERSION: u8 = 1;
const META_BYTES: usize = 1 + 8 + 8 + 4;

/// Why there is no image to use.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// There is none.
    #[error("there is no saved label index")]
    Missing,
    /// It belongs to another state of the store.
    #[error("the saved label index has generation {found}, the manifest has {wanted}")]
    Stale {
        /// The number in the image.
        found: u64,
        /// The manifest's number.
        wanted: u64,
    },
    /// Its content is not what was saved.
    #[error("the saved label index is damaged: {0}")]
    Damaged(&'static str),
    /// What it holds would take more memory than the index may.
    #[error("the saved label index would take more than {0} bytes of memory (storage.label_index_bytes)")]
    TooLarge(usize),
    /// The store is stopping.
    #[error("the saved label index was not read to its end: the store stops")]
    Stopped,
    /// sled refused.
    #[error("the saved label index cannot be used: {0}")]
    Sled(String),
    /// sled panicked.
    #[error("the saved label index cannot be used, sled panicked: {0}")]
    Panicked(String),
    /// The file system refused.
    #[error("the saved label index cannot be used: {0}")]
    Disk(#[from] io::Error),
}

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Labels of a page of streams.
    Labels,
    /// Days of a page of streams.
    Days,
}

/// Names a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RecordKey {
    pub(super) kind: Kind,
    pub(super) tenant: TenantId,
    pub(super) page: u32,
}

/// A record with its content.
pub(super) type Record = (RecordKey, Vec<u8>);

/// The saved catalogues.
pub(super) struct Image {
    db: sled::Db,
    /// sled's folder.
    files: RealDisk,
    /// Hash of each piece, by sled's key.
    pieces: BTreeMap<Vec<u8>, u64>,
    piece_bytes: usize,
}

fn attempt<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, ImageError> {
    match guarded(call) {
        Ok(result) => result.map_err(|e| ImageError::Sled(e.to_string())),
        Err(panic) => Err(ImageError::Panicked(panic)),
    }
}

fn piece_hash(key: &[u8], value: &[u8]) -> u64 {
    xxh3_64_with_seed(value, xxh3_64(key))
}

impl RecordKey {
    /// `kind tenant / page piece`: pages of a tenant and pieces of a page come in order.
    fn piece_key(&self, piece: u16) -> Vec<u8> {
        let kind = match self.kind {
            Kind::Labels => b'l',
            Kind::Days => b't',
        };
        let tenant = self.tenant.as_str().as_bytes();
        [&[kind], tenant, b"/", &self.page.to_be_bytes(), &piece.to_be_bytes()].concat()
    }

    fn parse(key: &[u8]) -> Option<(Self, u16)> {
        let (rest, piece) = key.split_last_chunk::<2>()?;
        let (rest, page) = rest.split_last_chunk::<4>()?;
        let (kind, tenant) = rest.strip_suffix(b"/")?.split_first()?;
        let kind = match kind {
            b'l' => Kind::Labels,
            b't' => Kind::Days,
            _ => return None,
        };
        let tenant = TenantId::new(std::str::from_utf8(tenant).ok()?).ok()?;
        Some((Self { kind, tenant, page: u32::from_be_bytes(*page) }, u16::from_be_bytes(*piece)))
    }
}

/// `version, generation, sum of the pieces' hashes, their number`.
fn meta(generation: u64, pieces: &BTreeMap<Vec<u8>, u64>) -> Vec<u8> {
    let sum = pieces.values().fold(0u64, |sum, hash| sum.wrapping_add(*hash));
    let count = pieces.len() as u32;
    [&[META_VERSION][..], &generation.to_le_bytes(), &sum.to_le_bytes(), &count.to_le_bytes()].concat()
}

fn generation_of(meta: &[u8]) -> Option<u64> {
    let (version, rest) = meta.split_first()?;
    let generation = rest.first_chunk::<8>()?;
    (meta.len() == META_BYTES && *version == META_VERSION).then(|| u64::from_le_bytes(*generation))
}

fn open_sled(path: &Path) -> Result<sled::Db, ImageError> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .segment_size(SEGMENT_BYTES)
        .mode(sled::Mode::LowSpace)
        // We flush when there is something to flush.
        .flush_every_ms(None);
    attempt(|| config.open())
}

impl Image {
    /// Makes an empty image at `path`, where nothing may be.
    pub(super) fn create(path: &Path, piece_bytes: usize) -> Result<Self, ImageError> {
        let files = RealDisk::new(path)?;
        Ok(Self { db: open_sled(path)?, files, pieces: BTreeMap::new(), piece_bytes })
    }

    /// Opens the image at `path` if it is whole, has this generation and takes no more bytes than it may; with all its
    /// records in order of their keys.
    pub(super) fn open(
        path: &Path,
        wanted: u64,
        bounds: Bounds<'_>,
    ) -> Result<(Self, Vec<Record>), ImageError> {
        let db = open_sled(path)?;
        match read_all(&db, wanted, bounds) {
            Ok((pieces, records)) => {
                let files = RealDisk::new(path)?;
                Ok((Self { db, files, pieces, piece_bytes: bounds.sizes.piece_bytes }, records))
            }
            Err(e) => {
                close_sled(db);
                Err(e)
            }
        }
    }

    /// Saves changed records, drops those that `stays` does not know, and makes all of it durable.
    pub(super) fn save(
        &mut self,
        generation: u64,
        changed: &[Record],
        stays: impl Fn(&RecordKey) -> bool,
    ) -> Result<(), ImageError> {
        let mut batch = sled::Batch::default();
        self.pieces.retain(|key, _| {
            let stays = RecordKey::parse(key).is_some_and(|(record, _)| stays(&record));
            if !stays {
                batch.remove(key.as_slice());
            }
            stays
        });
        for (key, content) in changed {
            self.put(&mut batch, key, content)?;
        }
        batch.insert(META_KEY, meta(generation, &self.pieces));
        let db = &self.db;
        attempt(|| db.apply_batch(batch).and_then(|()| db.flush()))?;
        sync_files(&self.files)
    }

    fn put(&mut self, batch: &mut sled::Batch, key: &RecordKey, content: &[u8]) -> Result<(), ImageError> {
        let n_pieces = content.chunks(self.piece_bytes).len();
        let end = u16::try_from(n_pieces).map_err(|_| ImageError::Damaged("a record is too large"))?;
        for (piece, bytes) in (0u16..).zip(content.chunks(self.piece_bytes)) {
            let key = key.piece_key(piece);
            self.pieces.insert(key.clone(), piece_hash(&key, bytes));
            batch.insert(key, bytes);
        }
        // The record may have been longer before.
        let left_over: Vec<Vec<u8>> = self
            .pieces
            .range(key.piece_key(end)..=key.piece_key(u16::MAX))
            .map(|(key, _)| key.clone())
            .collect();
        for key in left_over {
            self.pieces.remove(&key);
            batch.remove(key);
        }
        Ok(())
    }

    /// Lets go of the files; what sled writes on that occasion becomes durable too.
    pub(super) fn close(self) -> Result<(), ImageError> {
        close_sled(self.db);
        wait_for_release(self.files.local_path(""));
        sync_files(&self.files)
    }

    /// Gives up after an error. sled's own end would write, or wait for a thread that is no more.
    pub(super) fn abandon(self) {
        std::mem::forget(self.db);
    }
}

fn close_sled(db: sled::Db) {
    if let Err(panic) = guarded(|| drop(db)) {
        tracing::debug!(%panic, "sled panicked while closing");
    }
}

/// sled's own threads may work on for a moment after its end, and hold the lock on its file as long as they do.
fn wait_for_release(dir: Option<PathBuf>) {
    let released =
        || dir.as_deref().is_none_or(|dir| RealDisk::new(dir).and_then(|d| d.lock(DB_FILE)).is_ok());
    let mut tries = 0;
    while !released() && tries < RELEASE_TRIES {
        std::thread::sleep(Duration::from_millis(1));
        tries += 1;
    }
}

/// sled's `flush` promises what it does not do (60 of 60 power cuts lost data without this).
fn sync_files(files: &RealDisk) -> Result<(), ImageError> {
    for name in files.list("")?.iter().filter(|name| !name.ends_with('/')) {
        match files.open(name).and_then(|file| file.sync()) {
            // sled drops old snapshots by itself.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(files.sync_dir("")?)
}

type Checked = (BTreeMap<Vec<u8>, u64>, Vec<Record>);

/// Memory of a piece beside its bytes: its key, its hash and their place in the tree.
const PIECE_OVERHEAD: usize = 96;

/// Reads all pieces, if they are those of the wanted generation and not more than may be held.
fn read_all(db: &sled::Db, wanted: u64, bounds: Bounds<'_>) -> Result<Checked, ImageError> {
    // Of an image that is too old no more than this is read.
    if let Some(meta) = attempt(|| db.get(META_KEY))? {
        right_generation(&meta, wanted)?;
    }
    let mut pieces = Pieces::default();
    let mut bytes = 0usize;
    let mut refused = Ok(());
    attempt(|| {
        for piece in db.iter() {
            let (key, value) = piece?;
            bytes = bytes.saturating_add(key.len() + value.len() + PIECE_OVERHEAD);
            refused = if (bounds.stop)() {
                Err(ImageError::Stopped)
            } else if bytes > bounds.max_bytes {
                Err(ImageError::TooLarge(bounds.max_bytes))
            } else {
                pieces.add(&key, &value)
            };
            if refused.is_err() {
                break;
            }
        }
        Ok(())
    })?;
    refused.and_then(|()| pieces.finish(wanted))
}

fn right_generation(meta: &[u8], wanted: u64) -> Result<(), ImageError> {
    let found = generation_of(meta).ok_or(ImageError::Damaged("its meta record is not ours"))?;
    if found == wanted { Ok(()) } else { Err(ImageError::Stale { found, wanted }) }
}

/// Puts pieces together, which come in the order of their keys.
#[derive(Default)]
struct Pieces {
    hashes: BTreeMap<Vec<u8>, u64>,
    records: Vec<Record>,
    meta: Option<Vec<u8>>,
}

impl Pieces {
    fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), ImageError> {
        if key == META_KEY {
            self.meta = Some(value.to_vec());
            return Ok(());
        }
        let (record, _) = RecordKey::parse(key).ok_or(ImageError::Damaged("a key is not ours"))?;
        self.hashes.insert(key.to_vec(), piece_hash(key, value));
        match self.records.last_mut() {
            Some((last, content)) if *last == record => content.extend_from_slice(value),
            _ => self.records.push((record, value.to_vec())),
        }
        Ok(())
    }

    /// The records, if their pieces are the ones that were saved last, under this generation.
    fn finish(self, wanted: u64) -> Result<Checked, ImageError> {
        let found = self.meta.ok_or(ImageError::Damaged("it has no meta record"))?;
        right_generation(&found, wanted)?;
        if found != meta(wanted, &self.hashes) {
            return Err(ImageError::Damaged("its records are not those that were saved"));
        }
        Ok((self.hashes, self.records))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces of two records with their meta record, as sled should give them back.
    fn saved() -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut all = BTreeMap::new();
        let mut pieces = BTreeMap::new();
        for (kind, page) in [(Kind::Labels, 0), (Kind::Labels, 1), (Kind::Days, 0)] {
            let key = RecordKey { kind, tenant: TenantId::default_tenant(), page };
            for piece in 0..3u16 {
                let (key, value) = (key.piece_key(piece), vec![page as u8, piece as u8]);
                pieces.insert(key.clone(), piece_hash(&key, &value));
                all.insert(key, value);
            }
        }
        all.insert(META_KEY.to_vec(), meta(5, &pieces));
        all
    }

    fn checked(all: &BTreeMap<Vec<u8>, Vec<u8>>, wanted: u64) -> Result<Vec<Record>, ImageError> {
        let mut pieces = Pieces::default();
        for (key, value) in all {
            pieces.add(key, value)?;
        }
        pieces.finish(wanted).map(|(_, records)| records)
    }

    #[test]
    fn pieces_become_records_again() {
        let records = checked(&saved(), 5).unwrap();
        let bytes: Vec<&[u8]> = records.iter().map(|(_, bytes)| bytes.as_slice()).collect();
        assert_eq!(bytes, [[0, 0, 0, 1, 0, 2], [1, 0, 1, 1, 1, 2], [0, 0, 0, 1, 0, 2]]);
        assert!(matches!(checked(&saved(), 6), Err(ImageError::Stale { found: 5, wanted: 6 })));
        assert!(checked(&BTreeMap::new(), 0).is_err());
    }

    #[test]
    fn a_piece_that_is_lost_altered_or_left_over_is_noticed() {
        let keys: Vec<Vec<u8>> = saved().into_keys().collect();
        for key in &keys {
            let mut lost = saved();
            lost.remove(key);
            assert!(checked(&lost, 5).is_err());
            let mut swapped = saved();
            let last = swapped.remove(keys.last().unwrap()).unwrap();
            swapped.insert(key.clone(), last);
            assert!(key == keys.last().unwrap() || checked(&swapped, 5).is_err());
            for bit in 0..16 {
                let mut altered = saved();
                altered.get_mut(key).unwrap()[bit / 8] ^= 1 << (bit % 8);
                assert!(checked(&altered, 5).is_err());
            }
            let mut left_over = saved();
            left_over.insert([key.as_slice(), b"x"].concat(), vec![1]);
            assert!(checked(&left_over, 5).is_err());
        }
    }
}
