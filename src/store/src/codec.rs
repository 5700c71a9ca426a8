//! How a run of bytes is compressed on disk: one byte names the codec, so more can be added without touching readers.

use std::cell::RefCell;
use std::io::Cursor;

/// A compression codec; the number stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    /// As is.
    Raw = 0,
    /// LZ4 block format: WAL and fresh segments, cheapest to write.
    Lz4 = 1,
    /// Zstandard frame: compacted segments.
    Zstd = 2,
}

/// What to use for new data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// LZ4.
    Lz4,
    /// Zstandard at this level (1 to 19).
    Zstd(i32),
}

/// Below this size compression does not pay for its own overhead.
const MIN_BYTES: usize = 48;

thread_local! {
    /// A zstd context is 1 MB and more; one per thread and level is kept.
    static ZSTD: RefCell<Option<(i32, zstd::bulk::Compressor<'static>)>> = const { RefCell::new(None) };
    static UNZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

impl Codec {
    /// The codec that a file's byte names.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Raw),
            1 => Some(Self::Lz4),
            2 => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Compresses `raw` behind `out`; stays raw where that is not smaller.
pub fn compress(out: &mut Vec<u8>, raw: &[u8], how: Compression) -> Codec {
    let start = out.len();
    if raw.len() >= MIN_BYTES {
        let done = match how {
            Compression::Lz4 => compress_lz4(out, raw),
            Compression::Zstd(level) => compress_zstd(out, raw, level),
        };
        match done {
            Some(codec) if out.len() - start < raw.len() => return codec,
            _ => out.truncate(start),
        }
    }
    out.extend_from_slice(raw);
    Codec::Raw
}

fn compress_lz4(out: &mut Vec<u8>, raw: &[u8]) -> Option<Codec> {
    let start = out.len();
    out.resize(start + lz4_flex::block::get_maximum_output_size(raw.len()), 0);
    let written = lz4_flex::block::compress_into(raw, out.get_mut(start..)?).ok()?;
    out.truncate(start + written);
    Some(Codec::Lz4)
}

fn compress_zstd(out: &mut Vec<u8>, raw: &[u8], level: i32) -> Option<Codec> {
    ZSTD.with_borrow_mut(|kept| {
        if kept.as_ref().is_none_or(|(l, _)| *l != level) {
            *kept = Some((level, zstd::bulk::Compressor::new(level).ok()?));
        }
        let (_, compressor) = kept.as_mut()?;
        let start = out.len();
        out.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        // A cursor lets zstd append to memory that nobody had to fill with zeros before.
        let mut cursor = Cursor::new(std::mem::take(out));
        cursor.set_position(start as u64);
        let written = compressor.compress_to_buffer(raw, &mut cursor);
        *out = cursor.into_inner();
        written.is_ok().then_some(Codec::Zstd)
    })
}

/// LZ4 makes at most so many bytes of one.
const LZ4_MAX_RATIO: usize = 255;

/// Whether `stored` can become `raw_len` bytes: asked before memory is taken for them.
fn can_become(codec: Codec, stored: &[u8], raw_len: usize) -> bool {
    match codec {
        Codec::Raw => stored.len() == raw_len,
        Codec::Lz4 => raw_len / LZ4_MAX_RATIO <= stored.len(),
        Codec::Zstd => {
            matches!(zstd::zstd_safe::get_frame_content_size(stored), Ok(Some(n)) if n == raw_len as u64)
        }
    }
}

/// Decompresses to exactly `raw_len` bytes; `None` when the bytes are not that.
///
/// The caller bounds `raw_len` and has checked the CRC of `stored`.
pub fn decompress(codec: Codec, stored: &[u8], raw_len: usize) -> Option<Vec<u8>> {
    if !can_become(codec, stored, raw_len) {
        return None;
    }
    let raw = match codec {
        Codec::Raw => stored.to_vec(),
        Codec::Lz4 => lz4_flex::block::decompress(stored, raw_len).ok()?,
        Codec::Zstd => UNZSTD.with_borrow_mut(|kept| {
            if kept.is_none() {
                *kept = zstd::bulk::Decompressor::new().ok();
            }
            kept.as_mut()?.decompress(stored, raw_len).ok()
        })?,
    };
    (raw.len() == raw_len).then_some(raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_cannot_be_so_long_costs_no_memory() {
        let zeros = vec![0; 1 << 20];
        for how in [Compression::Lz4, Compression::Zstd(1)] {
            let mut out = Vec::new();
            let codec = compress(&mut out, &zeros, how);
            assert_eq!(decompress(codec, &out, zeros.len()).as_ref(), Some(&zeros));
            // Were it tried, this would be an end of the process.
            assert_eq!(decompress(codec, &out, usize::MAX / 2), None);
        }
        assert_eq!(decompress(Codec::Raw, b"x", usize::MAX / 2), None);
    }

    proptest! {
        #[test]
        fn round_trip(raw in proptest::collection::vec(0u8..4, 0..2000), zstd in any::<bool>()) {
            let mut out = vec![7];
            let codec = compress(&mut out, &raw, if zstd { Compression::Zstd(1) } else { Compression::Lz4 });
            prop_assert_eq!(decompress(codec, &out[1..], raw.len()), Some(raw));
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), len in 0usize..4096) {
            for codec in [Codec::Raw, Codec::Lz4, Codec::Zstd] {
                if let Some(raw) = decompress(codec, &bytes, len) {
                    prop_assert_eq!(raw.len(), len);
                }
            }
        }
    }
}
