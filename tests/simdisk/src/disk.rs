//! Where the simulated disk's source finds the trait that it implements.

pub use strandline_store::disk::*;

#[path = "../../../src/store/src/disk/sim/mod.rs"]
pub mod sim;
