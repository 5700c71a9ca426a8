//! What do the small messages of OTLP's answers look like? `google.rpc.Status`, and an export's response.

use strandline_model::metadata::put_varint;

/// `google.rpc.Status` with a message alone, as Loki sends it.
pub(super) fn status(message: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 4);
    put_bytes(&mut out, 2, message.as_bytes());
    out
}

/// `google.rpc.Status` that says when to try again: a `google.rpc.RetryInfo` among its details.
pub(super) fn retry_status(code: u64, message: &str, seconds: u64) -> Vec<u8> {
    let mut delay = Vec::new();
    put_number(&mut delay, 1, seconds);
    let mut info = Vec::new();
    put_bytes(&mut info, 1, &delay);
    let mut any = Vec::new();
    put_bytes(&mut any, 1, b"type.googleapis.com/google.rpc.RetryInfo");
    put_bytes(&mut any, 2, &info);
    let mut out = Vec::new();
    put_number(&mut out, 1, code);
    put_bytes(&mut out, 2, message.as_bytes());
    put_bytes(&mut out, 3, &any);
    out
}

/// `ExportLogsServiceResponse`; empty when nothing was rejected.
pub(super) fn export_response(rejected: u64, message: &str) -> Vec<u8> {
    let mut out = Vec::new();
    if rejected > 0 {
        let mut partial = Vec::new();
        put_number(&mut partial, 1, rejected);
        put_bytes(&mut partial, 2, message.as_bytes());
        put_bytes(&mut out, 1, &partial);
    }
    out
}

fn put_number(out: &mut Vec<u8>, field: u64, number: u64) {
    put_varint(out, field << 3);
    put_varint(out, number);
}

fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_as_the_schema_has_them() {
        assert_eq!(status("no"), b"\x12\x02no");
        assert_eq!(export_response(0, "ignored"), b"");
        assert_eq!(export_response(300, "no"), b"\x0a\x07\x08\xac\x02\x12\x02no");
        let retry = retry_status(14, "no", 1);
        assert_eq!(retry[..8], *b"\x08\x0e\x12\x02no\x1a\x30");
        assert!(retry.ends_with(b"google.rpc.RetryInfo\x12\x04\x0a\x02\x08\x01"));
        assert_eq!(retry.len(), 8 + 0x30);
    }
}
