//! Does the index as a whole answer as a scan of the lines would?

mod damage;
mod logs;
mod soundness;

use super::{BlockSet, EncodedTextIndex, TextIndex, TextIndexBuilder};
use regex::bytes::Regex;
use strandline_model::Needle;

type Pair = (String, String);

/// A block of a test: its lines, each followed by `\n`, and its metadata.
#[derive(Debug, Clone, Default)]
struct Block {
    lines: Vec<u8>,
    pairs: Vec<Pair>,
}

impl Block {
    fn of(lines: &str) -> Block {
        Block { lines: lines.as_bytes().to_vec(), pairs: Vec::new() }
    }
}

type Test = Box<dyn Fn(&[u8]) -> bool>;

/// Whether a line passes. Metadata is not kept by line here; no test puts it beside a condition on the same line.
fn line_test(needle: &Needle) -> Test {
    let tests = |needles: &[Needle]| needles.iter().map(line_test).collect::<Vec<Test>>();
    match needle {
        Needle::Any | Needle::Metadata { .. } => Box::new(|_| true),
        Needle::Literal(bytes) => {
            let finder = memchr::memmem::Finder::new(bytes).into_owned();
            Box::new(move |line| finder.find(line).is_some())
        }
        Needle::LiteralFolded(text) => {
            let regex = Regex::new(&format!("(?i){}", regex::escape(text))).unwrap();
            Box::new(move |line| regex.is_match(line))
        }
        Needle::All(needles) => {
            let tests = tests(needles);
            Box::new(move |line| tests.iter().all(|test| test(line)))
        }
        Needle::OneOf(needles) => {
            let tests = tests(needles);
            Box::new(move |line| tests.iter().any(|test| test(line)))
        }
    }
}

fn encode(blocks: &[Block]) -> EncodedTextIndex {
    let mut builder = TextIndexBuilder::new();
    for block in blocks {
        builder.add_block(&block.lines, block.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    }
    assert_eq!(builder.blocks() as usize, blocks.len());
    builder.finish().unwrap()
}

fn index(blocks: &[Block]) -> TextIndex {
    let encoded = encode(blocks);
    TextIndex::open(&encoded.terms, &encoded.tantivy).unwrap()
}

/// The blocks with an entry that passes, found by looking at all of them.
fn scan(blocks: &[Block], needle: &Needle) -> BlockSet {
    let mut found = BlockSet::none(blocks.len() as u32);
    let test = line_test(needle);
    for (i, block) in (0u32..).zip(blocks) {
        let hit = match needle {
            Needle::Metadata { name, value } => block.pairs.iter().any(|(n, v)| n == name && v == value),
            _ => block.lines.split(|&b| b == b'\n').any(&test),
        };
        if hit {
            found.insert(i);
        }
    }
    found
}

fn literal(text: impl AsRef<[u8]>) -> Needle {
    Needle::Literal(text.as_ref().to_vec())
}

fn folded(text: &str) -> Needle {
    Needle::LiteralFolded(text.to_owned())
}
