//! What the manifest records of deletes by request, and which segments are free of what they delete.

use super::segment_id::SegmentId;
use crate::wire::{Reader, put_bytes, put_signed, put_varint};
use std::collections::{BTreeMap, BTreeSet};
use strandline_model::TenantId;

/// Most processed deletes of one tenant that are still listed; the oldest are forgotten first.
pub(crate) const MAX_PROCESSED_KEPT: usize = 200;

/// A delete by request, as the manifest holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRecord {
    /// Counts up over the life of the store, from 1.
    pub number: u64,
    /// Whose lines.
    pub tenant: TenantId,
    /// Which lines, in a language that the store does not know.
    pub query: String,
    /// Earliest and latest timestamp (ns), both included.
    pub range: (i64, i64),
    /// Wall clock when the request was taken (ns).
    pub created_ns: i64,
    /// Last log sequence that it covers: lines that came later stay.
    pub seq: u64,
    /// Whether its lines are gone from the disk.
    pub processed: bool,
}

impl DeleteRecord {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.number);
        put_bytes(out, self.tenant.as_str().as_bytes());
        put_bytes(out, self.query.as_bytes());
        put_signed(out, self.range.0);
        put_signed(out, self.range.1);
        put_signed(out, self.created_ns);
        put_varint(out, self.seq);
        out.push(u8::from(self.processed));
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            number: reader.varint()?,
            tenant: TenantId::new(reader.text()?).ok()?,
            query: reader.text()?.to_owned(),
            range: (reader.signed()?, reader.signed()?),
            created_ns: reader.signed()?,
            seq: reader.varint()?,
            processed: reader.byte()? != 0,
        })
    }
}

/// What an edit does to deletes; in a snapshot, all that there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeleteChanges {
    /// The highest number given so far; 0 says nothing.
    pub(crate) last: u64,
    /// New ones.
    pub(crate) add: Vec<DeleteRecord>,
    /// Numbers of those that are taken back.
    pub(crate) cancel: Vec<u64>,
    /// Numbers of those whose lines are gone from the disk.
    pub(crate) processed: Vec<u64>,
    /// Segments that hold no line of any delete up to this number.
    pub(crate) clean: Vec<(SegmentId, u64)>,
}

impl DeleteChanges {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.last);
        put_varint(out, self.add.len() as u64);
        self.add.iter().for_each(|record| record.encode(out));
        for numbers in [&self.cancel, &self.processed] {
            put_varint(out, numbers.len() as u64);
            numbers.iter().for_each(|number| put_varint(out, *number));
        }
        put_varint(out, self.clean.len() as u64);
        for (id, number) in &self.clean {
            out.extend_from_slice(&id.0.to_le_bytes());
            put_varint(out, *number);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let last = reader.varint()?;
        let add = (0..reader.count(8)?).map(|_| DeleteRecord::decode(reader)).collect::<Option<_>>()?;
        let mut numbers = || (0..reader.count(1)?).map(|_| reader.varint()).collect::<Option<Vec<u64>>>();
        let (cancel, processed) = (numbers()?, numbers()?);
        let mark = |reader: &mut Reader<'_>| {
            Some((SegmentId(u128::from_le_bytes(reader.fixed()?)), reader.varint()?))
        };
        let clean = (0..reader.count(17)?).map(|_| mark(reader)).collect::<Option<_>>()?;
        Some(Self { last, add, cancel, processed, clean })
    }
}

/// The deletes of a manifest.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Deletes {
    last: u64,
    records: BTreeMap<u64, DeleteRecord>,
    /// Only as long as a delete is pending that it could matter to.
    clean: BTreeMap<SegmentId, u64>,
}

impl Deletes {
    /// None yet; the first one gets a number above `last`.
    pub(crate) fn behind(last: u64) -> Self {
        Self { last, ..Self::default() }
    }

    /// Applies an edit's changes; `exists` says which segments the edit leaves.
    pub(crate) fn apply(&mut self, changes: &DeleteChanges, exists: impl Fn(&SegmentId) -> bool) {
        self.last = self.last.max(changes.last);
        for record in &changes.add {
            self.last = self.last.max(record.number);
            self.records.insert(record.number, record.clone());
        }
        for number in &changes.cancel {
            self.records.remove(number);
        }
        for number in &changes.processed {
            if let Some(record) = self.records.get_mut(number) {
                record.processed = true;
            }
        }
        for (id, number) in &changes.clean {
            let known = self.clean.entry(*id).or_insert(*number);
            *known = (*known).max(*number);
        }
        if !changes.processed.is_empty() {
            self.forget_oldest();
        }
        let pending = self.records.values().filter(|r| !r.processed);
        match pending.map(|r| r.number).min() {
            Some(first) => self.clean.retain(|id, number| *number >= first && exists(id)),
            None => self.clean.clear(),
        }
    }

