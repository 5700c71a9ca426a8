//! How is a request's body read? Up to a size, within a time, and into memory that was taken for it before.
//!
//! Memory is taken for what has arrived, never for what a header announces. A client has to keep a least rate on
//! average, to finish in time, and while others wait for memory it has to be quick or to come again.

use crate::state::AppState;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt;
use std::time::Duration;
use strandline_model::time::SECOND_NS;
use strandline_model::{Clock, Exhausted, Lease};

/// Memory of a request beside its body: the buffers of its connection, its header, its task.
const REQUEST_BYTES: usize = 16 << 10;
/// First room for a body; from there it doubles, up to what the client announced.
const FIRST_BYTES: usize = 4 << 10;
/// A body may come at any rate for this long.
const GRACE: Duration = Duration::from_secs(10);
/// How often a body that is slow to come is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// While others wait for the memory that a body holds, it has to come so fast that it would fill that again in this many
/// seconds, and not below its least rate.
const REFILL_S: usize = 16;
/// A body that holds less than this is in nobody's way.
const HARMLESS_BYTES: usize = 64 << 10;
/// Longest time for which a refused body is read on.
const MAX_DISCARD: Duration = Duration::from_secs(5);

/// What a body may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyRules {
    /// Most bytes, and the setting that says so.
    pub(crate) max_bytes: usize,
    pub(crate) setting: Option<&'static str>,
    /// Longest pause between two pieces.
    pub(crate) pause: Duration,
    /// `server.body_timeout`: from the header to the last byte.
    pub(crate) timeout: Duration,
    /// `server.min_body_rate`: bytes per second on average, once [`GRACE`] is over; 0 for any.
    pub(crate) min_rate: u64,
    /// Longest time that it waits for memory, each time that it needs more.
    pub(crate) memory_wait: Duration,
}

/// The rules for bodies of pushes.
pub(crate) fn body_rules(state: &AppState) -> BodyRules {
    BodyRules {
        max_bytes: state.config.max_body_bytes,
        setting: Some("server.max_body_bytes"),
        pause: state.config.body_pause,
        timeout: state.config.body_timeout,
        min_rate: state.config.min_body_rate,
        memory_wait: state.config.memory_wait,
    }
}

impl BodyRules {
    fn too_large(&self) -> BodyError {
        BodyError::TooLarge(self.max_bytes, self.setting)
    }
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It is longer than allowed.
    #[error("request body too large: more than {0} bytes{by}", by = .1.map_or(String::new(), |s| format!(" ({s})")))]
    TooLarge(usize, Option<&'static str>),
    /// The connection broke or spoke nonsense.
    #[error("the request body was cut off")]
    Cut,
    /// The client stopped sending.
    #[error("the request body did not arrive in time: nothing came for {0:?}")]
    Paused(Duration),
    /// The client sends too slowly.
    #[error("the request body did not arrive in time: less than {0} bytes per second (server.min_body_rate)")]
    Slow(u64),
    /// The client needs too long.
    #[error("the request body did not arrive in time: longer than {0:?} (server.body_timeout)")]
    Overdue(Duration),
    /// There is no memory for it.
    #[error(transparent)]
    NoMemory(#[from] Exhausted),
    /// Others waited for the memory that it held.
    #[error("memory is short and the request body came slowly; send it again (server.max_memory)")]
    GaveWay,
}

/// Reads `body` whole into memory of `lease`. `crowded` says whether others wait for the memory that it holds.
pub(crate) async fn read(
    body: Body,
    headers: &HeaderMap,
    rules: &BodyRules,
    lease: &Lease,
    clock: &dyn Clock,
    crowded: impl Fn() -> bool,
) -> Result<Vec<u8>, BodyError> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    let declared = declared.unwrap_or(0);
    let mut body = body;
    let read = if declared > rules.max_bytes {
        Err(rules.too_large())
    } else {
        let now_ns = clock.monotonic_ns();
        let pace = Pace { rules, began_ns: now_ns, window_ns: now_ns, window_bytes: 0 };
        Arriving { bytes: Vec::new(), declared, lease, pace, clock, crowded }.read(&mut body).await
    };
    if matches!(read, Err(BodyError::TooLarge(..) | BodyError::NoMemory(_))) {
        lease.shrink(lease.bytes());
        discard(body, is_held_back(headers), rules.max_bytes).await;
    }
    read
}

/// A body on its way in.
struct Arriving<'a, C> {
    bytes: Vec<u8>,
    declared: usize,
    lease: &'a Lease,
    pace: Pace<'a>,
    clock: &'a dyn Clock,
    crowded: C,
}

