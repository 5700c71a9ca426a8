//! Bodies of pushes in protobuf: messages in sound snappy, and bytes that may be no snappy at all.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strandline_fuzz::push::decode;

const PROTOBUF: &str = "application/x-protobuf";

fuzz_target!(init: strandline_fuzz::seeds::plant("push_protobuf"), |data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    match choice {
        0 => drop(decode(PROTOBUF, None, body)),
        1 => drop(decode(PROTOBUF, Some("gzip"), body)),
        2 => drop(decode(PROTOBUF, Some("deflate"), body)),
        // The snappy around a message is of no interest to the mutator.
        _ => {
            let packed = snap::raw::Encoder::new().compress_vec(body).unwrap();
            drop(decode(PROTOBUF, None, &packed));
        }
    }
});
