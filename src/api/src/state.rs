//! What do all requests share?

use crate::access::{Access, TenantRules};
use crate::config::ApiConfig;
use crate::http::connections::Connections;
use crate::loki::tail::OpenTails;
use crate::process::Process;
use axum::extract::FromRef;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use strandline_ingest::Admission;
use strandline_query::QueryEngine;
use tokio::sync::Semaphore;

/// Requests of no tenant that hold a blocking thread, at most. More wait without one: tokio's blocking threads are also those
/// that pushes are decoded on.
const MAX_READING: usize = 16;
/// Operations (flush, deletes) that hold a blocking thread, at most.
const MAX_OPERATING: usize = 16;

/// Answers of `/metrics` that are written at the same time.
const MAX_SCRAPES: usize = 2;

/// Everything that requests share. Clones share it too.
#[derive(Clone)]
pub struct ApiState(pub(crate) AppState);

/// The shared parts, as handlers get them.
pub(crate) type AppState = Arc<SharedState>;

/// The shared parts.
pub(crate) struct SharedState {
    pub(crate) admission: Admission,
    pub(crate) query: Arc<QueryEngine>,
    pub(crate) config: ApiConfig,
    /// Who may do what.
    pub(crate) access: Access,
    pub(crate) prometheus: PrometheusHandle,
    /// Slots of requests that belong to no tenant.
    pub(crate) reading: Arc<Semaphore>,
    /// Slots of operations, which are not to wait for reads.
    pub(crate) operating: Arc<Semaphore>,
    pub(crate) tails: OpenTails,
    pub(crate) connections: Arc<Connections>,
    /// Answers of `/metrics` that are being written.
    pub(crate) scrapes: Arc<Semaphore>,
    /// What the process around the server can do; without it the paths for that do not exist.
    pub(crate) process: Option<Arc<dyn Process>>,
    /// A name in `Host` was refused, and the log says so.
    pub(crate) has_refused_a_host: AtomicBool,
    /// A mark that tools set before they stop a server.
    pub(crate) shutdown_prepared: AtomicBool,
    /// The server finishes what it has begun and takes nothing new.
    pub(crate) stopping: AtomicBool,
}

/// Checks of access need nothing else of the state.
impl FromRef<AppState> for Access {
    fn from_ref(state: &AppState) -> Self {
        state.access.clone()
    }
}

impl std::fmt::Debug for ApiState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiState").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl ApiState {
    /// The state of a server over these parts of the crates below.
    pub fn new(
        admission: Admission,
        query: Arc<QueryEngine>,
        config: ApiConfig,
        prometheus: PrometheusHandle,
        process: Option<Arc<dyn Process>>,
    ) -> Self {
        let clock = Arc::clone(query.clock());
        let connections = Connections::new(config.max_connections, config.max_connections_of_address, clock);
        let tenants = TenantRules {
            auth_enabled: config.auth_enabled,
            multi_tenant_queries: config.multi_tenant_queries,
        };
        let access =
            Access::new(Arc::clone(&config.accounts), tenants, config.strict, Arc::clone(&config.limits));
        Self(Arc::new(SharedState {
            access,
            admission,
            query,
            prometheus,
            reading: Arc::new(Semaphore::new(MAX_READING)),
            operating: Arc::new(Semaphore::new(MAX_OPERATING)),
            tails: OpenTails::new(config.max_tails),
            connections,
            scrapes: Arc::new(Semaphore::new(MAX_SCRAPES)),
            process,
            has_refused_a_host: AtomicBool::new(false),
            shutdown_prepared: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            config,
        }))
    }
}
