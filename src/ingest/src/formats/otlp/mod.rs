//! How does an export of OpenTelemetry's logs become entries? Decoded from protobuf or JSON, mapped as Loki maps it.
//!
//! Two decoders, one for each encoding, feed one [`export::Export`], so that both mean the same. The messages are those
//! of opentelemetry-proto 1.x (`ExportLogsServiceRequest`, `schema/otlp.proto`); fields that are not known are skipped.

mod export;
mod json;
pub(super) mod parts;
mod protobuf;
mod value;

use super::body::{Encoding, UnpackLimits, is_snappy, media_type, unsnappy_any};
use super::error::DecodeError;
use crate::intake::Intake;
use export::Export;
use std::borrow::Cow;

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
    pub fn of(content_type: Option<&str>) -> Result<Self, DecodeError> {
        let media_type = media_type(content_type);
        match media_type.to_ascii_lowercase().as_str() {
            "application/x-protobuf" | "application/protobuf" => Ok(Self::Protobuf),
            "application/json" => Ok(Self::Json),
            _ => Err(DecodeError::ContentType(media_type.to_owned())),
        }
    }
}

/// Reads an export (`POST /otlp/v1/logs`, or a message of gRPC) into `intake`. On an error nothing of it may be stored;
/// records that were dropped one by one are in what the intake's `finish` returns.
pub fn decode_otlp(
    format: OtlpFormat,
    content_encoding: Option<&str>,
    body: &[u8],
    limits: &UnpackLimits,
    intake: &mut Intake<'_>,
) -> Result<(), DecodeError> {
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
    if intake.streams() == 0 { Err(DecodeError::NoStreams) } else { Ok(()) }
}

#[cfg(test)]
pub(crate) mod encoder;
#[cfg(test)]
mod tests;
