//! How the settings become those of each crate, and what a start has to say.

use crate::config::access::{GrantConfig, TokenSource};
use crate::config::{AuthConfig, Config, TenantAge, WalSync, read_bytes};
use crate::reload::Reload;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use strandline_api::ApiConfig;
use strandline_api::access::{Accounts, Grant};
use strandline_ingest::AdmissionConfig;
use strandline_model::{MemoryBudget, SystemClock};
use strandline_query::{LabelFilter, LogQlDeletes, QueryConfig};
use strandline_store::disk::RealDisk;
use strandline_store::documents::DocumentLimits;
use strandline_store::engine::{EngineConfig, OpenReport, Retention, StreamRetention, TenantRetention};
use strandline_store::{Engine, StoreError, SyncMode};

/// A shorter token could be guessed.
const MIN_TOKEN_BYTES: usize = 16;

/// Installs the recorder of all metrics, once per process.
pub fn metrics() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new().install_recorder()
}

/// Opens the data directory and logs what the start found.
pub fn open(data_dir: &Path, config: EngineConfig) -> Result<Arc<Engine>, StoreError> {
    let path = data_dir.display().to_string();
    let disk = RealDisk::new(data_dir).map_err(|source| StoreError::Io { path, source })?;
    let (engine, report) = Engine::open(Arc::new(disk), Arc::new(SystemClock::default()), config)?;
    log_report(&report);
    Ok(engine)
}

fn log_report(report: &OpenReport) {
    tracing::info!(
        segments = report.segments,
        replayed_lines = report.replay.lines,
        removed_leftovers = report.removed,
        "the store is open"
    );
    for damage in &report.damage {
        tracing::error!(%damage, "damage found at start");
    }
    if report.replay.lost > 0 {
        tracing::error!(frames = report.replay.lost, "acknowledged pushes are lost from the log");
    }
    for loss in &report.losses {
        tracing::error!(loss, "answers carry a warning until this loss is accepted");
    }
    for path in &report.missing {
        tracing::error!(path, "a segment is missing; answers over its time carry a warning");
    }
    for path in &report.quarantined {
        tracing::warn!(path, "a damaged file was set aside");
    }
    for path in &report.adopted {
        tracing::warn!(path, "a segment that the manifest did not list was taken up again");
    }
}

