//! Which severities are known, and what are they called?

/// A severity that strandline knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Nothing tells the level.
    Unknown,
    /// `trace`, `trc`
    Trace,
    /// `debug`, `dbg`
    Debug,
    /// `info`, `inf`, `information`
    Info,
    /// `warn`, `wrn`, `warning`
    Warn,
    /// `error`, `err`
    Error,
    /// `critical`
    Critical,
    /// `fatal`
    Fatal,
}

impl Level {
    /// The text that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Fatal => "fatal",
        }
    }

    /// The level that `value` names in any mix of cases; `None` for other text.
    pub fn from_name(value: &[u8]) -> Option<Self> {
        let mut lower = [0u8; 11];
        let lower = lower.get_mut(..value.len())?;
        lower.copy_from_slice(value);
        lower.make_ascii_lowercase();
        Some(match &*lower {
            b"trc" | b"trace" => Self::Trace,
            b"dbg" | b"debug" => Self::Debug,
            b"inf" | b"info" | b"information" => Self::Info,
            b"wrn" | b"warn" | b"warning" => Self::Warn,
            b"err" | b"error" => Self::Error,
            b"critical" => Self::Critical,
            b"fatal" => Self::Fatal,
            _ => return None,
        })
    }

    /// The level of an OpenTelemetry `severity_number` given as text.
    pub fn from_severity_number(text: &str) -> Self {
        match text.parse::<i64>() {
            Ok(1..=4) => Self::Trace,
            Ok(5..=8) => Self::Debug,
            Ok(9..=12) => Self::Info,
            Ok(13..=16) => Self::Warn,
            Ok(17..=20) => Self::Error,
            Ok(21..=24) => Self::Fatal,
            Ok(_) => Self::Unknown,
            Err(_) => Self::Info,
        }
    }
}
