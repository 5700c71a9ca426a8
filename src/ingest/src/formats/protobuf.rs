//! Which streams and entries does a `logproto.PushRequest` hold? (`schema/logproto.proto`)
//!
//! Everything is borrowed from the message: the first copy of a line is the one into the batch.

use super::error::DecodeError;
use super::wire::{Fields, WireError};
use crate::intake::{Intake, IntakeError};
use strandline_model::LabelError;
use strandline_model::time::SECOND_NS;

/// Feeds all streams of a push. Fields that are not known are skipped.
pub(super) fn read_push(message: &[u8], intake: &mut Intake<'_>) -> Result<(), DecodeError> {
    for field in Fields(message) {
        if let (1, value) = field? {
            read_stream(value.bytes("Streams")?, intake)?;
        }
    }
    Ok(())
}

fn read_stream(message: &[u8], intake: &mut Intake<'_>) -> Result<(), DecodeError> {
    // Labels come first in practice, but nothing promises that, nor that they come once: the last ones count.
    let mut labels: &[u8] = b"";
    for field in Fields(message) {
        if let (1, value) = field? {
            labels = value.bytes("Labels")?;
        }
    }
    intake.begin_stream(label_text(labels)?)?;
    for field in Fields(message) {
        if let (2, value) = field? {
            read_entry(value.bytes("Entries")?, intake)?;
        }
    }
    Ok(())
}

fn label_text(labels: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(labels).map_err(|e| {
        let what = "invalid UTF-8 rune".to_owned();
        IntakeError::from(LabelError::Syntax { column: e.valid_up_to() + 1, what }).into()
    })
}

fn read_entry(message: &[u8], intake: &mut Intake<'_>) -> Result<(), DecodeError> {
    let mut ts = None;
    let mut line: &[u8] = b"";
    for field in Fields(message) {
        match field? {
            (1, value) => ts = timestamp(value.bytes("Timestamp")?)?,
            (2, value) => line = value.bytes("Line")?,
            (3, value) => {
                let (name, value) = pair(value.bytes("StructuredMetadata")?)?;
                intake.metadata_bytes(name, value);
            }
            _ => {}
        }
    }
    match ts {
        Some(ts) => intake.entry(ts, line)?,
        None => intake.entry_without_time()?,
    }
    Ok(())
}

/// Nanoseconds since the epoch; `None` when 64 bits cannot hold them.
fn timestamp(message: &[u8]) -> Result<Option<i64>, WireError> {
    let (mut seconds, mut nanos) = (0i64, 0i32);
    for field in Fields(message) {
        match field? {
            (1, value) => seconds = value.varint("Seconds")? as i64,
            (2, value) => nanos = value.varint("Nanos")? as i32,
            _ => {}
        }
    }
    // In i128, for i64::MIN lies in a second that begins outside of i64.
    let ns = i128::from(seconds) * i128::from(SECOND_NS) + i128::from(nanos);
    Ok(i64::try_from(ns).ok())
}

fn pair(message: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let (mut name, mut text): (&[u8], &[u8]) = (b"", b"");
    for field in Fields(message) {
        match field? {
            (1, value) => name = value.bytes("Name")?,
            (2, value) => text = value.bytes("Value")?,
            _ => {}
        }
    }
    Ok((name, text))
}
