//! A disk with one file on it.

use std::sync::Arc;
use strandline_simdisk::SimDisk;
use strandline_store::disk::{Disk, parent};

/// A simulated disk that has `bytes` at `path` and nothing else.
pub fn disk_with(path: &str, bytes: &[u8]) -> (SimDisk, Arc<dyn Disk>) {
    let sim = SimDisk::new(1);
    sim.create_dir(parent(path)).unwrap();
    sim.write_file(path, bytes).unwrap();
    (sim.clone(), Arc::new(sim))
}
