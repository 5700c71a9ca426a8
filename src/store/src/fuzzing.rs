//! What of the readers of the disk formats do the fuzz targets of `tests/fuzz` call?
//!
//! Not part of the store: only there with the feature `fuzzing`. Nothing here reads by itself; it puts bytes together
//! whose checksums hold, so that what lies behind these is reached, and calls what the engine calls.

pub use crate::segment::fuzzing as segment;
pub use crate::text::fuzzing as text;

use crate::codec::{Codec, Compression, compress};
use crate::disk::Disk;
use crate::documents::{self, Collection, Document, Version};
use crate::error::StoreError;
use crate::frame::{Payload, Position, put_frame};
use crate::manifest::{self, DeleteChanges, DeleteRecord, Edit, Manifest, Opened, SegmentId, SegmentMeta};
use crate::wal::{self, ReplayReport};
use crate::wire::{Reader, put_bytes, put_varint};
use std::sync::Arc;
use strandline_model::{Batch, BatchBuilder, Day, Labels, TenantId};

/// Number of the log and manifest file that holds the frames.
pub const NUMBER: u64 = 1;
/// Its path as a log.
pub const WAL_PATH: &str = "wal/0000000000000001.wal";
/// Its path as a manifest.
pub const MANIFEST_PATH: &str = "manifest/0000000000000001.log";

/// What an item of [`frames`] is.
const GARBAGE: u8 = 0;
/// A frame whose payload is packed here.
const PACKED: u8 = 1;
/// Another frame's codec is the item's byte less this.
const STORED: u8 = 2;

/// A file of frames. An item says what it is (garbage, a frame with a payload to pack, or one with a stored payload),
/// and then gives epoch, sequence, base, durable, kind, raw length and payload; garbage is only bytes.
pub fn frames(data: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(data);
    let mut out = Vec::new();
    while frame(&mut reader, &mut out).is_some() {}
    out
}

