//! What is a metric query's value, written down straight from the definitions? A model for tests: step by step, pair by
//! pair, nothing pushed down, nothing shared.

use super::error::EvalError;
use super::matrix::SeriesLabels;
use super::partial::{Partial, Reduction};
use super::sliding::Merge;
use strandline_logql::ast::*;

/// Labels, time and value.
pub type Line = (SeriesLabels, i64, f64);
/// The series of one moment.
type Vector = Vec<(SeriesLabels, f64)>;

pub enum Now {
    Number(f64),
    Vector(Vector),
}

/// The query at each of these times, as steps, labels and values. `lines` are found by `app`.
pub fn over(
    expr: &MetricExpr,
    lines: &[Line],
    times: &[i64],
) -> Result<Vec<(u32, SeriesLabels, f64)>, EvalError> {
    let mut all = Vec::new();
    for (step, t) in (0..).zip(times) {
        all.extend(vector(at(expr, lines, *t)?).into_iter().map(|(labels, value)| (step, labels, value)));
    }
    Ok(all)
}

fn vector(now: Now) -> Vector {
    match now {
        Now::Number(value) => vec![(SeriesLabels::none(), value)],
        Now::Vector(vector) => vector,
    }
}

fn at(expr: &MetricExpr, lines: &[Line], t: i64) -> Result<Now, EvalError> {
    Ok(match expr {
        MetricExpr::Literal(number) => Now::Number(*number),
        MetricExpr::VectorLiteral(number) => Now::Vector(vec![(SeriesLabels::none(), *number)]),
        MetricExpr::Range(range) => Now::Vector(range_at(range, lines, t)),
        MetricExpr::Vector(aggregation) => {
            Now::Vector(aggregate(aggregation, &vector(at(&aggregation.inner, lines, t)?)))
        }
        MetricExpr::Binary(binary) => {
            binary_at(binary, at(&binary.left, lines, t)?, at(&binary.right, lines, t)?)?
        }
        MetricExpr::LabelReplace(replace) => {
            let set = |(labels, value): (SeriesLabels, f64)| {
                let source = labels.get(&replace.source).unwrap_or_default();
                (labels.with(&replace.destination, &replace.replacement.replace("$0", source)), value)
            };
            Now::Vector(vector(at(&replace.inner, lines, t)?).into_iter().map(set).collect())
        }
    })
}

fn range_at(range: &RangeAggregation, lines: &[Line], t: i64) -> Vector {
    let app = &range.log.matchers[0].value;
    let until = t - range.offset_ns;
    let held = lines.iter().filter(|(labels, ts, _)| {
        labels.get("app") == Some(app) && until - range.range_ns < *ts && *ts <= until
    });
    if range.op == RangeOp::Absent {
        let labels = [("app", app.as_str())].into_iter().collect();
        return if held.count() == 0 { vec![(labels, 1.0)] } else { Vec::new() };
    }
    let grouping = range.grouping.clone().unwrap_or(Grouping { without: true, labels: Vec::new() });
    let members: Vec<(SeriesLabels, f64)> = held.map(|(labels, _, value)| (labels.clone(), *value)).collect();
    let per_second = if range.op == RangeOp::Rate { range.range_ns as f64 / 1e9 } else { 1.0 };
    let reduction = Reduction::of_range(range.op).expect("a reduction");
    reduced(reduction, &grouping, &members).into_iter().map(|(l, v)| (l, v / per_second)).collect()
}

fn key(labels: &SeriesLabels, grouping: &Grouping) -> SeriesLabels {
    let named = |name: &str| grouping.labels.iter().any(|label| label == name);
    labels.iter().filter(|(name, _)| named(name) != grouping.without).collect()
}

fn reduced(reduction: Reduction, grouping: &Grouping, members: &[(SeriesLabels, f64)]) -> Vector {
    let mut groups: Vec<(SeriesLabels, Partial)> = Vec::new();
    for (labels, value) in members {
        let (labels, one) = (key(labels, grouping), Partial::of(reduction, 0, *value));
        match groups.iter_mut().find(|(known, _)| *known == labels) {
            Some((_, partial)) => partial.merge(&one),
            None => groups.push((labels, one)),
        }
    }
    groups.into_iter().map(|(labels, partial)| (labels, partial.finish(reduction))).collect()
}

fn aggregate(aggregation: &VectorAggregation, inner: &Vector) -> Vector {
    let grouping = aggregation.grouping.clone().unwrap_or_default();
    if let Some(reduction) = Reduction::of_vector(aggregation.op) {
        return reduced(reduction, &grouping, inner);
    }
    let Some(k) = aggregation.parameter else { return inner.clone() };
    let sign = if aggregation.op == VectorOp::Bottomk { 1.0 } else { -1.0 };
    let better = |a: &(SeriesLabels, f64), b: &(SeriesLabels, f64)| {
        (a.1.is_nan(), sign * a.1)
            .partial_cmp(&(b.1.is_nan(), sign * b.1))
            .map_or_else(|| a.0 < b.0, |order| order.then_with(|| a.0.cmp(&b.0)).is_lt())
    };
    let chosen = |one: &&(SeriesLabels, f64)| {
        let rivals = inner.iter().filter(|other| key(&other.0, &grouping) == key(&one.0, &grouping));
        (rivals.filter(|other| better(other, one)).count() as u64) < k
    };
    inner.iter().filter(chosen).cloned().collect()
}

