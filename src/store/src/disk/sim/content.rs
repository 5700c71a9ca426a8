//! What is in a simulated file now, and what would be in it after a crash?

use super::rng::Rng;
use parking_lot::Mutex;

/// Disks write sectors whole or not at all; anything larger can be torn.
const SECTOR_BYTES: usize = 512;

/// How likely an unsynced change is to survive one crash. The chances are drawn anew for each crash. Were they the same for
/// all, a crash with a hundred unsynced writes would practically never keep all of them, or none; both happen on real disks,
/// and each finds other bugs.
#[derive(Debug, Clone, Copy)]
pub(super) struct CrashOdds {
    /// Chance that an unsynced change is there after the crash.
    pub(super) keep_per_mille: u16,
    /// Chance that a write that is not there whole is there in part.
    tear_per_mille: u16,
}

impl CrashOdds {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let pick = |rng: &mut Rng, from: &[u16]| from.get(rng.below(from.len())).copied().unwrap_or(0);
        Self {
            keep_per_mille: pick(rng, &[0, 100, 500, 900, 1000]),
            tear_per_mille: pick(rng, &[0, 250, 500, 1000]),
        }
    }
}

/// A file apart from its names.
#[derive(Debug, Default)]
pub(super) struct Inode(pub(super) Mutex<Content>);

/// The bytes of a file: as processes see them, and as the platters hold them.
#[derive(Debug, Default)]
pub(super) struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Since the last sync, in order.
    unsynced: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

fn apply(image: &mut Vec<u8>, change: &Change) {
    match change {
        Change::SetLen(len) => image.resize(*len, 0),
        Change::Write { offset, bytes } => put(image, *offset, bytes),
    }
}

fn put(image: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    if let Some(to) = image.get_mut(offset..end) {
        to.copy_from_slice(bytes);
    }
}

impl Content {
    /// A file whose bytes are durable.
    pub(super) fn synced(bytes: Vec<u8>) -> Self {
        Self { durable: bytes.clone(), live: bytes, unsynced: Vec::new() }
    }

    /// Bytes of memory that the images and what is not synced take.
    pub(super) fn memory_bytes(&self) -> usize {
        let unsynced = self.unsynced.iter().map(|change| match change {
            Change::Write { bytes, .. } => bytes.capacity(),
            Change::SetLen(_) => 0,
        });
        self.live.capacity() + self.durable.capacity() + unsynced.sum::<usize>()
    }

    pub(super) fn live(&self) -> &[u8] {
        &self.live
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.change(Change::Write { offset, bytes: bytes.to_vec() });
    }

    pub(super) fn set_len(&mut self, len: usize) {
        if len != self.live.len() {
            self.change(Change::SetLen(len));
        }
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.live, &change);
        self.unsynced.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            apply(&mut self.durable, &change);
        }
    }

    /// A sync that failed the way Linux fails: what was dirty is marked clean, stays visible, and never gets to disk.
    pub(super) fn forget_unsynced(&mut self) {
        self.unsynced.clear();
    }

    /// Changes live and durable bytes alike, as rot or an editor would.
    pub(super) fn tamper(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.live);
        *self = Self::synced(std::mem::take(&mut self.live));
    }

    /// What is left after a crash.
    pub(super) fn crash(&mut self, rng: &mut Rng, odds: CrashOdds) {
        let mut image = std::mem::take(&mut self.durable);
        // Each change of length is a commit of its own; the crash falls between any two of them.
        let mut lengths = vec![image.len()];
        for change in std::mem::take(&mut self.unsynced) {
            let last_len = lengths.last().copied().unwrap_or(0);
            match change {
                Change::SetLen(len) if len < last_len => {
                    if !rng.chance(odds.keep_per_mille) {
                        // What was written after the cut went to blocks that the file does not own yet.
                        break;
                    }
                    image.truncate(len);
                    lengths = vec![len];
                }
                Change::SetLen(len) => lengths.push(len),
                Change::Write { offset, bytes } => {
                    lengths.push(last_len.max(offset + bytes.len()));
                    leave_of_write(&mut image, offset, &bytes, rng, odds);
                }
            }
        }
        let newest = rng.chance(odds.keep_per_mille);
        let reached = if newest { lengths.len() - 1 } else { rng.below(lengths.len()) };
        image.resize(lengths.get(reached).copied().unwrap_or(0), 0);
        *self = Self::synced(image);
    }
}

