//! How much is there? `index/stats`, `index/volume` and `index/volume_range`.

use super::json::{put_int, put_object, put_text, put_texts};
use super::labels::{holding, separated};
use super::metrics::put_point;
use super::window::Window;
use super::{selector, stats, window};
use crate::access::QueryAccess;
use crate::http::answer::{Answer, takes_gzip};
use crate::http::blocking;
use crate::http::failure::Failure;
use crate::http::params::Params;
use crate::state::AppState;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use strandline_model::TimeRange;

use strandline_query::volume::{Count, Volume, VolumeBy, VolumeRequest, VolumeResult};
use strandline_query::{Held, Queue, Reader, Slot, StreamStats};

/// Volumes in an answer if the client does not say how many.
const DEFAULT_LIMIT: usize = 100;
/// Most labels that volumes are grouped by.
const MAX_TARGETS: usize = 100;
const MILLISECOND_NS: i64 = 1_000_000;

/// Whose streams, in which window.
struct Question {
    params: Params,
    headers: HeaderMap,
    reader: Reader,
    window: Window,
}

impl Question {
    async fn of(state: &AppState, reader: Reader, request: Request) -> Result<Self, Failure> {
        let (params, headers) = Params::of(state, reader.payer(), request).await?;
        let window = window::ordered(state, &reader, &params)?;
        Ok(Self { params, headers, reader, window })
    }

    fn range(&self) -> TimeRange {
        TimeRange::new(self.window.start, self.window.end)
    }
}

/// `GET|POST /loki/api/v1/index/stats`: how much a query over these streams would look at.
pub(crate) async fn index_stats(
    State(state): State<AppState>,
    QueryAccess(reader): QueryAccess,
    request: Request,
) -> Result<Answer, Failure> {
    let question = Question::of(&state, reader, request).await?;
    // Checked as Loki does, though nothing here has steps.
    window::step(&question.params, question.window)?;
    let (query, gzip) = (state.query.clone(), takes_gzip(&question.headers));
    let reader = question.reader.clone();
    blocking::in_slot(&state, Queue::Lookup, &reader, move |slot| {
        let selector = selector::required(&question.reader, &question.params, slot.regexes())?;
        let found = query.stream_stats(&slot, &question.reader, &selector, question.range())?;
        Ok(Answer::json(encode_stats(&found)).packed_if(gzip))
    })
    .await
}

/// `GET|POST /loki/api/v1/index/volume`: the bytes of label sets in the whole window.
pub(crate) async fn index_volume(
    State(state): State<AppState>,
    QueryAccess(reader): QueryAccess,
    request: Request,
) -> Result<Answer, Failure> {
    let question = Question::of(&state, reader, request).await?;
    let end = question.window.end;
    answer(&state, question, None, Form::Vector { at: end }).await
}

/// `GET|POST /loki/api/v1/index/volume_range`: the same, step by step.
pub(crate) async fn index_volume_range(
    State(state): State<AppState>,
    QueryAccess(reader): QueryAccess,
    request: Request,
) -> Result<Answer, Failure> {
    let question = Question::of(&state, reader, request).await?;
    let step_ns = window::step(&question.params, question.window)?;
    let end = question.window.end;
    answer(&state, question, Some(step_ns), Form::Matrix { end }).await
}

/// What is asked, and how many of the largest are wanted.
fn volumes(question: &Question, slot: &Slot) -> Result<(VolumeRequest, usize), Failure> {
    let (params, limits) = (&question.params, &question.reader.rules().limits);
    if !limits.volume_enabled {
        return Err(Failure::new(StatusCode::NOT_FOUND, "not found"));
    }
    let by = match params.get("aggregateBy") {
        None | Some("series") => VolumeBy::Series,
        Some("labels") => VolumeBy::Labels,
        Some(_) => return Err(Failure::bad_request("invalid aggregation option")),
    };
    let targets = params.get("targetLabels").unwrap_or("").split(',').map(str::trim);
    let targets = targets.filter(|target| !target.is_empty()).take(MAX_TARGETS + 1);
    let targets: Vec<String> = targets.map(str::to_owned).collect();
    if targets.len() > MAX_TARGETS {
        return Err(Failure::bad_request(format_args!("more than {MAX_TARGETS} targetLabels")));
    }
    let limit = match params.whole_number("limit")?.map(usize::try_from) {
        None | Some(Ok(0)) => DEFAULT_LIMIT,
        Some(Ok(limit)) => limit,
        Some(Err(_)) => return Err(Failure::bad_request("limit must be a positive value")),
    };
    let request = VolumeRequest {
        reader: question.reader.clone(),
        selector: selector::even_empty(&question.reader, params, slot.regexes())?,
        range: question.range(),
        step_ns: None,
        by,
        targets,
        max_series: limits.volume_max_series,
    };
    Ok((request, limit))
}

async fn answer(
    state: &AppState,
    question: Question,
    step_ns: Option<i64>,
    form: Form,
) -> Result<Answer, Failure> {
    let (query, reader) = (state.query.clone(), question.reader.clone());
    blocking::in_slot(state, Queue::Lookup, &reader, move |slot| {
        let (request, limit) = volumes(&question, &slot)?;
        let found = query.volume(&slot, &VolumeRequest { step_ns, ..request })?;
        Ok(encode(found, Held::from(slot), limit, form, takes_gzip(&question.headers)))
    })
    .await
}

