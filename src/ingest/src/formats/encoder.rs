//! A naive encoder of pushes, for the tests of the decoders.

use std::fmt::Write;

/// A stream to encode: label text and entries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stream {
    pub(crate) labels: String,
    pub(crate) entries: Vec<Entry>,
}

/// A stream's labels as pairs, and its entries.
pub(crate) type Pushed = (Vec<(String, String)>, Vec<Entry>);

/// An entry to encode.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    pub(crate) ts: i64,
    pub(crate) line: Vec<u8>,
    pub(crate) metadata: Vec<(String, String)>,
}

pub(crate) fn varint(out: &mut Vec<u8>, n: u64) {
    strandline_model::metadata::put_varint(out, n);
}

/// A field of bytes.
pub(crate) fn field(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A field of an integer.
pub(crate) fn int_field(out: &mut Vec<u8>, number: u64, n: u64) {
    varint(out, number << 3);
    varint(out, n);
}

/// A `PushRequest`, not packed.
pub(crate) fn protobuf(streams: &[Stream]) -> Vec<u8> {
    let mut out = Vec::new();
    for stream in streams {
        let mut message = Vec::new();
        field(&mut message, 1, stream.labels.as_bytes());
        for entry in &stream.entries {
            field(&mut message, 2, &protobuf_entry(entry));
        }
        int_field(&mut message, 3, 0x1234_5678_9abc_def0);
        field(&mut out, 1, &message);
    }
    field(&mut out, 2, b"format");
    out
}

fn protobuf_entry(entry: &Entry) -> Vec<u8> {
    let mut time = Vec::new();
    int_field(&mut time, 1, entry.ts.div_euclid(1_000_000_000) as u64);
    int_field(&mut time, 2, entry.ts.rem_euclid(1_000_000_000) as u64);
    let mut out = Vec::new();
    field(&mut out, 1, &time);
    field(&mut out, 2, &entry.line);
    for (name, value) in &entry.metadata {
        let mut pair = Vec::new();
        field(&mut pair, 1, name.as_bytes());
        field(&mut pair, 2, value.as_bytes());
        field(&mut out, 3, &pair);
    }
    out
}

/// The same in JSON, from pairs of labels; lines must be UTF-8.
pub(crate) fn json(streams: &[Pushed]) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let object = |pairs: &[(String, String)]| {
        let pairs: Vec<String> = pairs.iter().map(|(n, v)| format!("{}: {}", quoted(n), quoted(v))).collect();
        format!("{{{}}}", pairs.join(","))
    };
    let mut out = String::from("{\"unknown\": [1, {\"streams\": []}], \"streams\": [");
    for (i, (labels, entries)) in streams.iter().enumerate() {
        let values: Vec<String> = entries
            .iter()
            .map(|e| {
                let line = quoted(std::str::from_utf8(&e.line).unwrap());
                format!("[\"{}\", {line}, {}]", e.ts, object(&e.metadata))
            })
            .collect();
        let comma = if i > 0 { "," } else { "" };
        // Every other stream names its lines before its labels.
        if i % 2 == 0 {
            write!(out, "{comma}{{\"stream\":{},\"values\":[{}]}}", object(labels), values.join(","))
                .unwrap();
        } else {
            write!(out, "{comma}{{\"values\":[{}],\"stream\":{}}}", values.join(","), object(labels))
                .unwrap();
        }
    }
    out.push_str("]}\n");
    out
}

pub(crate) fn snappy(body: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(body).unwrap()
}

pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, body).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, body).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zlib(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, body).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(body: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(body, 3).unwrap()
}

pub(crate) fn lz4(body: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    std::io::Write::write_all(&mut encoder, body).unwrap();
    encoder.finish().unwrap()
}
