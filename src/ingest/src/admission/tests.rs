//! Does a push come in whole, or say what became of each of its lines?

use super::*;
use crate::formats::decode_push;
use crate::refused_lines::Refusal;
use crate::rejections::Reason;
use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use strandline_model::{Limits, Matcher, MemoryBudget, Selector, SystemClock, TenantId};
use strandline_store::disk::RealDisk;
use strandline_store::{Engine, EngineConfig, Runtime};
use tokio::runtime;

/// A store in a folder of its own, and the way in.
struct Rig {
    admission: Admission,
    runtime: Arc<Runtime>,
    tokio: runtime::Runtime,
    _folder: tempfile::TempDir,
}

impl Rig {
    fn new(config: AdmissionConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::new(folder.path()).unwrap());
        let config_of_store = EngineConfig { min_free_bytes: 0, ..EngineConfig::default() };
        let (engine, _) = Engine::open(disk, Arc::new(SystemClock::default()), config_of_store).unwrap();
        let runtime = Arc::new(Runtime::start(engine).unwrap());
        let admission = Admission::new(Submitter::new(Arc::clone(&runtime)), config);
        let tokio = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { admission, runtime, tokio, _folder: folder }
    }

    fn json(&self, sender: &Sender, body: &str) -> Result<Outcome, PushError> {
        let payload = Payload::new(body.as_bytes().to_vec(), self.admission.lease(sender));
        self.tokio.block_on(self.admission.push(sender, payload, |bytes, limits, intake| {
            decode_push(Some("application/json"), None, bytes, limits, intake)
        }))
    }

    /// Entries of one second each, from now on back, as (stream, line).
    fn entries(&self, sender: &Sender, entries: &'static [(&str, &str)]) -> Result<Outcome, PushError> {
        self.tokio.block_on(self.admission.push_entries(sender, 1 << 10, move |intake| {
            let now_ns = intake.now_ns();
            for (i, (stream, line)) in entries.iter().enumerate() {
                intake.begin_stream_pairs(&[("s", stream)])?;
                intake.entry(now_ns - i as i64, line.as_bytes())?;
            }
            Ok(())
        }))
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.runtime.stop().unwrap();
    }
}

/// Two of them are more than 100 bytes.
const LONG: &str = "0123456789012345678901234567890123456789012345678901234567890123456789";

fn sender(limits: Limits) -> Sender {
    Sender::new(TenantId::default_tenant(), Arc::new(limits))
}

fn refused(outcome: &Outcome) -> Vec<(u32, Refusal)> {
    outcome.refused.iter().collect()
}

#[test]
fn each_refused_line_is_named_in_the_order_given() {
    let rig = Rig::new(AdmissionConfig::default());
    let limits = Limits { max_line_bytes: 5, ..Limits::default() };
    let outcome = rig.entries(&sender(limits), &[("a", "1"), ("a", "too long"), ("b", "2"), ("a", "3")]);
    let outcome = outcome.unwrap();
    assert_eq!((outcome.stored, outcome.over_limit_lines), (3, 0));
    assert_eq!(refused(&outcome), [(1, Refusal::Invalid(Reason::LineTooLong))]);
    assert_eq!(outcome.rejected.total(), 1);
    // Streams that nobody may write are refused with all their lines.
    let of_b = sender(Limits::default())
        .confined_to(Selector { matchers: vec![Matcher::equal("s", "b")] }, "{s=\"b\"}");
    let outcome = rig.entries(&of_b, &[("a", "1"), ("b", "2"), ("a", "3")]).unwrap();
    let filtered = Refusal::Invalid(Reason::LabelFilter);
    assert_eq!((outcome.stored, refused(&outcome)), (1, vec![(0, filtered), (2, filtered)]));
}

#[test]
fn lines_of_streams_beyond_a_limit_are_named_as_such_and_the_others_are_stored() {
    let rig = Rig::new(AdmissionConfig::default());
    let limits = Limits { stream_rate: 1, stream_burst: 100, max_line_bytes: 200, ..Limits::default() };
    static ENTRIES: [(&str, &str); 6] =
        [("a", LONG), ("b", "1"), ("a", LONG), ("", "2"), ("a", LONG), ("b", "2")];
    let outcome = rig.entries(&sender(limits), &ENTRIES).unwrap();
    let (over, large) = (Refusal::OverLimit, Refusal::TooMuchAtOnce);
    assert_eq!(refused(&outcome), [(0, large), (2, large), (4, large)]);
    assert_eq!((outcome.stored, outcome.over_limit_lines, outcome.over_limit.len()), (3, 3, 1));
    // The same of a number of streams: of the tenant, and of all.
    let limits = Limits { max_active_streams: 3, ..Limits::default() };
    let outcome = rig.entries(&sender(limits), &[("c", "1"), ("d", "2"), ("e", "3"), ("c", "4"), ("f", "5")]);
    let outcome = outcome.unwrap();
    assert_eq!(refused(&outcome), [(4, over)]);
    let rig = Rig::new(AdmissionConfig { max_active_streams: 1, ..AdmissionConfig::default() });
    let outcome = rig.entries(&sender(Limits::default()), &[("a", "1"), ("b", "2"), ("a", "3")]).unwrap();
    assert_eq!((outcome.stored, outcome.over_limit_lines, refused(&outcome)), (2, 1, vec![(1, over)]));
}

