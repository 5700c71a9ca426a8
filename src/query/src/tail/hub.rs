//! Who listens? Keeps the tails, and runs the thread that shows them what was committed.

use super::batch_queue::{BatchQueue, Missed, Round};
use super::entry::TailEntry;
use super::frame::{Encoder, Frame};
use super::matcher::{MAX_QUEUED_BYTES, Matcher, Piece};
use super::queue::{Delivery, Queue};
use super::routes::{Listing, Routes};
use super::seam::{History, Seam};
use crate::language::LogQuery;
use crate::reader::{Part, Reader};
use crate::request::{Direction, LogRequest};
use crate::storage::Storage;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use strandline_model::{Clock, MemoryBudget, MemoryClass, TenantId, TimeRange};

/// What a tail is told whose query broke the server's code.
const BROKEN: &str = "the tail failed by an internal error";

/// What a tail is told whose query keeps all others waiting.
const SLOW: &str = "the tail's query takes too long for the lines that come in";

/// All tails of the server.
#[derive(Debug)]
pub(crate) struct Hub {
    queue: Arc<BatchQueue>,
    registry: Mutex<Registry>,
    /// Bytes of frames that wait in queues.
    queued: Arc<AtomicUsize>,
    /// Most of them.
    max_queued: usize,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Registry {
    tenants: HashMap<TenantId, Asked>,
    /// The number of the next matcher.
    next: u64,
    /// How often a matcher was taken out.
    removals: u64,
    matchers: usize,
}

/// What the tails of a tenant ask.
#[derive(Debug, Default)]
struct Asked {
    /// By what is asked.
    by_key: HashMap<String, Arc<Matcher>>,
    /// Copied when it changes: the thread looks at it without the lock.
    listing: Arc<Listing>,
}

/// The hub and its thread, which ends with this.
#[derive(Debug)]
pub(crate) struct HubThread {
    hub: Arc<Hub>,
    thread: Option<JoinHandle<()>>,
}

/// One open tail; it ends when dropped.
#[derive(Debug)]
pub struct Tail {
    hub: Arc<Hub>,
    reader: Reader,
    query: LogQuery,
    /// One for each tenant.
    matchers: Vec<Arc<Matcher>>,
    encoder: Encoder,
    queue: Arc<Queue>,
    /// The last commit before the tail was open.
    since: u64,
    /// As long as live entries may be in the history, too.
    seam: Option<Seam>,
}

impl HubThread {
    /// Starts the thread and listens to `storage`.
    pub(crate) fn start(storage: &dyn Storage, memory: &MemoryBudget) -> std::io::Result<Self> {
        let hub = Arc::new(Hub {
            queue: Arc::default(),
            registry: Mutex::default(),
            queued: Arc::default(),
            max_queued: max_queued(memory),
            clock: Arc::clone(storage.clock()),
        });
        // A second query engine on one store has no tails; only tests have two.
        storage.observe(Arc::clone(&hub.queue) as _);
        let own = Arc::clone(&hub);
        let thread = std::thread::Builder::new().name("tail".to_owned()).spawn(move || own.run())?;
        Ok(Self { hub, thread: Some(thread) })
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }
}

impl Drop for HubThread {
    fn drop(&mut self) {
        self.hub.queue.close();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the tails ended by a panic");
        }
    }
}

/// What may wait in the queues of all tails: what the process's memory guarantees them, which nothing else takes.
fn max_queued(memory: &MemoryBudget) -> usize {
    let floors = memory.usage().into_iter().filter(|usage| usage.class == MemoryClass::Tail);
    match floors.map(|usage| usage.floor).sum() {
        0 => MAX_QUEUED_BYTES,
        floor => MAX_QUEUED_BYTES.min(floor),
    }
}

