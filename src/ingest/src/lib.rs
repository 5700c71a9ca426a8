//! How does what was pushed become checked, enriched batches?
//!
//! It knows neither the transport of a line nor the language of queries.

pub mod active;
pub mod admission;
pub mod counts;
pub mod enrich;
pub mod formats;
pub mod intake;
pub mod label_cache;
pub mod level;
mod metadata;
mod push_memory;
pub mod quota;
pub mod refused_lines;
pub mod rejections;
pub mod submit;
mod validate;

pub use active::{ActiveStreams, NewStreams};
pub use admission::{Admission, AdmissionConfig, Outcome, Payload, PushError, Sender};
pub use counts::PushCounts;
pub use intake::{Accepted, Intake, IntakeError};
pub use label_cache::LabelCache;
pub use level::Level;
pub use metadata::{SharedMetadata, normalised_name, text_or_spaces};
pub use push_memory::PushMemory;
pub use quota::{Admitted, OverRate, Quotas};
pub use refused_lines::{Refusal, RefusedLines, RefusedRange};
pub use rejections::{Reason, Rejections};
pub use strandline_store::StoreError;
pub use submit::{SubmitError, Submitter};
