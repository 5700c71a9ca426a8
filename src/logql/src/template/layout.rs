//! How is a time written by the example of Go's reference time, Mon Jan 2 15:04:05 2006 -0700 MST?

use super::moment::Moment;
use std::fmt::Write;

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// How a number is filled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    None,
    Zeros,
    Spaces,
}

/// How an offset is written: `Z` for none, seconds, colons; or hours alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OffsetShape {
    pub(super) has_z: bool,
    pub(super) has_minutes: bool,
    pub(super) has_seconds: bool,
    pub(super) has_colons: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'t> {
    Literal(&'t str),
    LongYear,
    Year,
    LongMonth,
    ShortMonth,
    Month(Fill),
    LongWeekday,
    ShortWeekday,
    Day(Fill),
    YearDay(Fill),
    Hour,
    Hour12(Fill),
    Minute(Fill),
    Second(Fill),
    /// Whether in capitals.
    HalfDay(bool),
    Zone,
    Offset(OffsetShape),
    /// Digits behind a point or comma; whether zeros at the end are left out.
    Fraction {
        digits: usize,
        is_short: bool,
        separator: char,
    },
}

/// A layout, taken apart.
#[derive(Debug)]
pub(super) struct Layout<'t> {
    pub(super) parts: Vec<Part<'t>>,
}

/// What stands for itself, longer ones before those that they begin with.
const WORDS: [(&str, Part<'static>); 25] = [
    ("January", Part::LongMonth),
    ("Jan", Part::ShortMonth),
    ("Monday", Part::LongWeekday),
    ("Mon", Part::ShortWeekday),
    ("MST", Part::Zone),
    ("002", Part::YearDay(Fill::Zeros)),
    ("01", Part::Month(Fill::Zeros)),
    ("02", Part::Day(Fill::Zeros)),
    ("03", Part::Hour12(Fill::Zeros)),
    ("04", Part::Minute(Fill::Zeros)),
    ("05", Part::Second(Fill::Zeros)),
    ("06", Part::Year),
    ("15", Part::Hour),
    ("1", Part::Month(Fill::None)),
    ("2006", Part::LongYear),
    ("2", Part::Day(Fill::None)),
    // `_2006` is an underscore and a year.
    ("_2006", Part::Literal("_")),
    ("__2", Part::YearDay(Fill::Spaces)),
    ("_2", Part::Day(Fill::Spaces)),
    ("3", Part::Hour12(Fill::None)),
    ("4", Part::Minute(Fill::None)),
    ("5", Part::Second(Fill::None)),
    ("PM", Part::HalfDay(true)),
    ("pm", Part::HalfDay(false)),
    ("", Part::Literal("")),
];

const OFFSETS: [(&str, bool, bool, bool); 5] = [
    ("070000", true, true, false),
    ("07:00:00", true, true, true),
    ("0700", true, false, false),
    ("07:00", true, false, true),
    ("07", false, false, false),
];

impl Moment {
    /// As Go prints a time by itself.
    pub(super) fn print(&self) -> String {
        Layout::new("2006-01-02 15:04:05.999999999 -0700 MST").format(self)
    }
}

impl<'t> Layout<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let mut parts = Vec::new();
        let (mut start, mut at) = (0, 0);
        while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
            let rest = text.get(at..).unwrap_or("");
            let Some((part, length)) = part_at(rest) else {
                at += c.len_utf8();
                continue;
            };
            parts.push(Part::Literal(text.get(start..at).unwrap_or("")));
            parts.push(part);
            at += length;
            start = at;
        }
        parts.push(Part::Literal(text.get(start..).unwrap_or("")));
        parts.retain(|part| *part != Part::Literal(""));
        Self { parts }
    }

    pub(super) fn format(&self, time: &Moment) -> String {
        let mut out = String::new();
        for part in &self.parts {
            // Writing into a string cannot fail.
            let _ = write_part(&mut out, *part, time);
        }
        out
    }
}

