//! The query room: which blocks can hold the answer, and what is it?
//!
//! A query is parsed ([`language`]), planned segment by segment, and run block by block on a pool of threads of its
//! own. It knows LogQL's meaning and the engine's parts; it knows neither HTTP nor Loki's JSON.

mod damage;
mod deletes;
pub mod detected;
mod engine;
mod error;
mod execute;
pub mod explain;
mod fresh;
mod frontier;
mod gate;
pub mod language;
mod logs;
mod lookup;
mod memory;
pub mod metric;
mod metrics;
mod patterns;
mod plan;
mod pool;
pub mod reader;
pub mod request;
pub mod result;
mod rows;
mod samples;
mod scope;
mod share;
mod shareable;
pub mod stats;
pub mod tail;
mod turn;
pub mod volume;

pub use deletes::{DeleteError, DeleteStatus, LogQlDeletes};
pub use engine::{QueryConfig, QueryEngine};
pub use error::QueryError;
pub use gate::Beside;
pub use language::{LogQuery, MetricQuery, Query, parse_selector, pretty};
pub use lookup::Looked;
pub use memory::{Held, QueryMemory, RegexMemory};
pub use patterns::PatternRequest;
pub use reader::{LabelFilter, Part, ReadRules, Reader};
pub use request::{CancelFlag, Direction, LogRequest, MetricRequest};
pub use result::{LogResult, MetricResult, Pattern, PatternResult, ResultEntry, ResultStream};
pub use share::{Ended, FlightWait, Maker, Shared};
pub use shareable::{Parked, Shareable};
pub use stats::QueryStats;
pub use turn::{Deadline, Queue, Turn, Waiting};
pub use volume::{StreamStats, VolumeRequest, VolumeResult};

#[cfg(test)]
mod tests;
