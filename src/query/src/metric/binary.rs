//! What does an operation between two metric queries give?

use super::error::EvalError;
use super::matching;
use super::matrix::Matrix;
use super::operator::apply;
use super::sets;
use super::value::Value;
use strandline_logql::ast::{BinaryExpr, BinaryOp, Grouping};

/// What kind of operation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Set,
    Comparison,
    Arithmetic,
}

fn kind(op: BinaryOp) -> Kind {
    use BinaryOp as B;
    match op {
        B::Or | B::And | B::Unless => Kind::Set,
        B::Equal | B::NotEqual | B::Greater | B::GreaterEqual | B::Less | B::LessEqual => Kind::Comparison,
        B::Add | B::Sub | B::Mul | B::Div | B::Mod | B::Pow => Kind::Arithmetic,
    }
}

/// `expr` with its sides evaluated.
pub fn combine(expr: &BinaryExpr, left: Value, right: Value, steps: u32) -> Result<Value, EvalError> {
    let (op, bool) = (expr.op, expr.returns_bool);
    Ok(match (left, right) {
        (Value::Matrix(left), Value::Matrix(right)) if kind(op) == Kind::Set => {
            Value::Matrix(sets::combine(op, &matched(expr), left, right, steps))
        }
        _ if kind(op) == Kind::Set => return Err(EvalError::literal_in_set(op)),
        (Value::Matrix(left), Value::Matrix(right)) => {
            Value::Matrix(matching::combine(expr, &matched(expr), &left, &right)?)
        }
        // Between numbers there is nothing to filter: a comparison answers 0 or 1.
        (Value::Scalar(a), Value::Scalar(b)) => Value::Scalar(apply(op, true, a, b).unwrap_or(f64::NAN)),
        (Value::Matrix(left), Value::Scalar(b)) => Value::Matrix(left.map(|a| apply(op, bool, a, b))),
        (Value::Scalar(a), Value::Matrix(right)) => Value::Matrix(against_number(op, bool, a, right)),
    })
}

/// Whether the result is made in place of its sides instead of beside them.
pub fn reuses(op: BinaryOp, left: &Value, right: &Value) -> bool {
    kind(op) == Kind::Set || !matches!((left, right), (Value::Matrix(_), Value::Matrix(_)))
}

/// A filter keeps the series' value, not the number's.
fn against_number(op: BinaryOp, returns_bool: bool, a: f64, right: Matrix) -> Matrix {
    let filters = kind(op) == Kind::Comparison && !returns_bool;
    right.map(|b| apply(op, returns_bool, a, b).map(|value| if filters { b } else { value }))
}

/// Which labels must be equal for series to belong together.
fn matched(expr: &BinaryExpr) -> Grouping {
    match &expr.matching {
        Some(matching) => Grouping { without: !matching.on, labels: matching.labels.clone() },
        None => Grouping { without: true, labels: Vec::new() },
    }
}

#[cfg(test)]
#[path = "binary_tests.rs"]
mod tests;
