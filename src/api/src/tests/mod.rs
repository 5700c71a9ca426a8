//! Does the HTTP server work? Requests over real connections to a store in a temporary folder.

mod ask;
#[path = "../../../ingest/src/formats/encoder.rs"]
#[allow(dead_code)]
mod encoder;
mod heads;
mod hosts;
mod leases;
mod limits;
mod rig;
mod routes;
mod sharing;
mod slots;
mod stalled;
mod write;
