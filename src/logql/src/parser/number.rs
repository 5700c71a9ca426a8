//! Which number, length of time or size does a text stand for, and how is it written again?
//!
//! Each way of writing is exact: what is written is read as the same value.

use crate::pipeline::units::hexadecimal_float;
use std::fmt::{self, Write};

const NS_PER_MS: u128 = 1_000_000;

/// Go's units of time in nanoseconds.
const GO_UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Prometheus' units of time in milliseconds, in the order that they must be written in; and whether one is only
/// printed when nothing is left behind it.
const PROMETHEUS_UNITS: [(&str, u64, bool); 7] = [
    ("y", 31_536_000_000, true),
    ("w", 604_800_000, true),
    ("d", 86_400_000, false),
    ("h", 3_600_000, false),
    ("m", 60_000, false),
    ("s", 1_000, false),
    ("ms", 1, false),
];

/// Units of size. Letters are compared without case: the lexer only lets those through that Loki takes.
const SIZE_UNITS: [(&str, u64); 21] = [
    ("b", 1),
    ("k", 1_000),
    ("kb", 1_000),
    ("ki", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1_000_000),
    ("mb", 1_000_000),
    ("mi", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1_000_000_000),
    ("gb", 1_000_000_000),
    ("gi", 1 << 30),
    ("gib", 1 << 30),
    ("t", 1_000_000_000_000),
    ("tb", 1_000_000_000_000),
    ("ti", 1 << 40),
    ("tib", 1 << 40),
    ("p", 1_000_000_000_000_000),
    ("pb", 1_000_000_000_000_000),
    ("pi", 1 << 50),
    ("pib", 1 << 50),
];

/// A number. The error is in the words of Go.
pub(crate) fn float(text: &str) -> Result<f64, String> {
    let error =
        |why| format!("unable to parse literal as a float: strconv.ParseFloat: parsing {text:?}: {why}");
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let separates = |(at, _): (usize, &str)| digit(at.checked_sub(1)) && digit(Some(at + 1));
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return match hexadecimal_float(digits) {
            Some(value) if value.is_finite() => Ok(value),
            Some(_) => Err(error("value out of range")),
            None => Err(error("invalid syntax")),
        };
    }
    if !text.match_indices('_').all(separates) {
        return Err(error("invalid syntax"));
    }
    match text.replace('_', "").parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(error("value out of range")),
        Err(_) => Err(error("invalid syntax")),
    }
}

/// A length of time in nanoseconds as Go or Prometheus write it, up to the 2^63 that may follow a sign.
pub(crate) fn duration(text: &str) -> Option<u64> {
    go_duration(text).or_else(|| prometheus_duration(text).ok().and_then(|ns| ns.try_into().ok()))
}

fn go_duration(text: &str) -> Option<u64> {
    let mut sum = 0u128;
    let mut rest = text;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(number)?;
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit)?;
        let (_, factor) = GO_UNITS.into_iter().find(|(name, _)| *name == unit)?;
        sum = sum.checked_add(scaled(number, factor)?)?;
        rest = tail;
    }
    u64::try_from(sum).ok().filter(|ns| !text.is_empty() && *ns <= 1 << 63)
}

/// A decimal number times `factor`, without what is behind the point then.
fn scaled(number: &str, factor: u64) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let factor = u128::from(factor);
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u128>().ok()?.checked_mul(factor)? };
    // More digits than these are less than the smallest unit of anything.
    let fraction = fraction.get(..18).unwrap_or(fraction);
    if fraction.is_empty() {
        return Some(whole);
    }
    let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction = fraction.parse::<u128>().ok()?.checked_mul(factor)? / scale;
    whole.checked_add(fraction)
}

/// The length of a range in nanoseconds: Prometheus' units, each once and the longer first.
pub(crate) fn range(text: &str) -> Result<i64, String> {
    prometheus_duration(text)
}

fn prometheus_duration(text: &str) -> Result<i64, String> {
    match text {
        "" => return Err("empty duration string".to_owned()),
        "0" => return Ok(0),
        _ => {}
    }
    let invalid = || format!("not a valid duration string: {text:?}");
    let mut units = PROMETHEUS_UNITS.iter();
    let mut ms = 0u128;
    let mut rest = text;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
        let (number, tail) = rest.split_at_checked(number).ok_or_else(invalid)?;
        if number.is_empty() {
            return Err(invalid());
        }
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit).ok_or_else(invalid)?;
        if !PROMETHEUS_UNITS.iter().any(|(name, ..)| *name == unit) {
            return Err(format!("unknown unit {unit:?} in duration {text:?}"));
        }
        let (_, factor, _) = units.find(|(name, ..)| *name == unit).ok_or_else(invalid)?;
        let part = number.parse::<u64>().ok().map(|number| u128::from(number) * u128::from(*factor));
        ms += part.ok_or("duration out of range")?;
        rest = tail;
    }
    // Seven products of 64 and 35 bits, times 20 bits.
    i64::try_from(ms * NS_PER_MS).map_err(|_| "duration out of range".to_owned())
}

