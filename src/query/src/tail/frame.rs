//! In which pieces do entries go out? Frames of a bounded size, each written once for all who get it.

use super::entry::TailEntry;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most entries of a frame (Loki's number).
pub(super) const MAX_FRAME_ENTRIES: usize = 100;
/// Most bytes of lines and labels in a frame of more than one entry.
pub(super) const MAX_FRAME_BYTES: usize = 256 << 10;

/// How entries are written for a kind of client.
#[derive(Debug, Clone, Copy)]
pub struct Encoder {
    /// Tells encoders apart: two of one name write the same.
    pub name: &'static str,
    /// Writes a whole frame.
    pub write: fn(&mut dyn Iterator<Item = &TailEntry>) -> Vec<u8>,
}

/// Entries and what is sent of them.
#[derive(Debug)]
pub struct Frame {
    entries: Arc<Vec<TailEntry>>,
    bytes: Bytes,
    charge: Charge,
}

/// Bytes that count as waiting while this lives.
#[derive(Debug)]
struct Charge {
    total: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Frame {
    /// Writes a frame; its bytes are added to `total` while it lives.
    pub(super) fn new(entries: &Arc<Vec<TailEntry>>, encoder: Encoder, total: &Arc<AtomicUsize>) -> Self {
        let written = Bytes::from((encoder.write)(&mut entries.iter()));
        let bytes = written.len() + entries.iter().map(TailEntry::bytes).sum::<usize>();
        total.fetch_add(bytes, Ordering::Relaxed);
        let charge = Charge { total: Arc::clone(total), bytes };
        Self { entries: Arc::clone(entries), bytes: written, charge }
    }

    /// What is sent. Clones share the memory.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The entries, by time.
    pub fn entries(&self) -> &[TailEntry] {
        &self.entries
    }

    /// Memory in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.charge.bytes
    }
}

/// Cuts entries into what fits into a frame each.
pub(super) fn cut(entries: Vec<TailEntry>) -> Vec<Arc<Vec<TailEntry>>> {
    let (mut cut, mut piece, mut bytes) = (Vec::new(), Vec::new(), 0);
    for entry in entries {
        let more = entry.bytes();
        if piece.len() >= MAX_FRAME_ENTRIES || (!piece.is_empty() && bytes + more > MAX_FRAME_BYTES) {
            cut.push(Arc::new(std::mem::take(&mut piece)));
            bytes = 0;
        }
        bytes += more;
        piece.push(entry);
    }
    if !piece.is_empty() {
        cut.push(Arc::new(piece));
    }
    cut
}
