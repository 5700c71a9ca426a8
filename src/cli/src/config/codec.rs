//! How is a setting's value written: sizes, durations, counts, choices, addresses.
//!
//! Each kind is a module with `KIND` (what the documentation calls it), `parse` and `show`; what `show` writes,
//! `parse` reads back.

use super::tree::{Fault, Node, Value};

/// A scalar's text, or what stands there instead.
pub fn text(node: &Node) -> Result<&str, Fault> {
    match &node.value {
        Value::Text(text) => Ok(text),
        Value::Null => Err(Fault::new(node.at, "has no value; remove the key to get its default")),
        _ => Err(Fault::new(node.at, format!("takes a plain value, not {}", node.kind()))),
    }
}

/// Splits `512KiB` into digits and unit.
fn number_and_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}

pub mod size {
    //! Bytes: `512KiB`, `64MiB`, `10GB`, `1048576`.

    /// Name of the kind.
    pub const KIND: &str = "size";

    const UNITS: [(&str, u64); 9] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("KB", 1_000),
        ("B", 1),
    ];

    /// Reads a size; the unit's case does not matter.
    pub fn parse<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
        let (number, unit) = super::number_and_unit(text.trim());
        let factor = match unit {
            "" => Some(1),
            _ => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor),
        };
        let Some(factor) = factor.filter(|_| !number.is_empty()) else {
            return Err(format!("\"{text}\" is not a size; write 64MiB, 10GB or a number of bytes"));
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(factor))
            .and_then(|n| T::try_from(n).ok())
            .ok_or_else(|| format!("\"{text}\" is too large a size"))
    }

    /// Writes a size in the largest unit that divides it.
    pub fn show<T: Copy + TryInto<u64>>(size: &T) -> String {
        let bytes: u64 = (*size).try_into().unwrap_or(u64::MAX);
        let fitting = UNITS.iter().filter(|(name, factor)| *name != "B" && bytes.is_multiple_of(*factor));
        let unit = fitting.max_by_key(|(_, factor)| *factor);
        match unit {
            Some((name, factor)) if bytes > 0 => format!("{}{name}", bytes / factor),
            _ => bytes.to_string(),
        }
    }
}

pub mod size_or_none {
    //! A size where 0 means "no bound".

    /// Name of the kind.
    pub const KIND: &str = "size";

    /// Reads a size; 0 is none.
    pub fn parse(text: &str) -> Result<Option<u64>, String> {
        super::size::parse(text).map(|size| (size > 0).then_some(size))
    }

    /// Writes a size; none is 0.
    pub fn show(size: &Option<u64>) -> String {
        super::size::show(&size.unwrap_or(0))
    }
}

pub mod duration {
    //! Lengths of time: `250ms`, `5m`, `1h30m`, `30d`, `1y`.

    use std::time::Duration;

    /// Name of the kind.
    pub const KIND: &str = "duration";

    const UNITS: [(&str, u128); 9] = [
        ("y", 365 * 86_400_000_000_000),
        ("w", 7 * 86_400_000_000_000),
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];

    /// Reads a duration: numbers with units, one after the other; a lone `0` needs none.
    pub fn parse(text: &str) -> Result<Duration, String> {
        let wrong = || format!("\"{text}\" is not a duration; write 250ms, 5m, 1h30m, 30d or 1y");
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Duration::ZERO);
        }
        if rest.is_empty() {
            return Err(wrong());
        }
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let (number, after) = super::number_and_unit(rest);
            let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, next) = after.split_at(end);
            let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ns)| *ns).ok_or_else(wrong)?;
            let number: u128 = number.parse().map_err(|_| wrong())?;
            // Timestamps are i64 nanoseconds: a longer time cannot be subtracted from one.
            total = number
                .checked_mul(factor)
                .and_then(|ns| ns.checked_add(total))
                .filter(|ns| *ns <= i64::MAX as u128)
                .ok_or_else(|| format!("\"{text}\" is too long a time; at most 292y"))?;
            rest = next;
        }
        let nanos = u64::try_from(total).unwrap_or(u64::MAX);
        Ok(Duration::from_nanos(nanos))
    }

    /// Writes a duration in days and smaller units.
    pub fn show(duration: &Duration) -> String {
        let mut rest = duration.as_nanos();
        let mut text = String::new();
        // Weeks and years are for people to write; days read better back.
        for (name, ns) in UNITS.iter().skip(2) {
            if rest >= *ns {
                text.push_str(&format!("{}{name}", rest / ns));
                rest %= ns;
            }
        }
        if text.is_empty() { "0".to_owned() } else { text }
    }
}

