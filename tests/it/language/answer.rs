//! Where does the server's answer differ from the wanted one?

use super::data::Labels;
use super::metric::Vector;
use super::row::{Category, DETAILS, SOME_DETAILS};
use serde_json::Value;
use strandline_logql::ast::{MetricExpr, VectorOp};

/// Time, line and labels.
pub type LogRow = (i64, String, Labels);

fn labels(value: &Value) -> Labels {
    let mut labels: Labels = serde_json::from_value(value.clone()).unwrap();
    if let Some(details) = labels.get_mut(DETAILS) {
        SOME_DETAILS.clone_into(details);
    }
    labels
}

/// The labels of a stream and those that only one of its entries has.
fn categorized(stream: &Labels, more: &Value) -> Labels {
    let of = |labels: Labels, category: Category| {
        labels.into_iter().map(move |(name, value)| (category.of(&name), value))
    };
    let part = |name: &str| more.get(name).map_or(Labels::new(), labels);
    of(stream.clone(), Category::Stream)
        .chain(of(part("structuredMetadata"), Category::Metadata))
        .chain(of(part("parsed"), Category::Parsed))
        .collect()
}

/// `wanted` are all rows, in the order of their times.
pub fn log_difference(answer: &Value, wanted: &[LogRow], forward: bool, limit: usize) -> Result<(), String> {
    let mut found: Vec<LogRow> = Vec::new();
    for stream in answer["data"]["result"].as_array().unwrap() {
        let labels = labels(&stream["stream"]);
        let values = stream["values"].as_array().unwrap().iter();
        let rows: Vec<LogRow> = values
            .map(|value| {
                let ts = value[0].as_str().unwrap().parse().unwrap();
                let labels = value.get(2).map_or(labels.clone(), |more| categorized(&labels, more));
                (ts, value[1].as_str().unwrap().to_owned(), labels)
            })
            .collect();
        if rows.windows(2).any(|pair| pair[0].0 != pair[1].0 && (pair[0].0 < pair[1].0) != forward) {
            return Err(format!("rows out of order in {labels:?}"));
        }
        found.extend(rows);
    }
    found.sort();
    let times = |rows: &[LogRow]| rows.iter().map(|row| row.0).collect::<Vec<_>>();
    let count = wanted.len().min(limit);
    let first = if forward { &wanted[..count] } else { &wanted[wanted.len() - count..] };
    let surplus = without(&found, wanted);
    if let Some(row) = surplus.first() {
        let missing = without(wanted, &found);
        let near = missing.iter().find(|other| other.0 == row.0);
        return Err(format!("found {row:?},\n  wanted {near:?}"));
    }
    if times(&found) == times(first) {
        return Ok(());
    }
    let missing = without(first, &found);
    Err(format!("found {} rows of {count}; missing {:?}", found.len(), missing.first()))
}

/// The rows of `all` that are not among `others`, each counted.
fn without(all: &[LogRow], others: &[LogRow]) -> Vec<LogRow> {
    let mut others = others.to_vec();
    let mut left = all.to_vec();
    left.retain(|row| match others.iter().position(|other| other == row) {
        Some(at) => {
            others.swap_remove(at);
            false
        }
        None => true,
    });
    left
}

/// Labels, time in milliseconds and value of all points.
pub struct Points(pub Vec<(Labels, i64, f64)>);

impl Points {
    pub fn of(vectors: &[Vector], times: &[i64]) -> Self {
        let points = vectors.iter().zip(times).flat_map(|(vector, t)| {
            vector.iter().map(|(labels, value)| (labels.clone(), t.div_euclid(1_000_000), *value))
        });
        Self::sorted(points.collect())
    }

    fn sorted(mut points: Vec<(Labels, i64, f64)>) -> Self {
        points.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)).then(a.2.total_cmp(&b.2)));
        Self(points)
    }

    fn parse(answer: &Value) -> Self {
        let point = |value: &Value| {
            let text = value[1].as_str().unwrap();
            let ts = (value[0].as_f64().unwrap() * 1000.0).round() as i64;
            (ts, text.replace("Inf", "inf").parse::<f64>().unwrap())
        };
        let mut points = Vec::new();
        for series in answer["data"]["result"].as_array().unwrap() {
            let values = match &series["values"] {
                Value::Array(values) => values.clone(),
                _ => vec![series["value"].clone()],
            };
            for (ts, value) in values.iter().map(point) {
                points.push((labels(&series["metric"]), ts, value));
            }
        }
        Self(points)
    }
}

pub fn metric_difference(answer: &Value, wanted: &Points, expr: &MetricExpr) -> Result<(), String> {
    let found = Points::parse(answer);
    if answer["data"]["resultType"] == "vector" {
        let values: Vec<f64> = found.0.iter().map(|point| point.2).filter(|value| !value.is_nan()).collect();
        let order = match expr {
            MetricExpr::Vector(vector) if vector.op == VectorOp::Sort => 1.0,
            MetricExpr::Vector(vector) if vector.op == VectorOp::SortDesc => -1.0,
            _ => 0.0,
        };
        if values.windows(2).any(|pair| pair[0] * order > pair[1] * order) {
            return Err(format!("not sorted: {values:?}"));
        }
    }
    let found = Points::sorted(found.0).0;
    let wanted = &wanted.0;
    let differ = (0..found.len().max(wanted.len())).find(|at| match (found.get(*at), wanted.get(*at)) {
        (Some(a), Some(b)) => a.0 != b.0 || a.1 != b.1 || !same(a.2, b.2),
        _ => true,
    });
    match differ {
        None => Ok(()),
        Some(at) => Err(format!(
            "{} points, wanted {}; the first that differs is {:?},\n  wanted {:?}",
            found.len(),
            wanted.len(),
            found.get(at),
            wanted.get(at)
        )),
    }
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}
