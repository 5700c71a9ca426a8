//! How does a mutator get past the checksums of a segment? The file is put together from parts of which only the
//! checksums, offsets of chunks and the footer are made right.

use super::footer::{Footer, PartPlace};
use super::streams::{decode_directory, encode_directory};
use super::table::BlockTable;
use super::{Part, Segment, part_crc};
use crate::codec::{Codec, decompress};
use crate::disk::{Disk, DiskFile};
use crate::error::{Corruption, StoreError};
use crate::manifest::{SegmentId, SegmentMeta};
use crate::wire::{Reader, put_bytes};

/// Most bytes that a place may claim in the seeds.
const MAX_SEED_PART: usize = 1 << 20;

/// Opens a segment.
pub fn open(disk: &dyn Disk, path: &str) -> Result<Segment, StoreError> {
    Segment::open(disk, path)
}

/// Reads and checks every byte; all damage found.
pub fn verify(segment: &Segment) -> Vec<Corruption> {
    segment.verify()
}

/// A segment file of these parts: columns, stream chunks, directory, block table, terms, postings and what the footer
/// says; each one as long as it says itself.
pub fn assemble(data: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(data);
    let mut next = || {
        let rest = reader.rest();
        reader.bytes().unwrap_or_else(|| {
            // A length that leads too far means all the rest.
            reader = Reader::new(&[]);
            rest
        })
    };
    let [columns, chunks, directory, table, terms, postings, meta] = std::array::from_fn(|_| next());
    let mut meta = SegmentMeta::decode(&mut Reader::new(meta))?;
    let id = meta.id;
    let mut file = [columns, chunks].concat();

    let directory = match decode_directory(directory) {
        Some(mut places) => {
            for (i, place) in (0u64..).zip(&mut places) {
                place.offset = place.offset.wrapping_add(columns.len() as u64);
                if let Some(stored) = slice(&file, place.offset, place.stored_len) {
                    place.crc = part_crc(id, Part::StreamChunk, i, stored);
                }
            }
            encode_directory(&places)
        }
        None => directory.to_vec(),
    };
    let table = match BlockTable::decode(table) {
        Some(mut table) => {
            for (b, block) in (0u64..).zip(&mut table.blocks) {
                let start = block.offset;
                for (i, place) in (0u64..).zip(&mut block.columns) {
                    let stored = start.checked_add(place.offset.into());
                    if let Some(stored) = stored.and_then(|at| slice(&file, at, place.stored_len)) {
                        place.crc = part_crc(id, Part::Column, b << 16 | i, stored);
                    }
                }
            }
            table.encode()
        }
        None => table.to_vec(),
    };
    let mut parts = Vec::new();
    let mut put = |part, stored: &[u8]| {
        let (offset, len) = (file.len() as u64, stored.len() as u32);
        let crc = part_crc(id, part, 0, stored);
        parts.push(PartPlace { part, codec: Codec::Raw, offset, stored_len: len, raw_len: len, crc });
        file.extend_from_slice(stored);
    };
    put(Part::StreamDirectory, &directory);
    put(Part::BlockTable, &table);
    if !terms.is_empty() {
        put(Part::Terms, terms);
        put(Part::Postings, postings);
    }
    meta.file_bytes = file.len() as u64;
    let mut footer = Footer { meta, replaces: Vec::new(), group: id, parts };
    let mut encoded = footer.encode();
    while footer.meta.file_bytes != (file.len() + encoded.len()) as u64 {
        footer.meta.file_bytes = (file.len() + encoded.len()) as u64;
        encoded = footer.encode();
    }
    file.extend_from_slice(&encoded);
    Some(file)
}

fn slice(bytes: &[u8], offset: u64, len: u32) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start.checked_add(len as usize)?)
}

