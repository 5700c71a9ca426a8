//! The logql room.