impl Hub {
    /// Opens a tail. From now on every matching entry that is committed waits for it.
    pub(crate) fn open(self: &Arc<Self>, reader: &Reader, query: &LogQuery, encoder: Encoder) -> Tail {
        let queue = Arc::new(Queue::default());
        let mut matchers = Vec::new();
        // What a tenant's matcher is told of is after the last commit before that; with several, after the first of those.
        let mut since = u64::MAX;
        for part in reader.parts(query.selector()) {
            let matcher = {
                let mut registry = self.registry.lock();
                let matcher = registry.matcher(query, part);
                // Under the lock: nobody may take the matcher out in between.
                matcher.join(encoder, Arc::clone(&queue));
                matcher
            };
            // After the matcher is in place: what is committed from here on finds it.
            since = since.min(self.queue.listen(&matcher.part().tenant));
            matchers.push(matcher);
        }
        metrics::gauge!("strandline_tails_open").increment(1.0);
        let (reader, query) = (reader.clone(), query.clone());
        Tail { hub: Arc::clone(self), reader, query, matchers, encoder, queue, since, seam: None }
    }

    /// Different queries that are asked.
    #[cfg(test)]
    pub(crate) fn matchers(&self) -> usize {
        self.registry.lock().matchers
    }

    fn close(&self, matchers: &[Arc<Matcher>], queue: &Arc<Queue>) {
        for matcher in matchers {
            self.queue.leave(&matcher.part().tenant);
            let mut registry = self.registry.lock();
            if matcher.leave(queue) {
                registry.remove(matcher);
            }
        }
        metrics::gauge!("strandline_tails_open").decrement(1.0);
    }

    fn run(&self) {
        let mut routes: HashMap<TenantId, Routes> = HashMap::new();
        while let Some(round) = self.queue.next_round() {
            self.forget_routes(&mut routes);
            self.distribute(&round, &mut routes);
        }
    }

    /// Forgets the streams of tenants without tails.
    fn forget_routes(&self, routes: &mut HashMap<TenantId, Routes>) {
        let registry = self.registry.lock();
        routes.retain(|tenant, _| registry.tenants.contains_key(tenant));
    }

    fn listing(&self, tenant: &TenantId) -> Option<Arc<Listing>> {
        self.registry.lock().tenants.get(tenant).map(|asked| Arc::clone(&asked.listing))
    }

    /// Shows tails what a round brought, one matcher after the other.
    fn distribute(&self, round: &Round, routes: &mut HashMap<TenantId, Routes>) {
        for (tenant, missed) in &round.missed {
            self.tell_missed(tenant, *missed);
        }
        let mut order: Vec<(Arc<Matcher>, Vec<Piece<'_>>)> = Vec::new();
        let mut places: HashMap<u64, usize> = HashMap::new();
        for (commit, batch) in &round.batches {
            let Some(listing) = self.listing(&batch.tenant) else { continue };
            let routes = routes.entry(batch.tenant.clone()).or_default();
            for stream in &batch.streams {
                for matcher in routes.of(stream, &listing) {
                    let place = *places.entry(matcher.number()).or_insert_with(|| {
                        order.push((Arc::clone(matcher), Vec::new()));
                        order.len() - 1
                    });
                    if let Some((_, pieces)) = order.get_mut(place) {
                        pieces.push(Piece { commit: *commit, batch, stream });
                    }
                }
            }
        }
        for (matcher, pieces) in order.iter().filter(|(matcher, _)| !matcher.has_failed()) {
            let deliver = |entries| matcher.deliver(entries, &self.queued, self.max_queued);
            match catch_unwind(AssertUnwindSafe(|| matcher.run(pieces, &*self.clock, deliver))) {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!(
                        query = matcher.query().text(),
                        "a tail's query took too long; its tails end"
                    );
                    matcher.fail(SLOW);
                }
                Err(_) => {
                    tracing::error!(query = matcher.query().text(), "a tail's query broke; its tails end");
                    matcher.fail(BROKEN);
                }
            }
        }
    }

    fn tell_missed(&self, tenant: &TenantId, missed: Missed) {
        let Some(listing) = self.listing(tenant) else { return };
        metrics::counter!("strandline_tail_dropped_entries_total", "reason" => "overload")
            .increment(missed.entries);
        for matcher in &listing.matchers {
            matcher.each_queue(|queue| queue.note_missed(missed.ts, missed.entries));
        }
    }
}

