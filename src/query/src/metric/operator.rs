//! What does an operator make of two numbers?

use strandline_logql::ast::BinaryOp;

/// The value of `left op right`; `None` if a comparison does not hold, unless it `returns_bool`.
pub fn apply(op: BinaryOp, returns_bool: bool, left: f64, right: f64) -> Option<f64> {
    let value = match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        // By zero: not infinite, as floating point has it.
        BinaryOp::Div | BinaryOp::Mod if right == 0.0 => f64::NAN,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
        BinaryOp::Equal => return compared(left == right, returns_bool, left),
        BinaryOp::NotEqual => return compared(left != right, returns_bool, left),
        BinaryOp::Greater => return compared(left > right, returns_bool, left),
        BinaryOp::GreaterEqual => return compared(left >= right, returns_bool, left),
        BinaryOp::Less => return compared(left < right, returns_bool, left),
        BinaryOp::LessEqual => return compared(left <= right, returns_bool, left),
        BinaryOp::Or | BinaryOp::And | BinaryOp::Unless => return None,
    };
    Some(value)
}

fn compared(holds: bool, returns_bool: bool, left: f64) -> Option<f64> {
    if returns_bool { Some(f64::from(u8::from(holds))) } else { holds.then_some(left) }
}
