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

/// In which order rows are asked for, and which of them.
#[derive(Debug)]
pub struct Asked {
    pub forward: bool,
    pub limit: usize,
    /// The least distance of two rows; none if 0.
    pub interval: i64,
}

impl Asked {
    /// The times of the rows that are shown, from those of all, in their order.
    fn shown(&self, mut times: Vec<i64>) -> Vec<i64> {
        times.sort_unstable();
        if !self.forward {
            times.reverse();
        }
        let mut shown: Vec<i64> = Vec::new();
        for time in times {
            if shown.last().is_none_or(|last| (time - last).abs() >= self.interval) {
                shown.push(time);
            }
        }
        shown.truncate(self.limit);
        shown
    }
}

/// `wanted` are all rows.
pub fn log_difference(answer: &Value, wanted: &[LogRow], asked: &Asked) -> Result<(), String> {
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
        if rows.windows(2).any(|pair| pair[0].0 != pair[1].0 && (pair[0].0 < pair[1].0) != asked.forward) {
            return Err(format!("rows out of order in {labels:?}"));
        }
        found.extend(rows);
    }
    if let Some(row) = without(&found, wanted).first() {
        let missing = without(wanted, &found);
        let near = missing.iter().find(|other| other.0 == row.0);
        return Err(format!("found {row:?},\n  wanted {near:?}"));
    }
    let shown = asked.shown(wanted.iter().map(|row| row.0).collect());
    let mut times: Vec<i64> = found.iter().map(|row| row.0).collect();
    times.sort_by_key(|time| if asked.forward { *time } else { -time });
    if times == shown {
        return Ok(());
    }
    let differ = times.iter().zip(&shown).find(|(found, shown)| found != shown);
    let missing = without(wanted, &found);
    Err(format!(
        "found {} rows of {}; times {differ:?}; missing {:?}",
        times.len(),
        shown.len(),
        missing.first()
    ))
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
