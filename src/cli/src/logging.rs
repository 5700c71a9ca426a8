//! Where does the program's own log go, and in which form? To standard error: text for a person, JSON for a machine.

use crate::config::{LogConfig, LogFormat};
use std::backtrace::Backtrace;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
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

/// Begins logging, and logs panics from here on.
pub fn begin(config: &LogConfig) -> Result<(), LoggingError> {
    let terminal = std::io::stderr().is_terminal();
    let json = match config.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !terminal,
    };
    let filter = EnvFilter::builder().parse(&config.level)?;
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    if json {
        builder.json().flatten_event(true).with_current_span(false).finish().try_init()?;
    } else {
        builder.with_ansi(terminal).finish().try_init()?;
    }
    log_panics();
    Ok(())
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
