//! Bodies of pushes in JSON, plain and packed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strandline_fuzz::push::decode;

fuzz_target!(init: strandline_fuzz::seeds::plant("push_json"), |data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let encoding = match choice {
        0 => Some("gzip"),
        1 => Some("deflate"),
        _ => None,
    };
    if let Ok(accepted) = decode("application/json", encoding, body) {
        for entry in &accepted.batch.entries {
            // In protobuf a line may be any bytes, in JSON they are replaced.
            assert!(std::str::from_utf8(accepted.batch.line(entry)).is_ok());
        }
    }
});
