//! How are numbers answered? Loki's `scalar`, `vector` and `matrix` results, written straight into bytes.

use super::json::{put_int, put_object, put_texts};
use super::stats;
use crate::http::answer::Answer;
use std::sync::Arc;
use strandline_model::time::SECOND_NS;
use strandline_query::MetricResult;
use strandline_query::metric::{Series, Steps, Value};

/// The answer: series of an instant query as a vector, those of a range query as a matrix.
pub(crate) fn answer(result: Arc<MetricResult>, steps: Steps, takes_gzip: bool) -> Answer {
    let mut head = b"{\"status\":\"success\",".to_vec();
    if !result.warnings.is_empty() {
        head.extend_from_slice(b"\"warnings\":");
        put_texts(&mut head, result.warnings.iter().map(String::as_str));
        head.push(b',');
    }
    let kind = match (&result.value, steps.is_instant()) {
        (Value::Scalar(_), true) => "scalar",
        (Value::Matrix(_), true) => "vector",
        (_, false) => "matrix",
    };
    head.extend_from_slice(b"\"data\":{\"resultType\":\"");
    head.extend_from_slice(kind.as_bytes());
    head.extend_from_slice(b"\",\"result\":");
    let mut tail = b",\"stats\":".to_vec();
    stats::put(&mut tail, &result.stats);
    tail.extend_from_slice(b"}}\n");
    let mut at = 0;
    let next = move |out: &mut Vec<u8>| {
        let (first, i) = (at == 0, at);
        at += 1;
        let Value::Matrix(matrix) = &result.value else {
            if first {
                put_scalar(out, &result.value, &steps);
            }
            return first;
        };
        if first {
            out.push(b'[');
        }
        match matrix.series.get(i) {
            Some(series) => {
                if !first {
                    out.push(b',');
                }
                put_series(out, series, &steps);
                true
            }
            None => {
                out.push(b']');
                false
            }
        }
    };
    Answer::of_items(head, next, tail, takes_gzip)
}

/// A number, at one moment or at each of many.
fn put_scalar(out: &mut Vec<u8>, value: &Value, steps: &Steps) {
    let Value::Scalar(number) = value else { return };
    if steps.is_instant() {
        put_point(out, steps.at(0), *number);
        return;
    }
    let all = (0..steps.count()).map(|step| (steps.at(step), *number));
    out.extend_from_slice(b"[{\"metric\":{},\"values\":");
    put_points(out, all);
    out.extend_from_slice(b"}]");
}

fn put_series(out: &mut Vec<u8>, series: &Series, steps: &Steps) {
    out.extend_from_slice(b"{\"metric\":");
    put_object(out, series.labels.iter());
    let points = series.points.iter().map(|(step, value)| (steps.at(*step), *value));
    if steps.is_instant() {
        out.extend_from_slice(b",\"value\":");
        points.take(1).for_each(|(ts, value)| put_point(out, ts, value));
    } else {
        out.extend_from_slice(b",\"values\":");
        put_points(out, points);
    }
    out.push(b'}');
}

fn put_points(out: &mut Vec<u8>, points: impl Iterator<Item = (i64, f64)>) {
    out.push(b'[');
    for (i, (ts, value)) in points.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        put_point(out, ts, value);
    }
    out.push(b']');
}

/// `[seconds, "value"]`, the seconds with three places at most.
pub(super) fn put_point(out: &mut Vec<u8>, ts: i64, value: f64) {
    out.push(b'[');
    let milliseconds = ts.div_euclid(SECOND_NS / 1000);
    put_int(out, milliseconds.div_euclid(1000));
    let fraction = milliseconds.rem_euclid(1000);
    if fraction > 0 {
        let text = format!(".{fraction:03}");
        out.extend_from_slice(text.trim_end_matches('0').as_bytes());
    }
    out.extend_from_slice(b",\"");
    out.extend_from_slice(number(value).as_bytes());
    out.extend_from_slice(b"\"]");
}

/// The shortest text that reads as the same number, as Go's `strconv.FormatFloat(v, 'f', -1, 64)` writes it.
fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        format!("{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_query::metric::Matrix;

    fn shown(value: Value, steps: &Steps) -> String {
        let result = MetricResult {
            value,
            stats: Default::default(),
            warnings: vec!["w".to_owned()],
            reads: Vec::new(),
            held: Default::default(),
        };
        let text = answer(Arc::new(result), *steps, false).into_text();
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let (start, end) = (text.find("\"resultType\"").unwrap(), text.find(",\"stats\"").unwrap());
        assert!(text.starts_with("{\"status\":\"success\",\"warnings\":[\"w\"],\"data\":{"));
        text[start..end].to_owned()
    }

    #[test]
    fn scalars_vectors_and_matrices() {
        let (now, range) = (Steps::instant(1_500_000_000), Steps::range(0, 1_000_000_000, 2));
        assert_eq!(shown(Value::Scalar(2.0), &now), r#""resultType":"scalar","result":[1.5,"2"]"#);
        assert_eq!(
            shown(Value::Scalar(f64::INFINITY), &range),
            r#""resultType":"matrix","result":[{"metric":{},"values":[[0,"+Inf"],[1,"+Inf"]]}]"#
        );
        let mut matrix = Matrix::default();
        matrix.push([("a", "x")].into_iter().collect(), vec![(0, 0.25)]);
        matrix.push([("a", "y")].into_iter().collect(), vec![(0, f64::NAN)]);
        assert_eq!(
            shown(Value::Matrix(matrix.clone()), &now),
            r#""resultType":"vector","result":[{"metric":{"a":"x"},"value":[1.5,"0.25"]},{"metric":{"a":"y"},"value":[1.5,"NaN"]}]"#
        );
        assert_eq!(
            shown(Value::Matrix(matrix), &range),
            r#""resultType":"matrix","result":[{"metric":{"a":"x"},"values":[[0,"0.25"]]},{"metric":{"a":"y"},"values":[[0,"NaN"]]}]"#
        );
    }

    #[test]
    fn numbers_as_go_writes_them() {
        for (value, text) in [
            (1e21, "1000000000000000000000"),
            (1e-7, "0.0000001"),
            (-0.0, "-0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
