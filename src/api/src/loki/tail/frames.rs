//! How do the frames of a tail look? Each entry is a stream of its own, as Loki sends it.

use super::super::json::{put_int, put_line, put_object, put_text, put_texts};
use super::super::legacy::selector;
use super::super::streams::put_value;
use strandline_model::Metadata;
use strandline_model::time::Rfc3339Nano;
use strandline_query::tail::{Encoder, Lost, TailEntry};

/// For which kind of client frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// All labels together.
    Plain,
    /// Labels by origin.
    Categorized,
    /// As `/api/prom/tail` sends them.
    Legacy,
}

impl Form {
    /// Writes entries in this form.
    pub(super) fn encoder(self) -> Encoder {
        match self {
            Self::Plain => Encoder { name: "plain", write: plain },
            Self::Categorized => Encoder { name: "categorized", write: categorized },
            Self::Legacy => Encoder { name: "legacy", write: legacy },
        }
    }

    /// Writes live entries. Where the query is a selector and nothing else (`is_bare`), Loki does not join structured
    /// metadata to the labels of live lines, as it does for all others; clients that ask for it get it by origin.
    pub(super) fn live_encoder(self, is_bare: bool) -> Encoder {
        match (self, is_bare) {
            (Self::Plain, true) => Encoder { name: "plain, of a bare selector", write: plain_bare },
            (Self::Legacy, true) => Encoder { name: "legacy, of a bare selector", write: legacy_bare },
            _ => self.encoder(),
        }
    }

    /// A frame without entries that names those that were lost.
    pub(super) fn lost(self, lost: &Lost) -> Vec<u8> {
        let mut out = b"{\"streams\":[],\"dropped_entries\":[".to_vec();
        for (i, (ts, labels)) in lost.named.iter().enumerate() {
            out.extend_from_slice(if i > 0 { b",{\"timestamp\":" } else { b"{\"timestamp\":" });
            let labels = labels.as_deref();
            if self == Self::Legacy {
                put_text(&mut out, &Rfc3339Nano(*ts).to_string());
                out.extend_from_slice(b",\"labels\":");
                put_text(&mut out, &labels.map_or_else(|| "{}".to_owned(), ToString::to_string));
            } else {
                out.push(b'"');
                put_int(&mut out, *ts);
                out.extend_from_slice(b"\",\"labels\":");
                put_object(&mut out, labels.into_iter().flat_map(|labels| labels.iter()));
            }
            out.push(b'}');
        }
        // Ours: more may be lost than is named.
        out.extend_from_slice(b"],\"dropped_count\":");
        put_int(&mut out, lost.count);
        out.push(b'}');
        out
    }
}

/// A frame without entries that says what the history lacks. Loki has no such frame; clients take no notice of the key.
pub(super) fn warnings(warnings: &[String]) -> Vec<u8> {
    let mut out = b"{\"streams\":[],\"warnings\":".to_vec();
    put_texts(&mut out, warnings.iter().map(String::as_str));
    out.push(b'}');
    out
}

fn plain(entries: &mut dyn Iterator<Item = &TailEntry>) -> Vec<u8> {
    let put = |out: &mut Vec<u8>, entry: &TailEntry| put_object(out, Metadata(&entry.labels()).iter());
    labelled(entries, put)
}

fn plain_bare(entries: &mut dyn Iterator<Item = &TailEntry>) -> Vec<u8> {
    labelled(entries, |out, entry| put_object(out, entry.stream().iter()))
}

fn labelled(
    entries: &mut dyn Iterator<Item = &TailEntry>,
    put_labels: impl Fn(&mut Vec<u8>, &TailEntry),
) -> Vec<u8> {
    let mut out = streams(entries, |out, entry| {
        out.extend_from_slice(b"{\"stream\":");
        put_labels(out, entry);
        out.extend_from_slice(b",\"values\":[");
        put_value(out, entry.ts(), entry.line(), None);
        out.extend_from_slice(b"]}");
    });
    out.push(b'}');
    out
}

fn categorized(entries: &mut dyn Iterator<Item = &TailEntry>) -> Vec<u8> {
    let mut out = streams(entries, |out, entry| {
        let apart = entry.apart();
        out.extend_from_slice(b"{\"stream\":");
        put_object(out, Metadata(&apart.stream).iter());
        out.extend_from_slice(b",\"values\":[");
        let origins = [Metadata(&apart.metadata), Metadata(&apart.parsed)];
        put_value(out, entry.ts(), entry.line(), Some(origins));
        out.extend_from_slice(b"]}");
    });
    out.extend_from_slice(b",\"encodingFlags\":[\"categorize-labels\"]}");
    out
}

fn legacy(entries: &mut dyn Iterator<Item = &TailEntry>) -> Vec<u8> {
    legacy_labelled(entries, |entry| selector(Metadata(&entry.labels()).iter()))
}

fn legacy_bare(entries: &mut dyn Iterator<Item = &TailEntry>) -> Vec<u8> {
    legacy_labelled(entries, |entry| entry.stream().to_string())
}

fn legacy_labelled(
    entries: &mut dyn Iterator<Item = &TailEntry>,
    labels: impl Fn(&TailEntry) -> String,
) -> Vec<u8> {
    let mut out = streams(entries, |out, entry| {
        out.extend_from_slice(b"{\"labels\":");
        put_text(out, &labels(entry));
        out.extend_from_slice(b",\"entries\":[{\"ts\":");
        put_text(out, &Rfc3339Nano(entry.ts()).to_string());
        out.extend_from_slice(b",\"line\":");
        put_line(out, entry.line());
        out.extend_from_slice(b"}]}");
    });
    out.extend_from_slice(b",\"dropped_entries\":null}");
    out
}

/// `{"streams":[...]`, the object still open.
fn streams(entries: &mut dyn Iterator<Item = &TailEntry>, put: impl Fn(&mut Vec<u8>, &TailEntry)) -> Vec<u8> {
    let mut out = b"{\"streams\":[".to_vec();
    for (i, entry) in entries.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        put(&mut out, entry);
    }
    out.push(b']');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use strandline_model::Labels;

    #[test]
    fn losses_are_named_in_each_form() {
        let labels = Arc::new(Labels::parse("{app=\"<x>\"}").unwrap());
        let lost = Lost { count: 7, named: vec![(1_500_000_000, Some(labels)), (2, None)] };
        assert_eq!(
            String::from_utf8(Form::Plain.lost(&lost)).unwrap(),
            r#"{"streams":[],"dropped_entries":[{"timestamp":"1500000000","labels":{"app":"\u003cx\u003e"}},{"timestamp":"2","labels":{}}],"dropped_count":7}"#
        );
        let legacy: serde_json::Value = serde_json::from_slice(&Form::Legacy.lost(&lost)).unwrap();
        assert_eq!(legacy["dropped_entries"][0]["timestamp"], "1970-01-01T00:00:01.5Z");
        assert_eq!(legacy["dropped_entries"][0]["labels"], "{app=\"<x>\"}");
        assert_eq!(legacy["dropped_entries"][1]["labels"], "{}");
        let warned: serde_json::Value = serde_json::from_slice(&warnings(&["a \"b\"".to_owned()])).unwrap();
        assert_eq!(warned, serde_json::json!({"streams": [], "warnings": ["a \"b\""]}));
    }
}
