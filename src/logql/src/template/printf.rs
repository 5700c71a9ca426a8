//! What does Go's `printf` make of a format and its arguments?

use super::value::{Sink, Value};
use super::{float, quote};

/// What stands between `%` and the verb.
#[derive(Debug, Default, Clone, Copy)]
struct Spec {
    has_plus: bool,
    has_minus: bool,
    has_sharp: bool,
    has_space: bool,
    has_zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// The arguments, taken in turn, or by `[number]`.
#[derive(Debug)]
struct Arguments<'v, 'a> {
    all: &'v [Value<'a>],
    at: usize,
    is_reordered: bool,
    /// The last number stood for none of them.
    is_bad: bool,
}

impl<'v, 'a> Arguments<'v, 'a> {
    fn next(&mut self) -> Option<&'v Value<'a>> {
        let value = self.all.get(self.at)?;
        self.at += 1;
        Some(value)
    }

    /// Goes where a number in brackets points, if one stands next; what is behind it.
    fn go<'f>(&mut self, format: &'f [u8]) -> &'f [u8] {
        let Some(inside) = format.strip_prefix(b"[") else { return format };
        self.is_reordered = true;
        let Some(end) = memchr::memchr(b']', inside) else {
            self.is_bad = true;
            return inside;
        };
        let number = inside.get(..end).and_then(|digits| std::str::from_utf8(digits).ok());
        let place = number.and_then(|digits| digits.parse::<usize>().ok()).and_then(|n| n.checked_sub(1));
        match place.filter(|place| *place < self.all.len()) {
            Some(place) => self.at = place,
            None => self.is_bad = true,
        }
        inside.get(end + 1..).unwrap_or(&[])
    }
}

/// Writes the format with its arguments; what does not fit each other shows in the text, as in Go.
pub(super) fn printf(out: &mut Sink<'_>, format: &[u8], arguments: &[Value<'_>]) -> Result<(), String> {
    let mut arguments = Arguments { all: arguments, at: 0, is_reordered: false, is_bad: false };
    let mut rest = format;
    while let Some(at) = memchr::memchr(b'%', rest) {
        let (text, behind) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.push(text)?;
        arguments.is_bad = false;
        let (spec, behind) = read_spec(out, behind.get(1..).unwrap_or(&[]), &mut arguments)?;
        let Some((verb, length)) = first_char(behind) else {
            out.push(b"%!(NOVERB)")?;
            rest = &[];
            break;
        };
        rest = behind.get(length..).unwrap_or(&[]);
        if verb == '%' {
            out.push(b"%")?;
        } else if arguments.is_bad {
            out.push(format!("%!{verb}(BADINDEX)").as_bytes())?;
        } else if let Some(value) = arguments.next() {
            // A plus asks `v` for the names of fields, of which there are none.
            let has_plus = spec.has_plus && verb != 'v';
            write_value(out, &Spec { has_plus, ..spec }, verb, value)?;
        } else {
            out.push(format!("%!{verb}(MISSING)").as_bytes())?;
        }
    }
    out.push(rest)?;
    match arguments.all.get(arguments.at..) {
        Some(left) if !arguments.is_reordered => write_extra(out, left),
        _ => Ok(()),
    }
}

fn write_extra(out: &mut Sink<'_>, arguments: &[Value<'_>]) -> Result<(), String> {
    for (i, value) in arguments.iter().enumerate() {
        out.push(if i == 0 { b"%!(EXTRA " } else { b", " })?;
        write_typed(out, &Spec::default(), value)?;
    }
    if arguments.is_empty() { Ok(()) } else { out.push(b")") }
}

/// `type=value`
fn write_typed(out: &mut Sink<'_>, spec: &Spec, value: &Value<'_>) -> Result<(), String> {
    if matches!(value, Value::Nil) {
        return out.push(b"<nil>");
    }
    out.push(value.type_name().as_bytes())?;
    out.push(b"=")?;
    write_value(out, spec, 'v', value)
}

/// The first character; a byte that begins none stands for U+FFFD.
fn first_char(text: &[u8]) -> Option<(char, usize)> {
    let chunk = text.utf8_chunks().next()?;
    match chunk.valid().chars().next() {
        Some(c) => Some((c, c.len_utf8())),
        None => Some((char::REPLACEMENT_CHARACTER, 1)),
    }
}

