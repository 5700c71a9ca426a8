//! How are log lines answered? Loki's `streams` result, written straight into bytes.

use super::json::{put_int, put_line, put_object, put_text, put_texts};
use super::stats;
use crate::http::answer::Answer;
use crate::http::pieces::PIECE_BYTES;
use std::sync::Arc;
use strandline_model::Metadata;
use strandline_query::LogResult;

/// Keeps structured metadata with the entries.
pub(crate) const CATEGORIZE: &str = "categorize-labels";

/// The answer, in the form that the client's encoding flags ask for.
pub(crate) fn answer(result: Arc<LogResult>, flags: &[String], takes_gzip: bool) -> Answer {
    let categorized = flags.iter().any(|flag| flag == CATEGORIZE);
    let mut head = Vec::with_capacity(first_piece(&result));
    head.extend_from_slice(b"{\"status\":\"success\",");
    if !result.warnings.is_empty() {
        head.extend_from_slice(b"\"warnings\":");
        put_texts(&mut head, result.warnings.iter().map(String::as_str));
        head.push(b',');
    }
    head.extend_from_slice(b"\"data\":{\"resultType\":\"streams\",");
    if !flags.is_empty() {
        head.extend_from_slice(b"\"encodingFlags\":");
        put_texts(&mut head, flags.iter().map(String::as_str));
        head.push(b',');
    }
    head.extend_from_slice(b"\"result\":[");
    let mut tail = b"],\"stats\":".to_vec();
    stats::put(&mut tail, &result.stats);
    tail.extend_from_slice(b"}}\n");
    let (mut stream, mut entry) = (0, 0);
    let next = move |out: &mut Vec<u8>| {
        let Some(found) = result.streams.get(stream) else { return false };
        if entry == 0 {
            out.extend_from_slice(if stream > 0 { b",{\"stream\":" } else { b"{\"stream\":" });
            put_object(out, found.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            out.extend_from_slice(b",\"values\":[");
        }
        if let Some(line) = found.entries.get(entry) {
            if entry > 0 {
                out.push(b',');
            }
            let origins = categorized.then(|| [line.metadata(), line.parsed()]);
            put_value(out, line.ts, &line.line, origins);
            entry += 1;
        }
        if entry >= found.entries.len() {
            out.extend_from_slice(b"]}");
            (stream, entry) = (stream + 1, 0);
        }
        true
    };
    Answer::of_items(head, next, tail, takes_gzip)
}

/// Bytes of the first piece, or a little more: so that a small answer is written into memory of its size.
fn first_piece(result: &LogResult) -> usize {
    let mut size = 4096;
    for stream in &result.streams {
        size += 100;
        for entry in &stream.entries {
            size += (entry.line.len() + 40) * 9 / 8;
            if size > PIECE_BYTES {
                return PIECE_BYTES + PIECE_BYTES / 8;
            }
        }
    }
    size
}

/// `["<ns>","line"]`, and a third element where metadata and what stages made are kept apart.
pub(crate) fn put_value(out: &mut Vec<u8>, ts: i64, line: &[u8], origins: Option<[Metadata<'_>; 2]>) {
    out.extend_from_slice(b"[\"");
    put_int(out, ts);
    out.extend_from_slice(b"\",");
    put_line(out, line);
    if let Some([metadata, parsed]) = origins {
        out.extend_from_slice(b",{");
        if !metadata.is_empty() {
            put_text(out, "structuredMetadata");
            out.push(b':');
            put_object(out, metadata.iter());
        }
        if !parsed.is_empty() {
            if !metadata.is_empty() {
                out.push(b',');
            }
            put_text(out, "parsed");
            out.push(b':');
            put_object(out, parsed.iter());
        }
        out.push(b'}');
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_query::{ResultEntry, ResultStream};

    fn encode(result: &LogResult, flags: &[String]) -> String {
        answer(Arc::new(result.clone()), flags, false).into_text()
    }

    fn result() -> LogResult {
        let mut packed = Vec::new();
        Metadata::pack(&mut packed, &mut vec![("m", "1")]);
        let entry = |ts, line: &[u8], packed: &[u8]| ResultEntry {
            ts,
            line: line.into(),
            packed_metadata: packed.into(),
            packed_parsed: Box::default(),
        };
        LogResult {
            streams: vec![ResultStream {
                labels: vec![("app".into(), "x".into())],
                entries: vec![entry(9, b"nine", &packed), entry(-8, b"\xffeight", &[])],
            }],
            ..LogResult::default()
        }
    }

    #[test]
    fn both_forms_and_warnings() {
        let text = encode(&result(), &[]);
        assert!(text.starts_with(
            r#"{"status":"success","data":{"resultType":"streams","result":[{"stream":{"app":"x"},"values":[["9","nine"],["-8","\ufffdeight"]]}],"stats":{"summary""#
        ), "{text}");
        assert!(text.ends_with("}}}\n"));
        let text = encode(&result(), &["foo".into(), CATEGORIZE.into()]);
        assert!(text.contains(r#""encodingFlags":["foo","categorize-labels"],"result""#));
        assert!(text.contains(r#"["9","nine",{"structuredMetadata":{"m":"1"}}],["-8","\ufffdeight",{}]"#));
        let warned = LogResult { warnings: vec!["a \"part\" is missing".into()], ..LogResult::default() };
        let text = encode(&warned, &[]);
        assert!(text.starts_with(r#"{"status":"success","warnings":["a \"part\" is missing"],"data":{"#));
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }
}
