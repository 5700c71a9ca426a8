//! Is every block that a scan finds among the candidates, whatever the lines and the needles are?

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Pieces that lines and needles are made of: few, so that needles hit; with each kind of byte the index treats apart.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let short = select(vec![
        "a", "b", "A", "ab", "k", "K", "\u{212a}", "s", "\u{17f}", "é", "É", "ß", "_", "7", " ", " ", ".",
        "=", "-", "\"", "λ", "Λ",
    ]);
    prop_oneof![
        40 => short.prop_map(|text| text.as_bytes().to_vec()),
        2 => select(vec![b"\xff".to_vec(), b"\xc3".to_vec(), b"\x00".to_vec(), b"\x84\xaa".to_vec()]),
        2 => (select(vec!["a", "k", "\u{212a}", "ab"]), select(vec![1usize, 31, 33, 64, 126, 128, 130, 300]))
            .prop_map(|(text, times)| text.repeat(times).into_bytes()),
    ]
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        30 => vec(piece(), 0..12).prop_map(|pieces| pieces.concat()),
        // Longer than any term, so that tokens really are cut.
        1 => (vec(piece(), 0..4), select(vec![8191usize, 8192, 8193, 9000]), vec(piece(), 0..4)).prop_map(
            |(before, times, after)| [before.concat(), vec![b'a'; times], after.concat()].concat()
        ),
    ]
}

fn block() -> impl Strategy<Value = Block> {
    let pairs = vec(("[ab]", "[a-c]{0,2}"), 0..6);
    (vec(line(), 0..8), pairs).prop_map(|(lines, pairs)| {
        let lines = lines.into_iter().flat_map(|line| [line, b"\n".to_vec()].concat()).collect();
        Block { lines, pairs }
    })
}

/// A needle that may have to be cut from the blocks first.
#[derive(Debug, Clone)]
enum Plan {
    Made(Needle),
    Cut { block: Index, from: Index, len: usize, folded: bool },
    Whole { block: Index, line: Index, folded: bool },
    All(Vec<Plan>),
    OneOf(Vec<Plan>),
}

fn plan() -> impl Strategy<Value = Plan> {
    let text = || vec(piece(), 0..5).prop_map(|pieces| pieces.concat());
    let leaf = prop_oneof![
        1 => Just(Plan::Made(Needle::Any)),
        4 => text().prop_map(|bytes| Plan::Made(Needle::Literal(bytes))),
        4 => text().prop_map(|bytes| Plan::Made(folded(&String::from_utf8_lossy(&bytes)))),
        12 => (any::<Index>(), any::<Index>(), 1usize..200, any::<bool>())
            .prop_map(|(block, from, len, folded)| Plan::Cut { block, from, len, folded }),
        4 => (any::<Index>(), any::<Index>(), any::<bool>())
            .prop_map(|(block, line, folded)| Plan::Whole { block, line, folded }),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![vec(inner.clone(), 0..3).prop_map(Plan::All), vec(inner, 0..3).prop_map(Plan::OneOf)]
    })
}

fn needle_of(bytes: &[u8], fold: bool) -> Needle {
    match std::str::from_utf8(bytes) {
        // Long folded patterns make the test slow, not better.
        Ok(text) if fold && text.len() < 1000 => folded(&text.to_uppercase()),
        _ => literal(bytes),
    }
}

