//! What the manifest says, as the edits so far have made it.

use super::delete::Deletes;
use super::edit::{Edit, SegmentMeta};
use super::segment_id::SegmentId;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// Counts the edits; the label index names the edit it has seen.
    pub(super) generation: u64,
    pub(super) low_water: u64,
    pub(super) segments: BTreeMap<SegmentId, SegmentMeta>,
    /// Dropped segments whose files may still be there, or come back with a power cut because their removal is not
    /// durable: these must not be taken up again. As many as there are such files.
    pub(super) dropped: BTreeSet<SegmentId>,
    pub(super) deletes: Deletes,
}

impl State {
    /// Without segments. Deletes get numbers above `last_delete`.
    pub(super) fn empty(generation: u64, last_delete: u64) -> Self {
        Self { generation, deletes: Deletes::behind(last_delete), ..Self::default() }
    }

    pub(super) fn apply(&mut self, edit: &Edit) {
        self.generation += 1;
        for id in &edit.drop {
            self.segments.remove(id);
            self.dropped.insert(*id);
        }
        for meta in &edit.add {
            self.segments.insert(meta.id, meta.clone());
        }
        self.low_water = self.low_water.max(edit.low_water.unwrap_or(0));
        let segments = &self.segments;
        self.deletes.apply(&edit.deletes, |id| segments.contains_key(id));
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let edit = Edit {
            add: self.segments.values().cloned().collect(),
            drop: self.dropped.iter().copied().collect(),
            low_water: Some(self.low_water),
            deletes: self.deletes.snapshot(),
        };
        edit.encode()
    }

    pub(super) fn decode(generation: u64, bytes: &[u8]) -> Option<Self> {
        let edit = Edit::decode(bytes)?;
        let segments: BTreeMap<SegmentId, SegmentMeta> = edit.add.into_iter().map(|s| (s.id, s)).collect();
        let mut deletes = Deletes::default();
        deletes.apply(&edit.deletes, |id| segments.contains_key(id));
        Some(Self {
            generation,
            low_water: edit.low_water?,
            segments,
            dropped: edit.drop.into_iter().collect(),
            deletes,
        })
    }
}
