//! What can a running server be asked to do about itself?

use crate::config::{Config, Loaded, TenantAge, show};
use crate::logging::LogLevel;
use crate::shutdown::Shutdown;
use crate::wiring;
use std::collections::BTreeMap;
use strandline_api::Process;

/// Settings, log and stop of this process, as the HTTP API may reach them.
pub struct Controls {
    settings: String,
    defaults: String,
    retention_ns: i64,
    /// Where a tenant's own age stands in place of the one for all.
    tenants: BTreeMap<String, i64>,
    log_level: LogLevel,
    shutdown: Shutdown,
}

impl Controls {
    /// Takes what the answers need of the settings.
    pub fn new(loaded: &Loaded, log_level: LogLevel, shutdown: Shutdown) -> Self {
        let rules = &loaded.config.retention;
        let retention_ns = rules.max_age.map_or(0, wiring::nanoseconds);
        let tenants = rules.tenants.iter().map(|(tenant, rule)| {
            let age = match rule.max_age {
                TenantAge::Global => retention_ns,
                TenantAge::Forever => 0,
                TenantAge::Max(age) => wiring::nanoseconds(age),
            };
            (tenant.as_str().to_owned(), age)
        });
        let defaults = Loaded { config: Config::default(), origins: BTreeMap::new(), warnings: Vec::new() };
        Self {
            settings: show::effective(loaded),
            defaults: show::effective(&defaults),
            retention_ns,
            tenants: tenants.collect(),
            log_level,
            shutdown,
        }
    }
}

impl Process for Controls {
    fn log_level(&self) -> String {
        self.log_level.get()
    }

    fn set_log_level(&self, level: &str) -> Result<(), String> {
        self.log_level.set(level)?;
        tracing::info!(level, "the log level was changed");
        Ok(())
    }

    fn settings(&self, defaults: bool) -> String {
        if defaults { self.defaults.clone() } else { self.settings.clone() }
    }

    fn retention_ns(&self, tenant: &str) -> i64 {
        self.tenants.get(tenant).copied().unwrap_or(self.retention_ns)
    }

    fn stop(&self) {
        self.shutdown.begin();
    }
}
