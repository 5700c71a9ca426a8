//! Why can a payload not be decoded, and what follows for whoever sent it?

use super::json_reader::JsonError;
use super::otlp::parts::TooComplex;
use super::wire::WireError;
use crate::intake::IntakeError;
use crate::rejections::shortened;

/// Why a whole payload is refused. Nothing of it is stored.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A `Content-Type` that is no media type.
    #[error("mime: unexpected content after media subtype")]
    MediaType,
    /// A `Content-Encoding` that is not taken here.
    #[error("Content-Encoding {0:?} not supported")]
    Encoding(String),
    /// The unpacked body would be larger than allowed.
    #[error(
        "request body too large: more than {0} bytes after decompression (server.max_decompressed_bytes)"
    )]
    TooLarge(usize),
    /// The body grows on unpacking as no log does.
    #[error("request body too large: it grows more than {0}-fold on decompression")]
    Bomb(usize),
    /// The body is not snappy's block format.
    #[error("snappy: corrupt input")]
    Snappy,
    /// The body is not gzip, or is cut off.
    #[error("gzip: {0}")]
    Gzip(std::io::Error),
    /// The body is not deflate, or is cut off.
    #[error("flate: {0}")]
    Deflate(&'static str),
    /// The body is not zstd, or is cut off.
    #[error("zstd: {0}")]
    Zstd(std::io::Error),
    /// The body is not an lz4 frame, or is cut off.
    #[error("lz4: {0}")]
    Lz4(std::io::Error),
    /// The bytes are not one message of gRPC.
    #[error("grpc: the body is not one frame with one message")]
    Frame,
    /// A `Content-Type` that an export cannot have.
    #[error("content type: {0} is not supported")]
    ContentType(String),
    /// An export nests values deeper, or has more of them in one place, than is read.
    #[error(transparent)]
    Value(#[from] TooComplex),
    /// The message is not a push in protobuf.
    #[error(transparent)]
    Protobuf(#[from] WireError),
    /// The text is not a push in JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The streams are not acceptable.
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// A push without a stream.
    #[error("error at least one valid stream is required for ingestion")]
    NoStreams,
}

/// What kind of error it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not in its format, or its labels are none. Sent again, it would be refused again.
    Undecodable,
    /// It is larger than it may be. Sent again, it would be refused again.
    TooLarge,
    /// It has no stream.
    NoStreams,
    /// There is no memory for it at the moment: it is to be sent again.
    NoMemoryNow,
    /// A decoder does not keep to its contract.
    Decoder,
}

impl DecodeError {
    /// The kind of this error.
    pub fn fault(&self) -> Fault {
        match self {
            Self::TooLarge(_) | Self::Bomb(_) => Fault::TooLarge,
            Self::Intake(error) => match error {
                IntakeError::TooManyStreams(_) | IntakeError::TooManyLines(_) | IntakeError::TooLarge(_) => {
                    Fault::TooLarge
                }
                IntakeError::NoStream => Fault::Decoder,
                IntakeError::NoMemory(exhausted) if exhausted.is_temporary() => Fault::NoMemoryNow,
                IntakeError::NoMemory(_) => Fault::TooLarge,
                IntakeError::Labels(_) => Fault::Undecodable,
            },
            Self::NoStreams => Fault::NoStreams,
            _ => Fault::Undecodable,
        }
    }

    /// Whether the body unpacks to more than the limits allow.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge(_) | Self::Bomb(_) | Self::Intake(IntakeError::TooLarge(_)))
    }

    /// Whether there is no memory for it at the moment.
    pub fn is_for_want_of_memory(&self) -> bool {
        matches!(self, Self::Intake(IntakeError::NoMemory(exhausted)) if exhausted.is_temporary())
    }

    /// The error in one line of bounded length: it may quote what the client sent.
    pub fn message(&self) -> String {
        shortened(self.to_string().replace(char::is_control, " "))
    }
}
