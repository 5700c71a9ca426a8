//! Which time does a text tell, written by the example of Go's reference time?

use super::layout::{DAYS, Fill, Layout, MONTHS, OffsetShape, Part};
use super::moment::{Moment, Zone};
use chrono::{FixedOffset, NaiveDate};

/// What has been read so far.
#[derive(Debug, Default)]
struct Clock {
    year: i32,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: u32,
    minute: u32,
    second: u32,
    nanos: u32,
    is_afternoon: Option<bool>,
    is_utc: bool,
    offset: Option<i32>,
    zone: String,
}

/// The time that `text` tells; one without an offset is by the clock of `zone`.
pub(super) fn parse(layout: &str, text: &str, zone: Zone) -> Option<Moment> {
    let layout = Layout::new(layout);
    let mut clock = Clock::default();
    let mut rest = text;
    for (i, part) in layout.parts.iter().enumerate() {
        rest = clock.read(*part, rest)?;
        let is_fraction_next = matches!(layout.parts.get(i + 1), Some(Part::Fraction { .. }));
        if matches!(part, Part::Second(_)) && !is_fraction_next {
            // A fraction is taken even where the layout has none.
            rest = clock.fraction(rest, 9).unwrap_or(rest);
        }
    }
    if rest.is_empty() { clock.moment(zone) } else { None }
}

impl Clock {
    /// What is left behind a part.
    fn read<'t>(&mut self, part: Part<'_>, rest: &'t str) -> Option<&'t str> {
        let (value, rest) = match part {
            Part::Literal(text) => return literal(text, rest),
            Part::LongYear => {
                let (value, rest) = fixed(rest, 4)?;
                self.year = value as i32;
                return Some(rest);
            }
            Part::Year => {
                let (value, rest) = fixed(rest, 2)?;
                self.year = value as i32 + if value >= 69 { 1900 } else { 2000 };
                return Some(rest);
            }
            Part::LongMonth => named(&MONTHS, rest, usize::MAX).map(|(i, rest)| (i as u32 + 1, rest))?,
            Part::ShortMonth => named(&MONTHS, rest, 3).map(|(i, rest)| (i as u32 + 1, rest))?,
            Part::LongWeekday => return named(&DAYS, rest, usize::MAX).map(|(_, rest)| rest),
            Part::ShortWeekday => return named(&DAYS, rest, 3).map(|(_, rest)| rest),
            Part::YearDay(fill) => {
                let rest = if fill == Fill::Spaces { rest.trim_start_matches(' ') } else { rest };
                match fill {
                    Fill::Zeros => fixed(rest, 3)?,
                    _ => number(rest, 3)?,
                }
            }
            Part::Month(fill) | Part::Day(fill) | Part::Hour12(fill) => filled(rest, fill)?,
            Part::Minute(fill) | Part::Second(fill) => filled(rest, fill)?,
            Part::Hour => number(rest, 2)?,
            Part::HalfDay(is_capital) => return self.half_day(is_capital, rest),
            Part::Zone => return self.zone(rest),
            Part::Offset(shape) => return self.offset(shape, rest),
            Part::Fraction { is_short: true, .. } => return Some(self.fraction(rest, 9).unwrap_or(rest)),
            Part::Fraction { digits, .. } => {
                let behind = self.fraction(rest, digits)?;
                return (rest.len() - behind.len() == digits + 1).then_some(behind);
            }
        };
        self.set(part, value)?;
        Some(rest)
    }

    fn set(&mut self, part: Part<'_>, value: u32) -> Option<()> {
        let (place, most) = match part {
            Part::Day(_) => {
                self.day = Some(value);
                return Some(());
            }
            Part::YearDay(_) => {
                self.day_of_year = Some(value);
                return Some(());
            }
            Part::Hour => (&mut self.hour, 23),
            Part::Hour12(_) => (&mut self.hour, 12),
            Part::Minute(_) => (&mut self.minute, 59),
            Part::Second(_) => (&mut self.second, 59),
            _ => {
                self.month = Some(value);
                return (1..=12).contains(&value).then_some(());
            }
        };
        *place = value;
        (value <= most).then_some(())
    }

