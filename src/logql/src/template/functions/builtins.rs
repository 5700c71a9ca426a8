//! What do Go's own functions make, other than comparisons?

use super::super::printf::printf;
use super::super::quote;
use super::super::value::{Sink, Value, made};
use super::call::{Body, Call, Function, piece};

pub(super) const TABLE: &[Function] = &[
    Function { name: "and", least: 1, most: usize::MAX, takes_pattern: false, body: Body::And },
    Function { name: "or", least: 1, most: usize::MAX, takes_pattern: false, body: Body::Or },
    Function::of("not", 1, |call| Ok(Value::Bool(!call.value(0).is_true()))),
    Function::of("len", 1, len),
    Function::with("index", 1, usize::MAX, index),
    Function::with("slice", 1, 4, slice),
    Function::with("print", 0, usize::MAX, |call| made(|out| print(out, call.arguments))),
    Function::with("println", 0, usize::MAX, |call| made(|out| println(out, call.arguments))),
    Function::with("printf", 1, usize::MAX, |call| {
        let format = call.bytes(0)?;
        made(|out| printf(out, &format, call.arguments.get(1..).unwrap_or(&[])))
    }),
    Function::with("html", 0, usize::MAX, |call| escape(call, quote::html)),
    Function::with("js", 0, usize::MAX, |call| escape(call, quote::js)),
    Function::with("urlquery", 0, usize::MAX, |call| escape(call, quote::query)),
    Function::with("call", 1, usize::MAX, |call| match call.value(0) {
        Value::Nil => Err("call of nil".to_owned()),
        other => Err(format!("non-function of type {}", other.type_name())),
    }),
];

fn len<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>, String> {
    let length = match call.value(0) {
        Value::Text(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.entries.len(),
        Value::Nil => return Err("len of nil pointer".to_owned()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(length as i64))
}

/// An element of a list or map, or a byte of a text; and so on with what it finds.
fn index<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>, String> {
    let mut value = call.value(0);
    for i in 1..call.arguments.len() {
        let key = call.value(i);
        value = match (&value, &key) {
            (Value::Map(map), Value::Text(name)) => map.get(&String::from_utf8_lossy(name)),
            (Value::Map(_), other) => {
                return Err(format!("value has type {}; should be string", other.type_name()));
            }
            (Value::List(list), key) => {
                let place = place_in(key, list.len(), false)?;
                list.get(place).cloned().unwrap_or_default()
            }
            (Value::Text(text), key) => {
                let place = place_in(key, text.len(), false)?;
                Value::Int(text.get(place).copied().map_or(0, i64::from))
            }
            (Value::Nil, _) => return Err("index of nil pointer".to_owned()),
            (other, _) => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(value)
}

fn place_in(key: &Value<'_>, length: usize, may_be_end: bool) -> Result<usize, String> {
    let Value::Int(place) = key else {
        return Err(match key {
            Value::Nil => "cannot index slice/array with nil".to_owned(),
            other => format!("cannot index slice/array with type {}", other.type_name()),
        });
    };
    let fits = |at: &usize| *at < length || (may_be_end && *at == length);
    let found = usize::try_from(*place).ok().filter(fits);
    found.ok_or_else(|| format!("index out of range: {place}"))
}

fn slice<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>, String> {
    let value = call.value(0);
    let length = match &value {
        Value::Text(_) if call.arguments.len() > 3 => return Err("cannot 3-index slice a string".to_owned()),
        Value::Text(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Nil => return Err("slice of untyped nil".to_owned()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let (mut start, mut end) = (0, length);
    for i in 1..call.arguments.len() {
        let place = place_in(&call.value(i), length, true)?;
        match i {
            1 => start = place,
            2 => end = place,
            // The capacity says nothing about what is kept.
            _ => {}
        }
    }
    if start > end {
        return Err(format!("invalid slice index: {start} > {end}"));
    }
    Ok(match value {
        Value::Text(text) => piece(text, |text| text.get(start..end).unwrap_or(&[])),
        Value::List(list) => Value::List(list.get(start..end).unwrap_or(&[]).to_vec().into()),
        _ => Value::Nil,
    })
}

/// The values in a row, spaces between two of which neither is a text.
fn print(out: &mut Sink<'_>, values: &[Value<'_>]) -> Result<(), String> {
    let mut was_text = true;
    for (i, value) in values.iter().enumerate() {
        let is_text = matches!(value, Value::Text(_));
        if i > 0 && !was_text && !is_text {
            out.push(b" ")?;
        }
        value.print(out)?;
        was_text = is_text;
    }
    Ok(())
}

fn println(out: &mut Sink<'_>, values: &[Value<'_>]) -> Result<(), String> {
    for (i, value) in values.iter().enumerate() {
        out.push(if i == 0 { b"" } else { b" " })?;
        value.print(out)?;
    }
    out.push(b"\n")
}

fn escape<'a>(call: &mut Call<'_, 'a>, escape: fn(&[u8]) -> Vec<u8>) -> Result<Value<'a>, String> {
    let mut text = Vec::new();
    match &*call.arguments {
        [Value::Nil] => text.extend_from_slice(b"<no value>"),
        values => print(&mut Sink::new(&mut text), values)?,
    }
    made(|out| out.push(&escape(&text)))
}
