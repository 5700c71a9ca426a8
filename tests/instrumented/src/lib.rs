//! The store's source with two things more: scheduling points at its locks ([`schedule`]) and planted bugs
//! ([`planted`]). `build.rs` makes the copy; nothing of this is in the package that is shipped.
#![allow(warnings, clippy::all, reason = "the copy is checked where it comes from")]

mod mutations;
pub mod planted;
pub mod schedule;

include!(concat!(env!("OUT_DIR"), "/root.rs"));