/// `{"streams":1,"chunks":2,"bytes":3,"entries":4}`, and `warnings` where something could not be read.
fn encode_stats(found: &StreamStats) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    let StreamStats { streams, chunks, total: Count { entries, bytes }, .. } = *found;
    let numbers = [("streams", streams), ("chunks", chunks), ("bytes", bytes), ("entries", entries)];
    for (i, (name, number)) in numbers.into_iter().enumerate() {
        out.push(if i == 0 { b'{' } else { b',' });
        put_text(&mut out, name);
        out.push(b':');
        put_int(&mut out, number);
    }
    if !found.warnings.is_empty() {
        out.extend_from_slice(b",\"warnings\":");
        put_texts(&mut out, found.warnings.iter().map(String::as_str));
    }
    out.extend_from_slice(b"}\n");
    out
}

/// How volumes are written.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// One number each, at this time.
    Vector { at: i64 },
    /// A number for each bucket, at its last millisecond; for the last one, at the window's end. Always a matrix, also where
    /// Loki answers a vector because there is one bucket only.
    Matrix { end: i64 },
}

fn encode(found: VolumeResult, held: Held, limit: usize, form: Form, takes_gzip: bool) -> Answer {
    let mut head = b"{\"status\":\"success\",".to_vec();
    if !found.warnings.is_empty() {
        head.extend_from_slice(b"\"warnings\":");
        put_texts(&mut head, found.warnings.iter().map(String::as_str));
        head.push(b',');
    }
    head.extend_from_slice(b"\"data\":{\"resultType\":");
    head.extend_from_slice(match form {
        Form::Vector { .. } => b"\"vector\"",
        Form::Matrix { .. } => b"\"matrix\"",
    });
    head.extend_from_slice(b",\"result\":[");
    let mut tail = b"],\"stats\":".to_vec();
    stats::put(&mut tail, &found.stats);
    tail.extend_from_slice(b"}}\n");
    let volumes = found.volumes.into_iter().take(limit);
    let item = separated(volumes, move |out, volume| put_volume(out, &volume, form));
    Answer::of_items(head, holding(held, item), tail, takes_gzip)
}

fn put_volume(out: &mut Vec<u8>, volume: &Volume, form: Form) {
    out.extend_from_slice(b"{\"metric\":");
    put_object(out, volume.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    match form {
        Form::Vector { at } => {
            out.extend_from_slice(b",\"value\":");
            put_point(out, at, volume.total.bytes as f64);
        }
        Form::Matrix { end } => {
            out.extend_from_slice(b",\"values\":[");
            for (i, (until, count)) in volume.buckets.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                let at = if *until == end { end } else { until.saturating_sub(MILLISECOND_NS) };
                put_point(out, at, count.bytes as f64);
            }
            out.push(b']');
        }
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result() -> VolumeResult {
        let count = |n| Count { entries: n, bytes: 10 * n };
        let volume = |value: &str, buckets: &[(i64, u64)]| Volume {
            labels: vec![("app".to_owned(), value.to_owned())],
            total: count(buckets.iter().map(|(_, n)| n).sum()),
            buckets: buckets.iter().map(|(end, n)| (*end, count(*n))).collect(),
        };
        let second = 1_000_000_000;
        VolumeResult {
            volumes: vec![volume("x", &[(second, 3), (2 * second, 4)]), volume("y", &[(2 * second, 1)])],
            chunks: 5,
            ..VolumeResult::default()
        }
    }

    fn shown(found: &VolumeResult, limit: usize, form: Form) -> String {
        let text = encode(found.clone(), Held::default(), limit, form, false).into_text();
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        text.split_once(",\"stats\"").unwrap().0.to_owned()
    }

    #[test]
    fn volumes_as_vector_and_matrix() {
        let vector = |limit| shown(&result(), limit, Form::Vector { at: 2_500_000_000 });
        assert_eq!(
            vector(1),
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"app":"x"},"value":[2.5,"70"]}]"#
        );
        assert!(vector(2).ends_with(r#"{"metric":{"app":"y"},"value":[2.5,"10"]}]"#));
        let matrix = shown(&result(), 9, Form::Matrix { end: 2_000_000_000 });
        assert_eq!(
            matrix.split_once("\"data\":").unwrap().1,
            r#"{"resultType":"matrix","result":[{"metric":{"app":"x"},"values":[[0.999,"30"],[2,"40"]]},{"metric":{"app":"y"},"values":[[2,"10"]]}]"#
        );
        let lacking = VolumeResult { warnings: vec!["w".to_owned()], ..result() };
        assert!(shown(&lacking, 9, Form::Vector { at: 0 }).contains(r#""warnings":["w"],"data""#));
    }

    #[test]
    fn stats_as_the_editor_reads_them() {
        let text = |found: &StreamStats| String::from_utf8(encode_stats(found)).unwrap();
        let total = Count { entries: 4, bytes: 3 };
        let found = StreamStats { streams: 1, chunks: 2, total, ..StreamStats::default() };
        assert_eq!(text(&found), "{\"streams\":1,\"chunks\":2,\"bytes\":3,\"entries\":4}\n");
        assert_eq!(
            text(&StreamStats { warnings: vec!["w".to_owned()], ..StreamStats::default() }),
            "{\"streams\":0,\"chunks\":0,\"bytes\":0,\"entries\":0,\"warnings\":[\"w\"]}\n"
        );
    }
}
