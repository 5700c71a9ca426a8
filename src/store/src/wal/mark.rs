//! Up to where is the log certainly on the disk? A small file beside the log says so, so that damage to the log's end can
//! be told from a write that was cut off. Format: `schema/wal.md`.

use super::DIR;
use crate::codec::Codec;
use crate::disk::{Disk, DiskFile, is_medium_error, parent, read_all};
use crate::error::{AtPath, StoreError};
use crate::frame::{FrameRead, MAX_SEQUENCE, Payload, Position, put_frame, read_frame};
use crate::sequences::Sequences;
use crate::wire::Reader;
use std::io;
use std::sync::Arc;

/// The file: two slots, written in turn, so that a write that is cut off costs the newer one only.
pub(super) const PATH: &str = "wal/mark";
const SLOT_BYTES: usize = 4096;
const KIND_MARK: u8 = 3;
/// Runs that fit into a slot however large their numbers are.
const MAX_RUNS: usize = 190;

/// What a mark says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Vouched {
    /// The manifest's low-water mark at that time: what lies below is in segments.
    pub(crate) low_water: u64,
    /// Sequences above it that were synced.
    pub(crate) synced: Sequences,
}

/// The writing end.
#[derive(Debug)]
pub(super) struct Mark {
    disk: Arc<dyn Disk>,
    /// None before the first write and after a failed one, which begins the file anew.
    file: Option<Arc<dyn DiskFile>>,
    turn: u64,
    written: Option<Vouched>,
}

impl Mark {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, file: None, turn: 0, written: None }
    }

    /// Makes `vouched` durable, unless it is what was written last.
    pub(super) fn write(&mut self, vouched: Vouched) -> Result<(), StoreError> {
        if self.written.as_ref() == Some(&vouched) {
            return Ok(());
        }
        let turn = self.turn + 1;
        let slot = slot(turn, &vouched);
        let offset = turn % 2 * SLOT_BYTES as u64;
        match self.file.take() {
            Some(file) => {
                file.write_at(&slot, offset).and_then(|()| file.sync()).at(PATH)?;
                self.file = Some(file);
            }
            None => self.file = Some(self.begin(&slot, offset)?),
        }
        (self.turn, self.written) = (turn, Some(vouched));
        Ok(())
    }

    /// A file whose write failed is not written again: it is replaced. So is that of an earlier process, whose turns are
    /// not known here.
    fn begin(&self, slot: &[u8], offset: u64) -> Result<Arc<dyn DiskFile>, StoreError> {
        let temporary = format!("{PATH}.tmp");
        let file = self.disk.create(&temporary).at(&temporary)?;
        file.preallocate(2 * SLOT_BYTES as u64).at(&temporary)?;
        file.write_at(slot, offset).and_then(|()| file.sync()).at(&temporary)?;
        self.disk.rename(&temporary, PATH).at(PATH)?;
        self.disk.sync_dir(parent(PATH)).at(DIR)?;
        Ok(file)
    }
}

fn slot(turn: u64, vouched: &Vouched) -> Vec<u8> {
    let mut stored = Vec::new();
    vouched.synced.latest(MAX_RUNS).encode(&mut stored);
    let payload = Payload { kind: KIND_MARK, codec: Codec::Raw, raw_len: stored.len() as u32, stored };
    let mut out = Vec::with_capacity(SLOT_BYTES);
    put_frame(&mut out, Position { epoch: turn, seq: 0, base: 0, durable: vouched.low_water }, &payload);
    out.resize(SLOT_BYTES, 0);
    out
}

/// What the newest whole slot says; nothing when there is none.
pub(super) fn read(disk: &dyn Disk) -> Result<Vouched, StoreError> {
    let bytes = match read_all(disk, PATH, 1 << 20) {
        Ok(bytes) => bytes,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            return Ok(Vouched::default());
        }
        // It helps to find losses; without it the log is read all the same.
        Err(e) if is_medium_error(&e) => {
            tracing::error!(error = %e, "what the log's mark says cannot be read: a loss at its end may go unnoticed");
            return Ok(Vouched::default());
        }
        Err(e) => return Err(e).at(PATH),
    };
    let slots = bytes.chunks(SLOT_BYTES).filter_map(|slot| match read_frame(slot) {
        FrameRead::Frame(frame) if frame.kind == KIND_MARK => {
            let synced = Sequences::decode(&mut Reader::new(&frame.raw()?))?;
            synced.last().is_none_or(|last| last <= MAX_SEQUENCE).then_some(())?;
            Some((frame.position.epoch, Vouched { low_water: frame.position.durable, synced }))
        }
        _ => None,
    });
    Ok(slots.max_by_key(|(turn, _)| *turn).map(|(_, vouched)| vouched).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    fn vouched(n: u64) -> Vouched {
        let mut synced = Sequences::default();
        synced.add(n, n + 5);
        Vouched { low_water: n - 1, synced }
    }

    #[test]
    fn the_newest_whole_slot_counts() {
        let disk = SimDisk::new(1);
        disk.create_dir(DIR).unwrap();
        assert_eq!(read(&disk).unwrap(), Vouched::default());
        let mut mark = Mark::new(Arc::new(disk.clone()));
        for n in 1..=4 {
            mark.write(vouched(n)).unwrap();
            assert_eq!(read(&disk).unwrap(), vouched(n));
        }
        let whole = disk.read_file(PATH).unwrap();
        for bit in (0..whole.len() as u64 * 8).step_by(3) {
            disk.write_file(PATH, &whole).unwrap();
            disk.flip_bit(PATH, bit).unwrap();
            assert!([vouched(4), vouched(3)].contains(&read(&disk).unwrap()), "bit {bit}");
        }
        for len in (0..whole.len() as u64).step_by(100) {
            disk.write_file(PATH, &whole[..len as usize]).unwrap();
            let _ = read(&disk).unwrap();
        }
        assert_eq!(read(&disk).unwrap(), vouched(4));
    }

    #[test]
    fn a_file_whose_write_failed_is_not_written_again() {
        let disk = SimDisk::new(1);
        disk.create_dir(DIR).unwrap();
        let mut mark = Mark::new(Arc::new(disk.clone()));
        mark.write(vouched(1)).unwrap();
        disk.fail_next_sync(1);
        assert!(mark.write(vouched(2)).is_err());
        mark.write(vouched(2)).unwrap();
        disk.crash();
        assert_eq!(read(&disk).unwrap(), vouched(2));
    }

    #[test]
    fn as_many_runs_fit_as_are_written() {
        let mut synced = Sequences::default();
        (0..5000u64)
            .for_each(|n| synced.add((1 << 61) + n * (1 << 40), (1 << 61) + n * (1 << 40) + (1 << 39)));
        assert_eq!(slot(1, &Vouched { low_water: 1, synced }).len(), SLOT_BYTES);
    }
}
