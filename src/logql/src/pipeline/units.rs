//! Which number does a label's text stand for? As Go reads floats and durations, and go-humanize reads sizes.
//!
//! The data of a line follows these rules; the constants of a query are read by the lexer, which is stricter.

/// A number as Go's `strconv.ParseFloat` reads it; the error is in Go's words.
pub fn parse_float(text: &str) -> Result<f64, String> {
    let syntax = || format!("strconv.ParseFloat: parsing {text:?}: invalid syntax");
    let range = || format!("strconv.ParseFloat: parsing {text:?}: value out of range");
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match unsigned.as_bytes().first() {
        Some(b'i' | b'I') => {}
        // Go knows no signed NaN.
        Some(b'n' | b'N') if unsigned.len() == text.len() => {}
        Some(b'0') if matches!(unsigned.as_bytes().get(1), Some(b'x' | b'X')) => {
            let value = hexadecimal_float(unsigned.get(2..).unwrap_or("")).ok_or_else(syntax)?;
            return match value {
                v if v.is_infinite() => Err(range()),
                v if text.starts_with('-') => Ok(-v),
                v => Ok(v),
            };
        }
        Some(b'0'..=b'9' | b'.') => return decimal(text).ok_or_else(syntax)?.ok_or_else(range),
        _ => return Err(syntax()),
    }
    text.parse().map_err(|_| syntax())
}

/// The inner `None`: too large.
fn decimal(text: &str) -> Option<Option<f64>> {
    let value: f64 = if text.contains('_') {
        if !underscores_separate_digits(text) {
            return None;
        }
        text.replace('_', "").parse().ok()?
    } else {
        text.parse().ok()?
    };
    Some(value.is_finite().then_some(value))
}

fn underscores_separate_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_digit = |i: Option<usize>| i.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_hexdigit);
    bytes
        .iter()
        .enumerate()
        .all(|(i, b)| *b != b'_' || (is_digit(i.checked_sub(1)) && is_digit(i.checked_add(1))))
}

/// `1.8p-3` behind its `0x`, rounded once to the nearest float; the exponent must be there. Infinite if it is too large.
pub(crate) fn hexadecimal_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let digits_of_exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if digits_of_exponent.is_empty() || !digits_of_exponent.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (mut bits, mut scale, mut any, mut behind_point, mut inexact) = (0u64, 0i32, false, false, false);
    // A `_` stands between digits, the first may stand behind the prefix.
    let mut after_digit = true;
    for c in mantissa.chars() {
        match c {
            '.' if !behind_point && (after_digit || !any) => behind_point = true,
            '_' if after_digit => {
                after_digit = false;
                continue;
            }
            c => {
                let digit = c.to_digit(16)?;
                any = true;
                scale = scale.saturating_add(if behind_point { -4 } else { 0 });
                // Sixteen digits are more than a float holds; of the others it counts whether there is anything.
                if bits >> 60 == 0 {
                    bits = bits << 4 | u64::from(digit);
                } else {
                    scale = scale.saturating_add(4);
                    inexact |= digit != 0;
                }
            }
        }
        after_digit = c != '.';
    }
    // Beyond this every value is zero or infinite, whatever the digits are: a query and a line have fewer than these.
    let exponent =
        exponent.parse::<i32>().unwrap_or(if exponent.starts_with('-') { i32::MIN } else { i32::MAX });
    (any && after_digit).then(|| rounded(bits, inexact, exponent.saturating_add(scale)))
}

