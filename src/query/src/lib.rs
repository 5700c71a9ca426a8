//! The query room: which blocks can hold the answer, and what is it?
//!
//! A query is parsed ([`language`]), planned segment by segment, and run block by block on a pool of threads of its
//! own. It knows LogQL's meaning and the engine's parts; it knows neither HTTP nor Loki's JSON.

mod damage;
mod engine;
mod error;
mod execute;
mod frontier;
mod gate;
pub mod language;
mod logs;
#[allow(dead_code, unused_imports, reason = "nothing reads lines for it yet")]
mod metric;
mod plan;
mod pool;
pub mod request;
pub mod result;
mod rows;
mod scope;
pub mod stats;

pub use engine::{QueryConfig, QueryEngine};
pub use error::QueryError;
pub use language::{LogQuery, parse_selector};
pub use request::{CancelFlag, Direction, LogRequest};
pub use result::{LogResult, ResultEntry, ResultStream};
pub use stats::QueryStats;

#[cfg(test)]
mod tests;
