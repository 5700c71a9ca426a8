//! The reader of documents on foreign bytes, also behind a checksum that holds: what it takes it can write and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strandline_store::fuzzing::{read_document, seal_document, write_document};

fuzz_target!(init: strandline_fuzz::seeds::plant("document"), |data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let file = if *choice == 0 { rest.to_vec() } else { seal_document(rest.to_vec()) };
    let Some(document) = read_document(&file) else { return };
    let written = write_document(&document);
    assert_eq!(read_document(&written), Some(document));
    // A length can be written in more bytes than it needs.
    assert!(written.len() <= file.len());
});
