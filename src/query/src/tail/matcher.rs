//! Which lines of a batch does a query show, and to whom? One matcher serves all tails that ask the same.

use super::entry::TailEntry;
use super::frame::{Encoder, Frame, cut};
use super::queue::Queue;
use crate::language::LogQuery;
use crate::logs::best::Hit;
use crate::logs::staged::{self, Entry};
use crate::reader::Part;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use strandline_logql::Row;
use strandline_model::{Batch, BatchStream, Clock, Labels, Metadata};

/// Most bytes of frames in the queues of all tails together.
pub(super) const MAX_QUEUED_BYTES: usize = 64 << 20;

/// How long a query may work on one round while the others wait (ns).
const MAX_RUN_NS: i64 = 2_000_000_000;
/// Bytes of lines between two looks at the time.
const BYTES_PER_LOOK: usize = 64 << 10;
/// Bytes of entries that a query collects before it hands them over. A single tail's queue holds less.
const MAX_PART_BYTES: usize = 4 << 20;

/// A query and the tails that ask it.
#[derive(Debug)]
pub(super) struct Matcher {
    number: u64,
    query: LogQuery,
    part: Part,
    forms: Mutex<Vec<Form>>,
    over: AtomicBool,
    /// Whether its tails have ended because of it.
    failed: AtomicBool,
}

/// Tails that want entries written alike.
#[derive(Debug)]
struct Form {
    encoder: Encoder,
    queues: Vec<Arc<Queue>>,
}

/// The lines of one stream that came with one batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'b> {
    pub(super) commit: u64,
    pub(super) batch: &'b Batch,
    pub(super) stream: &'b BatchStream,
}

impl Matcher {
    pub(super) fn new(number: u64, query: LogQuery, part: Part) -> Self {
        Self {
            number,
            query,
            part,
            forms: Mutex::default(),
            over: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        }
    }

    /// Grows from matcher to matcher.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn query(&self) -> &LogQuery {
        &self.query
    }

    /// The tenant and its streams that the query is about.
    pub(super) fn part(&self) -> &Part {
        &self.part
    }

    /// Equal for equal questions.
    pub(super) fn key(query: &LogQuery, part: &Part) -> String {
        format!("{part:?} {}", query.text())
    }

    /// Whether the last tail has gone.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Whether its tails have ended because of it.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Ends its tails.
    pub(super) fn fail(&self, why: &'static str) {
        self.failed.store(true, Ordering::Relaxed);
        self.each_queue(|queue| queue.fail(why));
    }

    /// Adds a tail.
    pub(super) fn join(&self, encoder: Encoder, queue: Arc<Queue>) {
        let mut forms = self.forms.lock();
        match forms.iter_mut().find(|form| form.encoder.name == encoder.name) {
            Some(form) => form.queues.push(queue),
            None => forms.push(Form { encoder, queues: vec![queue] }),
        }
    }

    /// Takes a tail out; true when it was the last.
    pub(super) fn leave(&self, queue: &Arc<Queue>) -> bool {
        let mut forms = self.forms.lock();
        forms.iter_mut().for_each(|form| form.queues.retain(|other| !Arc::ptr_eq(other, queue)));
        forms.retain(|form| !form.queues.is_empty());
        let over = forms.is_empty();
        self.over.store(over, Ordering::Relaxed);
        over
    }

    /// Hands over what the query shows of these pieces, by time; where that is much, in several parts. False: that takes
    /// longer than one query may keep the others waiting.
    pub(super) fn run(
        &self,
        pieces: &[Piece<'_>],
        clock: &dyn Clock,
        deliver: impl FnMut(Vec<TailEntry>),
    ) -> bool {
        let until_ns = clock.monotonic_ns().saturating_add(MAX_RUN_NS);
        let stop = || clock.monotonic_ns() >= until_ns;
        let mut showing = Showing {
            found: Vec::new(),
            bytes: 0,
            deliver,
            stop: &stop,
            unseen_bytes: 0,
            now_ns: clock.now_ns(),
        };
        let in_time = pieces.iter().all(|piece| showing.piece(self, piece));
        showing.hand_over();
        // Lines that were left half looked at count as late, too.
        in_time && !stop()
    }

    /// Writes entries once for each form and puts them into the queues; `total` counts what waits in all of them.
    pub(super) fn deliver(&self, entries: Vec<TailEntry>, total: &Arc<AtomicUsize>, max_queued: usize) {
        let mut lost = 0;
        for entries in cut(entries) {
            let forms = self.forms.lock();
            for form in forms.iter() {
                let frame = Arc::new(Frame::new(&entries, form.encoder, total));
                for queue in &form.queues {
                    lost += queue.push(&frame, total.load(Ordering::Relaxed) > max_queued);
                }
            }
        }
        if lost > 0 {
            metrics::counter!("strandline_tail_dropped_entries_total", "reason" => "slow_client")
                .increment(lost);
        }
    }

    /// Does something to each tail's queue.
    pub(super) fn each_queue(&self, mut act: impl FnMut(&Queue)) {
        self.forms.lock().iter().flat_map(|form| &form.queues).for_each(|queue| act(queue));
    }
}

