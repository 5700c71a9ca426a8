//! Does the index do its work on text as logs have it?

use super::*;

const LOGS: [&str; 5] = [
    "ts=2025-04-11T12:35:54.412Z level=info msg=\"Product Catalog gRPC server started on port: 3550\" pid=1\n\
     ts=2025-04-11T12:35:55.001Z level=error msg=\"connection refused\" trace_id=0af7651916cd43dd8448eb211c80319c\n",
    "{\"level\":\"warn\",\"caller\":\"cart/store.go:118\",\"err\":\"dial tcp 10.42.0.17:6379: i/o timeout\"}\n\
     {\"level\":\"info\",\"caller\":\"cart/store.go:99\",\"user\":\"j\u{fc}rgen\"}\n",
    "10.0.3.7 - - [11/Apr/2025:12:36:01 +0000] \"GET /api/products/OLJCESPC7Z HTTP/1.1\" 200 1273 \"-\" \"curl/8.5.0\"\n",
    "java.lang.IllegalStateException: Connection pool shut down\n\tat org.apache.http.util.Asserts.check(Asserts.java:34)\n",
    "",
];

fn blocks() -> Vec<Block> {
    let mut blocks: Vec<Block> = LOGS.into_iter().map(Block::of).collect();
    for (i, block) in blocks.iter_mut().enumerate() {
        block.pairs = vec![("detected_level".to_owned(), ["info", "warn"][i % 2].to_owned()); 50];
        block.pairs.push(("span".to_owned(), format!("{i:08x}")));
    }
    blocks
}

#[test]
fn every_piece_of_every_line_is_found() {
    let (blocks, index) = (blocks(), index(&blocks()));
    for text in LOGS {
        for line in text.lines() {
            for from in 0..line.len() {
                for len in [1, 3, 8, 21, 60] {
                    let needle = literal(&line.as_bytes()[from..line.len().min(from + len)]);
                    let found = index.candidates(&needle);
                    assert!(scan(&blocks, &needle).iter().all(|block| found.contains(block)), "{needle:?}");
                }
            }
        }
    }
}

#[test]
fn questions_are_answered_with_few_blocks() {
    let index = index(&blocks());
    let found = |needle| index.candidates(&needle).iter().collect::<Vec<u32>>();
    assert_eq!(found(literal("connection refused")), [0]);
    assert_eq!(found(folded("CONNECTION")), [0, 3]);
    assert_eq!(found(literal("level=error")), [0]);
    assert_eq!(found(literal("0af7651916cd43dd8448eb211c80319c")), [0]);
    assert_eq!(found(literal("0.42.0.1")), [1]);
    assert_eq!(found(folded("JÜRGEN")), [1]);
    assert_eq!(found(literal("OLJCESPC7Z HTTP/1.1\" 200")), [2]);
    assert_eq!(found(Needle::OneOf(vec![literal("timeout"), literal("Asserts.java")])), [1, 3]);
    assert_eq!(found(Needle::All(vec![literal("timeout"), literal("Asserts.java")])), [0; 0]);
    assert_eq!(found(literal(": ")), [0, 1, 2, 3, 4]);
    for absent in ["zqxj", " zqxj ", "zqxj ", " zqxj", "connection reset", "LEVEL"] {
        assert_eq!(found(literal(absent)), [0; 0], "{absent}");
    }
}

#[test]
fn metadata_is_no_line_and_lines_are_no_metadata() {
    let index = index(&blocks());
    let pair = |name: &str, value: &str| {
        index.candidates(&Needle::Metadata { name: name.to_owned(), value: value.to_owned() })
    };
    assert!(pair("detected_level", "info").iter().eq([0, 2, 4]));
    assert!(pair("span", "00000003").iter().eq([3]));
    assert!(pair("span", "00000009").is_empty() && pair("level", "info").is_empty());
    assert!(index.candidates(&literal("detected_level")).is_empty());
}

#[test]
fn equal_input_gives_equal_bytes() {
    // Each builder hashes with a seed of its own.
    let (one, two) = (encode(&blocks()), encode(&blocks()));
    assert_eq!(one, two);
}

#[test]
fn a_segment_without_blocks_or_without_tokens_is_fine() {
    assert_eq!(index(&[]).candidates(&literal("a")).blocks(), 0);
    let index = index(&[Block::of(""), Block::of("\n\n"), Block::of(" - \n")]);
    assert!(index.candidates(&literal("a")).is_empty() && index.candidates(&folded("a")).is_empty());
    assert!(index.candidates(&literal("-")).is_all() && index.candidates(&Needle::Any).is_all());
    assert_eq!(index.blocks(), 3);
}

#[test]
fn memory_is_counted() {
    let mut builder = TextIndexBuilder::new();
    let before = builder.memory_bytes();
    let lines: String = (0..100_000).map(|i| format!("token{i}\n")).collect();
    builder.add_block(lines.as_bytes(), std::iter::empty());
    assert!(builder.memory_bytes() > before + lines.len());
    let encoded = builder.finish().unwrap();
    let index = TextIndex::open(&encoded.terms, &encoded.tantivy).unwrap();
    assert!((lines.len()..lines.len() * 2).contains(&index.memory_bytes()));
}