    fn forget_oldest(&mut self) {
        let mut kept: BTreeMap<TenantId, usize> = BTreeMap::new();
        let mut forgotten = BTreeSet::new();
        for record in self.records.values().rev().filter(|r| r.processed) {
            let kept = kept.entry(record.tenant.clone()).or_default();
            *kept += 1;
            if *kept > MAX_PROCESSED_KEPT {
                forgotten.insert(record.number);
            }
        }
        self.records.retain(|number, _| !forgotten.contains(number));
    }

    /// All of it as one change to nothing.
    pub(crate) fn snapshot(&self) -> DeleteChanges {
        DeleteChanges {
            last: self.last,
            add: self.records.values().cloned().collect(),
            clean: self.clean.iter().map(|(id, number)| (*id, *number)).collect(),
            ..DeleteChanges::default()
        }
    }

    /// The number of the next delete.
    pub(crate) fn next_number(&self) -> u64 {
        self.last.saturating_add(1)
    }

    /// Those that are listed, by number.
    pub(crate) fn records(&self) -> impl Iterator<Item = &DeleteRecord> {
        self.records.values()
    }

    /// The latest delete up to which a segment is known to hold nothing that was deleted.
    pub(crate) fn clean_of(&self, id: SegmentId) -> u64 {
        self.clean.get(&id).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn record(number: u64, processed: bool) -> DeleteRecord {
        DeleteRecord {
            number,
            tenant: TenantId::new("t").unwrap(),
            query: format!("query {number}"),
            range: (-5, number as i64),
            created_ns: 7,
            seq: number * 10,
            processed,
        }
    }

    proptest! {
        #[test]
        fn changes_round_trip(numbers in proptest::collection::vec(1u64..1000, 0..5), last: u64,
                              cancel: Vec<u64>, processed: Vec<u64>, clean: Vec<(u128, u64)>) {
            let add = numbers.into_iter().map(|n| record(n, n % 2 == 0)).collect();
            let clean = clean.into_iter().map(|(id, n)| (SegmentId(id), n)).collect();
            let changes = DeleteChanges { last, add, cancel, processed, clean };
            let mut out = Vec::new();
            changes.encode(&mut out);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(DeleteChanges::decode(&mut reader), Some(changes));
            prop_assert_eq!(reader.end(), Some(()));
        }
    }

    #[test]
    fn marks_last_as_long_as_they_matter() {
        let mut deletes = Deletes::default();
        let add = vec![record(1, false), record(2, false)];
        deletes.apply(&DeleteChanges { add, ..DeleteChanges::default() }, |_| true);
        let clean = vec![(SegmentId(7), 1), (SegmentId(8), 2), (SegmentId(9), 2)];
        deletes.apply(&DeleteChanges { clean, ..DeleteChanges::default() }, |id| id.0 != 9);
        assert_eq!([7, 8, 9].map(|id| deletes.clean_of(SegmentId(id))), [1, 2, 0]);
        deletes.apply(&DeleteChanges { processed: vec![1], ..DeleteChanges::default() }, |_| true);
        assert_eq!([7, 8].map(|id| deletes.clean_of(SegmentId(id))), [0, 2]);
        deletes.apply(&DeleteChanges { cancel: vec![2], ..DeleteChanges::default() }, |_| true);
        assert_eq!((deletes.clean_of(SegmentId(8)), deletes.next_number()), (0, 3));
        assert_eq!(deletes.records().map(|r| (r.number, r.processed)).collect::<Vec<_>>(), [(1, true)]);
        let mut again = Deletes::default();
        again.apply(&deletes.snapshot(), |_| true);
        assert_eq!(again, deletes, "numbers of cancelled ones are not given again");
    }

    #[test]
    fn only_the_latest_processed_ones_are_listed() {
        let mut deletes = Deletes::default();
        let all = 1..=MAX_PROCESSED_KEPT as u64 + 5;
        let add = all.clone().map(|n| record(n, false)).collect();
        deletes.apply(&DeleteChanges { add, ..DeleteChanges::default() }, |_| true);
        deletes.apply(&DeleteChanges { processed: all.collect(), ..DeleteChanges::default() }, |_| true);
        assert_eq!(deletes.records().next().map(|r| r.number), Some(6));
        assert_eq!(deletes.records().count(), MAX_PROCESSED_KEPT);
    }
}
