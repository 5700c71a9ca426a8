//! What does an operation between two metric queries give? As Loki's and Prometheus' documentation describe binary operators.

use super::data::Labels;
use super::metric::{Stop, Value, Vector, key, nearly};
use strandline_logql::ast::*;

pub fn combine(expr: &BinaryExpr, left: Value, right: Value) -> Result<Value, Stop> {
    let (op, bool) = (expr.op, expr.returns_bool);
    let each = |vectors: Vec<Vector>, f: &dyn Fn(f64) -> Result<Option<f64>, Stop>| {
        let one = |(labels, value): (Labels, f64)| Ok(f(value)?.map(|value| (labels, value)));
        let all = |vector: Vector| vector.into_iter().filter_map(|one_of| one(one_of).transpose()).collect();
        Ok(Value::Vectors(vectors.into_iter().map(all).collect::<Result<_, _>>()?))
    };
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => Ok(Value::Number(apply(op, true, a, b)?.unwrap())),
        (Value::Vectors(left), Value::Number(b)) => each(left, &|a| apply(op, bool, a, b)),
        (Value::Number(a), Value::Vectors(right)) => each(right, &|b| {
            let value = apply(op, bool, a, b)?;
            Ok(if is_comparison(op) && !bool { value.map(|_| b) } else { value })
        }),
        (Value::Vectors(left), Value::Vectors(right)) => {
            let steps = left.iter().zip(&right);
            let all = steps.map(|(left, right)| match op {
                BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => Ok(sets(expr, left, right)),
                _ => matched(expr, left, right),
            });
            Ok(Value::Vectors(all.collect::<Result<_, _>>()?))
        }
    }
}

fn grouping(expr: &BinaryExpr) -> Grouping {
    let matching = expr.matching.as_ref();
    Grouping {
        without: !matching.is_some_and(|m| m.on),
        labels: matching.map_or(Vec::new(), |m| m.labels.clone()),
    }
}

fn sets(expr: &BinaryExpr, left: &Vector, right: &Vector) -> Vector {
    let by = grouping(expr);
    let among =
        |labels: &Labels, all: &Vector| all.iter().any(|(other, _)| key(labels, &by) == key(other, &by));
    let of = |vector: &Vector, takes: &dyn Fn(&Labels) -> bool| -> Vector {
        vector.iter().filter(|(labels, _)| takes(labels)).cloned().collect()
    };
    match expr.op {
        BinaryOp::And => of(left, &|labels| among(labels, right)),
        BinaryOp::Unless => of(left, &|labels| !among(labels, right)),
        _ => [left.clone(), of(right, &|labels| !among(labels, left))].concat(),
    }
}

fn matched(expr: &BinaryExpr, left: &Vector, right: &Vector) -> Result<Vector, Stop> {
    let by = grouping(expr);
    let group = expr.matching.as_ref().and_then(|matching| matching.group.as_ref());
    let many_right = group.is_some_and(|(side, _)| *side == GroupSide::Right);
    let (many, one) = if many_right { (right, left) } else { (left, right) };
    let mut keys: Vec<Labels> = one.iter().map(|(labels, _)| key(labels, &by)).collect();
    keys.sort();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Stop::Match);
    }
    let mut result = Vector::new();
    for (labels, value) in many {
        let same = |(other, _): &&(Labels, f64)| key(other, &by) == key(labels, &by);
        let Some((partner, other)) = one.iter().find(same) else { continue };
        let (a, b) = if many_right { (*other, *value) } else { (*value, *other) };
        let Some(value) = apply(expr.op, expr.returns_bool, a, b)? else { continue };
        let mut labels = if group.is_some() { labels.clone() } else { key(labels, &by) };
        for name in group.iter().flat_map(|(_, names)| names) {
            labels.remove(name);
            labels.extend(partner.get(name).map(|value| (name.clone(), value.clone())));
        }
        if result.iter().any(|(known, _)| *known == labels) {
            return Err(Stop::Match);
        }
        result.push((labels, value));
    }
    Ok(result)
}

fn is_comparison(op: BinaryOp) -> bool {
    use BinaryOp as B;
    matches!(op, B::Equal | B::NotEqual | B::Greater | B::GreaterEqual | B::Less | B::LessEqual)
}

/// `a op b`; `None` if a comparison does not hold and does not return a `bool`.
fn apply(op: BinaryOp, bool: bool, a: f64, b: f64) -> Result<Option<f64>, Stop> {
    let holds = match op {
        BinaryOp::Add => return Ok(Some(a + b)),
        BinaryOp::Sub => return Ok(Some(a - b)),
        BinaryOp::Mul => return Ok(Some(a * b)),
        BinaryOp::Div | BinaryOp::Mod if b == 0.0 => return Ok(Some(f64::NAN)),
        BinaryOp::Div | BinaryOp::Mod | BinaryOp::Pow if nearly(b, 0.0) => return Err(Stop::Undecided),
        BinaryOp::Div => return Ok(Some(a / b)),
        // Near a multiple rounding decides, unless both are whole.
        BinaryOp::Mod if (a.fract(), b.fract()) != (0.0, 0.0) && (a / b - (a / b).round()).abs() < 1e-9 => {
            return Err(Stop::Undecided);
        }
        BinaryOp::Mod => return Ok(Some(a % b)),
        BinaryOp::Pow => return Ok(Some(a.powf(b))),
        _ if nearly(a, b) => return Err(Stop::Undecided),
        BinaryOp::Equal => a == b,
        BinaryOp::NotEqual => a != b,
        BinaryOp::Greater => a > b,
        BinaryOp::GreaterEqual => a >= b,
        BinaryOp::Less => a < b,
        BinaryOp::LessEqual => a <= b,
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => unreachable!("a set operation"),
    };
    Ok(match (bool, holds) {
        (true, _) => Some(f64::from(u8::from(holds))),
        (false, true) => Some(a),
        (false, false) => None,
    })
}
