//! The simulated disk, for tests outside of the store. Its source lies in the store, whose own tests use it too.

mod disk;

pub use disk::sim::{Faults, SimDisk};
