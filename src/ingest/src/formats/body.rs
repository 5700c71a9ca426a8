//! What lies in the body of a push, and how is it unpacked without trusting what it says about its size?

use super::error::DecodeError;
use crate::intake::IntakeError;
use crate::push_memory::PushMemory;
use flate2::read::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use lz4_flex::frame::FrameDecoder;
use std::borrow::Cow;
use std::io::{ErrorKind, Read};

/// How much a body may grow on unpacking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackLimits {
    /// Most bytes of the unpacked body.
    pub max_decompressed: usize,
    /// Most unpacked bytes per packed byte; counts from 4 MiB on, for short bodies of repeated lines pack very well.
    pub max_ratio: usize,
}

/// From here on the ratio counts.
const RATIO_FROM_BYTES: usize = 4 << 20;
/// Snappy's densest element makes 64 bytes of 3.
const SNAPPY_MAX_RATIO: usize = 22;
/// Largest zstd window, as a power of two: 32 MiB, which is what the strongest usual levels ask for.
const MAX_ZSTD_WINDOW_LOG: u32 = 25;
/// Smallest bound on a window that the decoder can be told.
const MIN_ZSTD_WINDOW_LOG: u32 = 10;
/// What a decoder of zstd holds beside its window, roughly.
const ZSTD_CONTEXT_BYTES: usize = 384 << 10;

impl Default for UnpackLimits {
    fn default() -> Self {
        Self { max_decompressed: 64 << 20, max_ratio: 400 }
    }
}

impl UnpackLimits {
    /// The bytes that a body of `packed` bytes may become, and the error when it becomes more.
    fn allowed(&self, packed: usize) -> (usize, DecodeError) {
        let by_ratio = packed.saturating_mul(self.max_ratio).max(RATIO_FROM_BYTES);
        if by_ratio < self.max_decompressed {
            (by_ratio, DecodeError::Bomb(self.max_ratio))
        } else {
            (self.max_decompressed, DecodeError::TooLarge(self.max_decompressed))
        }
    }
}

/// What the unpacked body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    /// Snappy-packed protobuf: whatever is not JSON, as in Loki.
    Protobuf,
}

impl Format {
    /// The format that a `Content-Type` announces, protobuf if there is none. Parameters are ignored.
    pub(super) fn of(content_type: Option<&str>) -> Result<Self, DecodeError> {
        let media_type = media_type(content_type);
        if media_type.is_empty() {
            return Ok(Self::Protobuf);
        }
        let token = |part: &str| !part.is_empty() && part.bytes().all(is_token_byte);
        let well_formed = match media_type.split_once('/') {
            Some((main, sub)) => token(main) && token(sub),
            None => token(media_type),
        };
        if !well_formed {
            return Err(DecodeError::MediaType);
        }
        Ok(if media_type.eq_ignore_ascii_case("application/json") { Self::Json } else { Self::Protobuf })
    }
}

/// A `Content-Type` without its parameters.
pub(super) fn media_type(content_type: Option<&str>) -> &str {
    content_type.unwrap_or("").split(';').next().unwrap_or("").trim()
}

fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// How the body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Gzip,
    Deflate,
    Zstd,
    Lz4,
}

impl Encoding {
    /// The packing that a `Content-Encoding` announces. `snappy` says nothing: protobuf is snappy anyway, and Loki
    /// takes JSON under it as it is.
    pub(super) fn of(content_encoding: Option<&str>) -> Result<Self, DecodeError> {
        let name = content_encoding.unwrap_or("").trim();
        match name.to_ascii_lowercase().as_str() {
            "" | "identity" | "snappy" => Ok(Self::Plain),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" | "zlib" => Ok(Self::Deflate),
            "zstd" => Ok(Self::Zstd),
            "lz4" => Ok(Self::Lz4),
            _ => Err(DecodeError::Encoding(name.to_owned())),
        }
    }

    /// The body without its packing.
    pub(super) fn unpack<'a>(
        self,
        body: &'a [u8],
        limits: &UnpackLimits,
        memory: Option<&PushMemory>,
    ) -> Result<Cow<'a, [u8]>, DecodeError> {
        match self {
            Self::Plain if body.len() > limits.max_decompressed => {
                Err(DecodeError::TooLarge(limits.max_decompressed))
            }
            Self::Plain => Ok(Cow::Borrowed(body)),
            Self::Gzip => drain(MultiGzDecoder::new(body), body.len(), limits, memory, DecodeError::Gzip)
                .map(Cow::Owned),
            Self::Deflate => inflate(body, limits, memory).map(Cow::Owned),
            Self::Zstd => unzstd(body, limits, memory).map(Cow::Owned),
            Self::Lz4 => unlz4(body, limits, memory).map(Cow::Owned),
        }
    }
}