/// A size in bytes.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let number = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at_checked(number)?;
    let unit = unit.to_ascii_lowercase();
    let (_, factor) = SIZE_UNITS.into_iter().find(|(name, _)| *name == unit)?;
    u64::try_from(scaled(number, factor)?).ok()
}

/// The length of a range, as Prometheus prints it: `1h30m`, `1d`, `1w`.
pub(crate) fn write_range(out: &mut impl Write, ns: i64) -> fmt::Result {
    let mut ms = ns.unsigned_abs() / 1_000_000;
    if ms == 0 {
        return out.write_str("0s");
    }
    for (unit, factor, only_alone) in PROMETHEUS_UNITS {
        if ms >= factor && (!only_alone || ms.is_multiple_of(factor)) {
            write!(out, "{}{unit}", ms / factor)?;
            ms %= factor;
        }
    }
    Ok(())
}

/// A length of time as Go prints it: `1h0m0s`, `1.5s`, `250ms`.
pub(crate) fn write_duration(out: &mut impl Write, ns: i64) -> fmt::Result {
    const SECOND: u64 = 1_000_000_000;
    let sign = if ns < 0 { "-" } else { "" };
    let ns = ns.unsigned_abs();
    let fraction = |ns: u64, unit: u64, name: &str| {
        let mut text = (ns / unit).to_string();
        if !ns.is_multiple_of(unit) {
            let digits = unit.ilog10() as usize;
            let behind = format!(".{:0digits$}", ns % unit);
            text.push_str(behind.trim_end_matches('0'));
        }
        text + name
    };
    match ns {
        0 => out.write_str("0s"),
        1..1_000 => write!(out, "{sign}{ns}ns"),
        1_000..1_000_000 => write!(out, "{sign}{}", fraction(ns, 1_000, "µs")),
        1_000_000..SECOND => write!(out, "{sign}{}", fraction(ns, 1_000_000, "ms")),
        _ => {
            let (minutes, rest) = (ns / SECOND / 60, ns % (60 * SECOND));
            out.write_str(sign)?;
            if minutes >= 60 {
                write!(out, "{}h", minutes / 60)?;
            }
            if minutes > 0 {
                write!(out, "{}m", minutes % 60)?;
            }
            out.write_str(&fraction(rest, SECOND, "s"))
        }
    }
}

/// A size as Loki prints it, `1.5kB`, unless that is another size.
pub(crate) fn write_bytes(out: &mut impl Write, size: u64) -> fmt::Result {
    let rounded = rounded_bytes(size);
    if bytes(&rounded) == Some(size) { out.write_str(&rounded) } else { write!(out, "{size}B") }
}

/// A size in Loki's words, two digits or as many as stand before the point.
pub(crate) fn rounded_bytes(size: u64) -> String {
    if size < 10 {
        return format!("{size}B");
    }
    let mut unit = 1u64;
    let mut names = ["B", "kB", "MB", "GB", "TB", "PB", "EB"].into_iter();
    let mut name = names.next().unwrap_or_default();
    while size / unit >= 1000 {
        unit *= 1000;
        name = names.next().unwrap_or_default();
    }
    #[allow(clippy::cast_precision_loss, reason = "it is rounded to one digit behind the point")]
    let value = (size as f64 / unit as f64 * 10.0 + 0.5).floor() / 10.0;
    if value < 10.0 { format!("{value:.1}{name}") } else { format!("{value:.0}{name}") }
}

/// A number that stands alone, as Go's `%v` prints it. What is no number has no literal: it is written as what gives it.
pub(crate) fn write_number(out: &mut impl Write, value: f64) -> fmt::Result {
    if value.is_nan() {
        return out.write_str("(0 / 0)");
    }
    if value.is_infinite() {
        return out.write_str(if value > 0.0 { "(1e308 * 10)" } else { "(-1e308 * 10)" });
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..21).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            write!(out, "{mantissa}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => write!(out, "{value}"),
    }
}

