//! Which planted bug is switched on in this thread?

pub use crate::mutations::{Edit, MUTATIONS, Mutation};
use std::cell::Cell;

/// Mutations that the store's source does not fit any more, and that are in no test's reach therefore.
pub const STALE: &[&str] = include!(concat!(env!("OUT_DIR"), "/stale.rs"));

thread_local! {
    static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Switches a bug on for this thread, or off.
pub fn plant(name: Option<&'static str>) {
    PLANTED.set(name);
}

/// What is switched on.
pub fn planted() -> Option<&'static str> {
    PLANTED.get()
}

/// Whether this bug is switched on.
pub fn is(name: &str) -> bool {
    PLANTED.get() == Some(name)
}
