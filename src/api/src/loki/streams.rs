//! How are log lines answered? Loki's `streams` result, written straight into bytes.

use super::json::{put_int, put_line, put_object, put_text, put_texts};
use super::stats;
use strandline_model::Metadata;
use strandline_query::{LogResult, ResultEntry};

/// Keeps structured metadata with the entries.
pub(crate) const CATEGORIZE: &str = "categorize-labels";

/// The whole answer, in the form that the client's encoding flags ask for.
pub(crate) fn encode(result: &LogResult, flags: &[String]) -> Vec<u8> {
    let categorized = flags.iter().any(|flag| flag == CATEGORIZE);
    let lines = |entries: &[ResultEntry]| entries.iter().map(|e| e.line.len() + 40).sum::<usize>();
    let size: usize = result.streams.iter().map(|s| 100 + lines(&s.entries)).sum();
    let mut out = Vec::with_capacity(4096 + size + size / 8);
    out.extend_from_slice(b"{\"status\":\"success\",");
    if !result.warnings.is_empty() {
        out.extend_from_slice(b"\"warnings\":");
        put_texts(&mut out, result.warnings.iter().map(String::as_str));
        out.push(b',');
    }
    out.extend_from_slice(b"\"data\":{\"resultType\":\"streams\",");
    if !flags.is_empty() {
        out.extend_from_slice(b"\"encodingFlags\":");
        put_texts(&mut out, flags.iter().map(String::as_str));
        out.push(b',');
    }
    out.extend_from_slice(b"\"result\":[");
    for (i, stream) in result.streams.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"stream\":");
        put_object(&mut out, stream.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        out.extend_from_slice(b",\"values\":[");
        for (j, entry) in stream.entries.iter().enumerate() {
            if j > 0 {
                out.push(b',');
            }
            let origins = categorized.then(|| [entry.metadata(), entry.parsed()]);
            put_value(&mut out, entry.ts, &entry.line, origins);
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"],\"stats\":");
    stats::put(&mut out, &result.stats);
    out.extend_from_slice(b"}}\n");
    out
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
    use strandline_query::ResultStream;

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
        let text = String::from_utf8(encode(&result(), &[])).unwrap();
        assert!(text.starts_with(
            r#"{"status":"success","data":{"resultType":"streams","result":[{"stream":{"app":"x"},"values":[["9","nine"],["-8","\ufffdeight"]]}],"stats":{"summary""#
        ), "{text}");
        assert!(text.ends_with("}}}\n"));
        let text = String::from_utf8(encode(&result(), &["foo".into(), CATEGORIZE.into()])).unwrap();
        assert!(text.contains(r#""encodingFlags":["foo","categorize-labels"],"result""#));
        assert!(text.contains(r#"["9","nine",{"structuredMetadata":{"m":"1"}}],["-8","\ufffdeight",{}]"#));
        let warned = LogResult { warnings: vec!["a \"part\" is missing".into()], ..LogResult::default() };
        let text = String::from_utf8(encode(&warned, &[])).unwrap();
        assert!(text.starts_with(r#"{"status":"success","warnings":["a \"part\" is missing"],"data":{"#));
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }
}
