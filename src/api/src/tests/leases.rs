//! Is what requests make of their texts taken from the memory of requests, whoever waits for whom?

use super::rig::{Rig, T0, encoded, until};
use crate::ApiConfig;
use crate::http::shared;
use metrics_exporter_prometheus::PrometheusBuilder;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use strandline_ingest::AdmissionConfig;
use strandline_model::{Limits, MemoryBudget, MemoryClass, TenantId, TenantLimits, TimeRange};
use strandline_query::{
    CancelFlag, Deadline, Direction, LogQuery, LogRequest, QueryConfig, QueryError, Queue, Reader, Slot,
};
use strandline_store::EngineConfig;

const MIB: usize = 1 << 20;
/// A regular expression of some 2.5 MB.
const LARGE: &str = r"\\pL{40}";
/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

fn rig(api: ApiConfig, query: QueryConfig, memory: &MemoryBudget) -> Arc<Rig> {
    let engine = EngineConfig { min_free_bytes: 0, ..EngineConfig::default() };
    let api = ApiConfig { memory: memory.clone(), auth_enabled: true, ..api };
    Arc::new(Rig::with_query(api, engine, QueryConfig { max_concurrent: 2, memory: memory.clone(), ..query }))
}

fn plain(memory: &MemoryBudget) -> Arc<Rig> {
    rig(ApiConfig::default(), QueryConfig::default(), memory)
}

fn taken(rig: &Rig, queue: Queue, tenant: &str) -> Vec<Slot> {
    let reader = Reader::of(TenantId::new(tenant).unwrap());
    let slot = || rig.query.queue(queue, &reader, &CancelFlag::default()).unwrap().at_once();
    std::iter::from_fn(|| slot().ok()).collect()
}

fn of(memory: &MemoryBudget) -> (usize, usize) {
    let usage = memory.usage().into_iter().find(|usage| usage.class == MemoryClass::Query).unwrap();
    (usage.used, usage.peak)
}

fn range_query(text: &str) -> String {
    format!("/loki/api/v1/query_range?query={text}&start={T0}&end={}", T0 + 1_000_000_000)
}

const AS_A: [(&str, &str); 1] = [("x-scope-orgid", "a")];

#[test]
fn the_selectors_of_a_request_are_few_and_share_one_budget() {
    let rig = plain(&MemoryBudget::unlimited());
    let ask = |selectors: Vec<String>| {
        let selectors: Vec<String> = selectors.iter().map(|s| format!("match[]={s}")).collect();
        rig.get(&format!("/loki/api/v1/series?{}", selectors.join("&")), &AS_A)
    };
    assert_eq!(ask((0..100).map(|n| format!("{{a=\"{n}\"}}")).collect()).status, 200);
    let reply = ask((0..101).map(|n| format!("{{a=\"{n}\"}}")).collect());
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("more than 100 selectors"), "{}", reply.text());
    // Each may be asked for alone.
    let large = |n: usize| format!("{{a=~\"{LARGE}x{n}\"}}");
    assert_eq!(ask(vec![large(0)]).status, 200);
    let reply = ask((0..7).map(large).collect());
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("more than 16 MiB compiled"), "{}", reply.text());
    assert_eq!(ask((0..30).map(|_| large(0)).collect()).status, 200, "equal ones are one");
}

#[test]
fn compiled_expressions_are_leased() {
    for path in [
        format!("/loki/api/v1/series?match[]={{a=~\"{LARGE}\"}}"),
        format!("/loki/api/v1/labels?query={{a=~\"{LARGE}\"}}"),
        format!("/loki/api/v1/index/stats?query={{a=~\"{LARGE}\"}}"),
        format!("/loki/api/v1/patterns?query={{a=~\"{LARGE}\"}}"),
        range_query(&format!("{{a=\"b\"}} |~ \"{LARGE}\"")),
        range_query(&format!("sum(count_over_time({{a=\"b\"}} |~ \"{LARGE}\" [1m]))")),
    ] {
        let memory = MemoryBudget::new(1 << 30, &[]);
        let rig = plain(&memory);
        let reply = rig.get(&path, &AS_A);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert!(of(&memory).1 > 2 * MIB, "{path}: {}", of(&memory).1);
        until("the end of the lease", || of(&memory).0 == 0);
        let small = MemoryBudget::new(2 * MIB, &[]);
        let reply = plain(&small).get(&path, &AS_A);
        assert_eq!(reply.status, 400, "{path}: {}", reply.text());
        assert!(reply.text().contains("server.max_memory"), "{path}: {}", reply.text());
    }
}

