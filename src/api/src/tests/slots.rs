//! Who has to wait for whom?

use super::rig::{Rig, T0};
use crate::ApiConfig;
use std::sync::Arc;
use std::sync::mpsc;
use strandline_model::{Limits, TenantId, TenantLimits};
use strandline_query::{CancelFlag, QueryConfig, Queue, Reader, Slot};
use strandline_store::EngineConfig;

const QUERIES: usize = 2;

fn rig(api: ApiConfig, query: QueryConfig) -> Rig {
    let engine = EngineConfig { min_free_bytes: 0, ..EngineConfig::default() };
    Rig::with_query(api, engine, QueryConfig { max_concurrent: QUERIES, ..query })
}

/// As many slots as a tenant gets.
fn all_slots(rig: &Rig, tenant: &str) -> Vec<Slot> {
    let reader = Reader::of(TenantId::new(tenant).unwrap());
    let slot = || rig.query.queue(Queue::Query, &reader, &CancelFlag::default()).unwrap().at_once();
    std::iter::from_fn(|| slot().ok()).collect()
}

fn query_path(text: &str) -> String {
    format!("/loki/api/v1/query_range?query={text}&start={T0}&end={}", T0 + 1_000_000_000)
}

#[test]
fn lookups_operations_and_other_tenants_do_not_wait_for_a_tenants_queries() {
    let rig = rig(ApiConfig { auth_enabled: true, ..ApiConfig::default() }, QueryConfig::default());
    let taken = all_slots(&rig, "heavy");
    assert_eq!(taken.len(), QUERIES);
    let heavy = [("x-scope-orgid", "heavy")];
    for path in ["labels", "label/app/values", "series", "detected_labels", "index/stats?query={a=\"b\"}"] {
        assert_eq!(rig.get(&format!("/loki/api/v1/{path}"), &heavy).status, 200, "{path}");
    }
    assert_eq!(rig.get("/loki/api/v1/delete", &heavy).status, 200);
    assert_eq!(rig.get("/loki/api/v1/format_query?query={a=\"b\"}", &heavy).status, 200);
    assert_eq!(rig.post("/flush", &heavy, b"").status, 204);
    let light = rig.get(&query_path("{a=\"b\"}"), &[("x-scope-orgid", "light")]);
    assert_eq!(light.status, 200, "{}", light.text());
    drop(taken);
}

#[test]
fn waiting_counts_as_time_of_a_query() {
    let limits = Limits { query_timeout_ns: 50_000_000, ..Limits::default() };
    let api = ApiConfig { limits: Arc::new(TenantLimits::new(limits)), ..ApiConfig::default() };
    let rig = rig(api, QueryConfig::default());
    let taken = all_slots(&rig, "fake");
    let reply = rig.get(&query_path("{a=\"b\"}"), &[]);
    assert_eq!(reply.status, 504, "{}", reply.text());
    drop(taken);
    assert_eq!(rig.get(&query_path("{a=\"b\"}"), &[]).status, 200);
}

#[test]
fn more_queries_than_may_wait_are_refused_with_the_setting_s_name() {
    let rig = Arc::new(rig(ApiConfig::default(), QueryConfig { max_queued: 1, ..QueryConfig::default() }));
    let taken = all_slots(&rig, "fake");
    let (tell, told) = mpsc::sync_channel(3);
    let asking: Vec<_> = ["1", "2", "3"]
        .map(|n| {
            let (rig, tell) = (Arc::clone(&rig), tell.clone());
            // Different ones, or they would share an answer.
            std::thread::spawn(move || {
                tell.send(rig.get(&query_path(&format!("{{a=\"{n}\"}}")), &[])).unwrap()
            })
        })
        .into();
    // One waits, so the others are answered first.
    for _ in 0..2 {
        let reply = told.recv().unwrap();
        assert_eq!((reply.status, reply.header("retry-after")), (429, "1"));
        assert!(reply.text().contains("(query.max_queued)"), "{}", reply.text());
    }
    drop(taken);
    assert_eq!(told.recv().unwrap().status, 200);
    asking.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn queries_that_ask_the_same_share_one_run_and_hold_no_slot_while_they_wait() {
    let rig = Arc::new(rig(ApiConfig::default(), QueryConfig { max_queued: 8, ..QueryConfig::default() }));
    rig.push_lines("{\"a\":\"b\"}", &[(0, "one")]);
    let taken = all_slots(&rig, "fake");
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let rig = Arc::clone(&rig);
            std::thread::spawn(move || rig.get(&query_path("{a=\"b\"}"), &[]))
        })
        .collect();
    // They wait as eight, and run as one.
    while rig.query.sharing() < 8 {
        std::thread::yield_now();
    }
    drop(taken);
    for thread in asking {
        assert_eq!(thread.join().unwrap().lines().len(), 1);
    }
    assert_eq!(rig.query.sharing(), 0);
}
