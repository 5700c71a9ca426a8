//! Logs through tracing-loki and OpenTelemetry's Rust SDK: `strandline-clients BASE_URL GRPC_ADDRESS LINES`.

use opentelemetry::KeyValue;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{LogExporter, Protocol, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use std::error::Error;
use std::time::Duration;
use tracing_subscriber::layer::SubscriberExt;

fn log(lines: usize) {
    for i in 0..lines {
        let part = if i % 2 == 0 { "even" } else { "odd" };
        tracing::error!(part, n = i as i64, "line {i}");
    }
}

async fn loki(base: &str, lines: usize) -> Result<(), Box<dyn Error>> {
    let (layer, controller, task) = tracing_loki::builder()
        .label("app", "tracing-loki")?
        .build_controller_url(url::Url::parse(base)?)?;
    let task = tokio::spawn(task);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || log(lines));
    controller.shutdown().await;
    task.await?;
    Ok(())
}

async fn otlp(name: &'static str, exporter: LogExporter, lines: usize) -> Result<(), Box<dyn Error>> {
    let resource = Resource::builder()
        .with_service_name(name)
        .with_attribute(KeyValue::new("k8s.namespace.name", "test"))
        .with_attribute(KeyValue::new("host.name", "here"));
    let provider =
        SdkLoggerProvider::builder().with_resource(resource.build()).with_batch_exporter(exporter).build();
    let layer = OpenTelemetryTracingBridge::new(&provider);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || log(lines));
    // Blocks until the exporter has its answers.
    tokio::task::spawn_blocking(move || {
        provider.force_flush()?;
        provider.shutdown_with_timeout(Duration::from_secs(10))
    })
    .await??;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().ok_or("usage: strandline-clients BASE_URL GRPC_ADDRESS LINES");
    let (base, grpc, lines) = (next()?, next()?, next()?.parse()?);
    loki(&base, lines).await?;
    let http = |protocol, path: &str| {
        let endpoint = format!("{base}{path}");
        // Built on a thread of its own: the blocking client refuses to be made inside a runtime.
        std::thread::spawn(move || {
            LogExporter::builder().with_http().with_protocol(protocol).with_endpoint(endpoint).build()
        })
        .join()
        .map_err(|_| "the exporter broke")
    };
    otlp("otlp-rust-http", http(Protocol::HttpBinary, "/otlp/v1/logs")??, lines).await?;
    otlp("otlp-rust-json", http(Protocol::HttpJson, "/v1/logs")??, lines).await?;
    let exporter = LogExporter::builder().with_tonic().with_endpoint(format!("http://{grpc}")).build()?;
    otlp("otlp-rust-grpc", exporter, lines).await?;
    Ok(())
}
