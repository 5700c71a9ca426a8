//! How is the HTTP server set up?

use crate::access::Accounts;
use crate::http::tls::Tls;
use std::sync::Arc;
use std::time::Duration;
use strandline_model::{Limits, MemoryBudget, TenantLimits};

/// Settings of the HTTP server.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// `server.max_body_bytes`: largest request body as sent.
    pub max_body_bytes: usize,
    /// `server.header_timeout`: how long a client may take to send a request header.
    pub header_timeout: Duration,
    /// How long a client may pause while it sends a body.
    pub body_pause: Duration,
    /// `server.body_timeout`: how long a client may take to send a whole body.
    pub body_timeout: Duration,
    /// `server.min_body_rate`: bytes per second that a client has to send on average, after a grace; 0 is any.
    pub min_body_rate: u64,
    /// How long a body waits for memory, each time that it needs more, before it is refused.
    pub memory_wait: Duration,
    /// `server.write_timeout`: how long a client may take nothing of its answer. Of a long one it has to take a piece (256 KiB)
    /// in that time.
    pub write_timeout: Duration,
    /// How long requests in flight may go on once the server stops.
    pub drain_timeout: Duration,
    /// `server.idle_timeout`: how long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// `server.max_connections`: most connections at once. For more, idle ones are closed; without these, only `/ready` and
    /// `/metrics` are answered.
    pub max_connections: usize,
    /// `server.max_connections_per_address`: the same for one client address (for IPv6, one /64 network).
    pub max_connections_of_address: usize,
    /// `server.max_memory`: what all requests of the process may hold together. `Ingest` for bodies, which get 503 when they
    /// find none, `Answer` for what is on its way out.
    pub memory: MemoryBudget,
    /// `server.max_tails`: most live tails of all tenants.
    pub max_tails: usize,
    /// `auth.enabled`: every request names its tenant; off, all is one tenant.
    pub auth_enabled: bool,
    /// `auth.multi_tenant_queries`: a read may name several tenants.
    pub multi_tenant_queries: bool,
    /// `auth.tokens`, `auth.users`: who may do what.
    pub accounts: Arc<Accounts>,
    /// `query.loki_strict`: refuse what Loki refuses though it could be answered.
    pub strict: bool,
    /// `server.http_path_prefix`: what stands in front of all paths; empty, or with a slash before and none behind.
    pub path_prefix: String,
    /// `tls.*`: how TLS connections are accepted; without it, connections are not encrypted.
    pub tls: Option<Arc<Tls>>,
    /// `server.allowed_origins`: web pages of other origins whose requests are taken.
    pub allowed_origins: Vec<String>,
    /// `server.allowed_hosts`: names of this server besides `localhost`.
    pub allowed_hosts: Vec<String>,
    /// `limits.*` and what differs for single tenants.
    pub limits: Arc<TenantLimits>,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            max_body_bytes: 64 << 20,
            header_timeout: Duration::from_secs(10),
            body_pause: Duration::from_secs(30),
            body_timeout: Duration::from_secs(120),
            min_body_rate: 8 << 10,
            memory_wait: Duration::from_secs(2),
            write_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            max_connections: 1024,
            max_connections_of_address: 512,
            memory: MemoryBudget::unlimited(),
            max_tails: 4000,
            auth_enabled: false,
            multi_tenant_queries: false,
            accounts: Arc::default(),
            strict: false,
            path_prefix: String::new(),
            tls: None,
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            limits: Arc::new(TenantLimits::new(Limits::default())),
        }
    }
}