/// Whole nanoseconds, at most as many as there can be.
pub fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn bytes(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// The engine's settings; it may keep `max_open_files` segment files open. An error names the stream rule whose selector is
/// wrong.
pub fn engine_config(config: &Config, max_open_files: usize) -> Result<EngineConfig, String> {
    let sync = match config.wal.sync {
        WalSync::Always => SyncMode::Always,
        WalSync::Interval => SyncMode::Interval(nanoseconds(config.wal.sync_interval)),
        WalSync::Off => SyncMode::Off,
    };
    Ok(EngineConfig {
        sync,
        wal_file_bytes: config.wal.file_bytes,
        head_max_bytes: bytes(config.head.max_bytes),
        head_max_age_ns: nanoseconds(config.head.max_age),
        head_idle_ns: nanoseconds(config.head.idle),
        block_bytes: bytes(config.segment.block_bytes),
        compaction: config.compaction.enabled,
        compaction_target_bytes: config.compaction.target_bytes,
        merge_index_bytes: bytes(config.memory.merge_index),
        zstd_level: config.compaction.zstd_level,
        min_free_bytes: config.storage.min_free_bytes,
        cache_bytes: bytes(config.storage.cache_bytes),
        label_index_bytes: bytes(config.storage.label_index_bytes),
        max_open_files,
        retention: retention(config)?,
        delete_cancel_period_ns: config.deletes.cancel_period.map_or(0, nanoseconds),
        delete_language: Some(Arc::new(LogQlDeletes)),
        // Bounds of what has no settings of its own.
        documents: DocumentLimits::default(),
    })
}

fn retention(config: &Config) -> Result<Retention, String> {
    let rules = &config.retention;
    let age = |age: Option<Duration>| age.map_or(0, nanoseconds);
    let tenants = rules.tenants.iter().map(|(tenant, rule)| TenantRetention {
        tenant: tenant.clone(),
        max_age_ns: match rule.max_age {
            TenantAge::Global => None,
            TenantAge::Forever => Some(0),
            TenantAge::Max(age) => Some(nanoseconds(age)),
        },
        max_total_bytes: rule.max_total_bytes.unwrap_or(0),
    });
    let streams = rules.streams.iter().map(|rule| {
        let selector = strandline_query::parse_selector(&rule.selector)
            .map_err(|e| format!("retention.streams: selector {}: {e}", rule.selector))?;
        Ok(StreamRetention {
            tenant: rule.tenant.clone(),
            selector,
            max_age_ns: age(rule.max_age),
            priority: i32::try_from(rule.priority).unwrap_or(i32::MAX),
        })
    });
    Ok(Retention {
        max_age_ns: age(rules.max_age),
        max_total_bytes: rules.max_total_bytes.unwrap_or(0),
        min_free_bytes: rules.min_free_bytes.unwrap_or(0),
        tenants: tenants.collect(),
        streams: streams.collect::<Result<_, String>>()?,
    })
}

/// The query engine's settings.
pub fn query_config(config: &Config, memory: &MemoryBudget) -> QueryConfig {
    QueryConfig {
        threads: config.query.threads,
        timeout_ns: nanoseconds(config.query.timeout),
        max_concurrent: config.query.max_concurrent.unwrap_or(0),
        max_queued: config.query.max_queued,
        max_memory_bytes: bytes(config.query.max_memory),
        memory: memory.clone(),
    }
}

/// The API's settings; an error names the setting that is wrong.
pub fn api_config(config: &Config, reload: &Reload, memory: &MemoryBudget) -> Result<ApiConfig, String> {
    Ok(ApiConfig {
        max_body_bytes: bytes(config.server.max_body_bytes),
        header_timeout: config.server.header_timeout,
        write_timeout: config.server.write_timeout,
        idle_timeout: config.server.idle_timeout,
        // That of one address follows from the open files there are: `OpenFileShares::bound`.
        max_connections: config.server.max_connections,
        auth_enabled: config.auth.enabled,
        multi_tenant_queries: config.auth.multi_tenant_queries,
        accounts: Arc::new(accounts(&config.auth)?),
        strict: config.query.loki_strict,
        path_prefix: config.server.http_path_prefix.clone(),
        tls: reload.tls(),
        limits: reload.limits(),
        max_tails: config.server.max_tails,
        body_timeout: config.server.body_timeout,
        min_body_rate: config.server.min_body_rate,
        allowed_origins: config.server.allowed_origins.clone(),
        allowed_hosts: config.server.allowed_hosts.clone(),
        memory: memory.clone(),
        ..ApiConfig::default()
    })
}

/// How lines come in.
pub fn admission_config(config: &Config, memory: &MemoryBudget) -> AdmissionConfig {
    AdmissionConfig {
        memory: memory.clone(),
        max_decompressed_bytes: bytes(config.server.max_decompressed_bytes),
        max_active_streams: config.server.max_active_streams.unwrap_or(usize::MAX),
        label_cache_bytes: bytes(config.memory.label_cache),
        ..AdmissionConfig::default()
    }
}

fn accounts(auth: &AuthConfig) -> Result<Accounts, String> {
    let mut tokens = Vec::new();
    for token in &auth.tokens {
        let hash = match &token.source {
            TokenSource::Hash(hash) => hash.0,
            TokenSource::File(path) => token_hash(path)?,
        };
        tokens.push((hash, grant("auth.tokens", &token.grant)?));
    }
    let users =
        auth.users.iter().map(|user| Ok((grant("auth.users", &user.grant)?, user.password_hash.0.clone())));
    Accounts::new(tokens, users.collect::<Result<_, String>>()?).map_err(|e| e.to_string())
}

/// The hash of the token that is a file's first line.
fn token_hash(path: &Path) -> Result<[u8; 32], String> {
    let contents = read_bytes(path).map_err(|e| format!("auth.tokens: token_file: {e}"))?;
    let token = contents.trim_ascii();
    if token.len() < MIN_TOKEN_BYTES || token.contains(&b'\n') {
        return Err(format!(
            "auth.tokens: token_file: {}: takes one line of at least {MIN_TOKEN_BYTES} characters",
            path.display()
        ));
    }
    Ok(Sha256::digest(token).into())
}

fn grant(setting: &str, config: &GrantConfig) -> Result<Grant, String> {
    let compiled = config.filter.as_deref().map(LabelFilter::parse).transpose();
    let filter = compiled.map_err(|e| format!("{setting}: {}: filter: {e}", config.name))?;
    if config.was_admin {
        let scopes = config.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", ");
        let name = &config.name;
        tracing::warn!(setting, name, scopes, "the scope admin is several now: write those that are needed");
    }
    Ok(Grant {
        name: config.name.clone(),
        scopes: config.scopes.iter().copied().collect(),
        tenants: config.tenants.clone(),
        filter: filter.map(Arc::new),
    })
}