/// `bits * 2^exponent`, and a little more if `inexact`: the nearest float, of two the even one.
fn rounded(bits: u64, inexact: bool, exponent: i32) -> f64 {
    let bits_before = i32::try_from(bits.leading_zeros()).unwrap_or(64);
    if bits == 0 {
        return 0.0;
    }
    let bits = bits << bits_before;
    let exponent = exponent.saturating_sub(bits_before);
    // Of the 64 bits 53 fit, fewer in front of the smallest numbers.
    let kept = exponent.saturating_add(63 + 1022 + 53).clamp(-1, 53);
    if kept < 0 {
        return 0.0;
    }
    let cut = 64 - kept.unsigned_abs();
    let (whole, rest) = match cut {
        64 => (0, bits),
        _ => (bits >> cut, bits & ((1 << cut) - 1)),
    };
    let half = 1u64 << (cut - 1);
    let up = rest > half || rest == half && (inexact || whole & 1 == 1);
    let exponent = exponent.saturating_add(cut.try_into().unwrap_or(0)).clamp(-1100, 1100);
    // In two steps, for each power must be a float.
    (whole + u64::from(up)) as f64 * 2f64.powi(exponent / 2) * 2f64.powi(exponent - exponent / 2)
}

/// Nanoseconds, as Go's `time.ParseDuration` reads them (`1h2m3.5s`); the error is in Go's words.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(end_of(rest, |b| b.is_ascii_digit() || b == b'.'));
        let (unit, behind) = behind.split_at(end_of(behind, |b| !b.is_ascii_digit() && b != b'.'));
        rest = behind;
        if number.is_empty() || number == "." || number.bytes().filter(|b| *b == b'.').count() > 1 {
            return Err(invalid());
        }
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let scale =
            unit_ns(unit).ok_or_else(|| format!("time: unknown unit {unit:?} in duration {text:?}"))?;
        let part = duration_part(number, scale).ok_or_else(invalid)?;
        total = total.checked_add(part).filter(|t| *t <= 1 << 63).ok_or_else(invalid)?;
    }
    match (negative, i64::try_from(total)) {
        (false, Ok(ns)) => Ok(ns),
        (true, Ok(ns)) => Ok(-ns),
        (true, Err(_)) => Ok(i64::MIN),
        (false, Err(_)) => Err(invalid()),
    }
}

fn end_of(text: &str, inside: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|b| !inside(b)).unwrap_or(text.len())
}

fn unit_ns(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

fn duration_part(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut ns = whole.checked_mul(scale)?;
    // More digits than these say nothing in nanoseconds.
    let fraction = fraction.get(..fraction.len().min(18)).unwrap_or("");
    if !fraction.is_empty() {
        let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(scale);
        let part = part / 10u128.pow(fraction.len() as u32);
        ns = ns.checked_add(u64::try_from(part).ok()?)?;
    }
    Some(ns)
}

/// Nanoseconds as seconds.
pub fn seconds(ns: i64) -> f64 {
    (ns / 1_000_000_000) as f64 + (ns % 1_000_000_000) as f64 / 1e9
}

/// A size in bytes as people write it: `1.5 KiB`, `3MB`, `2k`; units in any case, commas in numbers skipped.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(end_of(text, |b| b.is_ascii_digit() || b == b'.' || b == b','));
    let value =
        if number.contains(',') { parse_float(&number.replace(',', ""))? } else { parse_float(number)? };
    let unit = unit.trim();
    let scale = size_of_unit(unit).ok_or_else(|| format!("unhandled size name: {}", unit.to_lowercase()))?;
    let bytes = value * scale as f64;
    // 2^64 itself no longer fits.
    if bytes >= 18_446_744_073_709_551_616.0 {
        return Err(format!("too large: {text}"));
    }
    Ok(bytes as u64)
}

