//! A text index of foreign terms behind seals that hold: it is refused or answers any question.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use strandline_model::Needle;
use strandline_store::fuzzing::text::{assemble, sample};
use strandline_store::text::TextIndex;

/// The postings of terms that all stand in three blocks. What tantivy reads is never damaged on purpose: see the module.
static POSTINGS: LazyLock<Vec<u8>> = LazyLock::new(|| sample(true).unwrap().tantivy);

fuzz_target!(init: strandline_fuzz::seeds::plant("text"), |data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let part = if *choice == 0 { Some(rest.to_vec()) } else { assemble(rest) };
    let Some(part) = part else { return };
    for postings in [&[], POSTINGS.as_slice()] {
        let Ok(index) = TextIndex::open(&part, postings) else { continue };
        let text = rest.get(..rest.len().min(12)).unwrap_or_default();
        for needle in [
            Needle::Any,
            Needle::Literal(b"alpha0".to_vec()),
            Needle::Literal(b"a0 be".to_vec()),
            Needle::Literal(b"\n".to_vec()),
            Needle::Literal(text.to_vec()),
            Needle::LiteralFolded("BETA1 delta".into()),
            Needle::LiteralFolded(String::from_utf8_lossy(text).into_owned()),
            Needle::Metadata { name: "user".into(), value: "u1".into() },
        ] {
            let found = index.candidates(&needle);
            assert!(found.iter().all(|block| block < index.blocks()), "{needle:?}");
        }
        let _ = index.memory_bytes();
    }
});