/// The part of a layout that stands at the start of `rest`, and its length.
fn part_at(rest: &str) -> Option<(Part<'static>, usize)> {
    for (word, part) in WORDS {
        if word.is_empty() || !rest.starts_with(word) {
            continue;
        }
        let is_lower_behind =
            rest.get(word.len()..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
        match part {
            // A longer word that only begins like one of these is none of them.
            Part::ShortMonth | Part::ShortWeekday if is_lower_behind => continue,
            Part::Literal(text) => return Some((part, text.len())),
            part => return Some((part, word.len())),
        }
    }
    if rest.starts_with(['-', 'Z']) {
        let has_z = rest.starts_with('Z');
        let behind = rest.get(1..).unwrap_or("");
        let shape = OFFSETS.iter().find(|(text, ..)| behind.starts_with(text));
        return shape.map(|(text, has_minutes, has_seconds, has_colons)| {
            let (has_minutes, has_seconds, has_colons) = (*has_minutes, *has_seconds, *has_colons);
            (Part::Offset(OffsetShape { has_z, has_minutes, has_seconds, has_colons }), 1 + text.len())
        });
    }
    let separator = rest.chars().next().filter(|c| matches!(c, '.' | ','))?;
    let behind = rest.get(1..)?;
    let digit = behind.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let digits = behind.len() - behind.trim_start_matches(digit).len();
    // Other digits behind them make it no fraction.
    if behind.get(digits..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
        return None;
    }
    Some((Part::Fraction { digits, is_short: digit == '9', separator }, 1 + digits))
}

fn write_part(out: &mut String, part: Part<'_>, time: &Moment) -> std::fmt::Result {
    let name = |names: &[&'static str], index: usize| names.get(index).copied().unwrap_or("");
    let short = |name: &'static str| name.get(..3).unwrap_or(name);
    let month = (time.month() as usize).saturating_sub(1);
    let hour12 = (time.hour() + 11) % 12 + 1;
    match part {
        Part::Literal(text) => out.write_str(text),
        Part::LongYear if time.year() < 0 => write!(out, "-{:04}", time.year().unsigned_abs()),
        Part::LongYear => write!(out, "{:04}", time.year()),
        Part::Year => write!(out, "{:02}", time.year().unsigned_abs() % 100),
        Part::LongMonth => out.write_str(name(&MONTHS, month)),
        Part::ShortMonth => out.write_str(short(name(&MONTHS, month))),
        Part::Month(fill) => write_filled(out, time.month(), fill, 2),
        Part::LongWeekday => out.write_str(name(&DAYS, time.day_of_week())),
        Part::ShortWeekday => out.write_str(short(name(&DAYS, time.day_of_week()))),
        Part::Day(fill) => write_filled(out, time.day(), fill, 2),
        Part::YearDay(fill) => write_filled(out, time.day_of_year(), fill, 3),
        Part::Hour => write!(out, "{:02}", time.hour()),
        Part::Hour12(fill) => write_filled(out, hour12, fill, 2),
        Part::Minute(fill) => write_filled(out, time.minute(), fill, 2),
        Part::Second(fill) => write_filled(out, time.second(), fill, 2),
        Part::HalfDay(is_capital) => out.write_str(match (time.hour() >= 12, is_capital) {
            (true, true) => "PM",
            (true, false) => "pm",
            (false, true) => "AM",
            (false, false) => "am",
        }),
        Part::Zone if time.zone().is_empty() => write_nameless_zone(out, time.offset()),
        Part::Zone => out.write_str(time.zone()),
        Part::Offset(shape) => write_offset(out, shape, time.offset()),
        Part::Fraction { digits, is_short, separator } => {
            write_fraction(out, time.nanos(), digits, is_short, separator)
        }
    }
}

fn write_filled(out: &mut String, value: u32, fill: Fill, width: usize) -> std::fmt::Result {
    match fill {
        Fill::None => write!(out, "{value}"),
        Fill::Zeros => write!(out, "{value:0width$}"),
        Fill::Spaces => write!(out, "{value:width$}"),
    }
}

fn write_nameless_zone(out: &mut String, offset: i32) -> std::fmt::Result {
    let sign = if offset < 0 { '-' } else { '+' };
    let minutes = offset.unsigned_abs() / 60;
    write!(out, "{sign}{:02}{:02}", minutes / 60, minutes % 60)
}

fn write_offset(out: &mut String, shape: OffsetShape, offset: i32) -> std::fmt::Result {
    if shape.has_z && offset == 0 {
        return out.write_char('Z');
    }
    let seconds = offset.unsigned_abs();
    let colon = if shape.has_colons { ":" } else { "" };
    write!(out, "{}{:02}", if offset < 0 { '-' } else { '+' }, seconds / 3600)?;
    if shape.has_minutes {
        write!(out, "{colon}{:02}", seconds / 60 % 60)?;
    }
    if shape.has_seconds {
        write!(out, "{colon}{:02}", seconds % 60)?;
    }
    Ok(())
}

fn write_fraction(
    out: &mut String,
    nanos: u32,
    digits: usize,
    is_short: bool,
    separator: char,
) -> std::fmt::Result {
    let all = format!("{nanos:09}");
    let kept = all.get(..digits.min(9)).unwrap_or(&all);
    let kept = if is_short { kept.trim_end_matches('0') } else { kept };
    if is_short && kept.is_empty() {
        return Ok(());
    }
    write!(out, "{separator}{kept}")
}
