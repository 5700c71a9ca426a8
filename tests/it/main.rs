//! Integration tests: one binary, a module per subject.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]
#![allow(clippy::print_stdout, reason = "the story of a failing seed, and why a test was skipped")]

mod access;
mod allocations;
mod architecture;
mod bundle;
mod circles;
mod clients;
mod deletes;
mod documents;
mod durability;
mod flips;
mod formats;
mod grafana;
mod input;
mod kill;
mod language;
mod ledger;
mod licences;
mod load;
mod memory;
mod open_files;
#[path = "../../src/ingest/src/formats/otlp/encoder.rs"]
mod otlp_encoder;
mod otlp_grpc;
mod outage;
mod power;
mod push_clients;
mod races;
mod readme;
mod release;
mod rig;
mod roundtrip;
mod sim;
mod sites;
mod sketches;
mod source;
mod tail;
mod uptime;
mod wait;