/// All that `decoder` makes of a body of `packed` bytes, within the limits.
fn drain(
    mut decoder: impl Read,
    packed: usize,
    limits: &UnpackLimits,
    memory: Option<&PushMemory>,
    failed: fn(std::io::Error) -> DecodeError,
) -> Result<Vec<u8>, DecodeError> {
    let (allowed, error) = limits.allowed(packed);
    let mut out = Vec::new();
    grow(&mut out, packed.saturating_mul(4).min(allowed).max(1), memory)?;
    loop {
        let room = out.capacity() - out.len();
        let read = decoder.by_ref().take(room as u64).read_to_end(&mut out).map_err(failed)?;
        if out.len() > allowed {
            return Err(error);
        }
        if read < room {
            return Ok(out);
        }
        // Doubles, but never sets aside more than one byte too many.
        let more = out.len().max(64 * 1024).min(allowed + 1 - out.len());
        grow(&mut out, more, memory)?;
    }
}

/// Makes room for `more` bytes behind `out`, in memory that is taken before: for the new place, and for the old one while
/// it is copied.
fn grow(out: &mut Vec<u8>, more: usize, memory: Option<&PushMemory>) -> Result<(), DecodeError> {
    let old = out.capacity();
    if let Some(memory) = memory {
        memory.take(old + more).map_err(IntakeError::from)?;
    }
    out.reserve_exact(more);
    if let Some(memory) = memory {
        memory.give_back(old);
    }
    Ok(())
}

/// Frames of lz4. The decoder takes a frame that is cut off between two blocks for a whole one, hence the check.
fn unlz4(body: &[u8], limits: &UnpackLimits, memory: Option<&PushMemory>) -> Result<Vec<u8>, DecodeError> {
    let (mut rest, mut working) = (body, 0);
    while !rest.is_empty() {
        working = working.max(lz4_working_bytes(rest));
        rest = after_lz4_frame(rest).ok_or_else(|| DecodeError::Lz4(ErrorKind::UnexpectedEof.into()))?;
    }
    with_working(memory, working, || {
        drain(FrameDecoder::new(body), body.len(), limits, memory, DecodeError::Lz4)
    })
}

/// What the decoder of the frame that `bytes` begin with holds: a block packed and one unpacked, and the window before.
fn lz4_working_bytes(bytes: &[u8]) -> usize {
    let size_code = bytes.get(5).map_or(0, |descriptor| descriptor >> 4 & 0b111);
    2 * (1 << (8 + 2 * size_code)) + (128 << 10)
}

/// Runs `work` with memory for what it holds meanwhile.
fn with_working<T>(
    memory: Option<&PushMemory>,
    bytes: usize,
    work: impl FnOnce() -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let Some(memory) = memory else { return work() };
    memory.take(bytes).map_err(IntakeError::from)?;
    let done = work();
    memory.give_back(bytes);
    done
}

/// What follows the frame that `bytes` begin with; `None` if it does not end in them. Looks at lengths alone.
fn after_lz4_frame(bytes: &[u8]) -> Option<&[u8]> {
    const UNCOMPRESSED: u32 = 1 << 31;
    // Magic number, flags and block descriptor; behind them optional fields and a checksum of the header.
    let flags = *bytes.get(4)?;
    let has = |bit: u8| flags & bit != 0;
    let mut at = 7 + if has(0b1000) { 8 } else { 0 } + if has(0b1) { 4 } else { 0 };
    loop {
        let (size, _) = bytes.get(at..)?.split_first_chunk::<4>()?;
        let size = u32::from_le_bytes(*size);
        at += 4;
        if size == 0 {
            return bytes.get(at + if has(0b100) { 4 } else { 0 }..);
        }
        at += (size & !UNCOMPRESSED) as usize + if has(0b1_0000) { 4 } else { 0 };
    }
}

fn unzstd(body: &[u8], limits: &UnpackLimits, memory: Option<&PushMemory>) -> Result<Vec<u8>, DecodeError> {
    // Later frames may not have a larger window than the first: its size is what is taken memory for.
    let window_log = zstd_window_log(body).clamp(MIN_ZSTD_WINDOW_LOG, MAX_ZSTD_WINDOW_LOG);
    with_working(memory, (1 << window_log) + ZSTD_CONTEXT_BYTES, || {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(DecodeError::Zstd)?;
        decoder.window_log_max(window_log).map_err(DecodeError::Zstd)?;
        drain(decoder, body.len(), limits, memory, DecodeError::Zstd)
    })
}

