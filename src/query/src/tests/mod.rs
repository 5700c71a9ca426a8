//! Are answers right, over stores in every state?

mod bounds;
mod broken;
mod damage;
mod deletes;
mod metrics;
mod model;
mod patterns;
mod readers;
mod rig;
mod rule;
mod run;
mod second_tier;
mod summaries;
mod tail;
mod volume;
