//! Does a body keep to its least rate, and does it book what has arrived and no more?

use super::*;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use strandline_model::{ManualClock, MemoryBudget, MemoryClass, TenantId};

const RULES: BodyRules = BodyRules {
    max_bytes: 1 << 20,
    setting: Some("server.max_body_bytes"),
    pause: Duration::from_secs(60),
    timeout: Duration::from_secs(120),
    min_rate: 8 << 10,
    memory_wait: Duration::from_secs(30),
};

fn lease(budget: &MemoryBudget) -> Lease {
    budget.lease(MemoryClass::Ingest, &TenantId::default_tenant())
}

fn read_now(
    body: Body,
    declared: Option<&str>,
    rules: &BodyRules,
    lease: &Lease,
    clock: &dyn Clock,
    crowded: bool,
) -> Result<Vec<u8>, BodyError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut headers = HeaderMap::new();
    if let Some(declared) = declared {
        headers.insert(CONTENT_LENGTH, axum::http::HeaderValue::from_str(declared).unwrap());
    }
    runtime.block_on(read(body, &headers, rules, lease, clock, || crowded))
}

/// A body that sends its pieces one by one, each after so much time of the clock, and then nothing any more, or the end.
struct Script {
    clock: Arc<ManualClock>,
    pieces: VecDeque<(i64, usize)>,
    ends: bool,
}

impl hyper::body::Body for Script {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        let Some((pause_ns, bytes)) = self.pieces.pop_front() else {
            return if self.ends { Poll::Ready(None) } else { Poll::Pending };
        };
        self.clock.advance(pause_ns);
        Poll::Ready(Some(Ok(hyper::body::Frame::data(bytes::Bytes::from(vec![b'x'; bytes])))))
    }
}

fn script(pieces: &[(i64, usize)]) -> (Arc<ManualClock>, Body) {
    let clock = Arc::new(ManualClock::at(0));
    let script = Script { clock: Arc::clone(&clock), pieces: pieces.iter().copied().collect(), ends: true };
    (clock, Body::new(script))
}

#[test]
fn bodies_are_bounded_in_size() {
    let budget = MemoryBudget::unlimited();
    let rules = BodyRules { max_bytes: 5, ..RULES };
    let clock = ManualClock::at(0);
    let read = |body: &'static str, declared| {
        read_now(Body::from(body), declared, &rules, &lease(&budget), &clock, false)
    };
    assert_eq!(read("hello", None), Ok(b"hello".to_vec()));
    assert_eq!(read("hello!", None), Err(rules.too_large()));
    let error = read("", Some("6")).unwrap_err();
    assert!(error.to_string().contains("server.max_body_bytes"), "{error}");
}

#[test]
fn an_announced_length_takes_no_memory() {
    let budget = MemoryBudget::new(1 << 20, &[]);
    let held = lease(&budget);
    let silent = Script { clock: Arc::default(), pieces: [(0, 10)].into(), ends: false };
    let rules = BodyRules { pause: Duration::from_millis(20), ..RULES };
    let read =
        read_now(Body::new(silent), Some("700000"), &rules, &held, &ManualClock::at(0), false).unwrap_err();
    assert_eq!(read, BodyError::Paused(rules.pause));
    assert!(held.bytes() <= REQUEST_BYTES + FIRST_BYTES, "{} bytes for ten", held.bytes());
}

#[test]
fn memory_is_taken_for_what_arrives_and_refusals_keep_none() {
    let budget = MemoryBudget::new(2 << 20, &[]);
    let (clock, body) = script(&[(0, 100_000); 5]);
    let held = lease(&budget);
    assert_eq!(read_now(body, None, &RULES, &held, &*clock, false).unwrap().len(), 500_000);
    assert!(held.bytes() >= 500_000);
    // Never fits: said at once, however long the rest is.
    let (clock, body) = script(&[(0, 100_000); 9]);
    let second = lease(&MemoryBudget::new(400_000, &[]));
    let error = read_now(body, None, &RULES, &second, &*clock, false).unwrap_err();
    assert!(matches!(error, BodyError::NoMemory(e) if !e.is_temporary()), "{error}");
    assert_eq!(second.bytes(), 0);
    // Fits when the first has gone: waits for it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (clock, body) = script(&[(0, 100_000); 5]);
    let third = lease(&budget);
    let headers = HeaderMap::new();
    let waiting = async {
        let waits = read(body, &headers, &RULES, &third, &*clock, || false);
        let release = async {
            while budget.usage()[0].waiting == 0 {
                tokio::task::yield_now().await;
            }
            drop(held);
        };
        tokio::join!(waits, release).0
    };
    assert_eq!(runtime.block_on(waiting).unwrap().len(), 500_000);
}

#[test]
fn a_body_that_trickles_is_given_up() {
    let budget = MemoryBudget::unlimited();
    // One byte a second never pauses long, and never ends.
    let (clock, body) = script(&[(SECOND_NS, 1); 1000]);
    let error = read_now(body, None, &RULES, &lease(&budget), &*clock, false).unwrap_err();
    assert_eq!(error, BodyError::Slow(8 << 10));
    assert!(clock.monotonic_ns() <= 11 * SECOND_NS);
    assert!(error.to_string().contains("server.min_body_rate"));
    // Just above the rate, and still not for ever.
    let (clock, body) = script(&[(SECOND_NS, 8 << 10); 1000]);
    let rules = BodyRules { max_bytes: 100 << 20, ..RULES };
    let error = read_now(body, None, &rules, &lease(&budget), &*clock, false).unwrap_err();
    assert_eq!(error, BodyError::Overdue(RULES.timeout));
    assert!(clock.monotonic_ns() <= 121 * SECOND_NS);
    // Slow at first is in order.
    let (clock, body) = script(&[(9 * SECOND_NS, 1), (SECOND_NS / 2, 90_000), (9 * SECOND_NS, 1)]);
    assert!(read_now(body, None, &RULES, &lease(&budget), &*clock, false).is_ok());
}

#[test]
fn a_slow_body_gives_way_when_others_wait_for_memory() {
    let budget = MemoryBudget::unlimited();
    let slow = [(0, 900_000), (2 * SECOND_NS, 50_000), (2 * SECOND_NS, 50_000)];
    for (crowded, wanted) in [(false, None), (true, Some(BodyError::GaveWay))] {
        let (clock, body) = script(&slow);
        assert_eq!(read_now(body, None, &RULES, &lease(&budget), &*clock, crowded).err(), wanted);
    }
    // Quick ones stay, and so do small ones, and those of modest size that are above the least rate.
    for pieces in [[(SECOND_NS, 200_000); 4], [(2 * SECOND_NS, 10); 4], [(2 * SECOND_NS, 40_000); 4]] {
        let (clock, body) = script(&pieces);
        assert!(read_now(body, None, &RULES, &lease(&budget), &*clock, true).is_ok());
    }
}
