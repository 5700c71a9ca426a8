//! What do the functions on times make? (`date`, `toDate`, `unixToTime`, ...)

use super::super::layout::Layout;
use super::super::layout_parse::parse;
use super::super::moment::{Moment, Zone};
use super::super::value::{Value, made};
use super::call::{Call, Function};

const SECONDS_PER_DAY: i64 = 86_400;

pub(super) const TABLE: &[Function] = &[
    Function::of("__line__", 0, |call| Ok(Value::Text(call.source.line().into()))),
    Function::of("__timestamp__", 0, |call| Ok(Value::Time(Moment::from_ns(call.source.timestamp_ns())))),
    Function::of("now", 0, |call| Ok(Value::Time(now(call)))),
    Function::of("date", 2, date),
    Function::of("toDate", 2, |call| {
        let (layout, text) = (call.text(0)?, call.text(1)?);
        // What is no time is the zero time, and no error.
        Ok(Value::Time(parse(&layout, &text, Zone::LOCAL).unwrap_or_else(Moment::zero)))
    }),
    Function::of("toDateInZone", 3, |call| {
        let (layout, zone, text) = (call.text(0)?, call.text(1)?, call.text(2)?);
        Ok(Value::Time(parse(&layout, &text, Zone::named(&zone)).unwrap_or_else(Moment::zero)))
    }),
    Function::of("unixEpoch", 1, |call| Ok(Value::owned(call.time(0)?.unix_seconds().to_string()))),
    Function::of("unixEpochMillis", 1, |call| Ok(Value::owned(call.time(0)?.unix_millis().to_string()))),
    Function::of("unixEpochNanos", 1, |call| Ok(Value::owned(call.time(0)?.unix_nanos().to_string()))),
    Function::of("unixToTime", 1, unix_to_time),
];

fn now(call: &Call<'_, '_>) -> Moment {
    Moment::from_ns(call.source.now_ns())
}

/// A time by the server's clock; integers are seconds, and all else stands for now.
fn date<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>, String> {
    let layout = call.text(0)?;
    let time = match call.value(1) {
        Value::Time(time) => time.local(),
        Value::Int(seconds) => Moment::from_unix(seconds, 0).unwrap_or_else(Moment::zero),
        _ => now(call),
    };
    made(|out| out.push(Layout::new(&layout).format(&time).as_bytes()))
}

/// How many digits a time has tells its unit.
fn unix_to_time<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>, String> {
    let text = call.text(0)?;
    let count: i64 = text.parse().map_err(|_| {
        format!("unable to parse time '{text}': strconv.ParseInt: parsing {text:?}: invalid syntax")
    })?;
    let time = match text.len() {
        5 => Moment::from_unix(count * SECONDS_PER_DAY, 0),
        10 => Moment::from_unix(count, 0),
        13 => Some(Moment::from_ns(count.saturating_mul(1_000_000))),
        16 => Some(Moment::from_ns(count.saturating_mul(1000))),
        19 => Some(Moment::from_ns(count)),
        _ => return Err(format!("unable to parse time '{text}': invalid time format")),
    };
    Ok(Value::Time(time.unwrap_or_else(Moment::zero)))
}
