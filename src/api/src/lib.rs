//! HTTP: what did the client mean, and what does it get back?
//!
//! Loki's API over axum. Handlers read parameters, hand CPU work to blocking threads, and write the answer; business
//! rules live in the crates below.

pub mod access;
mod config;
mod control;
mod explain;
mod http;
mod loki;
mod operate;
mod otlp;
mod process;
mod receive;
mod router;
mod state;

pub use config::ApiConfig;
pub use http::serve::{ApiError, serve, serve_otlp_grpc};
pub use http::tls::{Tls, TlsError, TlsFiles};
pub use process::Process;
pub use state::ApiState;

#[cfg(test)]
mod tests;