fn frame(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Option<()> {
    let what = reader.byte()? % (STORED + 3);
    if what == GARBAGE {
        out.extend_from_slice(reader.bytes()?);
        return Some(());
    }
    let position = Position {
        epoch: reader.varint()?,
        seq: reader.varint()?,
        base: reader.varint()?,
        durable: reader.varint()?,
    };
    let kind = reader.byte()?;
    let claimed = reader.u32()?;
    let bytes = reader.bytes().unwrap_or(reader.rest());
    let payload = match what.checked_sub(STORED).and_then(Codec::from_byte) {
        Some(codec) => Payload { kind, codec, raw_len: claimed, stored: bytes.to_vec() },
        None => {
            let mut stored = Vec::new();
            let codec = compress(&mut stored, bytes, Compression::Lz4);
            Payload { kind, codec, raw_len: bytes.len() as u32, stored }
        }
    };
    put_frame(out, position, &payload);
    Some(())
}

fn put_item(out: &mut Vec<u8>, position: [u64; 4], kind: u8, raw: &[u8]) {
    out.push(PACKED);
    position.into_iter().for_each(|n| put_varint(out, n));
    out.push(kind);
    put_varint(out, 0);
    put_bytes(out, raw);
}

/// The raw payload of a batch in the log.
pub fn encode_batch(batch: &Batch) -> Option<Vec<u8>> {
    let payload = wal::encode_batch(batch);
    crate::codec::decompress(payload.codec, &payload.stored, payload.raw_len as usize)
}

/// The batch of a raw payload.
pub fn decode_batch(raw: &[u8]) -> Option<Batch> {
    wal::decode_batch(raw)
}

/// Replays the log.
pub fn replay(
    disk: &dyn Disk,
    low_water: u64,
    apply: impl FnMut(u64, Batch),
) -> Result<(ReplayReport, u64), StoreError> {
    let from = wal::ReplayFrom { low_water, ..wal::ReplayFrom::default() };
    wal::replay(disk, &from, apply).map(|replayed| (replayed.report, replayed.last_seq))
}

/// What a manifest says.
pub type ManifestState = (u64, u64, Vec<SegmentMeta>);

/// Opens the manifest; `None` if it is damaged or missing.
pub fn open_manifest(disk: &Arc<dyn Disk>) -> Result<Option<ManifestState>, StoreError> {
    Ok(match Manifest::open(disk, &mut |_| ())? {
        Opened::Sound(manifest) => Some(state(&manifest)),
        Opened::Missing | Opened::Damaged(_) => None,
    })
}

/// Opens the manifest and commits an edit that drops `segments`.
pub fn edit_manifest(
    disk: &Arc<dyn Disk>,
    segments: Vec<SegmentId>,
    low_water: u64,
) -> Result<Option<ManifestState>, StoreError> {
    let Opened::Sound(mut manifest) = Manifest::open(disk, &mut |_| ())? else { return Ok(None) };
    manifest.commit(&Edit { drop: segments, low_water: Some(low_water), ..Edit::default() })?;
    Ok(Some(state(&manifest)))
}

fn state(manifest: &Manifest) -> ManifestState {
    (manifest.generation(), manifest.low_water(), manifest.segments().cloned().collect())
}

/// The segments that a look at the manifest finds, without changing it.
pub fn check_manifest(disk: &dyn Disk) -> Result<Option<Vec<SegmentMeta>>, StoreError> {
    Ok(manifest::check(disk)?.segments)
}

/// The document in a file of the process' own kind `k`, by the name `n`.
pub fn read_document(file: &[u8]) -> Option<Document> {
    documents::decode(&Collection::of_process("k").ok()?, "n", file).ok()
}

/// Its file.
pub fn write_document(document: &Document) -> Vec<u8> {
    let file = |c: Collection| documents::encode(&c, "n", document.version, &document.bytes);
    Collection::of_process("k").map(file).unwrap_or_default()
}

/// The same bytes with magic and checksum put right.
pub fn seal_document(mut file: Vec<u8>) -> Vec<u8> {
    documents::seal(&mut file);
    file
}

/// Small documents for [`read_document`].
pub fn document_seeds() -> Vec<Vec<u8>> {
    [&b""[..], b"a document of some bytes"]
        .map(|bytes| write_document(&Document { version: Version(7), bytes: bytes.to_vec() }))
        .to_vec()
}

/// Small logs for [`frames`].
pub fn wal_seeds() -> Vec<Vec<u8>> {
    let mut builder = BatchBuilder::new(TenantId::default_tenant(), 0);
    for app in ["a", "b"] {
        if let Ok(labels) = Labels::from_pairs(&[("app", app), ("level", "info")]) {
            builder.begin_stream(Arc::new(labels));
        }
        for ts in 1..4 {
            builder.push(ts * 1_000_000_000, b"a line of words", &mut vec![("user", "u1")]);
        }
    }
    let raw = encode_batch(&builder.finish()).unwrap_or_default();
    let mut whole = Vec::new();
    for seq in 1..4 {
        put_item(&mut whole, [NUMBER, seq, 1, seq - 1], 1, &raw);
    }
    put_item(&mut whole, [NUMBER, 0, 1, 3], 2, &[]);
    let mut torn = Vec::new();
    put_item(&mut torn, [NUMBER, 1, 1, 0], 1, &raw);
    torn.push(GARBAGE);
    put_bytes(&mut torn, &[7; 512]);
    put_item(&mut torn, [NUMBER, 3, 1, 2], 1, &raw);
    put_item(&mut torn, [NUMBER + 1, 9, 9, 9], 1, &raw);
    vec![whole, torn]
}

/// Small manifests for [`frames`].
pub fn manifest_seeds() -> Vec<Vec<u8>> {
    let delete = |number| DeleteRecord {
        number,
        tenant: TenantId::default_tenant(),
        query: "{app=\"a\"}".to_owned(),
        range: (1, 2),
        created_ns: 3,
        seq: 2,
        processed: false,
    };
    let meta = |n: u128| SegmentMeta {
        id: SegmentId(n),
        tenant: TenantId::default_tenant(),
        day: Day(19_000),
        compacted: n == 2,
        rows: 5,
        raw_bytes: 500,
        file_bytes: 900,
        streams: 2,
        blocks: 1,
        time: (1, 2),
        seq: (1, 3),
    };
    let deletes =
        DeleteChanges { clean: vec![(SegmentId(2), 1)], add: vec![delete(1)], ..DeleteChanges::default() };
    let snapshot =
        Edit { add: vec![meta(1), meta(2)], drop: vec![SegmentId(9)], low_water: Some(3), deletes };
    let deletes = DeleteChanges { add: vec![delete(2)], cancel: vec![1], ..DeleteChanges::default() };
    let edit = Edit { add: vec![meta(3)], drop: vec![SegmentId(1)], low_water: Some(7), deletes };
    let mut whole = Vec::new();
    put_item(&mut whole, [NUMBER, 5, 0, 5], 1, &snapshot.encode());
    put_item(&mut whole, [NUMBER, 6, 0, 6], 2, &edit.encode());
    put_item(&mut whole, [NUMBER, 7, 0, 7], 2, &Edit::default().encode());
    let mut torn = whole.clone();
    torn.push(GARBAGE);
    put_bytes(&mut torn, &[7; 100]);
    vec![whole, torn]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    fn disk_with(path: &str, bytes: &[u8]) -> (SimDisk, Arc<dyn Disk>) {
        let sim = SimDisk::new(1);
        sim.create_dir(crate::disk::parent(path)).unwrap();
        sim.write_file(path, bytes).unwrap();
        (sim.clone(), Arc::new(sim))
    }

    #[test]
    fn seeds_are_sound() {
        let (sim, _) = disk_with(WAL_PATH, &frames(&wal_seeds()[0]));
        let (report, last) = replay(&sim, 0, |_, _| {}).unwrap();
        assert_eq!((report.frames, report.lines, report.lost, last), (3, 18, 0, 3));
        let (sim, _) = disk_with(WAL_PATH, &frames(&wal_seeds()[1]));
        assert_eq!(replay(&sim, 0, |_, _| {}).unwrap().0.lost, 1);
        for seed in manifest_seeds() {
            let (_, disk) = disk_with(MANIFEST_PATH, &frames(&seed));
            let (generation, low_water, segments) = open_manifest(&disk).unwrap().unwrap();
            assert_eq!((generation, low_water, segments.len()), (7, 7, 2));
        }
        let sim: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
        for seed in segment::seeds(&sim) {
            let file = segment::assemble(&seed).unwrap();
            let (sim, _) = disk_with("x/s.seg", &file);
            let found = segment::open(&sim, "x/s.seg").unwrap();
            assert_eq!(segment::verify(&found), vec![]);
            // A seed has the checksums of packed columns; they are put right.
            let again = segment::take_apart(&sim, "x/s.seg").unwrap();
            assert!(segment::assemble(&again).is_some_and(|again| again == file));
        }
        for seed in document_seeds() {
            let document = read_document(&seed).unwrap();
            assert_eq!((write_document(&document), seal_document(seed.clone())), (seed.clone(), seed));
        }
        for common in [true, false] {
            let index = text::sample(common).unwrap();
            assert_eq!(text::assemble(&text::take_apart(&index.terms).unwrap()), Some(index.terms));
        }
    }
}
