//! Which names call a function when a bracket follows?

use crate::ast::{RangeOp, VectorOp};

/// What a name before a bracket calls.
pub(super) enum Function {
    Range(RangeOp),
    Vector(VectorOp),
    LabelReplace,
    VectorLiteral,
}

/// The function that a name means, in any case.
pub(super) fn function(name: &str) -> Option<Function> {
    let name = name.to_ascii_lowercase();
    let range = RangeOp::ALL.into_iter().find(|op| op.as_str() == name);
    let vector = || VectorOp::ALL.into_iter().find(|op| op.as_str() == name);
    match name.as_str() {
        "label_replace" => Some(Function::LabelReplace),
        "vector" => Some(Function::VectorLiteral),
        _ => range.map(Function::Range).or_else(|| vector().map(Function::Vector)),
    }
}

/// Whether `name` calls a function when a bracket follows.
pub(super) fn is_function(name: &str) -> bool {
    function(name).is_some()
}