    /// A point or comma and up to `most` digits.
    fn fraction<'t>(&mut self, rest: &'t str, most: usize) -> Option<&'t str> {
        let digits = rest.strip_prefix(['.', ','])?;
        let length = digits.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if length == 0 {
            return None;
        }
        let counted = digits.get(..length.min(9))?;
        self.nanos = counted.parse::<u32>().ok()? * 10u32.pow(9 - counted.len() as u32);
        digits.get(length..)
    }

    fn half_day<'t>(&mut self, is_capital: bool, rest: &'t str) -> Option<&'t str> {
        let (am, pm) = if is_capital { ("AM", "PM") } else { ("am", "pm") };
        self.is_afternoon = Some(rest.starts_with(pm));
        rest.strip_prefix(pm).or_else(|| rest.strip_prefix(am))
    }

    /// `MST`, or `GMT+3`. Names only tell the offset in zones that know them.
    fn zone<'t>(&mut self, rest: &'t str) -> Option<&'t str> {
        if let Some(rest) = rest.strip_prefix("UTC") {
            self.is_utc = true;
            return Some(rest);
        }
        let capitals = rest.bytes().take_while(u8::is_ascii_uppercase).count();
        let mut length = match capitals {
            3..=5 => capitals,
            _ => return None,
        };
        if let Some(behind) = rest.strip_prefix("GMT") {
            let digits = behind.strip_prefix(['+', '-']).unwrap_or("");
            let count = digits.bytes().take(2).take_while(u8::is_ascii_digit).count();
            if let Some(hours) = digits.get(..count).and_then(|hours| hours.parse::<i32>().ok()) {
                self.offset = Some(if behind.starts_with('-') { -hours } else { hours } * 3600);
                length = 4 + count;
            }
        }
        self.zone = rest.get(..length)?.to_owned();
        rest.get(length..)
    }

    fn offset<'t>(&mut self, shape: OffsetShape, rest: &'t str) -> Option<&'t str> {
        if let (true, Some(rest)) = (shape.has_z, rest.strip_prefix('Z')) {
            self.is_utc = true;
            return Some(rest);
        }
        let is_west = rest.starts_with('-');
        let (hours, mut rest) = fixed(rest.strip_prefix(['+', '-'])?, 2)?;
        let mut seconds = hours * 3600;
        for (is_there, weight) in [(shape.has_minutes, 60), (shape.has_seconds, 1)] {
            if is_there {
                rest = if shape.has_colons { rest.strip_prefix(':')? } else { rest };
                let (value, behind) = fixed(rest, 2)?;
                seconds += value * weight;
                rest = behind;
            }
        }
        let seconds = i32::try_from(seconds).ok()?;
        self.offset = Some(if is_west { -seconds } else { seconds });
        Some(rest)
    }

    fn moment(mut self, zone: Zone) -> Option<Moment> {
        match self.is_afternoon {
            Some(true) if self.hour < 12 => self.hour += 12,
            Some(false) if self.hour == 12 => self.hour = 0,
            _ => {}
        }
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        let date = match self.day_of_year {
            None => NaiveDate::from_ymd_opt(self.year, month, day)?,
            Some(day_of_year) => NaiveDate::from_yo_opt(self.year, day_of_year)?,
        };
        let clock = date.and_hms_nano_opt(self.hour, self.minute, self.second, self.nanos)?;
        match self.offset {
            _ if self.is_utc => Moment::at_offset(clock, FixedOffset::east_opt(0)?, "UTC"),
            Some(0) if self.zone.is_empty() => Moment::at_offset(clock, FixedOffset::east_opt(0)?, "UTC"),
            Some(offset) => Moment::at_offset(clock, FixedOffset::east_opt(offset)?, &self.zone),
            None if self.zone.is_empty() => Moment::on_clock(clock, zone),
            None => {
                let offset = zone.offset_of(&self.zone, clock).or(FixedOffset::east_opt(0))?;
                Moment::at_offset(clock, offset, &self.zone)
            }
        }
    }
}

/// Spaces stand for any number of spaces.
fn literal<'t>(text: &str, rest: &'t str) -> Option<&'t str> {
    let (mut text, mut rest) = (text, rest);
    while let Some(c) = text.chars().next() {
        if c == ' ' {
            if !rest.is_empty() && !rest.starts_with(' ') {
                return None;
            }
            text = text.trim_start_matches(' ');
            rest = rest.trim_start_matches(' ');
        } else {
            rest = rest.strip_prefix(c)?;
            text = text.get(c.len_utf8()..)?;
        }
    }
    Some(rest)
}

/// A name in any case, or what it begins with.
fn named<'t>(names: &[&str], rest: &'t str, length: usize) -> Option<(usize, &'t str)> {
    names.iter().enumerate().find_map(|(i, name)| {
        let name = name.get(..length).unwrap_or(name);
        let head = rest.get(..name.len())?;
        head.eq_ignore_ascii_case(name).then_some((i, rest.get(name.len()..)?))
    })
}

/// Exactly so many digits.
fn fixed(rest: &str, length: usize) -> Option<(u32, &str)> {
    let digits = rest.get(..length)?;
    let is_number = digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then_some((digits.parse().ok()?, rest.get(length..)?))
}

/// Up to so many digits.
fn number(rest: &str, most: usize) -> Option<(u32, &str)> {
    let length = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    fixed(rest, length.max(1))
}

/// A number of two digits, or fewer where the layout has fewer.
fn filled(rest: &str, fill: Fill) -> Option<(u32, &str)> {
    match fill {
        Fill::Zeros => fixed(rest, 2),
        Fill::None => number(rest, 2),
        Fill::Spaces => number(rest.strip_prefix(' ').unwrap_or(rest), 2),
    }
}
