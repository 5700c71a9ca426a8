//! Where does the program's own log go, and in which form? To standard error: text for a person, JSON for a machine.

use crate::config::{LogConfig, LogFormat};
use parking_lot::Mutex;
use std::backtrace::Backtrace;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter of `log.level` does not parse; the configuration's check rules it out.
    #[error("log.level: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something else in the process logs already.
    #[error("logging has begun already: {0}")]
    Init(#[from] TryInitError),
}

/// Changes what is logged; the error says what is wrong with the filter.
type Change = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// The filter of the log that has begun.
pub struct LogLevel {
    now: Mutex<String>,
    change: Change,
}

impl LogLevel {
    /// The filter in force.
    pub fn get(&self) -> String {
        self.now.lock().clone()
    }

    /// Sets the filter until the next start.
    pub fn set(&self, level: &str) -> Result<(), String> {
        if level.trim().is_empty() {
            return Err("log_level is missing: error, warn, info, debug or trace".to_owned());
        }
        let mut now = self.now.lock();
        (self.change)(level)?;
        level.clone_into(&mut now);
        Ok(())
    }
}

/// Begins logging, and logs panics from here on.
pub fn begin(config: &LogConfig) -> Result<LogLevel, LoggingError> {
    let terminal = std::io::stderr().is_terminal();
    let json = match config.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !terminal,
    };
    let filter = EnvFilter::builder().parse(&config.level)?;
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    let change = if json {
        let builder = builder.json().flatten_event(true).with_current_span(false).with_filter_reloading();
        let change = changing(builder.reload_handle());
        builder.finish().try_init()?;
        change
    } else {
        let builder = builder.with_ansi(terminal).with_filter_reloading();
        let change = changing(builder.reload_handle());
        builder.finish().try_init()?;
        change
    };
    log_panics();
    Ok(LogLevel { now: Mutex::new(config.level.clone()), change })
}

fn changing<S: 'static>(handle: Handle<EnvFilter, S>) -> Change {
    Box::new(move |level| {
        let filter = EnvFilter::builder().parse(level).map_err(|e| e.to_string())?;
        handle.reload(filter).map_err(|e| e.to_string())
    })
}

/// A panic becomes one log event: the default hook's several lines on standard error would break JSON readers.
fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        tracing::error!(
            message = "panic; this is a fault in strandline, please report it",
            panic = panic_text(info.payload()),
            place,
            thread = thread.name().unwrap_or("unnamed"),
            // Empty unless RUST_BACKTRACE asks for it: it is costly and long.
            backtrace = %Backtrace::capture(),
        );
    }));
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("not a text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_of_both_kinds_have_a_text() {
        assert_eq!(panic_text(&"static"), "static");
        assert_eq!(panic_text(&String::from("formatted")), "formatted");
        assert_eq!(panic_text(&7), "not a text");
    }
}
