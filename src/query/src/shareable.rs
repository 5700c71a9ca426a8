//! Which questions can share an answer, and what is kept of one while it waits?
//!
//! A question that waits, for a slot or for another one's answer, is kept as text: compiled, it may take megabytes.

use crate::deadline::Deadline;
use crate::engine::QueryEngine;
use crate::error::QueryError;
use crate::language::{LogQuery, MetricQuery, Query};
use crate::outcome::count_answer;
use crate::reader::Reader;
use crate::request::{LogRequest, MetricRequest};
use crate::result::{LogResult, MetricResult};
use crate::singleflight::{Leader, Role, Singleflight};
use crate::slot::Slot;
use std::sync::Arc;
use strandline_model::Lease;
use strandline_model::memory::Class;

/// Texts up to this size wait without a lease: `query.max_queued` bounds how many do.
const UNLEASED_TEXT_BYTES: usize = 4 << 10;
/// A text that waits is in memory so many times: as what is parked, and as the name of the answer in the making.
const TEXT_COPIES: usize = 2;

/// A question whose answer those who ask it at the same time can share.
pub trait Shareable: Sized + Send + Sync + 'static {
    /// What comes back.
    type Answer: Send + Sync + 'static;

    /// Who asks.
    fn reader(&self) -> &Reader;

    /// Equal for equal questions; the query's canonical form is at its end.
    fn key(&self) -> String;

    /// Joins those who ask what `key` names, if the answer that is being made serves.
    fn join(engine: &QueryEngine, key: String, deadline: &Deadline) -> Role<Self::Answer>;

    /// The question without what is compiled.
    fn park(self, engine: &QueryEngine) -> Result<Parked<Self>, QueryError>;

    /// Makes the answer for all who joined. Blocks the calling thread.
    fn make(
        &self,
        engine: &QueryEngine,
        leader: Leader<Self::Answer>,
        slot: &Slot,
    ) -> Result<Arc<Self::Answer>, QueryError>;

    /// Makes the answer for this one alone. Blocks the calling thread.
    fn make_alone(&self, engine: &QueryEngine, slot: &Slot) -> Result<Arc<Self::Answer>, QueryError>;

    /// Counts a question that another one's run has answered.
    fn count_shared(answer: &Self::Answer);
}

/// Compiles the text of a query, in a slot, to the question that it was part of.
type Compile<R> = dyn Fn(&str, &Slot) -> Result<R, QueryError> + Send + Sync;

/// A question that waits.
pub struct Parked<R> {
    key: String,
    /// Where in the key the query's text begins.
    text_at: usize,
    compile: Box<Compile<R>>,
    _lease: Option<Lease>,
}

impl<R> std::fmt::Debug for Parked<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parked").field("key", &self.key).finish_non_exhaustive()
    }
}

impl<R: Shareable> Parked<R> {
    fn new(
        engine: &QueryEngine,
        reader: &Reader,
        (key, text_bytes): (String, usize),
        compile: impl Fn(&str, &Slot) -> Result<R, QueryError> + Send + Sync + 'static,
    ) -> Result<Self, QueryError> {
        let bytes = key.len().saturating_mul(TEXT_COPIES);
        let lease = || {
            let lease = engine.config().memory.lease(Class::Query, reader.payer());
            lease.try_grow(bytes).map(|()| lease).map_err(QueryError::Memory)
        };
        let lease = (key.len() > UNLEASED_TEXT_BYTES).then(lease).transpose()?;
        let text_at = key.len().saturating_sub(text_bytes);
        Ok(Self { key, text_at, compile: Box::new(compile), _lease: lease })
    }

    /// Joins those who ask the same by now, if the answer that is being made serves.
    pub fn join(&self, engine: &QueryEngine, deadline: &Deadline) -> Role<R::Answer> {
        R::join(engine, self.key.clone(), deadline)
    }

    /// Compiles the question again, into the memory of its slot. CPU work.
    pub fn compiled(self, slot: &Slot) -> Result<R, QueryError> {
        (self.compile)(self.key.get(self.text_at..).unwrap_or_default(), slot)
    }
}

fn join<A>(calls: &Singleflight<A>, engine: &QueryEngine, key: String, deadline: &Deadline) -> Role<A> {
    calls.join(key, &deadline.cancel, engine.storage().commits())
}

fn log_query(text: &str, slot: &Slot) -> Result<LogQuery, QueryError> {
    match Query::again(text, slot.regexes())? {
        Query::Log(query) => Ok(query),
        Query::Metric(_) => Err(QueryError::Internal),
    }
}

fn metric_query(text: &str, slot: &Slot) -> Result<MetricQuery, QueryError> {
    match Query::again(text, slot.regexes())? {
        Query::Metric(query) => Ok(query),
        Query::Log(_) => Err(QueryError::Internal),
    }
}

impl Shareable for LogRequest {
    type Answer = LogResult;

    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn key(&self) -> String {
        Self::key(self)
    }

    fn join(engine: &QueryEngine, key: String, deadline: &Deadline) -> Role<LogResult> {
        join(&engine.shared_logs, engine, key, deadline)
    }

    fn park(self, engine: &QueryEngine) -> Result<Parked<Self>, QueryError> {
        let key = (self.key(), self.query.text().len());
        let Self { reader, query, range, limit, direction, interval_ns, categorize } = self;
        drop(query);
        let asker = reader.clone();
        Parked::new(engine, &asker, key, move |text, slot| {
            let (query, reader) = (log_query(text, slot)?, reader.clone());
            Ok(Self { reader, query, range, limit, direction, interval_ns, categorize })
        })
    }

    fn make(
        &self,
        engine: &QueryEngine,
        leader: Leader<LogResult>,
        slot: &Slot,
    ) -> Result<Arc<LogResult>, QueryError> {
        leader.make(slot.deadline(), |deadline, begun| {
            engine.logs_begun(slot, deadline, self, || begun(engine.storage().commits()))
        })
    }

    fn make_alone(&self, engine: &QueryEngine, slot: &Slot) -> Result<Arc<LogResult>, QueryError> {
        engine.logs_in(slot, self).map(Arc::new)
    }

    fn count_shared(answer: &LogResult) {
        count_answer(answer);
    }
}

impl Shareable for MetricRequest {
    type Answer = MetricResult;

    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn key(&self) -> String {
        Self::key(self)
    }

    fn join(engine: &QueryEngine, key: String, deadline: &Deadline) -> Role<MetricResult> {
        join(&engine.shared_metrics, engine, key, deadline)
    }

    fn park(self, engine: &QueryEngine) -> Result<Parked<Self>, QueryError> {
        let key = (self.key(), self.query.expr().to_string().len());
        let Self { reader, query, steps, max_series, cut_series } = self;
        drop(query);
        let asker = reader.clone();
        Parked::new(engine, &asker, key, move |text, slot| {
            let (query, reader) = (metric_query(text, slot)?, reader.clone());
            Ok(Self { reader, query, steps, max_series, cut_series })
        })
    }

    fn make(
        &self,
        engine: &QueryEngine,
        leader: Leader<MetricResult>,
        slot: &Slot,
    ) -> Result<Arc<MetricResult>, QueryError> {
        leader.make(slot.deadline(), |deadline, begun| {
            engine.metrics_begun(slot, deadline, self, || begun(engine.storage().commits()))
        })
    }

    fn make_alone(&self, engine: &QueryEngine, slot: &Slot) -> Result<Arc<MetricResult>, QueryError> {
        engine.metrics_in(slot, self).map(Arc::new)
    }

    fn count_shared(answer: &MetricResult) {
        count_answer(answer);
    }
}