/// The window that the first frame of `body` asks for, as a power of two, rounded up (RFC 8878, 3.1.1.1).
fn zstd_window_log(body: &[u8]) -> u32 {
    const SINGLE_SEGMENT: u8 = 1 << 5;
    let [_, _, _, _, descriptor, rest @ ..] = body else { return 0 };
    if descriptor & SINGLE_SEGMENT == 0 {
        // Exponent and mantissa.
        let window = rest.first().copied().unwrap_or(0);
        return 10 + u32::from(window >> 3) + u32::from(window & 0b111 != 0);
    }
    // The window is the content; its size comes behind the number of the dictionary.
    let rest = rest.get([0, 1, 2, 4][usize::from(descriptor & 0b11)]..).unwrap_or_default();
    let size_bytes = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let mut size = [0; 8];
    for (to, from) in size.iter_mut().zip(rest.iter().take(size_bytes)) {
        *to = *from;
    }
    let size = u64::from_le_bytes(size) + if size_bytes == 2 { 256 } else { 0 };
    size.max(1).checked_next_power_of_two().map_or(u64::BITS, u64::trailing_zeros)
}

/// Deflate, with zlib's wrapping or (as Loki wants it) without.
fn inflate(body: &[u8], limits: &UnpackLimits, memory: Option<&PushMemory>) -> Result<Vec<u8>, DecodeError> {
    let (allowed, error) = limits.allowed(body.len());
    let mut state = Decompress::new(is_zlib_header(body));
    let mut out = Vec::new();
    grow(&mut out, body.len().saturating_mul(4).clamp(1, allowed + 1), memory)?;
    loop {
        if out.len() > allowed {
            return Err(error);
        }
        if out.len() == out.capacity() {
            // Doubles, but never sets aside more than one byte too many.
            let more = out.len().max(64 * 1024).min(allowed + 1 - out.len());
            grow(&mut out, more, memory)?;
        }
        let before = (state.total_in(), state.total_out());
        let rest = usize::try_from(before.0).ok().and_then(|at| body.get(at..)).unwrap_or_default();
        let status = state.decompress_vec(rest, &mut out, FlushDecompress::None);
        match status.map_err(|_| DecodeError::Deflate("corrupt input"))? {
            Status::StreamEnd if out.len() > allowed => return Err(error),
            Status::StreamEnd => return Ok(out),
            // Neither input taken nor output made: the input has ended before the stream.
            _ if before == (state.total_in(), state.total_out()) => {
                return Err(DecodeError::Deflate("unexpected EOF"));
            }
            _ => {}
        }
    }
}

/// Whether `body` begins as zlib data do: method, window and a check on both. Raw deflate cannot begin so in practice:
/// it would be a stored block with padding bits set.
fn is_zlib_header(body: &[u8]) -> bool {
    match body {
        [first, second, ..] => {
            first & 0x8f == 0x08 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0
        }
        _ => false,
    }
}

/// Whether a `Content-Encoding` is snappy, which is part of the format of a push but a packing of an export.
pub(super) fn is_snappy(content_encoding: Option<&str>) -> bool {
    let name = content_encoding.unwrap_or("").trim();
    name.eq_ignore_ascii_case("snappy") || name.eq_ignore_ascii_case("x-snappy-framed")
}

/// Unpacks snappy in either format: collectors have sent both under one name.
pub(super) fn unsnappy_any(
    body: &[u8],
    limits: &UnpackLimits,
    memory: Option<&PushMemory>,
) -> Result<Vec<u8>, DecodeError> {
    const FRAMED: &[u8] = b"\xff\x06\x00\x00sNaPpY";
    if body.starts_with(FRAMED) {
        return drain(snap::read::FrameDecoder::new(body), body.len(), limits, memory, |_| {
            DecodeError::Snappy
        });
    }
    unsnappy(body, limits, memory)
}

/// Unpacks snappy's block format. What it declares as its size is checked before a byte is set aside for it.
pub(super) fn unsnappy(
    body: &[u8],
    limits: &UnpackLimits,
    memory: Option<&PushMemory>,
) -> Result<Vec<u8>, DecodeError> {
    let declared = snap::raw::decompress_len(body).map_err(|_| DecodeError::Snappy)?;
    if declared > body.len().saturating_mul(SNAPPY_MAX_RATIO) {
        return Err(DecodeError::Snappy);
    }
    if declared > limits.max_decompressed {
        return Err(DecodeError::TooLarge(limits.max_decompressed));
    }
    if let Some(memory) = memory {
        memory.take(declared).map_err(IntakeError::from)?;
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(|_| DecodeError::Snappy)
}
