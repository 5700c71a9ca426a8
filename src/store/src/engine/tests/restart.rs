//! A start with several heads in the log goes on as if nothing had been.

use super::{Rig, config, tenant};
use crate::engine::EngineConfig;
use strandline_model::TimeRange;

#[test]
fn heads_that_come_back_are_flushed_one_after_the_other() {
    let config = EngineConfig { head_max_bytes: 4096, ..config() };
    let rig = Rig::new(config.clone());
    let line = [b'x'; 1500];
    for ts in 0..20 {
        rig.push(&[(r#"{a="x"}"#, ts, &line)]);
    }
    let rig = rig.reopen(config);
    assert!(rig.engine.view(&tenant(), TimeRange::ALL).heads.len() > 3);
    rig.push(&[(r#"{a="x"}"#, 20, b"after")]);
    rig.engine.flush_all().unwrap();
    let segments = rig.engine.view(&tenant(), TimeRange::ALL).segments;
    assert_eq!(segments.iter().map(|s| s.meta().rows).sum::<u64>(), 21);
}