fn needle(plan: &Plan, blocks: &[Block]) -> Needle {
    let all = |plans: &[Plan]| plans.iter().map(|plan| needle(plan, blocks)).collect();
    match plan {
        Plan::Made(needle) => needle.clone(),
        Plan::Cut { block, from, len, folded } => {
            let lines = &block.get(blocks).lines;
            let from = from.index(lines.len() + 1);
            needle_of(&lines[from..lines.len().min(from + len)], *folded)
        }
        Plan::Whole { block, line, folded } => {
            let lines: Vec<&[u8]> = block.get(blocks).lines.split(|&b| b == b'\n').collect();
            needle_of(lines[line.index(lines.len())], *folded)
        }
        Plan::All(plans) => Needle::All(all(plans)),
        Plan::OneOf(plans) => Needle::OneOf(all(plans)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_block_is_missed(blocks in vec(block(), 1..8), plans in vec(plan(), 1..30)) {
        let index = index(&blocks);
        for plan in &plans {
            let needle = needle(plan, &blocks);
            let (found, wanted) = (index.candidates(&needle), scan(&blocks, &needle));
            for block in wanted.iter() {
                prop_assert!(found.contains(block), "{:?} misses block {}", needle, block);
            }
        }
    }

    #[test]
    fn metadata_is_found_exactly(blocks in vec(block(), 0..8), name in "[ab]", value in "[a-c]{0,2}") {
        let needle = Needle::Metadata { name, value };
        prop_assert_eq!(index(&blocks).candidates(&needle), scan(&blocks, &needle));
    }

    #[test]
    fn a_single_run_is_found_exactly(
        blocks in vec(vec("[ab_7é]{1,4}[ =.]{0,2}[ab]{0,3}", 0..6), 1..80),
        run in "[ab_7é]{1,5}",
    ) {
        let blocks: Vec<Block> = blocks.iter().map(|lines| Block::of(&(lines.join("\n") + "\n"))).collect();
        let index = index(&blocks);
        prop_assert_eq!(index.candidates(&literal(&run)), scan(&blocks, &literal(&run)));
        prop_assert_eq!(index.candidates(&folded(&run)), scan(&blocks, &folded(&run)));
    }

    #[test]
    fn long_tokens_are_found_however_they_are_stored(
        lengths in vec(select(vec![100usize, 128, 129, 200, 4000, 8192, 8193, 20_000]), 1..12),
        want in select(vec![100usize, 127, 128, 129, 200, 3999, 8192, 8193, 20_000]),
        (left, right) in any::<(bool, bool)>(),
    ) {
        // Together more than the block's room for long tokens, so some are whole and some cut.
        let lines: String = lengths.iter().zip('a'..).map(|(&n, c)| format!(".{}{c}.\n", "a".repeat(n - 1))).collect();
        let blocks = [Block::of("b\n"), Block::of(&lines), Block::of("a\n")];
        let bound = |yes| if yes { "." } else { "" };
        let needle = literal(format!("{}{}{}", bound(left), "a".repeat(want), bound(right)));
        let (found, wanted) = (index(&blocks).candidates(&needle), scan(&blocks, &needle));
        prop_assert!(wanted.iter().all(|block| found.contains(block)));
        prop_assert!(!found.contains(0) && !found.contains(2));
    }
}

#[test]
fn folding_reaches_letters_of_other_lengths() {
    let blocks =
        [Block::of("\u{212a}afka\n"), Block::of("KAFKA\n"), Block::of("stra\u{17f}e\n"), Block::of("x\n")];
    let index = index(&blocks);
    assert!(index.candidates(&folded("kafka")).iter().eq([0, 1]));
    assert!(index.candidates(&folded("STRASE")).iter().eq([2]));
    assert!(index.candidates(&folded("\u{212a}AF")).iter().eq([0, 1]));
    assert!(index.candidates(&folded("straße")).is_empty());
}

#[test]
fn a_run_in_very_many_terms_narrows_nothing() {
    let many: String = (0..3000).map(|i| format!("tok{i}\n")).collect();
    let blocks = [Block::of(&many), Block::of(&many), Block::of("other\n")];
    let index = index(&blocks);
    assert!(index.candidates(&literal("tok")).is_all());
    assert!(index.candidates(&literal("tok29")).iter().eq([0, 1]));
    assert!(index.candidates(&literal("ther")).iter().eq([2]));
}

#[test]
fn many_common_terms_keep_their_own_blocks() {
    let stands = |term: usize, block: usize| term % 9 == block || term % 7 == block || term % 5 == block;
    let blocks: Vec<Block> = (0..9)
        .map(|block| {
            let terms = || (0..500).filter(move |&term| stands(term, block));
            let lines: String = terms().map(|term| format!("id{term:03}x\n")).collect();
            let pairs = terms().map(|term| ("id".to_owned(), term.to_string())).collect();
            Block { lines: lines.into_bytes(), pairs }
        })
        .collect();
    let index = index(&blocks);
    for term in 0..500 {
        let needle = literal(format!("{term:03}x"));
        assert_eq!(index.candidates(&needle), scan(&blocks, &needle));
        let pair = Needle::Metadata { name: "id".to_owned(), value: term.to_string() };
        assert_eq!(index.candidates(&pair), scan(&blocks, &pair));
    }
}