fn read_spec<'f>(
    out: &mut Sink<'_>,
    format: &'f [u8],
    arguments: &mut Arguments<'_, '_>,
) -> Result<(Spec, &'f [u8]), String> {
    let mut spec = Spec::default();
    let mut rest = format;
    while let Some((first, behind)) = rest.split_first() {
        match first {
            b'+' => spec.has_plus = true,
            b'-' => spec.has_minus = true,
            b'#' => spec.has_sharp = true,
            b' ' => spec.has_space = true,
            b'0' => spec.has_zero = true,
            _ => break,
        }
        rest = behind;
    }
    let (width, behind) = read_count(out, arguments.go(rest), arguments, "WIDTH")?;
    spec.has_minus |= width.is_some_and(|width| width < 0);
    spec.width = width.map(|width| width.unsigned_abs() as usize);
    rest = behind;
    if let Some(behind) = rest.strip_prefix(b".") {
        let (precision, behind) = read_count(out, arguments.go(behind), arguments, "PREC")?;
        // A negative precision is none at all; a point alone is zero.
        spec.precision = usize::try_from(precision.unwrap_or(0)).ok();
        rest = behind;
    }
    out.reserve(spec.width.unwrap_or(0))?;
    out.reserve(spec.precision.unwrap_or(0))?;
    Ok((spec, arguments.go(rest)))
}

/// A number, or a star that stands for the next argument.
fn read_count<'f>(
    out: &mut Sink<'_>,
    format: &'f [u8],
    arguments: &mut Arguments<'_, '_>,
    what: &str,
) -> Result<(Option<i64>, &'f [u8]), String> {
    if let Some(rest) = format.strip_prefix(b"*") {
        return match arguments.next() {
            Some(Value::Int(count)) if count.unsigned_abs() <= 1 << 40 => Ok((Some(*count), rest)),
            _ => {
                out.push(format!("%!(BAD{what})").as_bytes())?;
                Ok((None, rest))
            }
        };
    }
    let length = format.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = format.split_at_checked(length).unwrap_or((format, &[]));
    let mut count = None;
    for digit in digits {
        count = Some((count.unwrap_or(0i64) * 10 + i64::from(digit - b'0')).min(1 << 40));
    }
    Ok((count, rest))
}

fn write_value(out: &mut Sink<'_>, spec: &Spec, verb: char, value: &Value<'_>) -> Result<(), String> {
    match (value, verb) {
        (_, 'T') => write_padded(out, spec, value.type_name().as_bytes()),
        (Value::Nil, 'v') => write_padded(out, spec, b"<nil>"),
        (Value::Bool(value), 'v' | 't') => write_padded(out, spec, value.to_string().as_bytes()),
        (Value::Int(value), _) if write_int(out, spec, verb, *value)? => Ok(()),
        (Value::Float(value), 'v' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G') => {
            write_float(out, spec, verb, *value)
        }
        (Value::Text(text), _) if write_text(out, spec, verb, text)? => Ok(()),
        (Value::Time(time), 'v' | 's') => write_padded(out, spec, time.print().as_bytes()),
        (Value::List(list), _) => {
            out.push(b"[")?;
            for (i, value) in list.iter().enumerate() {
                out.push(if i == 0 { b"" } else { b" " })?;
                write_element(out, spec, verb, value)?;
            }
            out.push(b"]")
        }
        (Value::Map(map), _) => {
            out.push(b"map[")?;
            for (i, (name, value)) in map.entries.iter().enumerate() {
                out.push(if i == 0 { b"" } else { b" " })?;
                write_value(out, spec, verb, &Value::text(name))?;
                out.push(b":")?;
                write_element(out, spec, verb, value)?;
            }
            out.push(b"]")
        }
        _ => {
            out.push(format!("%!{verb}(").as_bytes())?;
            write_typed(out, spec, value)?;
            out.push(b")")
        }
    }
}

/// A value in a list or map, where nothing fits every verb.
fn write_element(out: &mut Sink<'_>, spec: &Spec, verb: char, value: &Value<'_>) -> Result<(), String> {
    match value {
        Value::Nil => out.push(b"<nil>"),
        value => write_value(out, spec, verb, value),
    }
}

/// A text, filled up to the width.
fn write_padded(out: &mut Sink<'_>, spec: &Spec, text: &[u8]) -> Result<(), String> {
    let Some(width) = spec.width else { return out.push(text) };
    let runes: usize =
        text.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum();
    let missing = width.saturating_sub(runes);
    if spec.has_minus {
        out.push(text)?;
        out.push_times(b" ", missing)
    } else {
        out.push_times(if spec.has_zero { b"0" } else { b" " }, missing)?;
        out.push(text)
    }
}

