//! What does a metric query compute from the samples that were read?
//!
//! Pure: nothing here reads lines, knows clocks or threads. [`evaluate`](evaluate::evaluate) walks the expression and
//! asks for its leaves (`rate({...}[5m])`); whoever reads lines computes these with [`window`] and [`partial`].

pub(crate) mod absent;
pub(crate) mod aggregate;
pub(crate) mod binary;
pub(crate) mod counter;
pub(crate) mod error;
pub(crate) mod evaluate;
pub(crate) mod label_replace;
pub(crate) mod leaf;
pub(crate) mod matching;
pub(crate) mod matrix;
pub(crate) mod operator;
pub(crate) mod order;
pub(crate) mod partial;
pub(crate) mod quantile;
pub(crate) mod sets;
pub(crate) mod sliding;
pub(crate) mod steps;
pub(crate) mod topk;
pub(crate) mod value;
pub(crate) mod window;

pub use error::EvalError;
pub use evaluate::{Budget, evaluate};
pub use leaf::{Leaf, NeededLabels, leaves, needed_labels};
pub use matrix::{Matrix, Point, Series, SeriesLabels};
pub use partial::{Partial, Reduction};
pub use steps::{Buckets, Steps, Windows};
pub use value::Value;

#[cfg(test)]
mod naive;
#[cfg(test)]
mod testing;
