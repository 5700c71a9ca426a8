//! How do OpenTelemetry's exporters hand over logs? Over HTTP on the main port, over gRPC there and on a port of its own.

pub(crate) mod grpc;
pub(crate) mod http;
mod status;
