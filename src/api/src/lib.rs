//! The api room.

pub mod push;