pub mod duration_or_none {
    //! A duration where 0 means "for ever".

    use std::time::Duration;

    /// Name of the kind.
    pub const KIND: &str = "duration";

    /// Reads a duration; 0 is none.
    pub fn parse(text: &str) -> Result<Option<Duration>, String> {
        super::duration::parse(text).map(|duration| (!duration.is_zero()).then_some(duration))
    }

    /// Writes a duration; none is 0.
    pub fn show(duration: &Option<Duration>) -> String {
        super::duration::show(&duration.unwrap_or_default())
    }
}

pub mod age_ns {
    //! A duration that the program holds as i64 nanoseconds.

    use std::time::Duration;

    /// Name of the kind.
    pub const KIND: &str = "duration";

    /// Reads a duration.
    pub fn parse(text: &str) -> Result<i64, String> {
        super::duration::parse(text).map(|d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
    }

    /// Writes a duration.
    pub fn show(ns: &i64) -> String {
        super::duration::show(&Duration::from_nanos(ns.unsigned_abs()))
    }
}

pub mod count {
    //! A whole number.

    use std::fmt::Display;
    use std::str::FromStr;

    /// Name of the kind.
    pub const KIND: &str = "count";

    /// Reads a number.
    pub fn parse<T: FromStr>(text: &str) -> Result<T, String> {
        text.trim().parse().map_err(|_| format!("\"{text}\" is not a whole number in range"))
    }

    /// Writes a number.
    pub fn show<T: Display>(count: &T) -> String {
        count.to_string()
    }
}

pub mod count_or_none {
    //! A number where 0 means "chosen for you".

    /// Name of the kind.
    pub const KIND: &str = "count";

    /// Reads a number; 0 is none.
    pub fn parse(text: &str) -> Result<Option<usize>, String> {
        super::count::parse(text).map(|count| (count > 0).then_some(count))
    }

    /// Writes a number; none is 0.
    pub fn show(count: &Option<usize>) -> String {
        count.unwrap_or(0).to_string()
    }
}

pub mod switch {
    //! `true` or `false`.

    /// Name of the kind.
    pub const KIND: &str = "true|false";

    /// Reads a switch, in the spellings that people and YAML use.
    pub fn parse(text: &str) -> Result<bool, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(format!("\"{text}\" is neither true nor false")),
        }
    }

    /// Writes a switch.
    pub fn show(on: &bool) -> String {
        on.to_string()
    }
}

pub mod address {
    //! An IP address and port to listen on.

    use std::net::SocketAddr;

    /// Name of the kind.
    pub const KIND: &str = "address";

    /// Reads an address; `localhost` is the loopback address, other names are not looked up.
    pub fn parse(text: &str) -> Result<SocketAddr, String> {
        let text = text.trim();
        let numeric = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        numeric.parse().map_err(|_| {
            format!(
                "\"{text}\" is not an address; write 127.0.0.1:3100, or 0.0.0.0:3100 to listen on every one"
            )
        })
    }

    /// Writes an address.
    pub fn show(address: &SocketAddr) -> String {
        address.to_string()
    }
}

pub mod address_or_off {
    //! An address to listen on, or none.

    use std::net::SocketAddr;

    /// Name of the kind.
    pub const KIND: &str = "address|off";

