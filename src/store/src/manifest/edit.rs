//! What the manifest records: segments that come and go, the log's low-water mark, and deletes by request.

use super::delete::DeleteChanges;
use super::segment_id::SegmentId;
use crate::wire::{Reader, put_bytes, put_signed, put_varint};
use strandline_model::{Day, TenantId};

/// What is known of a segment without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentMeta {
    /// Name.
    pub id: SegmentId,
    /// Owner.
    pub tenant: TenantId,
    /// The UTC day of all its entries.
    pub day: Day,
    /// Whether it came from a merge (as against a flush of the head).
    pub compacted: bool,
    /// Entries.
    pub rows: u64,
    /// Bytes of the lines.
    pub raw_bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Streams.
    pub streams: u32,
    /// Blocks.
    pub blocks: u32,
    /// Earliest and latest timestamp.
    pub time: (i64, i64),
    /// First and last log sequence that its entries may come from.
    pub seq: (u64, u64),
}

impl SegmentMeta {
    /// The partition's folder.
    pub(crate) fn dir(&self) -> String {
        partition_dir(&self.tenant, self.day)
    }

    /// The file, relative to the data directory.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}.seg", self.dir(), self.id)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.0.to_le_bytes());
        put_bytes(out, self.tenant.as_str().as_bytes());
        put_signed(out, i64::from(self.day.0));
        out.push(u8::from(self.compacted));
        for n in [self.rows, self.raw_bytes, self.file_bytes, self.streams.into(), self.blocks.into()] {
            put_varint(out, n);
        }
        put_signed(out, self.time.0);
        put_signed(out, self.time.1);
        put_varint(out, self.seq.0);
        put_varint(out, self.seq.1);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            id: SegmentId(u128::from_le_bytes(reader.fixed()?)),
            tenant: TenantId::new(reader.text()?).ok()?,
            day: Day(i32::try_from(reader.signed()?).ok()?),
            compacted: reader.byte()? != 0,
            rows: reader.varint()?,
            raw_bytes: reader.varint()?,
            file_bytes: reader.varint()?,
            streams: reader.u32()?,
            blocks: reader.u32()?,
            time: (reader.signed()?, reader.signed()?),
            seq: (reader.varint()?, reader.varint()?),
        })
    }
}

/// The folder of a partition. Tenant names are safe as folder names (`TenantId`).
pub(crate) fn partition_dir(tenant: &TenantId, day: Day) -> String {
    format!("tenants/{tenant}/{day}")
}

/// One change, atomic: all of it is in the manifest or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) add: Vec<SegmentMeta>,
    pub(crate) drop: Vec<SegmentId>,
    /// Every log frame up to this sequence has reached segments.
    pub(crate) low_water: Option<u64>,
    pub(crate) deletes: DeleteChanges,
}

impl Edit {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.low_water.map_or(0, |n| n + 1));
        put_varint(&mut out, self.drop.len() as u64);
        for id in &self.drop {
            out.extend_from_slice(&id.0.to_le_bytes());
        }
        put_varint(&mut out, self.add.len() as u64);
        for meta in &self.add {
            meta.encode(&mut out);
        }
        if !self.deletes.is_empty() {
            self.deletes.encode(&mut out);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let low_water = reader.varint()?.checked_sub(1);
        let drop = (0..reader.count(16)?)
            .map(|_| Some(SegmentId(u128::from_le_bytes(reader.fixed()?))))
            .collect::<Option<_>>()?;
        let add = (0..reader.count(16)?).map(|_| SegmentMeta::decode(&mut reader)).collect::<Option<_>>()?;
        // Format 1 knew no deletes; neither do edits that change none.
        let deletes = match reader.end() {
            Some(()) => DeleteChanges::default(),
            None => DeleteChanges::decode(&mut reader)?,
        };
        reader.end()?;
        Some(Self { add, drop, low_water, deletes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn meta() -> impl Strategy<Value = SegmentMeta> {
        (any::<u128>(), any::<i32>(), any::<bool>(), any::<[u64; 5]>(), any::<(i64, i64)>(), any::<u32>())
            .prop_map(|(id, day, compacted, n, time, count)| SegmentMeta {
                id: SegmentId(id),
                tenant: TenantId::new("a-b").unwrap(),
                day: Day(day),
                compacted,
                rows: n[0],
                raw_bytes: n[1],
                file_bytes: n[2],
                streams: count,
                blocks: count / 2,
                time,
                seq: (n[3], n[4]),
            })
    }

    proptest! {
        #[test]
        fn edits_round_trip(add in proptest::collection::vec(meta(), 0..4), drop in any::<Vec<u128>>(),
                            low_water in proptest::option::of(0..u64::MAX), cancel: Vec<u64>) {
            let deletes = DeleteChanges { cancel, ..DeleteChanges::default() };
            let edit = Edit { add, drop: drop.into_iter().map(SegmentId).collect(), low_water, deletes };
            prop_assert_eq!(Edit::decode(&edit.encode()), Some(edit));
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            let _ = Edit::decode(&bytes);
        }

        #[test]
        fn ids_print_and_parse(id in any::<u128>()) {
            prop_assert_eq!(SegmentId(id).to_string().parse::<SegmentId>().unwrap(), SegmentId(id));
        }
    }
}
