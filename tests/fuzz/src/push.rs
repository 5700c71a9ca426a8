//! Pushes: what is decoded of them is within the limits and sound.

use std::sync::LazyLock;
use strandline_ingest::formats::{DecodeError, Fault, OtlpFormat, UnpackLimits, decode_otlp, decode_push};
use strandline_ingest::{Accepted, Intake, LabelCache};
use strandline_model::labels::is_label_name;
use strandline_model::{Labels, Limits, TenantId};

/// When the pushes arrive.
pub const NOW_NS: i64 = 1_700_000_000_000_000_000;
/// Small, so that crossing them is easy.
const BODY: UnpackLimits = UnpackLimits { max_decompressed: 1 << 20, max_ratio: 400 };

static LIMITS: LazyLock<Limits> = LazyLock::new(|| Limits {
    max_line_bytes: 200,
    max_label_names: 4,
    max_label_name_bytes: 16,
    max_label_value_bytes: 32,
    max_metadata_bytes: 100,
    max_metadata_pairs: 4,
    reject_older_than_ns: i64::MAX,
    reject_newer_than_ns: 3_600_000_000_000,
    max_streams_per_push: 8,
    max_lines_per_push: 16,
    ..Limits::default()
});

/// Decodes a push and checks what comes of it.
pub fn decode(content_type: &str, encoding: Option<&str>, body: &[u8]) -> Result<Accepted, DecodeError> {
    decode_with(|intake| decode_push(Some(content_type), encoding, body, &BODY, intake))
}

/// As [`decode`] for an export of OpenTelemetry.
pub fn decode_export(format: OtlpFormat, encoding: Option<&str>, body: &[u8]) -> Result<Accepted, DecodeError> {
    decode_with(|intake| decode_otlp(format, encoding, body, &BODY, intake))
}

fn decode_with(read: impl FnOnce(&mut Intake<'_>) -> Result<(), DecodeError>) -> Result<Accepted, DecodeError> {
    let cache = LabelCache::default();
    let mut intake = Intake::new(TenantId::default_tenant(), &LIMITS, NOW_NS, &cache);
    let decoded = read(&mut intake);
    if let Err(error) = &decoded {
        assert!(!matches!(error.fault(), Fault::Decoder | Fault::NoMemoryNow), "{error:?}");
        assert!(!error.message().contains('\n'));
    }
    decoded?;
    let accepted = intake.finish()?;
    check(&accepted);
    Ok(accepted)
}

fn check(accepted: &Accepted) {
    let (batch, limits) = (&accepted.batch, &*LIMITS);
    assert!(batch.streams.len() <= limits.max_streams_per_push);
    assert!(batch.entries.len() <= limits.max_lines_per_push);
    let mut at = 0;
    for stream in &batch.streams {
        assert_eq!(stream.entries.start, at, "streams lie behind each other");
        at = stream.entries.end;
        assert_eq!(stream.id, stream.labels.stream_id());
        assert_eq!(Labels::parse(&stream.labels.to_string()).as_ref(), Ok(&*stream.labels));
        let own = stream.labels.iter().filter(|(name, _)| *name != "service_name").count();
        assert!(own <= limits.max_label_names);
        for (name, value) in stream.labels.iter() {
            assert!(is_label_name(name) && value.len() <= limits.max_label_value_bytes, "{name}={value}");
            assert!(name.len() <= limits.max_label_name_bytes);
        }
        for entry in batch.stream_entries(stream) {
            assert!(entry.ts > 0 && entry.ts <= NOW_NS + limits.reject_newer_than_ns);
            assert!(batch.line(entry).len() <= limits.max_line_bytes);
            let metadata = batch.metadata(entry);
            assert!(metadata.is_valid());
            let names: Vec<&str> = metadata.iter().map(|(name, _)| name).collect();
            assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
            // One more is of our own making.
            assert!(names.len() <= limits.max_metadata_pairs + 1);
            assert!(metadata.iter().all(|(name, value)| is_label_name(name) && !value.is_empty()));
        }
    }
    assert_eq!(at as usize, batch.entries.len());
}
