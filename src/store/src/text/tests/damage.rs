//! Is every input that is not an encoded index refused, without a panic?

use super::super::sealed;
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn sample() -> EncodedTextIndex {
    let pairs = |n: u32| vec![("level".to_owned(), "info".to_owned()), ("trace".to_owned(), n.to_string())];
    let blocks: Vec<Block> = (0..5)
        .map(|n| Block {
            lines: format!("request {n} took {}ms on host-{}\nretry {}\n", n * 7, n % 2, "z".repeat(9000))
                .into_bytes(),
            pairs: pairs(n),
        })
        .collect();
    encode(&blocks)
}

fn ask(index: &TextIndex) {
    for needle in
        [literal("request"), literal(" took "), literal("o"), literal("z".repeat(500)), folded("HOST-1")]
    {
        let _ = index.candidates(&needle).len();
    }
    let _ = index.candidates(&Needle::Metadata { name: "level".to_owned(), value: "info".to_owned() });
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let EncodedTextIndex { terms, tantivy } = sample();
    for (part, other) in [(&terms, &tantivy), (&tantivy, &terms)] {
        let open = |bytes: &[u8]| {
            if std::ptr::eq(part, &terms) {
                TextIndex::open(bytes, other)
            } else {
                TextIndex::open(other, bytes)
            }
        };
        assert!(open(part).is_ok());
        for at in 0..part.len() {
            let mut bad = part.clone();
            bad[at] ^= 1 << (at % 8);
            assert!(open(&bad).is_err(), "byte {at}");
            assert!(open(&part[..at]).is_err(), "cut at {at}");
        }
    }
}

#[test]
fn parts_of_different_indexes_do_not_go_together() {
    let one = encode(&[Block::of("a b\n"), Block::of("a b\n")]);
    let two = encode(&[Block::of("a\n"), Block::of("a\n")]);
    assert!(TextIndex::open(&one.terms, &two.tantivy).is_err());
    assert!(TextIndex::open(&two.terms, &one.tantivy).is_err());
}

proptest! {
    #[test]
    fn foreign_bytes_are_refused(terms in vec(any::<u8>(), 0..200), tantivy in vec(any::<u8>(), 0..200)) {
        prop_assert!(TextIndex::open(&terms, &tantivy).is_err());
    }

    /// Behind the checksum too, the terms are taken apart with care.
    #[test]
    fn damage_with_a_right_checksum_never_panics(
        flips in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let EncodedTextIndex { mut terms, tantivy } = sample();
        for (at, byte) in flips {
            // The format byte stays, or all would end there.
            let at = 9 + at.index(terms.len() - 9);
            terms[at] = byte;
        }
        if let Some(cut) = cut {
            terms.truncate(9 + cut.index(terms.len() - 9));
        }
        if let Ok(index) = TextIndex::open(&sealed::seal(terms), &tantivy) {
            ask(&index);
        }
    }
}
