//! Which lines of a batch does a query show, and to whom? One matcher serves all tails that ask the same.

use super::entry::TailEntry;
use super::frame::{Encoder, Frame, cut};
use super::queue::Queue;
use crate::language::LogQuery;
use crate::logs::best::Found;
use crate::logs::staged::{self, Entry};
use crate::reader::Part;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use strandline_logql::Row;
use strandline_model::{Batch, BatchStream, Labels, Metadata};

/// Most bytes of frames in the queues of all tails together.
pub(super) const MAX_QUEUED_BYTES: usize = 64 << 20;

/// A query and the tails that ask it.
#[derive(Debug)]
pub(super) struct Matcher {
    number: u64,
    query: LogQuery,
    part: Part,
    forms: Mutex<Vec<Form>>,
    over: AtomicBool,
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
        Self { number, query, part, forms: Mutex::default(), over: AtomicBool::new(false) }
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

    /// What the query shows of these pieces, by time. `now_ns` is the time that templates are told.
    pub(super) fn run(&self, pieces: &[Piece<'_>], now_ns: i64) -> Vec<TailEntry> {
        let mut found = Vec::new();
        pieces.iter().for_each(|piece| run_piece(self, piece, now_ns, &mut found));
        // Those of one time stay in the order of their arrival.
        found.sort_by_key(TailEntry::ts);
        found
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

fn run_piece(matcher: &Matcher, piece: &Piece<'_>, now_ns: i64, found: &mut Vec<TailEntry>) {
    let query = &matcher.query;
    let (batch, labels) = (piece.batch, &matcher.part.shown(Arc::clone(&piece.stream.labels)));
    let mut row: Option<Row<'_>> = None;
    for entry in batch.stream_entries(piece.stream) {
        let (line, metadata) = (batch.line(entry), batch.metadata(entry));
        if !query.takes(line) {
            continue;
        }
        if query.is_plain() {
            found.push(TailEntry(plain(entry.ts, piece.commit, labels, line, metadata)));
            continue;
        }
        let row = match &mut row {
            Some(row) => {
                row.reset(entry.ts, line, labels, metadata);
                row
            }
            none => none.insert(Row::new(entry.ts, now_ns, line, labels, metadata)),
        };
        if query.pipeline().process(row) {
            let entry = Entry { key: entry.ts, ts: entry.ts, labels, arrival: piece.commit, line, metadata };
            found.push(TailEntry(staged::passed(entry, row, query.pipeline().changes_line())));
        }
    }
}

fn plain(ts: i64, commit: u64, labels: &Arc<Labels>, line: &[u8], metadata: Metadata<'_>) -> Found {
    Found {
        key: ts,
        labels: Arc::clone(labels),
        arrival: commit,
        line: line.into(),
        metadata: metadata.0.into(),
        identity: 0,
        shown: None,
    }
}