/// The parts of a sound segment as [`assemble`] takes them, nothing packed.
pub fn take_apart(disk: &dyn Disk, path: &str) -> Option<Vec<u8>> {
    let segment = Segment::open(disk, path).ok()?;
    let file = disk.open(path).ok()?;
    let (mut columns, mut chunks) = (Vec::new(), Vec::new());
    let mut table = BlockTable::clone(&*segment.table().ok()?);
    for block in &mut table.blocks {
        let (from, mut offset) = (block.offset, 0);
        block.offset = columns.len() as u64;
        for place in &mut block.columns {
            let raw = unpacked(
                file.as_ref(),
                place.codec,
                from + u64::from(place.offset),
                place.stored_len,
                place.raw_len,
            )?;
            (place.codec, place.offset, place.stored_len) = (Codec::Raw, offset, place.raw_len);
            offset += place.raw_len;
            columns.extend(raw);
        }
    }
    let part = |part| {
        let place = segment.footer().part(part)?;
        unpacked(file.as_ref(), place.codec, place.offset, place.stored_len, place.raw_len)
    };
    let mut places = decode_directory(&part(Part::StreamDirectory)?)?;
    for place in &mut places {
        let raw = unpacked(file.as_ref(), place.codec, place.offset, place.stored_len, place.raw_len)?;
        (place.codec, place.offset, place.stored_len) = (Codec::Raw, chunks.len() as u64, place.raw_len);
        chunks.extend(raw);
    }
    let mut meta = Vec::new();
    SegmentMeta { file_bytes: 0, ..segment.meta().clone() }.encode(&mut meta);
    let mut out = Vec::new();
    put_bytes(&mut out, &columns);
    put_bytes(&mut out, &chunks);
    put_bytes(&mut out, &encode_directory(&places));
    put_bytes(&mut out, &table.encode());
    put_bytes(&mut out, &part(Part::Terms).unwrap_or_default());
    put_bytes(&mut out, &part(Part::Postings).unwrap_or_default());
    put_bytes(&mut out, &meta);
    Some(out)
}

fn unpacked(file: &dyn DiskFile, codec: Codec, offset: u64, stored: u32, raw: u32) -> Option<Vec<u8>> {
    let mut bytes = vec![0; (stored as usize).min(MAX_SEED_PART)];
    file.read_at(&mut bytes, offset).ok()?;
    decompress(codec, &bytes, raw as usize)
}

/// Writes small segments, indexed and not, and gives the parts of each.
pub fn seeds(disk: &std::sync::Arc<dyn Disk>) -> Vec<Vec<u8>> {
    [(true, 300), (false, 300), (true, 1 << 20)]
        .into_iter()
        .filter_map(|(index, block_bytes)| {
            let path = write(disk, index, block_bytes).ok()??;
            take_apart(disk.as_ref(), &path)
        })
        .collect()
}

fn write(
    disk: &std::sync::Arc<dyn Disk>,
    index: bool,
    block_bytes: usize,
) -> Result<Option<String>, StoreError> {
    use super::writer::{Origin, SegmentWriter, WriterOptions};
    use crate::codec::Compression;
    use strandline_model::{Day, Labels, Metadata, TenantId};
    let id = SegmentId(7 << 80 | block_bytes as u128 | u128::from(index));
    let tenant = TenantId::default_tenant();
    let origin =
        Origin { id, tenant, day: Day(0), compacted: true, seq: (1, 2), replaces: vec![], group: id };
    let options = WriterOptions { block_bytes, compression: Compression::Zstd(1), index };
    let mut writer = SegmentWriter::create(disk, origin, options)?;
    for stream in 0..3 {
        let Ok(labels) = Labels::from_pairs(&[("app", "x"), ("n", ["0", "1", "2"][stream])]) else {
            continue;
        };
        writer.begin_stream(&labels)?;
        for i in 0..12i64 {
            let mut packed = Vec::new();
            let user = format!("u{}", i % 3);
            Metadata::pack(&mut packed, &mut vec![("detected_level", "info"), ("user", &user)]);
            let line = format!("line {i} of some words k{stream}={}", i * 37);
            writer.push(i * 1_000_000_000 * (1 + stream as i64), line.as_bytes(), Metadata(&packed))?;
        }
    }
    Ok(writer.finish()?.map(|meta| meta.path()))
}
