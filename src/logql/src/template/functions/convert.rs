//! What do the functions that read other notations make? (`bytes`, `duration`, `b64dec`, `fromJson`, ...)

use super::super::quote;
use super::super::value::{Map, Value, made};
use super::call::Function;
use crate::pipeline::units::{parse_bytes, parse_duration, seconds};
use std::rc::Rc;

pub(super) const TABLE: &[Function] = &[
    Function::of("bytes", 1, |call| Ok(Value::Float(parse_bytes(&call.text(0)?)? as f64))),
    Function::of("duration", 1, |call| Ok(Value::Float(seconds(parse_duration(&call.text(0)?)?)))),
    Function::of("duration_seconds", 1, |call| Ok(Value::Float(seconds(parse_duration(&call.text(0)?)?)))),
    Function::of("urlencode", 1, |call| {
        let text = call.bytes(0)?;
        made(|out| out.push(&quote::query(&text)))
    }),
    Function::of("urldecode", 1, |call| Ok(Value::owned(quote::unquery(&call.bytes(0)?)?))),
    Function::of("b64enc", 1, |call| {
        let text = call.bytes(0)?;
        made(|out| out.push(&encode(&text)))
    }),
    // What is no base64 is no error: its text says so.
    Function::of("b64dec", 1, |call| Ok(Value::owned(decode(&call.bytes(0)?).unwrap_or_else(String::into)))),
    Function::of("fromJson", 1, |call| Ok(from_json(&call.bytes(0)?))),
];

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len().div_ceil(3) * 4);
    for chunk in text.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4u32 {
            let digit = ALPHABET.get((bits >> (18 - 6 * i)) as usize & 63).copied().unwrap_or(b'=');
            out.push(if i as usize > chunk.len() { b'=' } else { digit });
        }
    }
    out
}

/// With padding or without; line breaks do not count.
fn decode(text: &[u8]) -> Result<Vec<u8>, String> {
    let digits = text.iter().enumerate().filter(|(_, b)| !matches!(b, b'\r' | b'\n'));
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut count, mut padding) = (0u32, 0, 0);
    for (at, byte) in digits {
        let illegal = || format!("illegal base64 data at input byte {at}");
        if *byte == b'=' {
            padding += 1;
            if count < 2 || count + padding > 4 {
                return Err(illegal());
            }
            continue;
        }
        let digit = ALPHABET.iter().position(|known| known == byte).filter(|_| padding == 0);
        bits = bits << 6 | digit.ok_or_else(illegal)? as u32;
        count += 1;
        if count == 4 {
            let [_, bytes @ ..] = bits.to_be_bytes();
            out.extend_from_slice(&bytes);
            (bits, count) = (0, 0);
        }
    }
    let [_, bytes @ ..] = (bits << (6 * (4 - count))).to_be_bytes();
    match (count, padding) {
        (0, _) => {}
        (2, 0 | 2) => out.extend_from_slice(bytes.get(..1).unwrap_or(&[])),
        (3, 0 | 1) => out.extend_from_slice(bytes.get(..2).unwrap_or(&[])),
        _ => return Err(format!("illegal base64 data at input byte {}", text.len() - count)),
    }
    Ok(out)
}

/// The value of a JSON text; nothing for what is none.
fn from_json<'a>(text: &[u8]) -> Value<'a> {
    serde_json::from_str(&String::from_utf8_lossy(text)).map_or(Value::Nil, of_json)
}

fn of_json<'a>(json: serde_json::Value) -> Value<'a> {
    match json {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => Value::Float(number.as_f64().unwrap_or(0.0)),
        serde_json::Value::String(text) => Value::owned(text),
        serde_json::Value::Array(values) => Value::List(Rc::new(values.into_iter().map(of_json).collect())),
        serde_json::Value::Object(entries) => {
            let entries = entries.into_iter().map(|(name, value)| (name, of_json(value))).collect();
            Value::Map(Rc::new(Map { entries, is_labels: false }))
        }
    }
}