fn size_of_unit(unit: &str) -> Option<u64> {
    let unit = unit.as_bytes();
    let Some((first, rest)) = unit.split_first() else { return Some(1) };
    let power = match first.to_ascii_lowercase() {
        b'b' => return rest.is_empty().then_some(1),
        b'k' => 1,
        b'm' => 2,
        b'g' => 3,
        b't' => 4,
        b'p' => 5,
        b'e' => 6,
        _ => return None,
    };
    if rest.is_empty() || rest.eq_ignore_ascii_case(b"b") {
        Some(1000u64.pow(power))
    } else if rest.eq_ignore_ascii_case(b"i") || rest.eq_ignore_ascii_case(b"ib") {
        Some(1024u64.pow(power))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn floats_as_go_reads_them() {
        for (text, wanted) in [
            ("1", 1.0),
            ("-3", -3.0),
            ("+4", 4.0),
            ("1e3", 1000.0),
            ("1_000", 1000.0),
            ("00012", 12.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("Infinity", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("5e-324", 5e-324),
            ("0x1p4", 16.0),
            ("-0x1.8p1", -3.0),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x1.fffffffffffff7fffffffffp1023", f64::MAX),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.0000000000000800000000001p0", 1.0 + f64::EPSILON),
            ("0x1.00000000000018p0", 1.0 + 2.0 * f64::EPSILON),
            ("0x0.0000000000001p-1022", 5e-324),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1075", 5e-324),
            ("0x1.fffffffffffffp-1023", f64::MIN_POSITIVE),
            ("0xffffffffffffffffffp-8", 18_446_744_073_709_551_616.0),
            ("0x0p99999999999", 0.0),
            ("0x_1_0p0", 16.0),
            ("0x1p-99999999999", 0.0),
            ("1.7976931348623157e308", f64::MAX),
            ("1e-999", 0.0),
        ] {
            assert_eq!(parse_float(text), Ok(wanted), "{text}");
        }
        assert!(parse_float("NaN").unwrap().is_nan());
        for text in [
            "",
            " 8",
            "8 ",
            "0x1p1024",
            "0x1.fffffffffffff8p1023",
            "0x1_p0",
            "0x1__0p0",
            "0xp1",
            "0x1p",
            "abc",
            "0x10",
            "1e400",
            "-nan",
            "1__0",
            "_1",
            "1_",
            ".",
            "e5",
            "infi",
            "1,0",
        ] {
            assert!(parse_float(text).is_err(), "{text}");
        }
        assert_eq!(parse_float("abc").unwrap_err(), "strconv.ParseFloat: parsing \"abc\": invalid syntax");
    }

    #[test]
    fn durations_as_go_reads_them() {
        for (text, wanted) in [
            ("1s", 1_000_000_000),
            ("250ms", 250_000_000),
            ("1h2m3s", 3_723_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("-2s", -2_000_000_000),
            ("100us", 100_000),
            ("7\u{b5}s", 7000),
            ("12ns", 12),
            ("0", 0),
            ("+4s", 4_000_000_000),
            (".5s", 500_000_000),
            ("-9223372036854775808ns", i64::MIN),
        ] {
            assert_eq!(parse_duration(text), Ok(wanted), "{text}");
        }
        for text in [
            "",
            "1d",
            "1w",
            "5",
            "abc",
            "1S",
            "s",
            "1s ",
            ".s",
            "1.2.3s",
            "9223372036854775808ns",
            "-",
            "99999999h",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert_eq!(seconds(-1_500_000_000), -1.5);
    }

    #[test]
    fn sizes_as_people_write_them() {
        for (text, wanted) in [
            ("1", 1),
            ("1B", 1),
            ("5KB", 5000),
            ("5KiB", 5120),
            ("5kb", 5000),
            ("5k", 5000),
            ("1.5MB", 1_500_000),
            ("3 MB", 3_000_000),
            ("1GiB", 1 << 30),
            ("10EB", 10_000_000_000_000_000_000),
            ("7,5KB", 75_000),
            ("0", 0),
        ] {
            assert_eq!(parse_bytes(text), Ok(wanted), "{text}");
        }
        for text in ["", "abc", "-5KB", "1e3KB", "20EB", "1 XB", "KB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), near in "[-+]?[0-9.,_xpeEiInNaAfFkKmMbBsh\u{b5} ]{0,24}") {
            for text in [&text, &near] {
                let _ = (parse_float(text), parse_duration(text), parse_bytes(text));
            }
        }

        #[test]
        fn printed_floats_come_back(value in any::<f64>()) {
            let back = parse_float(&format!("{value:e}")).unwrap_or(f64::NAN);
            prop_assert!(back == value || value.is_nan());
        }
    }
}
