//! What is the value of a metric query? Line by line and series by series As Loki's documentation describes metric queries..

use super::data::{Entry, Labels};
use super::go_regex;
use super::row::ERROR;
use super::samples::{Sample, ordered, samples, window};
use strandline_logql::ast::*;
use strandline_model::MatchOp;

/// The series of one moment; several may have the same labels.
pub type Vector = Vec<(Labels, f64)>;

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// A sample carries an error.
    Pipeline,
    /// Series of both sides do not match one to one.
    Match,
    /// More than one answer is right.
    Undecided,
}

/// A value at each of the moments.
pub enum Value {
    Number(f64),
    Vectors(Vec<Vector>),
}

impl Value {
    pub fn vectors(self, times: &[i64]) -> Vec<Vector> {
        match self {
            Self::Number(number) => vec![vec![(Labels::new(), number)]; times.len()],
            Self::Vectors(vectors) => vectors,
        }
    }
}

pub fn evaluate(expr: &MetricExpr, entries: &[Entry], times: &[i64]) -> Result<Value, Stop> {
    let each = |vectors: Vec<Vector>, f: &dyn Fn(Vector) -> Result<Vector, Stop>| {
        Ok(Value::Vectors(vectors.into_iter().map(f).collect::<Result<_, _>>()?))
    };
    match expr {
        MetricExpr::Literal(number) => Ok(Value::Number(*number)),
        MetricExpr::VectorLiteral(number) => {
            Ok(Value::Vectors(vec![vec![(Labels::new(), *number)]; times.len()]))
        }
        MetricExpr::Range(range) => {
            let none = Grouping::default();
            let by = if range.op == RangeOp::Absent { Some(&none) } else { range.grouping.as_ref() };
            windows(range, &samples(range, by, entries), times)
        }
        MetricExpr::Vector(aggregation) => {
            let inner = match summed(aggregation) {
                Some(range) => {
                    let by = aggregation.grouping.clone().unwrap_or_default();
                    windows(range, &samples(range, Some(&by), entries), times)?
                }
                None => evaluate(&aggregation.inner, entries, times)?,
            };
            let inner = inner.vectors(times);
            each(inner, &|vector| aggregate(aggregation, vector))
        }
        MetricExpr::LabelReplace(replace) => {
            let inner = evaluate(&replace.inner, entries, times)?.vectors(times);
            each(inner, &|vector| Ok(label_replace(replace, vector)))
        }
        MetricExpr::Binary(binary) => {
            let left = evaluate(&binary.left, entries, times)?;
            let right = evaluate(&binary.right, entries, times)?;
            super::binary::combine(binary, left, right)
        }
    }
}

/// The range aggregation of which a sum is taken, of which Loki reads only the labels that the query names.
fn summed(aggregation: &VectorAggregation) -> Option<&RangeAggregation> {
    use RangeOp as R;
    let MetricExpr::Range(range) = &*aggregation.inner else { return None };
    let adds_up = matches!(range.op, R::Count | R::Rate | R::Bytes | R::BytesRate | R::Sum);
    (aggregation.op == VectorOp::Sum && adds_up && range.grouping.is_none()).then_some(range)
}

fn windows(range: &RangeAggregation, samples: &[Sample], times: &[i64]) -> Result<Value, Stop> {
    let vectors = times.iter().map(|t| range_at(range, samples, *t));
    Ok(Value::Vectors(vectors.collect::<Result<_, _>>()?))
}

