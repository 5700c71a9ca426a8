//! Data directories of older formats are carried over and read whole.

use std::path::Path;
use std::sync::Arc;
use strandline_model::{ManualClock, TenantId, TimeRange};
use strandline_store::disk::RealDisk;
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
