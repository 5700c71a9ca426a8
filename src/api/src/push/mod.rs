//! How does the body of a push become entries? By its headers: unpacked, then read as protobuf or JSON.
//!
//! Nothing here knows HTTP's machinery: a body and two header values go in, an [`Intake`] is fed, and a [`PushError`]
//! knows its status.

mod body;
mod error;
mod json;
mod json_reader;
mod otlp;
mod protobuf;
mod wire;

pub use body::BodyLimits;
pub use error::PushError;
pub use otlp::{OtlpFormat, decode_otlp};

use body::{Encoding, Format};
use strandline_ingest::Intake;

/// Reads a push (`POST /loki/api/v1/push` and its older alias) into `intake`. On an error nothing of the push may be
/// stored; entries that were dropped one by one are in what the intake's `finish` returns.
pub fn decode_push(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
    body: &[u8],
    limits: &BodyLimits,
    intake: &mut Intake<'_>,
) -> Result<(), PushError> {
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
            Err(PushError::Snappy) if unpacked.trim_ascii_start().first() == Some(&b'{') => {
                intake.expect_bytes(unpacked.len())?;
                json::read_push(&unpacked, intake)?;
            }
            Err(error) => return Err(error),
        },
    }
    if intake.streams() == 0 { Err(PushError::NoStreams) } else { Ok(()) }
}

#[cfg(test)]
pub(crate) mod encoder;
#[cfg(test)]
mod tests;
