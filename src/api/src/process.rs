//! What can the process around the server do, that its operators may ask for over HTTP?

/// What the process around the server can be asked for.
pub trait Process: Send + Sync {
    /// The filter of the process's own log.
    fn log_level(&self) -> String;

    /// Sets that filter until the next start; the error says what is wrong with it.
    fn set_log_level(&self, level: &str) -> Result<(), String>;

    /// The settings as YAML, secrets masked: those in force, or the defaults.
    fn settings(&self, defaults: bool) -> String;

    /// How long a tenant's lines are kept at least (ns); 0 is for ever.
    fn retention_ns(&self, tenant: &str) -> i64;

    /// Begins a graceful stop.
    fn stop(&self);
}