    /// Reads an address, or `off`.
    pub fn parse(text: &str) -> Result<Option<SocketAddr>, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "off" | "false" | "no" => Ok(None),
            _ => super::address::parse(text).map(Some).map_err(|e| format!("{e}; or off")),
        }
    }

    /// Writes an address, or `off`.
    pub fn show(address: &Option<SocketAddr>) -> String {
        address.as_ref().map_or("off".to_owned(), super::address::show)
    }
}

pub mod path {
    //! A file or folder.

    use std::path::PathBuf;

    /// Name of the kind.
    pub const KIND: &str = "path";

    /// Reads a path.
    pub fn parse(text: &str) -> Result<PathBuf, String> {
        if text.is_empty() { Err("is an empty path".to_owned()) } else { Ok(PathBuf::from(text)) }
    }

    /// Writes a path.
    pub fn show(path: &std::path::Path) -> String {
        path.to_string_lossy().into_owned()
    }
}

pub mod path_or_none {
    //! A file or folder, where an empty text is none.

    use std::path::PathBuf;

    /// Name of the kind.
    pub const KIND: &str = "path";

    /// Reads a path.
    pub fn parse(text: &str) -> Result<Option<PathBuf>, String> {
        Ok((!text.is_empty()).then(|| PathBuf::from(text)))
    }

    /// Writes a path.
    pub fn show(path: &Option<PathBuf>) -> String {
        path.as_ref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

pub mod url_prefix {
    //! The beginning of all paths: `/logs`, or nothing.

    /// Name of the kind.
    pub const KIND: &str = "path of a URL";

    /// Reads a prefix; slashes at its end do not count.
    pub fn parse(text: &str) -> Result<String, String> {
        let text = text.trim().trim_end_matches('/');
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
        if text.is_empty() || (text.starts_with('/') && text.chars().all(is_plain) && !text.contains("//")) {
            return Ok(text.to_owned());
        }
        Err(format!("\"{text}\" is not the beginning of a path; write /logs"))
    }

    /// Writes a prefix.
    pub fn show(prefix: &str) -> String {
        prefix.to_owned()
    }
}

pub mod names {
    //! A list of label names.

    use super::super::tree::{Fault, Node, Value};

    /// Reads a list; nothing is an empty one.
    pub fn parse(node: &Node) -> Result<Vec<String>, Fault> {
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            Value::Null => &[],
            _ => return Err(Fault::new(node.at, format!("takes a list of names, not {}", node.kind()))),
        };
        let name = |node: &Node| {
            let text = super::text(node)?.trim();
            match strandline_model::labels::is_label_name(text) {
                true => Ok(text.to_owned()),
                false => Err(Fault::new(node.at, format!("\"{text}\" is not a label name"))),
            }
        };
        items.iter().map(name).collect()
    }

    /// Writes a list.
    pub fn show(names: &[String]) -> String {
        format!("[{}]", names.join(", "))
    }
}

pub mod log_filter {
    //! A log level, or filter directives by module.

    use tracing_subscriber::EnvFilter;

    /// Name of the kind.
    pub const KIND: &str = "log filter";

    /// Reads a filter such as `info` or `info,strandline_store=debug`.
    pub fn parse(text: &str) -> Result<String, String> {
        match EnvFilter::builder().parse(text) {
            Ok(_) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
            _ => Err(format!("\"{text}\" is not a log filter; write error, warn, info, debug or trace")),
        }
    }

