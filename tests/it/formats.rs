//! Data directories of older formats are carried over and read whole.

use std::path::Path;
use std::sync::Arc;
use strandline_model::{ManualClock, TenantId, TimeRange};
use strandline_store::disk::RealDisk;
use strandline_store::documents::{Collection, Version};
use strandline_store::engine::{Engine, EngineConfig};
use strandline_store::segment::Columns;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

#[test]
fn format_1_is_read_whole() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/format-1");
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture, folder.path());
    assert_eq!(std::fs::read_to_string(folder.path().join("FORMAT")).unwrap(), "1\n1 first layout\n");
    let disk = Arc::new(RealDisk::new(folder.path()).unwrap());
    let clock = Arc::new(ManualClock::at(1_795_219_300_000_000_000));
    let (engine, report) = Engine::open(disk, clock, EngineConfig::default()).unwrap();
    assert!(report.damage.is_empty() && report.missing.is_empty() && report.adopted.is_empty(), "{report:?}");
    assert_eq!((report.segments, report.replay.lines), (1, 1));
    engine.flush_all().unwrap();
    let tenant = TenantId::default_tenant();
    let mut lines = Vec::new();
    for handle in engine.view(&tenant, TimeRange::ALL).segments {
        let segment = handle.open().unwrap();
        for index in 0..segment.table().unwrap().blocks.len() {
            let block = segment.block(index, Columns::ALL).unwrap();
            lines.extend((0..block.rows).map(|row| String::from_utf8_lossy(block.line(row)).into_owned()));
        }
    }
    assert_eq!(
        lines,
        ["first line of format one", "second line of format one", "third line, in the log only"]
    );
    assert!(engine.deletes(&tenant).is_empty());
    let format = std::fs::read_to_string(folder.path().join("FORMAT")).unwrap();
    assert_eq!(format, "2\n1 first layout\n2 deletes\n");
}

/// Segments had counts per minute in their block tables until November 2026; they are passed over.
#[test]
fn segments_with_counts_per_minute_are_read() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/minutes");
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture, folder.path());
    let disk = Arc::new(RealDisk::new(folder.path()).unwrap());
    let clock = Arc::new(ManualClock::at(1_795_219_300_000_000_000));
    let (engine, report) = Engine::open(disk, clock, EngineConfig::default()).unwrap();
    assert!(report.damage.is_empty() && report.missing.is_empty() && report.adopted.is_empty(), "{report:?}");
    let segments = engine.view(&TenantId::default_tenant(), TimeRange::ALL).segments;
    assert_eq!(segments.len(), 1);
    let segment = segments[0].open().unwrap();
    let table = segment.table().unwrap();
    assert_eq!(table.blocks.len(), 1);
    let levels: Vec<(&str, u32)> = table.blocks[0].levels.iter().map(|l| (&*l.level, l.rows)).collect();
    assert_eq!((table.blocks[0].rows, levels), (90, vec![("error", 23), ("info", 67)]));
    let block = segment.block(0, Columns::ALL).unwrap();
    assert_eq!(block.line(89), b"line 89 of a segment with counts per minute");
}

/// Documents as the first version wrote them, in a store of format 1, which knew none.
#[test]
fn documents_of_version_1_are_read() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let folder = tempfile::tempdir().unwrap();
    copy(&data.join("format-1"), folder.path());
    copy(&data.join("documents-1"), folder.path());
    let disk = Arc::new(RealDisk::new(folder.path()).unwrap());
    let clock = Arc::new(ManualClock::at(1_795_219_300_000_000_000));
    let (engine, report) = Engine::open(disk, clock, EngineConfig::default()).unwrap();
    assert!(report.damage.is_empty(), "{report:?}");
    let read = |collection: Collection, name| {
        let document = engine.documents().get(&collection, name).unwrap().unwrap();
        (document.version, String::from_utf8(document.bytes).unwrap())
    };
    let tenant = TenantId::new("acme").unwrap();
    let rules = read(Collection::of_tenant(&tenant, "alert-rules").unwrap(), "disk full / 90%");
    assert_eq!(rules, (Version(1_795_219_300_000_000_001), "groups: []\n".to_owned()));
    let checkpoint = read(Collection::of_process("checkpoints").unwrap(), "docker");
    assert_eq!(checkpoint, (Version(1_795_219_300_000_000_002), "{\"since\": 7}".to_owned()));
}
