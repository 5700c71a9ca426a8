//! What do the functions on numbers make? (`int`, `add`, `divf`, `round`, ...) Texts count as the numbers that they
//! hold, and as 0 if they hold none.

use super::super::literal;
use super::super::value::Value;
use super::call::{Call, Function, wrong_type};
use super::decimal::Decimal;
use crate::pipeline::units::parse_float;

pub(super) const TABLE: &[Function] = &[
    Function::of("int", 1, |call| Ok(Value::Int(int(&call.value(0))))),
    Function::of("float64", 1, |call| Ok(Value::Float(float(&call.value(0))))),
    Function::with("add", 0, usize::MAX, |call| fold(call, Some(0), |a, b| Ok(a.wrapping_add(b)))),
    Function::of("sub", 2, |call| fold(call, None, |a, b| Ok(a.wrapping_sub(b)))),
    Function::with("mul", 1, usize::MAX, |call| fold(call, None, |a, b| Ok(a.wrapping_mul(b)))),
    Function::of("div", 2, |call| fold(call, None, |a, b| divided(b, a.checked_div(b), a))),
    Function::of("mod", 2, |call| fold(call, None, |a, b| divided(b, a.checked_rem(b), 0))),
    Function::with("max", 1, usize::MAX, |call| fold(call, None, |a, b| Ok(a.max(b)))),
    Function::with("min", 1, usize::MAX, |call| fold(call, None, |a, b| Ok(a.min(b)))),
    Function::with("addf", 0, usize::MAX, |call| decimals(call, true, Decimal::add)),
    Function::with("subf", 1, usize::MAX, |call| decimals(call, false, Decimal::sub)),
    Function::with("mulf", 1, usize::MAX, |call| decimals(call, false, Decimal::mul)),
    Function::with("divf", 1, usize::MAX, |call| decimals(call, false, Decimal::div)),
    Function::with("maxf", 1, usize::MAX, |call| floats(call, |a, b| if a.is_nan() { a } else { a.max(b) })),
    Function::with("minf", 1, usize::MAX, |call| floats(call, |a, b| if a.is_nan() { a } else { a.min(b) })),
    Function::of("ceil", 1, |call| Ok(Value::Float(float(&call.value(0)).ceil()))),
    Function::of("floor", 1, |call| Ok(Value::Float(float(&call.value(0)).floor()))),
    Function::with("round", 2, 3, round),
];

/// The first float that is too large for an integer.
const MAX_INT: f64 = 9_223_372_036_854_775_808.0;

/// The integer that a value stands for.
pub(super) fn int(value: &Value<'_>) -> i64 {
    match value {
        Value::Int(value) => *value,
        // As Go's processors do it: what does not fit becomes the least of all.
        Value::Float(value) if (-MAX_INT..MAX_INT).contains(value) => *value as i64,
        Value::Float(_) => i64::MIN,
        Value::Bool(value) => i64::from(*value),
        Value::Text(text) => std::str::from_utf8(text).ok().and_then(int_of_text).unwrap_or(0),
        _ => 0,
    }
}

/// Integers of any of Go's bases (so `010` is 8), and decimal numbers, of which what is behind the point is cut off.
fn int_of_text(text: &str) -> Option<i64> {
    match text.split_once('.') {
        None => literal::integer(text),
        Some((whole, fraction)) => {
            let unsigned = whole.strip_prefix(['+', '-']).unwrap_or(whole);
            let is_decimal = unsigned.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
            is_decimal.then(|| literal::integer(whole))?
        }
    }
}

/// The float that a value stands for.
pub(super) fn float(value: &Value<'_>) -> f64 {
    match value {
        Value::Int(value) => *value as f64,
        Value::Float(value) => *value,
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Text(text) => {
            std::str::from_utf8(text).ok().and_then(|text| parse_float(text).ok()).unwrap_or(0.0)
        }
        _ => 0.0,
    }
}

fn fold<'a>(
    call: &mut Call<'_, 'a>,
    first: Option<i64>,
    step: impl Fn(i64, i64) -> Result<i64, String>,
) -> Result<Value<'a>, String> {
    let mut values = call.arguments.iter().map(int);
    let first = first.or_else(|| values.next()).unwrap_or(0);
    values.try_fold(first, step).map(Value::Int)
}

/// The quotient; Go's division wraps around where it overflows.
fn divided(divisor: i64, quotient: Option<i64>, overflow: i64) -> Result<i64, String> {
    if divisor == 0 {
        return Err("runtime error: integer divide by zero".to_owned());
    }
    Ok(quotient.unwrap_or(overflow))
}

fn floats<'a>(call: &mut Call<'_, 'a>, step: impl Fn(f64, f64) -> f64) -> Result<Value<'a>, String> {
    Ok(Value::Float(call.arguments.iter().map(float).reduce(step).unwrap_or(0.0)))
}

/// As people calculate, so that 0.1 and 0.2 make 0.3.
fn decimals<'a>(
    call: &mut Call<'_, 'a>,
    from_zero: bool,
    step: fn(Decimal, Decimal) -> Result<Decimal, String>,
) -> Result<Value<'a>, String> {
    let mut values = call.arguments.iter().map(float);
    let first = if from_zero { 0.0 } else { values.next().unwrap_or(0.0) };
    let mut result = Decimal::of(first)?;
    for value in values {
        result = step(result, Decimal::of(value)?)?;
    }
    Ok(Value::Float(result.float()))
}

/// To so many places behind the point; up from half, or from what the third argument says.
fn round<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>, String> {
    let value = float(&call.value(0));
    let places = call.int(1)?.clamp(-400, 400) as i32;
    let half = match call.value(2) {
        _ if call.arguments.len() < 3 => 0.5,
        Value::Float(half) => half,
        Value::Int(half) => half as f64,
        other => return Err(wrong_type("float64", &other)),
    };
    let scale = 10f64.powi(places);
    let scaled = scale * value;
    let rounded = if scaled.fract() >= half { scaled.ceil() } else { scaled.floor() };
    Ok(Value::Float(rounded / scale))
}
