//! The query crate: which blocks can hold the answer, and what is it?
//!
//! A query is parsed ([`language`]), planned segment by segment, and run block by block on a pool of threads of its
//! own. It knows LogQL's meaning and the engine's parts; it knows neither HTTP nor Loki's JSON.

mod cancel;
mod collect;
mod config;
mod damage;
mod deadline;
mod deletes;
pub mod detected;
mod engine;
mod error;
mod execute;
pub mod explain;
mod fair_slots;
mod fresh;
mod frontier;
pub mod language;
mod leaf_query;
mod log_query;
mod logs;
mod lookup;
mod measure;
mod memory;
pub mod metric;
mod metric_query;
mod outcome;
mod paging;
mod patterns;
mod plan;
mod pool;
mod queueing;
pub mod reader;
pub mod request;
pub mod result;
mod rows;
mod samples;
mod scope;
mod search;
mod selectors;
mod shareable;
mod singleflight;
mod slot;
pub mod stats;
pub mod storage;
pub mod tail;
pub mod volume;

pub use cancel::CancelFlag;
pub use config::QueryConfig;
pub use deadline::Deadline;
pub use deletes::{DeleteError, DeleteStatus, LogQlDeletes};
pub use engine::QueryEngine;
pub use error::QueryError;
pub use fair_slots::CountedWait;
pub use language::{LogQuery, MetricQuery, Query, pretty};
pub use lookup::Looked;
pub use memory::{Held, QueryMemory, RegexMemory};
pub use patterns::PatternRequest;
pub use reader::{LabelFilter, Part, ReadRules, Reader};
pub use request::{Direction, LogRequest, MetricRequest};
pub use result::{LogResult, MetricResult, Pattern, PatternResult, ResultEntry, ResultStream};
pub use selectors::parse_selector;
pub use shareable::{Parked, Shareable};
pub use singleflight::{Before, Ended, Follower, HOLD_BACK, Leader, Role};
pub use slot::{Queue, Slot, Waiting};
pub use stats::QueryStats;
pub use storage::Storage;
pub use volume::{StreamStats, VolumeRequest, VolumeResult};

#[cfg(test)]
mod tests;
