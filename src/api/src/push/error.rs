//! Why was a push refused, and with which HTTP status?

use super::json_reader::JsonError;
use super::otlp::{MAX_DEPTH, MAX_PARTS};
use super::wire::WireError;
use strandline_ingest::IntakeError;
use strandline_ingest::rejections::shortened;

/// Why a whole push is refused.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
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
    #[error(
        "an attribute or body is nested deeper than {MAX_DEPTH} levels or has more than {MAX_PARTS} parts"
    )]
    Value,
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

impl PushError {
    /// The HTTP status that tells the client.
    pub fn status(&self) -> u16 {
        match self {
            Self::TooLarge(_) | Self::Bomb(_) => 413,
            Self::Intake(e) => match e {
                IntakeError::TooManyStreams(_) | IntakeError::TooManyLines(_) | IntakeError::TooLarge(_) => {
                    413
                }
                IntakeError::NoStream => 500,
                IntakeError::NoMemory(exhausted) if exhausted.is_temporary() => 503,
                IntakeError::NoMemory(_) => 413,
                IntakeError::Labels(_) => 400,
            },
            Self::NoStreams => 422,
            _ => 400,
        }
    }

    /// Whether the body unpacks to more than the limits allow.
    pub(crate) fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge(_) | Self::Bomb(_) | Self::Intake(IntakeError::TooLarge(_)))
    }

    /// Whether there is no memory for it at the moment.
    pub(crate) fn is_for_want_of_memory(&self) -> bool {
        matches!(self, Self::Intake(IntakeError::NoMemory(exhausted)) if exhausted.is_temporary())
    }

    /// The error in one line of bounded length: it may quote what the client sent.
    pub fn message(&self) -> String {
        shortened(self.to_string().replace(char::is_control, " "))
    }
}
