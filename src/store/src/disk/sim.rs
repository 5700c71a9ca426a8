//! The simulated disk (being written).
