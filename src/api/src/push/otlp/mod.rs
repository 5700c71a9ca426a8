//! How does an export of OpenTelemetry's logs become entries? Decoded from protobuf or JSON, mapped as Loki maps it.
//!
//! Two decoders, one for each encoding, feed one [`export::Export`], so that both mean the same. The messages are those
//! of opentelemetry-proto 1.x (`ExportLogsServiceRequest`, `schema/otlp.proto`); fields that are not known are skipped.

mod export;
mod json;
mod protobuf;
mod value;

use super::BodyLimits;
use super::body::{Encoding, is_snappy, media_type, unsnappy_any};
use super::error::PushError;
use export::Export;
use std::borrow::Cow;
use strandline_ingest::Intake;

/// Deepest nesting of an attribute or body.
pub(super) const MAX_DEPTH: usize = 30;
/// Most values in one record, scope or resource, nested ones included. No line of the largest size has more.
pub(super) const MAX_PARTS: usize = 1 << 17;

/// How an export is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpFormat {
    /// `application/x-protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

impl OtlpFormat {
    /// The format that a `Content-Type` announces; its parameters are ignored.
    pub fn of(content_type: Option<&str>) -> Result<Self, PushError> {
        let media_type = media_type(content_type);
        match media_type.to_ascii_lowercase().as_str() {
            "application/x-protobuf" | "application/protobuf" => Ok(Self::Protobuf),
            "application/json" => Ok(Self::Json),
            _ => Err(PushError::ContentType(media_type.to_owned())),
        }
    }
}

/// Reads an export (`POST /otlp/v1/logs`, or a message of gRPC) into `intake`. On an error nothing of it may be stored;
/// records that were dropped one by one are in what the intake's `finish` returns.
pub fn decode_otlp(
    format: OtlpFormat,
    content_encoding: Option<&str>,
    body: &[u8],
    limits: &BodyLimits,
    intake: &mut Intake<'_>,
) -> Result<(), PushError> {
    let unpacked = if is_snappy(content_encoding) {
        Cow::Owned(unsnappy_any(body, limits, intake.memory())?)
    } else {
        Encoding::of(content_encoding)?.unpack(body, limits, intake.memory())?
    };
    // Attributes of a resource go to each of its records: a small body can make a large batch.
    intake.limit_bytes(limits.max_decompressed);
    intake.expect_bytes(unpacked.len())?;
    let mut export = Export::new(intake);
    match format {
        OtlpFormat::Protobuf => protobuf::read_export(&unpacked, &mut export)?,
        OtlpFormat::Json => json::read_export(&unpacked, &mut export)?,
    }
    if intake.streams() == 0 { Err(PushError::NoStreams) } else { Ok(()) }
}

/// Counts the values of one record, scope or resource.
#[derive(Debug, Default)]
struct Parts(usize);

impl Parts {
    /// One more value, `depth` levels deep.
    fn count(&mut self, depth: usize) -> Result<(), PushError> {
        self.0 += 1;
        if self.0 > MAX_PARTS || depth > MAX_DEPTH { Err(PushError::Value) } else { Ok(()) }
    }
}

#[cfg(test)]
pub(crate) mod encoder;
#[cfg(test)]
mod tests;