/// A round of a matcher.
struct Showing<'s, D> {
    found: Vec<TailEntry>,
    /// Bytes of these.
    bytes: usize,
    deliver: D,
    stop: &'s dyn Fn() -> bool,
    /// Bytes of lines since the last look at the time.
    unseen_bytes: usize,
    now_ns: i64,
}

impl<D: FnMut(Vec<TailEntry>)> Showing<'_, D> {
    /// Shows a piece. False: there is no time left.
    fn piece(&mut self, matcher: &Matcher, piece: &Piece<'_>) -> bool {
        let query = &matcher.query;
        let (batch, labels) = (piece.batch, &matcher.part.shown(Arc::clone(&piece.stream.labels)));
        let mut row: Option<Row<'_>> = None;
        for entry in batch.stream_entries(piece.stream) {
            let (line, metadata) = (batch.line(entry), batch.metadata(entry));
            if self.is_late(line.len()) {
                return false;
            }
            if !query.takes_until(line, self.stop) {
                continue;
            }
            if query.is_plain() {
                self.add(plain(entry.ts, piece.commit, labels, line, metadata));
                continue;
            }
            let row = match &mut row {
                Some(row) => {
                    row.reset(entry.ts, line, labels, metadata);
                    row
                }
                none => none.insert(Row::new(entry.ts, self.now_ns, line, labels, metadata)),
            };
            let passes = query.pipeline().process_until(row, self.stop);
            // A row that took too long may be half done.
            if (self.stop)() {
                return false;
            }
            if passes {
                let entry =
                    Entry { key: entry.ts, ts: entry.ts, labels, arrival: piece.commit, line, metadata };
                self.add(staged::passed(entry, row, query.pipeline().changes_line()));
            }
        }
        true
    }

    fn is_late(&mut self, line_bytes: usize) -> bool {
        self.unseen_bytes += line_bytes;
        if self.unseen_bytes < BYTES_PER_LOOK {
            return false;
        }
        self.unseen_bytes = 0;
        (self.stop)()
    }

    fn add(&mut self, found: Hit) {
        self.bytes += found.bytes();
        self.found.push(TailEntry(found));
        if self.bytes > MAX_PART_BYTES {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        self.bytes = 0;
        let mut found = std::mem::take(&mut self.found);
        // Those of one time stay in the order of their arrival.
        found.sort_by_key(TailEntry::ts);
        (self.deliver)(found);
    }
}

fn plain(ts: i64, commit: u64, labels: &Arc<Labels>, line: &[u8], metadata: Metadata<'_>) -> Hit {
    Hit {
        key: ts,
        labels: Arc::clone(labels),
        arrival: commit,
        line: line.into(),
        metadata: metadata.0.into(),
        identity: 0,
        shown: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reader;
    use std::sync::atomic::AtomicI64;
    use strandline_model::{BatchBuilder, ManualClock, TenantId};

    /// A clock for which every look at it takes a tenth of a second.
    #[derive(Debug, Default)]
    struct Slow(AtomicI64);

    impl Clock for Slow {
        fn now_ns(&self) -> i64 {
            0
        }

        fn monotonic_ns(&self) -> i64 {
            self.0.fetch_add(100_000_000, Ordering::Relaxed)
        }

        fn wake_at(&self, monotonic_ns: i64, waker: std::task::Waker) -> strandline_model::Alarm {
            ManualClock::default().wake_at(monotonic_ns, waker)
        }
    }

    /// How many entries come in each part of a round over so many lines, and whether it ended in time.
    fn round(query: &str, lines: usize, clock: &dyn Clock) -> (Vec<usize>, bool) {
        let tenant = TenantId::new("t").unwrap();
        let query = LogQuery::parse(query).unwrap();
        let part = Reader::of(tenant.clone()).parts(query.selector()).remove(0);
        let mut batch = BatchBuilder::new(tenant, 0);
        batch.begin_stream(Arc::new(Labels::parse("{a=\"b\"}").unwrap()));
        (0..lines).for_each(|i| assert!(batch.push(i as i64, b"{\"x\":1}", &mut Vec::new())));
        let batch = batch.finish();
        let pieces: Vec<Piece<'_>> =
            batch.streams.iter().map(|stream| Piece { commit: 1, batch: &batch, stream }).collect();
        let mut parts = Vec::new();
        let in_time = Matcher::new(0, query, part).run(&pieces, clock, |entries| parts.push(entries.len()));
        (parts, in_time)
    }

    #[test]
    fn much_of_few_lines_is_handed_over_in_parts() {
        let query = "{a=\"b\"} | line_format `{{repeat 1000000 \"x\"}}` |= `x`";
        let (parts, in_time) = round(query, 22, &ManualClock::at(0));
        assert!(in_time);
        assert_eq!(parts, [5, 5, 5, 5, 2]);
    }

    #[test]
    fn a_query_that_keeps_others_waiting_ends() {
        let (parts, in_time) = round("{a=\"b\"} | json", 1000, &Slow::default());
        assert!(!in_time);
        assert!(parts.iter().sum::<usize>() < 25, "{parts:?}");
        assert!(round("{a=\"b\"} | json", 10, &Slow::default()).1);
    }
}
