//! Do templates make what Loki makes?
