//! How does Loki's API read requests and write answers?

pub(crate) mod delete;
pub(crate) mod detected;
mod duration;
pub(crate) mod format;
mod json;
pub(crate) mod labels;
pub(crate) mod legacy;
pub(crate) mod logs;
mod metrics;
pub(crate) mod patterns;
pub(crate) mod push;
pub(crate) mod rules;
mod selector;
mod stats;
mod streams;
pub(crate) mod tail;
pub(crate) mod volume;
mod window;