/// Applies what a crash leaves of one unsynced write: all, nothing, or some sectors of it, some of them garbage.
/// Bytes that the write did not cover stay as they are even in a sector that it shares with them.
fn leave_of_write(image: &mut Vec<u8>, offset: usize, bytes: &[u8], rng: &mut Rng, odds: CrashOdds) {
    if rng.chance(odds.keep_per_mille) {
        return put(image, offset, bytes);
    }
    if !rng.chance(odds.tear_per_mille) {
        return;
    }
    let mut at = 0;
    while at < bytes.len() {
        let step = (SECTOR_BYTES - (offset + at) % SECTOR_BYTES).min(bytes.len() - at);
        let sector = bytes.get(at..at + step).unwrap_or_default();
        match rng.below(5) {
            0 | 1 => put(image, offset + at, sector),
            2 | 3 => {}
            _ => {
                let garbage: Vec<u8> = sector.iter().map(|_| rng.next() as u8).collect();
                put(image, offset + at, &garbage);
            }
        }
        at += step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const ALL_KEPT: CrashOdds = CrashOdds { keep_per_mille: 1000, tear_per_mille: 0 };
    const ALL_LOST: CrashOdds = CrashOdds { keep_per_mille: 0, tear_per_mille: 0 };

    fn crashed(mut content: Content, seed: u64, odds: CrashOdds) -> Vec<u8> {
        content.crash(&mut Rng::new(seed), odds);
        content.live
    }

    #[test]
    fn a_crash_keeps_everything_at_best_and_at_worst_only_what_was_synced() {
        let file = || {
            let mut file = Content::synced(b"old".to_vec());
            file.write(1, b"new, longer");
            file.set_len(20);
            file
        };
        assert_eq!(crashed(file(), 1, ALL_KEPT), b"onew, longer\0\0\0\0\0\0\0\0");
        for seed in 0..50 {
            let left = crashed(file(), seed, ALL_LOST);
            assert!([3, 12, 20].contains(&left.len()));
            assert!(left.starts_with(b"old") && left.iter().skip(3).all(|b| *b == 0));
        }
    }

    #[test]
    fn torn_writes_show_old_new_and_garbage_sectors_and_spare_their_neighbours() {
        let mut kinds = BTreeSet::new();
        for seed in 0..50 {
            let mut file = Content::synced(vec![1; 2000]);
            file.write(100, &[2; 1500]);
            let left = crashed(file, seed, CrashOdds { keep_per_mille: 0, tear_per_mille: 1000 });
            assert!(left.iter().take(100).chain(left.iter().skip(1600)).all(|b| *b == 1));
            for sector in [100..512, 512..1024, 1024..1536, 1536..1600] {
                let bytes: BTreeSet<u8> = left.get(sector).unwrap().iter().copied().collect();
                kinds.insert(if bytes.len() > 1 { 0 } else { *bytes.first().unwrap() });
            }
        }
        assert_eq!(kinds, BTreeSet::from([0, 1, 2]));
    }

    #[test]
    fn an_emptied_file_is_the_old_one_whole_or_the_new_one() {
        let mut seen = BTreeSet::new();
        for seed in 0..100 {
            let mut file = Content::synced(b"before".to_vec());
            file.set_len(0);
            file.write(0, b"after");
            let left = crashed(file, seed, CrashOdds { keep_per_mille: 500, tear_per_mille: 0 });
            seen.insert(left);
        }
        let possible: [&[u8]; 4] = [b"", b"\0\0\0\0\0", b"after", b"before"];
        assert_eq!(seen.iter().map(Vec::as_slice).collect::<Vec<_>>(), possible);
    }
}
