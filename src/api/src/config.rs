//! What can the door be told?

use crate::access::Credentials;
use crate::http::tls::Tls;
use std::sync::Arc;
use std::time::Duration;
use strandline_model::{Limits, MemoryBudget, TenantLimits};

/// Settings of the door.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// `server.max_body_bytes`: largest request body as sent.
    pub max_body_bytes: usize,
    /// `server.max_decompressed_bytes`: largest request body once decompressed.
    pub max_decompressed_bytes: usize,
    /// `server.header_timeout`: how long a client may take to send a request header.
    pub header_timeout: Duration,
    /// How long a client may pause while it sends a body.
    pub body_pause: Duration,
    /// How long requests in flight may go on once the server stops.
    pub drain_timeout: Duration,
    /// Most connections at once; more wait in the system's queue.
    pub max_connections: usize,
    /// Most bytes of pushes that are being read, decoded or committed; more are refused with 503.
    pub max_inflight_push_bytes: usize,
    /// What all requests of the process may hold together: `Ingest` for pushes, `Answer` for what is on its way out.
    pub memory: MemoryBudget,
    /// `server.max_tails`: most live tails of all tenants.
    pub max_tails: usize,
    /// Bytes of parsed labels kept from push to push.
    pub label_cache_bytes: usize,
    /// `auth.enabled`: every request names its tenant; off, all is one tenant.
    pub auth_enabled: bool,
    /// `auth.multi_tenant_queries`: a read may name several tenants.
    pub multi_tenant_queries: bool,
    /// `auth.tokens`, `auth.users`: who may do what.
    pub credentials: Arc<Credentials>,
    /// `query.loki_strict`: refuse what Loki refuses though it could be answered.
    pub strict: bool,
    /// `server.http_path_prefix`: what stands in front of all paths; empty, or with a slash before and none behind.
    pub path_prefix: String,
    /// `tls.*`: what locks the door; without it, it is open.
    pub tls: Option<Arc<Tls>>,
    /// `limits.*` and what differs for single tenants.
    pub limits: Arc<TenantLimits>,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            max_body_bytes: 64 << 20,
            max_decompressed_bytes: 64 << 20,
            header_timeout: Duration::from_secs(10),
            body_pause: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            max_connections: 1024,
            max_inflight_push_bytes: 128 << 20,
            memory: MemoryBudget::unlimited(),
            max_tails: 4000,
            label_cache_bytes: strandline_ingest::label_cache::DEFAULT_CACHE_BYTES,
            auth_enabled: false,
            multi_tenant_queries: false,
            credentials: Arc::default(),
            strict: false,
            path_prefix: String::new(),
            tls: None,
            limits: Arc::new(TenantLimits::new(Limits::default())),
        }
    }
}
