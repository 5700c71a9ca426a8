//! Does a real gRPC client get its logs in, on the port of their own and on the main one?

use crate::otlp_encoder;
use crate::rig::{Rig, free_port};
use bytes::{Buf, BufMut};
use serde_json::{Value, json};
use std::net::TcpListener;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};

const EXPORT: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const TS: &str = "1795219200500000000";

/// Messages as bytes.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(bytes.copy_to_bytes(bytes.remaining()).to_vec()))
    }
}

/// Sends one export and returns the response's bytes.
fn export(port: u16, gzip: bool, tenant: Option<&str>, message: Vec<u8>) -> Result<Vec<u8>, Status> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let channel =
            Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap().connect().await.unwrap();
        let mut client = Grpc::new(channel);
        if gzip {
            client = client
                .send_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Gzip);
        }
        client.ready().await.unwrap();
        let mut request = Request::new(message);
        if let Some(tenant) = tenant {
            request.metadata_mut().insert("x-scope-orgid", tenant.parse().unwrap());
        }
        let answer = client.unary(request, EXPORT.parse().unwrap(), Raw).await;
        answer.map(tonic::Response::into_inner)
    })
}

fn logs(records: Value) -> Vec<u8> {
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]});
    otlp_encoder::export(
        &json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}),
    )
}

fn record(line: &str) -> Value {
    json!({"timeUnixNano": TS, "body": {"stringValue": line}})
}

#[test]
fn exports_come_in_on_both_ports_and_are_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let mut rig = Rig::new(&folder.path().join("data"), &[("SERVER__OTLP_GRPC_LISTEN", &address)]);
    rig.start();
    let message = logs(json!([record("one"), record("two")]));
    for (port, gzip) in [(port, false), (port, true), (rig.port, true)] {
        assert_eq!(export(port, gzip, None, message.clone()).unwrap(), b"", "{port} {gzip}");
    }
    let found: Vec<String> = rig.entries(r#"{service_name="cart"}"#).into_iter().map(|e| e.2).collect();
    assert_eq!(found, ["one", "two"]);
    // Nothing to do is not an error.
    assert_eq!(export(port, false, None, Vec::new()).unwrap(), b"");

    let partly = logs(json!([record("three"), record(&"x".repeat(300_000))]));
    let answer = export(port, false, None, partly).unwrap();
    // partial_success {rejected_log_records: 1, error_message: ...}
    assert_eq!((answer[0], &answer[answer.len().min(3)..5]), (0x0a, &[0x08, 1][..]));
    assert!(String::from_utf8_lossy(&answer).contains("max entry size"));
    assert_eq!(rig.entries(r#"{service_name="cart"}"#).len(), 3);

    let refused = export(port, false, None, b"\x0b".to_vec()).unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "proto: illegal wireType 3"));
    let all = export(port, false, None, logs(json!([record(&"é".repeat(300_000))]))).unwrap_err();
    assert_eq!(all.code(), Code::InvalidArgument);
    assert_eq!(rig.get("/metrics", &[]).status, 200);
    assert!(rig.stop().success());
}

#[test]
fn tenants_are_asked_for_and_a_full_disk_says_when_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("AUTH__ENABLED", "true"), ("STORAGE__MIN_FREE_BYTES", "1000TiB")];
    let mut rig = Rig::new(&folder.path().join("data"), &settings);
    rig.start();
    let nobody = export(rig.port, false, None, logs(json!([record("x")]))).unwrap_err();
    assert_eq!((nobody.code(), nobody.message()), (Code::Unauthenticated, "no org id"));
    let full = export(rig.port, true, Some("team"), logs(json!([record("x")]))).unwrap_err();
    assert_eq!(full.code(), Code::Unavailable);
    let details = String::from_utf8_lossy(full.details()).into_owned();
    assert!(details.contains("type.googleapis.com/google.rpc.RetryInfo"), "{details}");
}

#[test]
fn a_port_that_is_taken_does_not_stop_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut rig = Rig::new(&folder.path().join("data"), &[("SERVER__OTLP_GRPC_LISTEN", &address)]);
    rig.start();
    assert!(rig.log_tail().contains("OTLP over gRPC has no port of its own"), "{}", rig.log_tail());
    assert_eq!(export(rig.port, false, None, logs(json!([record("x")]))).unwrap(), b"");
}