/// The labels that a group has in common.
pub fn key(labels: &Labels, grouping: &Grouping) -> Labels {
    let kept = |name: &String| grouping.labels.contains(name) != grouping.without;
    labels.iter().filter(|(name, _)| kept(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
}

/// The members of each group, in their order.
fn groups<T>(members: Vec<(Labels, T)>) -> Vec<(Labels, Vec<T>)> {
    let mut groups: Vec<(Labels, Vec<T>)> = Vec::new();
    for (labels, member) in members {
        match groups.iter_mut().find(|(known, _)| *known == labels) {
            Some((_, group)) => group.push(member),
            None => groups.push((labels, vec![member])),
        }
    }
    groups
}

fn range_at(range: &RangeAggregation, samples: &[Sample], t: i64) -> Result<Vector, Stop> {
    let (after, until) = window(range, t);
    let held: Vec<&Sample> = samples.iter().filter(|s| after < s.ts && s.ts <= until).collect();
    if held.iter().any(|sample| sample.labels.contains_key(ERROR)) {
        // Whether errors count that the query asks for depends on what Loki can leave out.
        return Err(if asks_for_errors(&range.log) { Stop::Undecided } else { Stop::Pipeline });
    }
    if range.op == RangeOp::Absent {
        return Ok(if held.is_empty() { vec![(certain(&range.log.matchers), 1.0)] } else { Vec::new() });
    }
    let all = Grouping { without: true, labels: Vec::new() };
    let grouping = range.grouping.as_ref().unwrap_or(&all);
    let members = held.into_iter().map(|sample| (key(&sample.labels, grouping), (sample.ts, sample.value)));
    let mut vector = Vector::new();
    for (labels, group) in groups(members.collect()) {
        vector.push((labels, reduced(range, group, (after, until))?));
    }
    Ok(vector)
}

fn asks_for_errors(log: &LogExpr) -> bool {
    fn asks(filter: &LabelFilterExpr) -> bool {
        match filter {
            LabelFilterExpr::And(a, b) | LabelFilterExpr::Or(a, b) => asks(a) || asks(b),
            LabelFilterExpr::Text(matcher) => matcher.name == ERROR,
            _ => false,
        }
    }
    log.stages.iter().any(|stage| matches!(stage, Stage::LabelFilter(filter) if asks(filter)))
}

/// The labels of which the selector says what they are.
fn certain(matchers: &[MatcherExpr]) -> Labels {
    let once = |m: &&MatcherExpr| matchers.iter().filter(|other| other.name == m.name).count() == 1;
    let equal = matchers.iter().filter(|m| m.op == MatchOp::Equal && !m.value.is_empty());
    equal.filter(once).map(|m| (m.name.clone(), m.value.clone())).collect()
}

fn reduced(
    range: &RangeAggregation,
    mut samples: Vec<(i64, f64)>,
    (after, until): (i64, i64),
) -> Result<f64, Stop> {
    let values: Vec<f64> = samples.iter().map(|(_, value)| *value).collect();
    let seconds = range.range_ns as f64 / 1e9;
    Ok(match range.op {
        RangeOp::Count => values.len() as f64,
        RangeOp::Rate | RangeOp::BytesRate => values.iter().sum::<f64>() / seconds,
        RangeOp::Quantile => quantile(range.parameter.unwrap(), values),
        RangeOp::First => {
            ordered(&mut samples)?;
            samples[0].1
        }
        RangeOp::Last => {
            ordered(&mut samples)?;
            samples[samples.len() - 1].1
        }
        RangeOp::RateCounter => {
            ordered(&mut samples)?;
            counter_rate(&samples, after, until)
        }
        RangeOp::Bytes | RangeOp::Sum => statistic(VectorOp::Sum, &values),
        RangeOp::Avg => statistic(VectorOp::Avg, &values),
        RangeOp::Min => statistic(VectorOp::Min, &values),
        RangeOp::Max => statistic(VectorOp::Max, &values),
        RangeOp::Stddev => statistic(VectorOp::Stddev, &values),
        RangeOp::Stdvar => statistic(VectorOp::Stdvar, &values),
        RangeOp::Absent => 1.0,
    })
}

fn quantile(phi: f64, mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    if !(0.0..=1.0).contains(&phi) {
        return if phi < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let rank = phi * (values.len() - 1) as f64;
    let (low, high) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
    low + (high - low) * rank.fract()
}

/// As Prometheus extrapolates the growth of a counter to a whole window.
fn counter_rate(samples: &[(i64, f64)], after: i64, until: i64) -> f64 {
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    if samples.len() < 2 {
        return 0.0;
    }
    let resets = samples.windows(2).filter(|pair| pair[1].1 < pair[0].1).map(|pair| pair[0].1);
    let growth = last.1 - first.1 + resets.sum::<f64>();
    let sampled = (last.0 - first.0) as f64 / 1e9;
    let average = sampled / (samples.len() - 1) as f64;
    let extended = |gap: f64| if gap < average * 1.1 { gap } else { average / 2.0 };
    let mut to_start = extended((first.0 - after) as f64 / 1e9);
    let to_end = (until - last.0) as f64 / 1e9;
    if growth > 0.0 && first.1 >= 0.0 {
        to_start = to_start.min(sampled * first.1 / growth);
    }
    growth * (sampled + to_start + extended(to_end)) / sampled / ((until - after) as f64 / 1e9)
}

fn statistic(op: VectorOp, values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let sum: f64 = values.iter().sum();
    let variance = values.iter().map(|value| (value - sum / count).powi(2)).sum::<f64>() / count;
    match op {
        VectorOp::Sum => sum,
        VectorOp::Avg => sum / count,
        VectorOp::Min => values.iter().copied().fold(f64::NAN, f64::min),
        VectorOp::Max => values.iter().copied().fold(f64::NAN, f64::max),
        VectorOp::Count => count,
        VectorOp::Stddev => variance.sqrt(),
        VectorOp::Stdvar => variance,
        _ => unreachable!("{op:?} chooses or orders series"),
    }
}

fn aggregate(aggregation: &VectorAggregation, vector: Vector) -> Result<Vector, Stop> {
    let grouping = aggregation.grouping.clone().unwrap_or_default();
    let grouped = |vector: Vector| {
        groups(vector.into_iter().map(|(labels, value)| (key(&labels, &grouping), (labels, value))).collect())
    };
    let sign = match aggregation.op {
        VectorOp::Sort | VectorOp::SortDesc => return Ok(vector),
        VectorOp::Topk | VectorOp::ApproxTopk => -1.0,
        VectorOp::Bottomk => 1.0,
        op => {
            let values = |group: Vec<(Labels, f64)>| group.into_iter().map(|(_, v)| v).collect::<Vec<_>>();
            let groups = grouped(vector).into_iter();
            return Ok(groups.map(|(labels, group)| (labels, statistic(op, &values(group)))).collect());
        }
    };
    let k = aggregation.parameter.unwrap() as usize;
    let mut chosen = Vector::new();
    for (_, mut group) in grouped(vector) {
        group.sort_by(|(a_labels, a), (b_labels, b)| {
            let by_value = a.is_nan().cmp(&b.is_nan()).then((sign * a).total_cmp(&(sign * b)));
            by_value.then_with(|| a_labels.cmp(b_labels))
        });
        if group.len() > k && nearly(group[k - 1].1, group[k].1) {
            return Err(Stop::Undecided);
        }
        chosen.extend(group.into_iter().take(k));
    }
    Ok(chosen)
}

/// Whether only rounding tells the values apart.
pub fn nearly(a: f64, b: f64) -> bool {
    a != b && (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

fn label_replace(replace: &LabelReplace, vector: Vector) -> Vector {
    let regex = go_regex(&format!("^(?:{})$", replace.regex));
    let set = |(mut labels, value): (Labels, f64)| {
        let source = labels.get(&replace.source).cloned().unwrap_or_default();
        if let Some(found) = regex.captures(&source) {
            let mut text = String::new();
            found.expand(&replace.replacement, &mut text);
            labels.remove(&replace.destination);
            if !text.is_empty() {
                labels.insert(replace.destination.clone(), text);
            }
        }
        (labels, value)
    };
    vector.into_iter().map(set).collect()
}