#[test]
fn queries_that_wait_and_those_that_join_hold_no_compiled_expressions() {
    let memory = MemoryBudget::new(1 << 30, &[]);
    let rig = plain(&memory);
    let slots = taken(&rig, Queue::Query, "a");
    let asking: Vec<_> = (0..3)
        .map(|_| {
            let rig = Arc::clone(&rig);
            let path = range_query(&format!("{{a=\"b\"}} |~ \"{LARGE}\""));
            std::thread::spawn(move || rig.get(&path, &AS_A))
        })
        .collect();
    until("all three", || rig.query.sharing() == 3);
    until("the texts alone", || of(&memory).0 < MIB);
    assert!(of(&memory).1 > 2 * MIB);
    drop(slots);
    for thread in asking {
        let reply = thread.join().unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

#[test]
fn those_that_join_count_as_waiting() {
    let memory = MemoryBudget::unlimited();
    let rig = rig(ApiConfig::default(), QueryConfig { max_queued: 2, ..QueryConfig::default() }, &memory);
    let slots = taken(&rig, Queue::Query, "a");
    let (tell, told) = mpsc::sync_channel(8);
    for _ in 0..3 {
        let (rig, tell) = (Arc::clone(&rig), tell.clone());
        std::thread::spawn(move || tell.send(rig.get(&range_query("{a=\"b\"}"), &AS_A)).unwrap());
    }
    let reply = told.recv_timeout(LONG).unwrap();
    assert_eq!(reply.status, 429, "{}", reply.text());
    assert!(reply.text().contains("(query.max_queued)"), "{}", reply.text());
    assert!(told.try_recv().is_err());
    drop(slots);
    assert_eq!([(); 2].map(|()| told.recv_timeout(LONG).unwrap().status), [200, 200]);
}

#[test]
fn requests_that_end_while_they_wait_are_counted() {
    let rig = plain(&MemoryBudget::unlimited());
    let slots = taken(&rig, Queue::Query, "a");
    let recorder = PrometheusBuilder::new().build_recorder();
    let reader = Reader::of(TenantId::new("a").unwrap());
    metrics::with_local_recorder(&recorder, || {
        let wait = || rig.query.queue(Queue::Query, &reader, &CancelFlag::default()).unwrap().at_once();
        drop(wait().unwrap_err());
        wait().unwrap_err().given_up(QueryError::TimedOut);
        drop(rig.query.queue(Queue::Lookup, &reader, &CancelFlag::default()).unwrap().at_once().unwrap());
    });
    drop(slots);
    let text = recorder.handle().render();
    let mut counts: Vec<&str> =
        text.lines().filter(|line| line.starts_with("strandline_queries_total{")).collect();
    counts.sort_unstable();
    let line = |outcome: &str| format!("strandline_queries_total{{outcome=\"{outcome}\"}} 1");
    assert_eq!(counts, [line("cancelled"), line("timed_out")]);
}

/// How many slots there are while the answer of a query is made use of.
fn slots_meanwhile(in_slot: bool) -> usize {
    let rig = plain(&MemoryBudget::unlimited());
    let reader = Reader::of(TenantId::new("a").unwrap());
    let request = LogRequest {
        reader: reader.clone(),
        query: LogQuery::parse("{a=\"b\"}").unwrap(),
        range: TimeRange::new(T0, T0 + 1),
        limit: 1,
        direction: Direction::Forward,
        interval_ns: 0,
        categorize: true,
    };
    let own_rig = Arc::clone(&rig);
    let finish = move |_, _: &Deadline| Ok(taken(&own_rig, Queue::Query, "a").len());
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = shared::query(&rig.state.0, &reader, move |reading| match in_slot {
        true => reading.run_and_work(request, finish),
        false => reading.run(request, finish),
    });
    tokio.block_on(answer).unwrap()
}

#[test]
fn what_is_as_much_work_as_a_query_is_done_in_its_slot() {
    assert_eq!((slots_meanwhile(false), slots_meanwhile(true)), (2, 1));
}

/// A form of a bit more than one MiB.
fn large_form() -> Vec<u8> {
    let mut form = encoded("match[]={a=\"b\"}&padding=").into_bytes();
    form.resize(form.len() + MIB, b'x');
    form
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[test]
fn a_form_is_leased_as_long_as_it_is_held() {
    let memory = MemoryBudget::new(1 << 30, &[]);
    let rig = plain(&memory);
    let slots = taken(&rig, Queue::Lookup, "a");
    let asking = {
        let rig = Arc::clone(&rig);
        std::thread::spawn(move || rig.post("/loki/api/v1/series", &[AS_A[0], FORM], &large_form()))
    };
    // Read, decoded and waiting for a slot.
    until("the form's slot", || rig.query.waiting(Queue::Lookup) == 1);
    assert!(of(&memory).0 > MIB, "{}", of(&memory).0);
    drop(slots);
    assert_eq!(asking.join().unwrap().status, 200);
    until("the end of the lease", || of(&memory).0 == 0);
}

#[test]
fn a_form_is_its_tenants() {
    let memory = MemoryBudget::new(64 * MIB, &[]);
    let rig = rig(
        ApiConfig { memory_wait: Duration::from_millis(50), ..ApiConfig::default() },
        QueryConfig::default(),
        &memory,
    );
    // The tenant of those that name none has its share.
    let full = memory.lease(MemoryClass::Query, &TenantId::default_tenant());
    while full.try_grow(64 << 10).is_ok() {}
    let reply = rig.post("/loki/api/v1/series", &[AS_A[0], FORM], &large_form());
    assert_eq!(reply.status, 200, "{}", reply.text());
    drop(full);
    let full = memory.lease(MemoryClass::Query, &TenantId::new("a").unwrap());
    while full.try_grow(64 << 10).is_ok() {}
    let reply = rig.post("/loki/api/v1/series", &[AS_A[0], FORM], &large_form());
    assert_eq!(reply.status, 503, "{}", reply.text());
}

#[test]
fn target_labels_are_bounded() {
    let rig = plain(&MemoryBudget::unlimited());
    let ask = |n: usize| {
        let labels: Vec<String> = (0..n).map(|i| format!("l{i}")).collect();
        let path = format!("/loki/api/v1/index/volume?query={{a=\"b\"}}&targetLabels={}", labels.join(","));
        rig.get(&path, &AS_A)
    };
    assert_eq!(ask(100).status, 200);
    let reply = ask(101);
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("more than 100 targetLabels"), "{}", reply.text());
}

fn push(rig: &Rig, tenant: &str, streams: std::ops::Range<usize>) -> u16 {
    let streams = streams.map(|n| format!(r#"{{"stream":{{"n":"{n}"}},"values":[["{T0}","x"]]}}"#));
    let body = format!(r#"{{"streams":[{}]}}"#, streams.collect::<Vec<_>>().join(","));
    let headers = [("x-scope-orgid", tenant), ("content-type", "application/json")];
    rig.post("/loki/api/v1/push", &headers, body.as_bytes()).status
}

#[test]
fn streams_that_a_tenants_limits_refuse_do_not_count_for_all() {
    let limits = Limits { max_active_streams: 3, ..Limits::default() };
    let limits = Arc::new(TenantLimits::new(limits));
    let api = ApiConfig { auth_enabled: true, limits, ..ApiConfig::default() };
    let admission = AdmissionConfig { max_active_streams: 10, ..AdmissionConfig::default() };
    let engine = EngineConfig { min_free_bytes: 0, ..EngineConfig::default() };
    let rig = Rig::with_admission(api, admission, engine, QueryConfig::default());
    assert_eq!(push(&rig, "a", 0..10), 429);
    assert_eq!(rig.state.0.admission.active_streams(), 3);
    assert_eq!(push(&rig, "b", 0..3), 204);
    assert_eq!(push(&rig, "c", 0..3), 204);
    assert_eq!(push(&rig, "d", 0..3), 429, "one of ten is left");
    assert_eq!(push(&rig, "a", 0..3), 204);
}

#[test]
fn small_pushes_wait_for_no_memory_that_large_ones_take() {
    let memory = MemoryBudget::new(64 * MIB, &[]);
    let api = ApiConfig { memory_wait: LONG, ..ApiConfig::default() };
    let rig = rig(api, QueryConfig::default(), &memory);
    let full = memory.lease(MemoryClass::Decode, &TenantId::new("a").unwrap());
    while full.try_grow(4 << 10).is_ok() {}
    let waiting = || {
        let usage = memory.usage().into_iter().find(|usage| usage.class == MemoryClass::Decode);
        usage.unwrap().waiting
    };
    let large: Vec<_> = (0..8)
        .map(|_| {
            let rig = Arc::clone(&rig);
            std::thread::spawn(move || push(&rig, "a", 0..5000))
        })
        .collect();
    until("one that waits", || waiting() > 0);
    for _ in 0..20 {
        assert_eq!((push(&rig, "a", 0..3), push(&rig, "b", 0..3)), (204, 204));
    }
    assert!(waiting() > 0, "the large ones still wait");
    drop(full);
    assert!(large.into_iter().all(|push| push.join().unwrap() == 204));
}
