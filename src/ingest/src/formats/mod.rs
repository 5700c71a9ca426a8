//! How do the wire formats become entries? Loki's pushes in JSON and protobuf, and OpenTelemetry's exports, packed or not.
//!
//! Bytes and the names of their format and packing go in, an [`Intake`] is fed; a [`DecodeError`] says of what kind it is.
//! How the bytes came, and how a refusal is told, is for others to know.

mod body;
mod error;
mod json;
mod json_reader;
mod otlp;
mod protobuf;
mod wire;

pub use body::UnpackLimits;
pub use error::{DecodeError, Fault};
pub use otlp::{OtlpFormat, decode_otlp};

use crate::intake::Intake;
use body::{Encoding, Format};

/// Reads a push (`POST /loki/api/v1/push` and its older alias) into `intake`. On an error nothing of the push may be
/// stored; entries that were dropped one by one are in what the intake's `finish` returns.
pub fn decode_push(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
    body: &[u8],
    limits: &UnpackLimits,
    intake: &mut Intake<'_>,
) -> Result<(), DecodeError> {
    let format = Format::of(content_type)?;
    let unpacked = Encoding::of(content_encoding)?.unpack(body, limits, intake.memory())?;
    match format {
        Format::Json => {
            intake.expect_bytes(unpacked.len())?;
            json::read_push(&unpacked, intake)?;
        }
        Format::Protobuf => match body::unsnappy(&unpacked, limits, intake.memory()) {
            Ok(message) => {
                intake.expect_bytes(message.len())?;
                protobuf::read_push(&message, intake)?;
            }
            // Many a script sends JSON under the content type that its library chose.
            Err(DecodeError::Snappy) if unpacked.trim_ascii_start().first() == Some(&b'{') => {
                intake.expect_bytes(unpacked.len())?;
                json::read_push(&unpacked, intake)?;
            }
            Err(error) => return Err(error),
        },
    }
    if intake.streams() == 0 { Err(DecodeError::NoStreams) } else { Ok(()) }
}

#[cfg(test)]
pub(crate) mod encoder;
#[cfg(test)]
mod tests;