    /// Writes a filter.
    pub fn show(filter: &str) -> String {
        filter.to_owned()
    }
}

/// Makes a module for a setting that takes one of a few words.
macro_rules! choice {
    ($(#[$doc:meta])* $module:ident, $type:ty, $kind:literal, $($word:literal => $variant:path),+) => {
        $(#[$doc])*
        pub mod $module {
            /// Name of the kind.
            pub const KIND: &str = $kind;

            /// Reads one of the words.
            pub fn parse(text: &str) -> Result<$type, String> {
                match text.trim().to_ascii_lowercase().as_str() {
                    $($word => Ok($variant),)+
                    _ => Err(format!("\"{text}\" is none of {}", KIND.replace('|', ", "))),
                }
            }

            /// Writes the word.
            pub fn show(choice: &$type) -> String {
                match choice {
                    $($variant => $word.to_owned(),)+
                }
            }
        }
    };
}

choice!(
    /// When the write-ahead log is synced.
    wal_sync, crate::config::choices::WalSync, "always|interval|off",
    "always" => crate::config::choices::WalSync::Always,
    "interval" => crate::config::choices::WalSync::Interval,
    "off" => crate::config::choices::WalSync::Off
);
choice!(
    /// Whether lines can be deleted by request.
    deletion_mode, strandline_model::DeletionMode, "filter-and-delete|disabled",
    "filter-and-delete" => strandline_model::DeletionMode::FilterAndDelete,
    "disabled" => strandline_model::DeletionMode::Disabled
);
choice!(
    /// How the program's own log is written.
    log_format, crate::config::choices::LogFormat, "auto|text|json",
    "auto" => crate::config::choices::LogFormat::Auto,
    "text" => crate::config::choices::LogFormat::Text,
    "json" => crate::config::choices::LogFormat::Json
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("10GB", 10_000_000_000),
            ("1TiB", 1 << 40),
            ("7B", 7),
        ] {
            assert_eq!(size::parse(text), Ok::<u64, _>(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5GiB", "64M", "1Q", "99999999TiB", "18446744073709551616"] {
            assert!(size::parse::<u64>(text).is_err(), "{text}");
        }
        for (bytes, text) in [(0u64, "0"), (64 << 20, "64MiB"), (10_000_000_000, "10GB"), (1001, "1001")] {
            assert_eq!(size::show(&bytes), text);
        }
    }

    #[test]
    fn durations() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("100ms", 100_000_000),
            ("5m", 300_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("30d", 30 * 86_400_000_000_000),
            ("1y", 365 * 86_400_000_000_000),
            ("1us2ns", 1002),
        ] {
            assert_eq!(duration::parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for text in
            ["", "5", "m", "5 minutes", "-5m", "1.5h", "5m3", "1mo", "300y", "99999999999999999999999d"]
        {
            assert!(duration::parse(text).is_err(), "{text}");
        }
        assert_eq!(duration::show(&Duration::from_secs(5400)), "1h30m");
        assert_eq!(duration::show(&Duration::from_secs(365 * 86_400)), "365d");
    }

    #[test]
    fn words_and_addresses() {
        assert_eq!(switch::parse("On"), Ok(true));
        assert!(switch::parse("maybe").is_err());
        assert_eq!(wal_sync::parse("off"), Ok(crate::config::choices::WalSync::Off));
        assert_eq!(wal_sync::parse("never").unwrap_err(), "\"never\" is none of always, interval, off");
        assert_eq!(address::parse("localhost:80").map(|a| a.to_string()), Ok("127.0.0.1:80".to_owned()));
        assert_eq!(address::parse("[::1]:80").map(|a| a.to_string()), Ok("[::1]:80".to_owned()));
        assert_eq!(address_or_off::parse("Off"), Ok(None));
        assert_eq!(address_or_off::show(&None), "off");
        assert!(address_or_off::parse("4317").unwrap_err().ends_with("; or off"));
        for wrong in ["3100", ":3100", "example.org:80", "127.0.0.1:99999"] {
            assert!(address::parse(wrong).is_err(), "{wrong}");
        }
        assert!(log_filter::parse("info,strandline_store=debug").is_ok());
        assert!(log_filter::parse("info,=,=").is_err());
        assert!(path::parse("").is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(bytes in any::<u64>(), nanos in 0..i64::MAX, shift in 0..63u32) {
            let bytes = bytes >> shift;
            prop_assert_eq!(size::parse(&size::show(&bytes)), Ok(bytes));
            let nanos = nanos >> shift;
            prop_assert_eq!(age_ns::parse(&age_ns::show(&nanos)), Ok(nanos));
        }

        #[test]
        fn no_text_panics(text in ".{0,20}") {
            let _ = size::parse::<u64>(&text);
            let _ = duration::parse(&text);
            let _ = address::parse(&text);
        }
    }
}
