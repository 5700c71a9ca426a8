//! One document as a file, and back without trust. Format: `schema/documents.md`.

use super::collection::{Collection, check_name};
use super::{Document, Version};
use crate::wire::{Reader, put_bytes};
use crc32c::crc32c;

/// The last byte is the version of the format.
const MAGIC: [u8; 4] = *b"SLD1";
/// Magic, checksum and version.
const FIXED: usize = 16;
/// Most bytes that stand in a file beside the document's own: the fixed ones, three lengths of two bytes and one of ten, a
/// tenant, a kind and a name.
pub(super) const MAX_OVERHEAD: u64 = 512;
/// Largest file that is read, and written: whatever the bounds are set to.
pub(super) const MAX_FILE_BYTES: u64 = 16 << 20;
/// No version comes near: clocks give numbers below 2^63. So the next one can always be counted.
const MAX_VERSION: u64 = 3 << 62;

/// The bytes of a document's file: who it belongs to stands in it, under the checksum, so that a file in the place of another
/// one is noticed.
pub(crate) fn encode(collection: &Collection, name: &str, version: Version, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + MAX_OVERHEAD as usize);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&version.0.to_le_bytes());
    for text in [collection.owner_text(), collection.kind(), name] {
        put_bytes(&mut out, text.as_bytes());
    }
    put_bytes(&mut out, bytes);
    seal(&mut out);
    out
}

/// Puts magic and checksum right.
pub(crate) fn seal(file: &mut [u8]) {
    let crc = crc32c(file.get(8..).unwrap_or_default()).to_le_bytes();
    if let Some(places) = file.get_mut(..8).and_then(|begin| begin.split_at_mut_checked(4)) {
        places.0.copy_from_slice(&MAGIC);
        places.1.copy_from_slice(&crc);
    }
}

/// The document, or what is wrong with these bytes as that document's file.
pub(crate) fn decode(collection: &Collection, name: &str, file: &[u8]) -> Result<Document, &'static str> {
    let Some(fixed) = file.first_chunk::<FIXED>() else { return Err("the file is too short") };
    if !fixed.starts_with(&MAGIC) {
        return Err("the file does not begin as a document of this version does");
    }
    let mut reader = Reader::new(file.get(4..).unwrap_or_default());
    let crc = reader.fixed().map(u32::from_le_bytes);
    if crc != Some(crc32c(reader.rest())) {
        return Err("checksum does not hold");
    }
    let document = parse(&mut reader, collection, name).ok_or("the content does not decode")??;
    check_name(name).map_err(|_| "no document has such a name")?;
    Ok(document)
}

fn parse(
    reader: &mut Reader<'_>,
    collection: &Collection,
    name: &str,
) -> Option<Result<Document, &'static str>> {
    let version = reader.fixed().map(u64::from_le_bytes)?;
    let place = [reader.text()?, reader.text()?, reader.text()?];
    let bytes = reader.bytes()?.to_vec();
    reader.end()?;
    if version > MAX_VERSION {
        return None;
    }
    if place != [collection.owner_text(), collection.kind(), name] {
        return Some(Err("the file is that of another document"));
    }
    Some(Ok(Document { version: Version(version), bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use strandline_model::TenantId;

    fn collection() -> Collection {
        Collection::of_tenant(&TenantId::new("acme").unwrap(), "alert-rules").unwrap()
    }

    /// The first version of the format, byte by byte: files of it are read as long as there are any.
    #[test]
    fn the_format_is_what_its_page_says() {
        let file = encode(&collection(), "disk", Version(258), b"full");
        assert_eq!(&file[..4], b"SLD1");
        assert_eq!(file[4..8], crc32c(&file[8..]).to_le_bytes());
        assert_eq!(&file[8..], b"\x02\x01\0\0\0\0\0\0\x04acme\x0balert-rules\x04disk\x04full");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let file = encode(&collection(), "disk", Version(7), b"some bytes of a rule");
        let sound = Document { version: Version(7), bytes: b"some bytes of a rule".to_vec() };
        assert_eq!(decode(&collection(), "disk", &file), Ok(sound));
        for bit in 0..file.len() * 8 {
            let mut flipped = file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&collection(), "disk", &flipped).is_err(), "bit {bit}");
        }
        for len in 0..file.len() {
            assert!(decode(&collection(), "disk", &file[..len]).is_err(), "cut at {len}");
        }
        let longer = [&file[..], b"\0"].concat();
        assert!(decode(&collection(), "disk", &longer).is_err());
    }

    #[test]
    fn the_file_of_another_document_is_none() {
        let file = encode(&collection(), "disk", Version(7), b"x");
        let other = Collection::of_process("alert-rules").unwrap();
        let another = "the file is that of another document";
        assert_eq!(decode(&collection(), "disks", &file), Err(another));
        assert_eq!(decode(&other, "disk", &file), Err(another));
    }

    #[test]
    fn nothing_is_larger_beside_the_content_than_the_bound_says() {
        let tenant = TenantId::new(&"t".repeat(150)).unwrap();
        let collection = Collection::of_tenant(&tenant, &"k".repeat(32)).unwrap();
        let file =
            encode(&collection, &"n".repeat(super::super::MAX_NAME_BYTES), Version(u64::MAX), &[0; 300]);
        assert!(file.len() as u64 <= 300 + MAX_OVERHEAD);
    }

    proptest! {
        #[test]
        fn documents_round_trip(name in "\\PC{1,30}", version in 0..=MAX_VERSION, bytes: Vec<u8>) {
            let file = encode(&collection(), &name, Version(version), &bytes);
            let document = Document { version: Version(version), bytes };
            prop_assert_eq!(decode(&collection(), &name, &file), Ok(document));
        }

        #[test]
        fn foreign_bytes_do_no_harm(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            // Behind a checksum that holds.
            seal(&mut bytes);
            let _ = decode(&collection(), "a", &bytes);
        }
    }
}
