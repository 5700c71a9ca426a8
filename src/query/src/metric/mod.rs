//! What does a metric query compute from the samples that were read?
//!
//! Pure: nothing here reads lines, knows clocks or threads. [`evaluate`](evaluate::evaluate) walks the expression and
//! asks for its leaves (`rate({...}[5m])`); whoever reads lines computes these with [`window`] and [`partial`].

pub mod absent;
pub mod aggregate;
pub mod binary;
pub mod counter;
pub mod error;
pub mod evaluate;
pub mod label_replace;
pub mod leaf;
pub mod matching;
pub mod matrix;
pub mod order;
pub mod partial;
pub mod quantile;
pub mod sets;
pub mod sliding;
pub mod steps;
pub mod topk;
pub mod window;

pub use error::EvalError;
pub use evaluate::{Budget, Value, evaluate};
pub use leaf::{Leaf, NeededLabels, leaves, needed_labels};
pub use matrix::{Matrix, Point, Series, SeriesLabels};
pub use partial::{Partial, Reduction};
pub use steps::{Buckets, Steps, Windows};

#[cfg(test)]
mod naive;
#[cfg(test)]
mod testing;
