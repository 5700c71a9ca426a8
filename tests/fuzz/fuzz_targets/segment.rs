//! A segment's reader on foreign bytes, also behind checksums that hold: all of it is read as the query engine does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strandline_fuzz::disk::disk_with;
use strandline_model::{Needle, Selector};
use strandline_store::fuzzing::segment::{assemble, open, verify};
use strandline_store::segment::{Columns, Segment};

const PATH: &str = "x/s.seg";

fuzz_target!(init: strandline_fuzz::seeds::plant("segment"), |data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let file = if *choice == 0 { Some(rest.to_vec()) } else { assemble(rest) };
    let Some(file) = file else { return };
    let (sim, _) = disk_with(PATH, &file);
    let Ok(segment) = open(&sim, PATH) else { return };
    read(&segment);
});

fn read(segment: &Segment) {
    let damage = verify(segment);
    let streams = segment.streams();
    let mut counted = 0;
    let walked = segment.each_stream(|ordinal, _| {
        assert_eq!(ordinal as usize, counted);
        counted += 1;
    });
    assert_eq!(walked.is_ok(), streams.is_ok());
    let mut selected = 0;
    if segment.selected_between((0, u32::MAX), &Selector::all(), |_, _| selected += 1).is_ok()
        && streams.is_ok()
    {
        assert_eq!(selected, counted);
    }
    if let Ok(streams) = &streams {
        assert_eq!(streams.len(), counted);
        for row in streams.iter().take(16) {
            let _ = segment.find_stream(&row.labels);
        }
    }
    blocks(segment, damage.is_empty());
    if let Ok(Some(text)) = segment.text() {
        for needle in [
            Needle::Literal(b"line 7".to_vec()),
            Needle::LiteralFolded("Words".into()),
            Needle::Metadata { name: "user".into(), value: "u1".into() },
        ] {
            let found = text.candidates(&needle);
            assert!(found.iter().all(|block| block < text.blocks()));
        }
    }
}

fn blocks(segment: &Segment, sound: bool) {
    let Ok(table) = segment.table() else {
        assert!(!sound);
        return;
    };
    for (index, row) in table.blocks.iter().enumerate() {
        let _ = segment.metadata(index, |name| name == "user");
        let _ = segment.block(index, Columns { times: true, ..Columns::default() });
        let Ok(block) = segment.block(index, Columns::ALL) else {
            assert!(!sound);
            continue;
        };
        assert_eq!(block.rows, row.rows as usize);
        let mut packed = Vec::new();
        for at in (0..block.rows).take(1000) {
            assert_eq!(block.line(at).len(), block.line_len(at) as usize);
            let _ = block.packed_metadata(at, &mut packed);
        }
        for run in &block.runs {
            assert!(block.rows_of(run.stream).end <= block.rows);
        }
        assert!(segment.block(table.blocks.len(), Columns::ALL).is_err());
    }
}