fn binary_at(expr: &BinaryExpr, left: Now, right: Now) -> Result<Now, EvalError> {
    use BinaryOp as B;
    let set = matches!(expr.op, B::And | B::Or | B::Unless);
    let (bool, op) = (expr.returns_bool, expr.op);
    Ok(Now::Vector(match (left, right) {
        (Now::Vector(left), Now::Vector(right)) if set => sets(expr, left, right),
        _ if set => return Err(EvalError::literal_in_set(op)),
        (Now::Number(a), Now::Number(b)) => {
            return Ok(Now::Number(number(op, true, a, b).expect("a number")));
        }
        (Now::Vector(left), Now::Number(b)) => {
            left.into_iter().filter_map(|(l, a)| Some((l, number(op, bool, a, b)?))).collect()
        }
        (Now::Number(a), Now::Vector(right)) => {
            let arithmetic = matches!(op, B::Add | B::Sub | B::Mul | B::Div | B::Mod | B::Pow);
            let value = |b| number(op, bool, a, b).map(|v| if arithmetic || bool { v } else { b });
            right.into_iter().filter_map(|(l, b)| Some((l, value(b)?))).collect()
        }
        (Now::Vector(left), Now::Vector(right)) => matched(expr, &left, &right)?,
    }))
}

fn belongs(expr: &BinaryExpr) -> impl Fn(&SeriesLabels, &SeriesLabels) -> bool {
    let grouping = match &expr.matching {
        Some(matching) => Grouping { without: !matching.on, labels: matching.labels.clone() },
        None => Grouping { without: true, labels: Vec::new() },
    };
    move |a, b| key(a, &grouping) == key(b, &grouping)
}

fn sets(expr: &BinaryExpr, left: Vector, right: Vector) -> Vector {
    let same = belongs(expr);
    let among = |one: &SeriesLabels, all: &Vector| all.iter().any(|(other, _)| same(one, other));
    match expr.op {
        BinaryOp::And => left.into_iter().filter(|(l, _)| among(l, &right)).collect(),
        BinaryOp::Unless => left.into_iter().filter(|(l, _)| !among(l, &right)).collect(),
        _ => {
            let added: Vector = right.into_iter().filter(|(r, _)| !among(r, &left)).collect();
            left.into_iter().chain(added).collect()
        }
    }
}

fn matched(expr: &BinaryExpr, left: &Vector, right: &Vector) -> Result<Vector, EvalError> {
    let same = belongs(expr);
    let group = expr.matching.as_ref().and_then(|m| m.group.as_ref());
    let swapped = matches!(group, Some((GroupSide::Right, _)));
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    for (i, (a, _)) in one.iter().enumerate() {
        if one.iter().take(i).any(|(b, _)| same(a, b)) {
            let hand = if swapped { super::error::Hand::Left } else { super::error::Hand::Right };
            return Err(EvalError::ManyToMany(hand));
        }
    }
    let mut result: Vector = Vec::new();
    for (labels, m) in many {
        let Some((partner, o)) = one.iter().find(|(other, _)| same(labels, other)) else { continue };
        let (a, b) = if swapped { (*o, *m) } else { (*m, *o) };
        let Some(value) = number(expr.op, expr.returns_bool, a, b) else { continue };
        let labels = match (group, &expr.matching) {
            (Some((_, names)), _) => names
                .iter()
                .fold(labels.clone(), |all, name| all.with(name, partner.get(name).unwrap_or_default())),
            (None, Some(matching)) => {
                key(labels, &Grouping { without: !matching.on, labels: matching.labels.clone() })
            }
            (None, None) => labels.clone(),
        };
        if result.iter().any(|(other, _)| *other == labels) {
            return Err(if group.is_some() { EvalError::AmbiguousResult } else { EvalError::ManyToOne });
        }
        result.push((labels, value));
    }
    Ok(result)
}

fn number(op: BinaryOp, bool: bool, a: f64, b: f64) -> Option<f64> {
    use BinaryOp as B;
    let holds = match op {
        B::Add => return Some(a + b),
        B::Sub => return Some(a - b),
        B::Mul => return Some(a * b),
        B::Div => return Some(if b == 0.0 { f64::NAN } else { a / b }),
        B::Mod => return Some(if b == 0.0 { f64::NAN } else { a % b }),
        B::Pow => return Some(a.powf(b)),
        B::Equal => a == b,
        B::NotEqual => a != b,
        B::Greater => a > b,
        B::GreaterEqual => a >= b,
        B::Less => a < b,
        B::LessEqual => a <= b,
        B::And | B::Or | B::Unless => false,
    };
    match (bool, holds) {
        (true, _) => Some(if holds { 1.0 } else { 0.0 }),
        (false, true) => Some(a),
        (false, false) => None,
    }
}
