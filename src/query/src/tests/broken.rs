//! Does a query whose code breaks end with an error, and harm no other?

use super::rig::{Rig, row, slot, tenant};
use crate::execute::{Execution, Sink};
use crate::plan::SegmentPlan;
use crate::pool::Work;
use crate::scope::Scope;
use crate::{LogQuery, QueryConfig, QueryError, Reader};
use std::sync::Arc;
use strandline_model::TimeRange;
use strandline_simdisk::SimDisk;
use strandline_store::StoreError;
use strandline_store::head::Head;

/// More than the pool has threads.
const TIMES: usize = 20;

/// Breaks where no look at data is caught.
#[derive(Debug)]
struct Broken;

impl Sink for Broken {
    fn bound(&self) -> i64 {
        panic!("planted")
    }

    fn bytes(&self) -> usize {
        0
    }

    fn head(&self, _: &Scope, _: usize, _: &Arc<Head>) -> Result<(), StoreError> {
        Ok(())
    }

    fn block(&self, _: &Scope, _: &SegmentPlan, _: u32) -> Result<(), StoreError> {
        Ok(())
    }
}

#[test]
fn a_query_that_breaks_ends_with_an_error_and_others_go_on() {
    let rig = Rig::on(&SimDisk::new(3), QueryConfig { threads: 1, ..QueryConfig::default() });
    rig.push(&[row(1, 1, "line")]);
    let query = LogQuery::parse("{n=\"1\"}").unwrap();
    for _ in 0..TIMES {
        let slot = slot(&rig.query);
        let part = Reader::of(tenant()).parts(query.selector()).remove(0);
        let (deadline, memory) = (slot.deadline().clone(), slot.memory());
        let scope = rig.query.scope(part, &query, TimeRange::ALL, deadline, memory);
        let execution = Arc::new(Execution::new(scope, Broken));
        rig.query.pool().offer(Arc::clone(&execution) as Arc<dyn Work>);
        assert!(matches!(execution.wait(), Err(QueryError::Internal)));
    }
    assert_eq!(rig.lines("{n=\"1\"}"), ["env=odd,n=1 1 line"]);
}
