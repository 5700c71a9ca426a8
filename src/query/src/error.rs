//! Why does a query have no answer?

use crate::metric::EvalError;
use strandline_model::memory::Exhausted;
use strandline_store::StoreError;

/// Why a query failed as a whole. What could not be read of its data is a warning beside the answer instead.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is not LogQL.
    #[error("{0}")]
    Parse(String),
    /// The text is LogQL, but nothing that can be asked here.
    #[error("{0}")]
    Unsupported(String),
    /// A limit of the tenant; the text names its setting.
    #[error("{0}")]
    Limit(String),
    /// Nobody waits for the answer any more.
    #[error("the request was cancelled by the client")]
    Cancelled,
    /// The deadline passed.
    #[error(
        "request timed out, decrease the duration of the request or add more label matchers (prefer exact match \
         over regex match) to reduce the amount of data processed (query.timeout, limits.query_timeout)"
    )]
    TimedOut,
    /// Too many queries of the tenant, or of all tenants, wait already.
    #[error("too many outstanding requests: {0} queries are waiting for their turn (query.max_queued)")]
    QueueFull(usize),
    /// The answer would not fit into the memory set aside for one.
    #[error("the answer needs more than {0} bytes (query.max_memory): lower the limit or narrow the query")]
    TooLarge(usize),
    /// The process has no memory left for the query.
    #[error("{0}")]
    Memory(Exhausted),
    /// Volumes have more label sets than one answer may have.
    #[error(
        "the query hit the max number of series limit (limit: {0} series): narrow it, or name fewer labels in targetLabels (limits.volume_max_series)"
    )]
    TooManyVolumes(usize),
    /// Series do not go together, or there are too many.
    #[error(transparent)]
    Evaluation(#[from] EvalError),
    /// A line carries an error of its stages into a metric query.
    #[error("{0}")]
    Pipeline(String),
    /// The store could not answer at all.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A part of the query engine broke.
    #[error("the query failed by an internal error")]
    Internal,
}