/// False: the verb is not for texts.
fn write_text(out: &mut Sink<'_>, spec: &Spec, verb: char, text: &[u8]) -> Result<bool, String> {
    let cut = spec.precision.map_or(text, |runes| first_runes(text, runes));
    match verb {
        'v' if spec.has_sharp => write_padded(out, spec, quote::quoted(text).as_bytes())?,
        'v' | 's' => write_padded(out, spec, cut)?,
        'q' if spec.has_sharp && quote::fits_backquotes(cut) => {
            write_padded(out, spec, &[b"`", cut, b"`"].concat())?;
        }
        'q' => write_padded(out, spec, quote::quoted(cut).as_bytes())?,
        'x' | 'X' => {
            let text = text.get(..spec.precision.unwrap_or(text.len())).unwrap_or(text);
            out.reserve(text.len() * 2)?;
            write_padded(out, spec, hex(text, spec, verb == 'X').as_bytes())?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn hex(text: &[u8], spec: &Spec, is_upper: bool) -> String {
    let prefix = match (spec.has_sharp, is_upper) {
        (true, true) => "0X",
        (true, false) => "0x",
        _ => "",
    };
    let mut out = String::with_capacity(text.len() * 2);
    for (i, byte) in text.iter().enumerate() {
        if spec.has_space && i > 0 {
            out.push(' ');
        }
        if i == 0 || spec.has_space {
            out.push_str(prefix);
        }
        out.push_str(&if is_upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
    }
    out
}

/// What stands in front of the `count`th character.
pub(super) fn first_runes(text: &[u8], count: usize) -> &[u8] {
    let mut left = count;
    let mut end = 0;
    for chunk in text.utf8_chunks() {
        for length in chunk.valid().chars().map(char::len_utf8).chain(chunk.invalid().iter().map(|_| 1)) {
            if left == 0 {
                return text.get(..end).unwrap_or(text);
            }
            left -= 1;
            end += length;
        }
    }
    text
}

/// False: the verb is not for integers.
fn write_int(out: &mut Sink<'_>, spec: &Spec, verb: char, value: i64) -> Result<bool, String> {
    let magnitude = value.unsigned_abs();
    let (prefix, digits) = match verb {
        'v' | 'd' => ("", magnitude.to_string()),
        'b' => ("0b", format!("{magnitude:b}")),
        'o' => ("0", format!("{magnitude:o}")),
        'O' => ("0o", format!("{magnitude:o}")),
        'x' => ("0x", format!("{magnitude:x}")),
        'X' => ("0X", format!("{magnitude:X}")),
        'c' | 'q' | 'U' => {
            let c = u32::try_from(value).ok().and_then(char::from_u32);
            let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
            let text = match verb {
                'c' => c.to_string(),
                'q' => quote::quoted_char(c),
                _ => format!("U+{value:04X}"),
            };
            write_padded(out, spec, text.as_bytes())?;
            return Ok(true);
        }
        _ => return Ok(false),
    };
    let prefix = if (spec.has_sharp && !matches!(verb, 'v' | 'd')) || verb == 'O' { prefix } else { "" };
    write_number(out, spec, value < 0, prefix, &digits)?;
    Ok(true)
}

/// The sign, the prefix and the digits; zeros go between them.
fn write_number(
    out: &mut Sink<'_>,
    spec: &Spec,
    is_negative: bool,
    prefix: &str,
    digits: &str,
) -> Result<(), String> {
    let sign = match is_negative {
        true => "-",
        false if spec.has_plus => "+",
        false if spec.has_space => " ",
        false => "",
    };
    let wanted = match (spec.precision, spec.width) {
        (Some(precision), _) => precision,
        (None, Some(width)) if spec.has_zero && !spec.has_minus => width.saturating_sub(sign.len()),
        _ => 0,
    };
    let zeros = wanted.saturating_sub(digits.len());
    out.reserve(zeros)?;
    let text = format!("{sign}{prefix}{}{digits}", "0".repeat(zeros));
    write_padded(out, &Spec { has_zero: false, ..*spec }, text.as_bytes())
}

fn write_float(out: &mut Sink<'_>, spec: &Spec, verb: char, value: f64) -> Result<(), String> {
    let precision = match verb {
        'e' | 'E' | 'f' | 'F' => Some(spec.precision.unwrap_or(6)),
        _ => spec.precision,
    };
    let verb = match verb {
        'v' => 'g',
        'F' => 'f',
        other => other,
    };
    let text = float::format(value, verb, precision);
    let digits = text.trim_start_matches(['-', '+']);
    // Precision has been heeded already; zeros are no part of what is no number.
    let has_zero = spec.has_zero && value.is_finite();
    // Go prints a plus sign of infinity only where it is asked for one.
    let has_plus = spec.has_plus || (verb == 'g' && value == f64::INFINITY && !spec.has_space);
    let spec = Spec { precision: None, has_zero, has_plus, ..*spec };
    write_number(out, &spec, text.starts_with('-'), "", digits)
}
