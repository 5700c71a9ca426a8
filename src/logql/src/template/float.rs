//! How does Go print a float? (`strconv.FormatFloat`, for the verbs e, f and g.)

/// More digits than these are zeros.
const MAX_DIGITS: usize = 1100;

/// As `%v` prints it.
pub(super) fn shortest(value: f64) -> String {
    format(value, 'g', None)
}

/// The value by a verb; no precision: as many digits as tell it from its neighbours.
pub(super) fn format(value: f64, verb: char, precision: Option<usize>) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        }
        .to_owned();
    }
    let lower = match verb.to_ascii_lowercase() {
        'e' => exponential(value, precision),
        'f' => fixed(value, precision),
        _ => general(value, precision),
    };
    if verb.is_ascii_uppercase() { lower.to_uppercase() } else { lower }
}

fn exponential(value: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(precision) => format!("{value:.*e}", precision.min(MAX_DIGITS)),
        None => format!("{value:e}"),
    };
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let zeros = precision.map_or(0, |precision| precision.saturating_sub(MAX_DIGITS));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}{}e{sign}{exponent:0>2}", "0".repeat(zeros))
}

fn fixed(value: f64, precision: Option<usize>) -> String {
    match precision {
        None => format!("{value}"),
        Some(precision) => {
            let zeros = precision.saturating_sub(MAX_DIGITS);
            format!("{value:.*}{}", precision.min(MAX_DIGITS), "0".repeat(zeros))
        }
    }
}

/// `e` for large and small values, else `f`, without zeros at the end.
fn general(value: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(precision) => format!("{value:.*e}", precision.clamp(1, MAX_DIGITS) - 1),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let digits = mantissa.trim_end_matches('0').bytes().filter(u8::is_ascii_digit).count().max(1);
    let limit = match precision {
        // Without a precision, six digits decide.
        None => 6,
        Some(precision) if precision > digits && digits as i64 > exponent => digits as i64,
        Some(precision) => precision.max(1) as i64,
    };
    if exponent < -4 || exponent >= limit.max(precision.map_or(6, |_| 1)) {
        return exponential(value, Some(digits - 1));
    }
    let decimals = (digits as i64 - exponent - 1).max(0);
    fixed(value, Some(decimals as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_in_go() {
        for (value, wanted) in [
            (0.0, "0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (10_000.0, "10000"),
            (100_000.0, "100000"),
            (999_999.0, "999999"),
            (1_000_000.0, "1e+06"),
            (3_145_728.0, "3.145728e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123_456_789.0, "1.23456789e+08"),
            (12_345.678, "12345.678"),
            (1e100, "1e+100"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(shortest(value), wanted);
        }
        for (value, verb, precision, wanted) in [
            (1.5, 'e', Some(3), "1.500e+00"),
            (1.5, 'e', None, "1.5e+00"),
            (1.5, 'f', Some(0), "2"),
            (2.25, 'f', Some(1), "2.2"),
            (1234.5678, 'g', Some(3), "1.23e+03"),
            (1234.5678, 'g', Some(6), "1234.57"),
            (100.0, 'g', Some(2), "1e+02"),
            (100_000.0, 'G', Some(3), "1E+05"),
        ] {
            assert_eq!(format(value, verb, precision), wanted, "{value} {verb} {precision:?}");
        }
        assert_eq!(fixed(0.5, Some(2000)).len(), 2002);
    }
}
