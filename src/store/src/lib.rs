//! The engine: durable ingest, indexed segments, labels, settling, retention. Knows no LogQL and no HTTP;
//! runs without tokio, on any [`disk::Disk`] and [`strandline_model::Clock`].

pub mod disk;