/// A number with six digits behind the point, or more where these are not all.
pub(crate) fn write_fixed(out: &mut impl Write, value: f64) -> fmt::Result {
    let fixed = format!("{value:.6}");
    if fixed.parse() == Ok(value) { out.write_str(&fixed) } else { write!(out, "{value}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written<T>(write: fn(&mut String, T) -> fmt::Result, value: T) -> String {
        let mut out = String::new();
        write(&mut out, value).unwrap();
        out
    }

    #[test]
    fn lengths_of_time() {
        for (text, wanted) in [
            ("1h30m", Some(5_400_000_000_000)),
            ("1.5h", Some(5_400_000_000_000)),
            ("500us", Some(500_000)),
            ("1.5µs", Some(1_500)),
            ("5ns", Some(5)),
            ("1h1h", Some(7_200_000_000_000)),
            (".5s", Some(500_000_000)),
            ("5.s", Some(5_000_000_000)),
            ("1d", Some(86_400_000_000_000)),
            ("1w2d", Some(777_600_000_000_000)),
            ("1y", Some(31_536_000_000_000_000)),
            ("9223372036854775808ns", Some(1 << 63)),
            ("9223372036854775809ns", None),
            ("1.5d", None),
            ("1d1d", None),
            ("1h30", None),
            (".s", None),
            ("h", None),
            ("", None),
        ] {
            assert_eq!(duration(text), wanted, "{text}");
        }
        for (text, wanted) in [
            ("5m", Ok(300_000_000_000)),
            ("0s", Ok(0)),
            ("0", Ok(0)),
            ("1h5ms", Ok(3_600_005_000_000)),
            ("", Err("empty duration string")),
            ("5", Err("not a valid duration string: \"5\"")),
            ("1.5h", Err("unknown unit \".\" in duration \"1.5h\"")),
            ("-5m", Err("not a valid duration string: \"-5m\"")),
            (" 5m ", Err("not a valid duration string: \" 5m \"")),
            ("5m:1m", Err("unknown unit \"m:\" in duration \"5m:1m\"")),
            ("100us", Err("unknown unit \"us\" in duration \"100us\"")),
            ("5m1h", Err("not a valid duration string: \"5m1h\"")),
            ("5m5m", Err("not a valid duration string: \"5m5m\"")),
            ("300y", Err("duration out of range")),
            ("99999999999999999999y", Err("duration out of range")),
            ("18446744073709551615y18446744073709551615w", Err("duration out of range")),
        ] {
            assert_eq!(range(text), wanted.map_err(str::to_owned), "{text}");
        }
        for (ns, go, prometheus) in [
            (0, "0s", "0s"),
            (300_000_000_000, "5m0s", "5m"),
            (5_400_000_000_000, "1h30m0s", "1h30m"),
            (3_600_000_000_000, "1h0m0s", "1h"),
            (86_400_000_000_000, "24h0m0s", "1d"),
            (604_800_000_000_000, "168h0m0s", "1w"),
            (691_200_000_000_000, "192h0m0s", "8d"),
            (31_536_000_000_000_000, "8760h0m0s", "1y"),
            (10_001_000_000, "10.001s", "10s1ms"),
            (1_500_000, "1.5ms", "1ms"),
            (1_050, "1.05µs", "0s"),
            (7, "7ns", "0s"),
        ] {
            assert_eq!(written(write_duration, ns), go);
            assert_eq!(written(write_range, ns), prometheus);
        }
        assert_eq!(written(write_duration, i64::MIN), "-2562047h47m16.854775808s");
    }

    #[test]
    fn sizes_and_numbers() {
        for (text, wanted) in [
            ("1B", Some(1)),
            ("1KB", Some(1_000)),
            ("1kB", Some(1_000)),
            ("1K", Some(1_000)),
            ("1KiB", Some(1_024)),
            ("1.5MiB", Some(1_572_864)),
            ("2.5P", Some(2_500_000_000_000_000)),
            ("1PiB", Some(1 << 50)),
            ("18446744073709551615B", Some(u64::MAX)),
            ("18446744073709551616B", None),
            ("1EB", None),
            ("1KK", None),
            ("1e3KB", None),
            ("5", None),
        ] {
            assert_eq!(bytes(text), wanted, "{text}");
        }
        assert_eq!(rounded_bytes(1_572_864), "1.6MB");
        for (size, wanted) in
            [(0, "0B"), (9, "9B"), (999, "999B"), (1_000, "1.0kB"), (12_000, "12kB"), (1_572_864, "1572864B")]
        {
            assert_eq!(written(write_bytes, size), wanted);
        }
        for (value, wanted) in [
            (3.0, "3"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.5e-7, "-1.5e-07"),
            (1e-4, "0.0001"),
        ] {
            assert_eq!(written(write_number, value), wanted);
        }
        for (value, wanted) in [(1.0, "1.000000"), (0.25, "0.250000"), (1e-9, "0.000000001")] {
            assert_eq!(written(write_fixed, value), wanted);
        }
        for (text, wanted) in
            [("1", 1.0), ("1.5", 1.5), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("1_000", 1000.0)]
        {
            assert_eq!(float(text), Ok(wanted), "{text}");
        }
        for (text, wanted) in [("0x1p4", 16.0), ("0x_1.8P-1", 0.75), ("0X1_0p0", 16.0)] {
            assert_eq!(float(text), Ok(wanted), "{text}");
        }
        for text in
            ["0x1p", "0x1.8", "0xp1", "0x1p9999", "0x10", "1_", "1__0", "_1", "1e999", "1_.5", "inf", ""]
        {
            assert!(float(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(ns in any::<i64>(), ms in 0..=i64::MAX / 1_000_000, size in any::<u64>()) {
            let text = written(write_duration, ns);
            prop_assert_eq!(duration(text.trim_start_matches('-')), Some(ns.unsigned_abs()));
            prop_assert_eq!(range(&written(write_range, ms * 1_000_000)), Ok(ms * 1_000_000));
            prop_assert_eq!(bytes(&written(write_bytes, size)), Some(size));
            prop_assert_eq!(bytes(&written(write_bytes, size >> 40)), Some(size >> 40));
        }

        #[test]
        fn foreign_text_never_panics(text in "[0-9a-zA-Zµé._+-]{0,20}") {
            let _ = (float(&text), duration(&text), range(&text), bytes(&text));
        }
    }
}