#[test]
fn a_push_of_which_nothing_is_taken_says_whether_it_may_come_again() {
    let rig = Rig::new(AdmissionConfig::default());
    let unlimited = sender(Limits::default());
    assert_eq!(rig.json(&unlimited, "{nope").unwrap_err().retry_after_s(), None);
    assert!(matches!(rig.json(&unlimited, "{}").unwrap_err(), PushError::Decode(DecodeError::NoStreams)));
    let slow = sender(Limits { ingestion_rate: 1, ingestion_burst: 100, ..Limits::default() });
    let refused = (0..100).find_map(|_| rig.entries(&slow, &[("a", "1234567890")]).err()).unwrap();
    assert!(matches!(refused, PushError::OverRate(_)) && refused.retry_after_s() > Some(0), "{refused}");
    // More than the burst is never taken at once.
    let error = rig.entries(&slow, &[("a", LONG), ("a", LONG)]).unwrap_err();
    assert!(matches!(error, PushError::OverRate(_)) && error.retry_after_s().is_none(), "{error}");
    // The store has ended.
    rig.runtime.stop().unwrap();
    let error = rig.entries(&unlimited, &[("a", "1")]).unwrap_err();
    assert!(matches!(error, PushError::NotTaken(_)) && error.retry_after_s() == Some(1), "{error}");
}

#[test]
fn without_memory_a_push_is_refused_for_the_moment_and_takes_its_slot_back() {
    let memory = MemoryBudget::new(4 << 20, &[]);
    let config = AdmissionConfig {
        memory: memory.clone(),
        memory_wait: Duration::from_millis(1),
        decode_slots: 1,
        ..AdmissionConfig::default()
    };
    let rig = Rig::new(config);
    let sender = sender(Limits::default());
    let full: Vec<Lease> = [MemoryClass::Ingest, MemoryClass::Decode]
        .into_iter()
        .map(|class| {
            let lease = memory.lease(class, sender.tenant());
            while lease.try_grow(1 << 10).is_ok() {}
            lease
        })
        .collect();
    for _ in 0..3 {
        let error = rig.entries(&sender, &[("a", "1")]).unwrap_err();
        assert!(matches!(error, PushError::NoMemory(_)) && error.retry_after_s() == Some(1), "{error}");
    }
    drop(full);
    assert_eq!(rig.entries(&sender, &[("a", "1")]).unwrap().stored, 1);
}

#[test]
fn a_decoder_that_panics_costs_its_push_alone() {
    let rig = Rig::new(AdmissionConfig { decode_slots: 1, ..AdmissionConfig::default() });
    let sender = sender(Limits::default());
    for _ in 0..2 {
        let broken = rig.admission.push_entries(&sender, 1, |_| panic!("on purpose"));
        assert!(matches!(rig.tokio.block_on(broken), Err(PushError::Internal)));
    }
    assert_eq!(rig.entries(&sender, &[("a", "1")]).unwrap().stored, 1);
}

#[test]
fn whoever_has_gone_before_the_log_was_reached_has_nothing_stored() {
    let rig = Rig::new(AdmissionConfig { decode_slots: 1, ..AdmissionConfig::default() });
    let sender = sender(Limits::default());
    let (entered, in_slot) = mpsc::sync_channel(1);
    let (release, released) = mpsc::sync_channel::<()>(1);
    let released = Mutex::new(released);
    let feed = move |intake: &mut Intake<'_>| {
        entered.send(()).unwrap();
        released.lock().unwrap().recv().unwrap();
        intake.begin_stream("{a=\"b\"}")?;
        intake.entry(intake.now_ns(), b"x")
    };
    let tokio = runtime::Builder::new_current_thread().build().unwrap();
    let inside = tokio.enter();
    {
        let mut push = pin!(rig.admission.push_entries(&sender, 1, feed));
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(push.as_mut().poll(&mut context), Poll::Pending));
        in_slot.recv().unwrap();
    }
    release.send(()).unwrap();
    // Waits until the thread has ended.
    drop(inside);
    drop(tokio);
    assert_eq!(rig.entries(&sender, &[("a", "2")]).unwrap().stored, 1);
    // The log takes batches in their order, so that one before this would be there.
    rig.runtime.flush().unwrap();
    let stored: u64 = rig.runtime.engine().partition_stats().iter().map(|partition| partition.rows).sum();
    assert_eq!(stored, 1);
}

#[test]
fn a_payload_holds_its_memory_as_long_as_it_is_there_also_when_its_sender_has_gone() {
    let memory = MemoryBudget::new(4 << 20, &[]);
    let config = AdmissionConfig { memory: memory.clone(), decode_slots: 1, ..AdmissionConfig::default() };
    let rig = Rig::new(config);
    let used = || memory.usage().iter().map(|class| class.used).sum::<usize>();
    let sender = sender(Limits::default());
    let lease = rig.admission.lease(&sender);
    lease.try_grow(1 << 20).unwrap();
    let (entered, in_slot) = mpsc::sync_channel(1);
    let (release, released) = mpsc::sync_channel::<()>(1);
    let released = Mutex::new(released);
    let decode = move |_: &[u8], _: &UnpackLimits, _: &mut Intake<'_>| {
        entered.send(()).unwrap();
        released.lock().unwrap().recv().unwrap();
        Err(DecodeError::NoStreams)
    };
    let tokio = runtime::Builder::new_current_thread().build().unwrap();
    let inside = tokio.enter();
    {
        let payload = Payload::new(vec![0; 1 << 20], lease);
        let mut push = pin!(rig.admission.push(&sender, payload, decode));
        let mut context = Context::from_waker(Waker::noop());
        // One that is not small begins among the large at once.
        assert!(matches!(push.as_mut().poll(&mut context), Poll::Pending));
        in_slot.recv().unwrap();
    }
    assert!(used() >= 1 << 20, "{}", used());
    release.send(()).unwrap();
    drop(inside);
    drop(tokio);
    assert_eq!(used(), 0);
}