impl Registry {
    /// The matcher of a query, a new one if nobody asked it so far.
    fn matcher(&mut self, query: &LogQuery, part: Part) -> Arc<Matcher> {
        let asked = self.tenants.entry(part.tenant.clone()).or_default();
        let key = Matcher::key(query, &part);
        // One that failed shows nothing any more; its tails are on their way out.
        if let Some(known) = asked.by_key.get(&key).filter(|known| !known.has_failed()) {
            return Arc::clone(known);
        }
        let matcher = Arc::new(Matcher::new(self.next, query.clone(), part));
        self.next += 1;
        asked.by_key.insert(key, Arc::clone(&matcher));
        Arc::make_mut(&mut asked.listing).matchers.push(Arc::clone(&matcher));
        self.count(1);
        matcher
    }

    fn remove(&mut self, matcher: &Matcher) {
        let (query, part) = (matcher.query(), matcher.part());
        let tenant = &part.tenant;
        let Some(asked) = self.tenants.get_mut(tenant) else { return };
        self.removals += 1;
        let key = Matcher::key(query, part);
        if asked.by_key.get(&key).is_some_and(|known| known.number() == matcher.number()) {
            asked.by_key.remove(&key);
        }
        let listing = Arc::make_mut(&mut asked.listing);
        listing.matchers.retain(|other| other.number() != matcher.number());
        listing.removals = self.removals;
        if asked.listing.matchers.is_empty() {
            self.tenants.remove(tenant);
        }
        self.count(-1);
    }

    fn count(&mut self, change: isize) {
        self.matchers = self.matchers.saturating_add_signed(change);
        metrics::gauge!("strandline_tail_matchers").set(self.matchers as f64);
    }
}

impl Tail {
    /// Ends it as if its query had been too slow.
    #[cfg(test)]
    pub(crate) fn fail_as_slow(&self) {
        self.matchers.iter().for_each(|matcher| matcher.fail(SLOW));
    }

    /// The question for what lies before it: the newest `limit` entries from `start` on.
    pub(super) fn history_request(&self, start: i64, limit: usize) -> LogRequest {
        LogRequest {
            reader: self.reader.clone(),
            query: self.query.clone(),
            // No end: lines from a clock that is ahead belong to the past, too.
            range: TimeRange::new(start, i64::MAX),
            limit,
            direction: Direction::Backward,
            interval_ns: 0,
            categorize: false,
        }
    }

    /// The last commit before it was open.
    pub(super) fn since(&self) -> u64 {
        self.since
    }

    /// Leaves out of the live entries what `history` has.
    pub fn begin_after(&mut self, history: &History) {
        self.seam = Some(history.seam.clone());
    }

    /// What comes next, as of `std::future::Future::poll`.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Delivery> {
        // Asked first: what waits behind this may still be of the seam, what comes later is not.
        let past = self.seam.as_ref().is_some_and(|seam| self.hub.queue.is_past(seam.until()));
        while let Poll::Ready(delivery) = self.queue.poll_next(context) {
            if let Some(delivery) = self.beyond_seam(delivery) {
                return Poll::Ready(delivery);
            }
        }
        if past {
            self.seam = None;
        }
        Poll::Pending
    }

    /// What is left of a delivery without the entries that history has; `None` when that is nothing.
    fn beyond_seam(&self, delivery: Delivery) -> Option<Delivery> {
        let (Some(seam), Delivery::Frame(frame)) = (&self.seam, &delivery) else { return Some(delivery) };
        let entries = frame.entries();
        let shown: Vec<TailEntry> = entries.iter().filter(|entry| seam.shows(entry)).cloned().collect();
        match shown.len() {
            0 => None,
            n if n == entries.len() => Some(delivery),
            _ => {
                let frame = Frame::new(&Arc::new(shown), self.encoder, &self.hub.queued);
                Some(Delivery::Frame(Arc::new(frame)))
            }
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.hub.close(&self.matchers, &self.queue);
    }
}