impl<C: Fn() -> bool> Arriving<'_, C> {
    async fn read(mut self, body: &mut Body) -> Result<Vec<u8>, BodyError> {
        self.take_memory(REQUEST_BYTES).await?;
        while let Some(data) = self.next(body).await? {
            if self.bytes.len() + data.len() > self.pace.rules.max_bytes {
                return Err(self.pace.rules.too_large());
            }
            self.make_room(data.len()).await?;
            self.bytes.extend_from_slice(&data);
            self.pace.window_bytes += data.len();
        }
        Ok(self.bytes)
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self, body: &mut Body) -> Result<Option<bytes::Bytes>, BodyError> {
        let mut quiet = Duration::ZERO;
        loop {
            let left = self.pace.left(self.bytes.len(), self.clock.monotonic_ns())?;
            let wait = left.min(LOOK).min(self.pace.rules.pause.saturating_sub(quiet));
            match tokio::time::timeout(wait, body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err(BodyError::Cut),
                Ok(Some(Ok(frame))) => {
                    self.give_way()?;
                    // Trailers say nothing here.
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Err(_) => {
                    quiet += wait;
                    if quiet >= self.pace.rules.pause {
                        return Err(BodyError::Paused(self.pace.rules.pause));
                    }
                    self.give_way()?;
                }
            }
        }
    }

    /// An error when others wait for memory and this body comes too slowly to keep its own.
    fn give_way(&mut self) -> Result<(), BodyError> {
        let quick = self.pace.is_quick(self.lease.bytes(), self.clock.monotonic_ns());
        if quick || self.bytes.capacity() < HARMLESS_BYTES || !(self.crowded)() {
            return Ok(());
        }
        Err(BodyError::GaveWay)
    }

    /// Takes memory for `more` bytes before it is allocated.
    async fn make_room(&mut self, more: usize) -> Result<(), BodyError> {
        let (len, capacity) = (self.bytes.len(), self.bytes.capacity());
        if len + more <= capacity {
            return Ok(());
        }
        let most = if self.declared > len { self.declared } else { self.pace.rules.max_bytes };
        let wanted = (capacity * 2).max(FIRST_BYTES).min(most).max(len + more);
        // For the new place, and for the old one while it is copied.
        self.take_memory(wanted).await?;
        self.bytes.reserve_exact(wanted - len);
        self.lease.shrink(capacity);
        Ok(())
    }

    /// Takes memory, waiting for it a while.
    async fn take_memory(&mut self, bytes: usize) -> Result<(), BodyError> {
        let before_ns = self.clock.monotonic_ns();
        let grown = tokio::time::timeout(self.pace.rules.memory_wait, self.lease.grow(bytes)).await;
        // In time or not: what the client waited for us is not its fault.
        self.pace.excuse(self.clock.monotonic_ns() - before_ns);
        Ok(grown.unwrap_or_else(|_| self.lease.try_grow(bytes))?)
    }
}

/// How fast a body has to come.
#[derive(Debug)]
struct Pace<'a> {
    rules: &'a BodyRules,
    began_ns: i64,
    /// Since when and how much came in the time that is looked at.
    window_ns: i64,
    window_bytes: usize,
}

impl Pace<'_> {
    /// How long the next byte may take when `arrived` have come.
    fn left(&self, arrived: usize, now_ns: i64) -> Result<Duration, BodyError> {
        let spent = Duration::from_nanos(now_ns.saturating_sub(self.began_ns).max(0).unsigned_abs());
        let left = self.rules.timeout.saturating_sub(spent);
        if left.is_zero() {
            return Err(BodyError::Overdue(self.rules.timeout));
        }
        let Some(seconds) = (arrived as u64).checked_div(self.rules.min_rate) else { return Ok(left) };
        let allowed = GRACE + Duration::from_secs(seconds);
        match allowed.saturating_sub(spent) {
            Duration::ZERO => Err(BodyError::Slow(self.rules.min_rate)),
            by_rate => Ok(left.min(by_rate)),
        }
    }

    /// Whether it came fast enough lately to keep `held` bytes while others wait for some; true when it is too early to
    /// say.
    fn is_quick(&mut self, held: usize, now_ns: i64) -> bool {
        let spent_ns = now_ns - self.window_ns;
        if spent_ns < SECOND_NS {
            return true;
        }
        let least = ((held / REFILL_S) as u64).max(self.rules.min_rate);
        let came = self.window_bytes as i128 * i128::from(SECOND_NS) / i128::from(spent_ns);
        (self.window_ns, self.window_bytes) = (now_ns, 0);
        came >= least as i128
    }

    /// Does not count time that the server took.
    fn excuse(&mut self, ns: i64) {
        self.began_ns += ns;
        self.window_ns += ns;
    }
}

/// Whether the client waits to be asked for its body.
pub(crate) fn is_held_back(headers: &HeaderMap) -> bool {
    headers.contains_key(EXPECT)
}

/// Reads on for a while without keeping anything: a client whose connection is closed while it still sends does not see
/// the answer, and sends the same again and again. One that waits to be asked for its body is not asked. It takes no head:
/// that of a refused request is not to stay in memory meanwhile.
pub(crate) async fn discard(mut body: Body, is_held_back: bool, max_bytes: usize) {
    if is_held_back {
        return;
    }
    let mut left = max_bytes.saturating_mul(4);
    let reading = async {
        while left > 0
            && let Some(Ok(frame)) = body.frame().await
        {
            left = left.saturating_sub(frame.data_ref().map_or(1, bytes::Bytes::len));
        }
    };
    // Whether it came to an end makes no difference.
    let _ = tokio::time::timeout(MAX_DISCARD, reading).await;
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
