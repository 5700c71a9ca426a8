//! What every crate agrees on: labels, streams, entries, time, tenants, selections, limits.
//!
//! No I/O, no async, no serde: wire and disk formats belong to the crates that own them.

pub mod batch;
pub mod clock;
pub mod labels;
pub mod limits;
pub mod memory;
pub mod metadata;
pub mod needle;
pub mod otlp;
pub mod polling;
pub mod selector;
pub mod tenant;
pub mod time;

pub use batch::{Batch, BatchBuilder, BatchEntry, BatchStream};
pub use clock::{Alarm, Clock, ManualClock, Signal, SystemClock, Tick, Wait, WallTicks, Woke};
pub use labels::{LabelError, Labels, StreamId};
pub use limits::{DeletionMode, Limits, TenantLimits};
pub use memory::{Class as MemoryClass, Exhausted, Lease, MemoryBudget};
pub use metadata::Metadata;
pub use needle::Needle;
pub use otlp::OtlpRules;
pub use selector::{MatchOp, Matcher, Selector, ValuePattern};
pub use tenant::{TenantError, TenantId};
pub use time::{Day, TimeRange};
