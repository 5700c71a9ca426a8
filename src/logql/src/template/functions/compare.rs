//! When are values equal, and which is less? (`eq`, `lt`, ...)

use super::super::value::Value;
use super::call::{Call, Function};
use std::cmp::Ordering;

pub(super) const TABLE: &[Function] = &[
    Function::with("eq", 1, usize::MAX, |call| {
        let first = call.value(0);
        if call.arguments.len() < 2 {
            return Err("missing argument for comparison".to_owned());
        }
        // All must be comparable, up to the first that is equal.
        for i in 1..call.arguments.len() {
            if is_equal(&first, &call.value(i))? {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }),
    Function::of("ne", 2, |call| Ok(Value::Bool(!is_equal(&call.value(0), &call.value(1))?))),
    Function::of("lt", 2, |call| order(call, Ordering::is_lt)),
    Function::of("le", 2, |call| order(call, Ordering::is_le)),
    Function::of("gt", 2, |call| order(call, Ordering::is_gt)),
    Function::of("ge", 2, |call| order(call, Ordering::is_ge)),
];

fn incompatible(left: &Value<'_>, right: &Value<'_>) -> String {
    format!("incompatible types for comparison: {} and {}", left.type_name(), right.type_name())
}

fn is_equal(left: &Value<'_>, right: &Value<'_>) -> Result<bool, String> {
    match (left, right) {
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        (Value::List(_) | Value::Map(_), _) | (_, Value::List(_) | Value::Map(_)) => {
            Err(format!("non-comparable types {}, {}", left.type_name(), right.type_name()))
        }
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::Int(left), Value::Int(right)) => Ok(left == right),
        (Value::Float(left), Value::Float(right)) => Ok(left == right),
        (Value::Text(left), Value::Text(right)) => Ok(left == right),
        (Value::Time(left), Value::Time(right)) => Ok(left == right),
        _ => Err(incompatible(left, right)),
    }
}

fn order<'a>(call: &mut Call<'_, 'a>, wanted: fn(Ordering) -> bool) -> Result<Value<'a>, String> {
    let (left, right) = (call.value(0), call.value(1));
    let has_order = |value: &Value<'_>| {
        matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_))
    };
    let order = match (&left, &right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Float(left), Value::Float(right)) => left.partial_cmp(right),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (left, right) if !has_order(left) || !has_order(right) => {
            return Err("invalid type for comparison".to_owned());
        }
        (Value::Bool(_), Value::Bool(_)) => return Err("invalid type for comparison".to_owned()),
        (left, right) => return Err(incompatible(left, right)),
    };
    Ok(Value::Bool(order.is_some_and(wanted)))
}
