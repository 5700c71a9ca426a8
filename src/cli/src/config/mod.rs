//! What can be set: the resolved, checked configuration that the rest of the program reads.
//!
//! Two stages lead here: `raw` gathers what was typed (file, environment, flags) with its place, `load` gives it
//! meaning. `settings` is the one table that both, the help, the printed config and the documentation come from.

pub mod access;
mod check;
mod choices;
mod codec;
mod environment;
pub mod flags;
mod lists;
mod load;
pub mod memory;
mod memory_plan;
mod nearest;
mod otlp;
pub mod overrides;
mod raw;
mod renamed;
mod retention;
mod settings;
pub mod show;
mod tree;
mod values;

pub use access::AuthConfig;
pub use choices::{LogFormat, WalSync};
pub use codec::duration::parse as parse_duration;
pub use load::{ConfigError, Loaded, load, read_bytes};
pub use retention::{RetentionConfig, StreamRetention, TenantAge, TenantRetention};
pub use values::{Config, LogConfig, TlsConfig};
