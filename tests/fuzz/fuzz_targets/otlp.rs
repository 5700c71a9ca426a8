//! Exports of OpenTelemetry's logs, in protobuf and JSON, plain and packed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strandline_ingest::formats::OtlpFormat;
use strandline_fuzz::push::decode_export;

fuzz_target!(init: strandline_fuzz::seeds::plant("otlp"), |data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let format = if choice & 1 == 0 { OtlpFormat::Protobuf } else { OtlpFormat::Json };
    let encoding = match choice >> 1 {
        1 => Some("zstd"),
        2 => Some("lz4"),
        3 => Some("gzip"),
        _ => None,
    };
    drop(decode_export(format, encoding, body));
});
