//! A share of the budget that one piece of work holds.

use super::accounts;
use super::class::{Bound, Class, Exhausted};
use super::shared::{Shared, State};
use crate::clock::Clock;
use crate::tenant::TenantId;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// A lease asks the budget for at least this much, so that many small growths cost one look at it.
const MIN_STEP: usize = 4 << 10;
/// A large lease asks for an eighth more than it needs, at most this.
const MAX_STEP: usize = 1 << 20;
/// One who waits on a thread looks this often whether it is still wanted.
const TICK: Duration = Duration::from_millis(20);

/// Bytes held of one class for one tenant; given back on drop. Threads may grow the same lease at once.
#[derive(Debug)]
pub struct Lease {
    shared: Arc<Shared>,
    class: Class,
    tenant: TenantId,
    /// What the work says it holds.
    used: AtomicUsize,
    /// What the budget has set aside for it: at least `used`, but for the moment of a growth. Changed under the lock.
    reserved: AtomicUsize,
}

impl Lease {
    pub(super) fn new(shared: Arc<Shared>, class: Class, tenant: TenantId) -> Self {
        Self { shared, class, tenant, used: AtomicUsize::new(0), reserved: AtomicUsize::new(0) }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// What it is for.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Whether somebody waits for what this lease holds: its own tenant, or one that holds less. One that holds more waits
    /// for itself.
    pub fn is_in_the_way(&self) -> bool {
        let state = self.shared.lock();
        let mine = state.accounts.held(self.class, &self.tenant);
        let mut waiting = state.waiters.tenants(self.class);
        waiting.any(|tenant| *tenant == self.tenant || state.accounts.held(self.class, tenant) < mine)
    }

    /// Takes `more` bytes, or none of them. Cheap: most growths are within what was set aside before.
    pub fn try_grow(&self, more: usize) -> Result<(), Exhausted> {
        if more > self.shared.total {
            return self.refuse(more, Bound::Never);
        }
        let used = self.used.fetch_add(more, Ordering::Relaxed) + more;
        if used <= self.reserved.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut state = self.shared.lock();
        match self.reserve(&mut state) {
            Ok(()) => Ok(()),
            Err(bound) => {
                drop(state);
                self.used.fetch_sub(more, Ordering::Relaxed);
                self.refuse(more, bound)
            }
        }
    }

    /// Sets the bytes held to `bytes`, or leaves them when that is more and does not fit. Not for leases that several
    /// threads change at once.
    pub fn try_set(&self, bytes: usize) -> Result<(), Exhausted> {
        let used = self.bytes();
        if bytes > used {
            return self.try_grow(bytes - used);
        }
        self.shrink(used - bytes);
        Ok(())
    }

    /// Gives back `less` bytes.
    pub fn shrink(&self, less: usize) {
        let before = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| Some(used.saturating_sub(less)));
        let used = before.unwrap_or(0).saturating_sub(less);
        let kept = used + step(used);
        if self.reserved.load(Ordering::Relaxed) <= kept {
            return;
        }
        let state = self.shared.lock();
        // Another thread may have grown it again, or given the same back.
        let kept = self.bytes().max(used);
        let spare = self.reserved.load(Ordering::Relaxed).saturating_sub(kept);
        self.reserved.fetch_sub(spare, Ordering::Relaxed);
        self.give_back(state, spare);
    }

    /// Takes `more` bytes as soon as they are there; drop the future to wait no longer. Whoever waits while it holds
    /// something may wait for one that waits for it: only the deadline of the caller ends that.
    pub fn grow(&self, more: usize) -> Growing<'_> {
        Growing { lease: self, more, ticket: None }
    }

    /// The same on a thread that may block; `given_up` is asked every few milliseconds whether to wait no longer.
    pub fn grow_blocking(&self, more: usize, mut given_up: impl FnMut() -> bool) -> Result<(), Exhausted> {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut growing = self.grow(more);
        loop {
            if let Poll::Ready(result) = Pin::new(&mut growing).poll(&mut context) {
                return result;
            }
            if given_up() {
                drop(growing);
                return self.refuse(more, Bound::Class);
            }
            std::thread::park_timeout(TICK);
        }
    }

    /// The same until a moment of the monotonic clock.
    pub fn grow_until(&self, more: usize, clock: &dyn Clock, until_ns: i64) -> Result<(), Exhausted> {
        self.grow_blocking(more, || clock.monotonic_ns() >= until_ns)
    }

    /// Sets aside what `used` says, and some more if that fits too.
    fn reserve(&self, state: &mut State) -> Result<(), Bound> {
        let used = self.used.load(Ordering::Relaxed);
        let reserved = self.reserved.load(Ordering::Relaxed);
        let Some(missing) = used.checked_sub(reserved).filter(|n| *n > 0) else { return Ok(()) };
        let rounded = missing + step(used);
        let take = |state: &mut State, bytes| state.accounts.take(self.class, &self.tenant, bytes);
        let taken = match take(state, rounded) {
            Ok(()) => rounded,
            Err(_) => take(state, missing).map(|()| missing)?,
        };
        self.reserved.store(reserved + taken, Ordering::Relaxed);
        Ok(())
    }

    fn refuse(&self, wanted: usize, bound: Bound) -> Result<(), Exhausted> {
        let mut state = self.shared.lock();
        let most = accounts::share_of(state.accounts.capacity(self.class));
        let bound = if self.bytes().saturating_add(wanted) > most { Bound::Never } else { bound };
        if let Some(refused) = state.refused.get_mut(self.class.at()) {
            *refused += 1;
        }
        Err(Exhausted { class: self.class, wanted, bound })
    }

    /// Gives back what was set aside, and wakes who can have it.
    fn give_back(&self, mut state: std::sync::MutexGuard<'_, State>, bytes: usize) {
        let State { accounts, waiters, .. } = &mut *state;
        accounts.give_back(self.class, &self.tenant, bytes);
        let woken = waiters.grant(accounts);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let reserved = self.reserved.load(Ordering::Relaxed);
        if reserved > 0 {
            self.give_back(self.shared.lock(), reserved);
        }
    }
}

/// What to set aside beyond `used` bytes.
fn step(used: usize) -> usize {
    (used / 8).clamp(MIN_STEP, MAX_STEP)
}

/// A growth that waits for its bytes.
#[derive(Debug)]
#[must_use = "a growth does nothing until it is awaited"]
pub struct Growing<'a> {
    lease: &'a Lease,
    more: usize,
    ticket: Option<u64>,
}

impl Future for Growing<'_> {
    type Output = Result<(), Exhausted>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let lease = self.lease;
        if let Some(ticket) = self.ticket {
            let mut state = lease.shared.lock();
            if !state.waiters.poll(ticket, context.waker()) {
                return Poll::Pending;
            }
            // The bytes were taken when it was granted. `used` first: a growth on another thread must not take them.
            lease.used.fetch_add(self.more, Ordering::Relaxed);
            lease.reserved.fetch_add(self.more, Ordering::Relaxed);
            drop(state);
            self.ticket = None;
            return Poll::Ready(Ok(()));
        }
        let mut state = lease.shared.lock();
        let most = accounts::share_of(state.accounts.capacity(lease.class));
        if lease.bytes().saturating_add(self.more) > most {
            drop(state);
            return Poll::Ready(lease.refuse(self.more, Bound::Never));
        }
        if !state.waiters.must_wait(lease.class, &lease.tenant, self.more) {
            lease.used.fetch_add(self.more, Ordering::Relaxed);
            if lease.reserve(&mut state).is_ok() {
                return Poll::Ready(Ok(()));
            }
            lease.used.fetch_sub(self.more, Ordering::Relaxed);
        }
        match state.waiters.enter(lease.class, &lease.tenant, self.more, context.waker().clone()) {
            Ok(ticket) => {
                // What was set aside beyond `used` counts as held: with it the growth might fit never.
                let spare = lease.reserved.load(Ordering::Relaxed).saturating_sub(lease.bytes());
                lease.reserved.fetch_sub(spare, Ordering::Relaxed);
                lease.give_back(state, spare);
                self.ticket = Some(ticket);
                Poll::Pending
            }
            Err(bound) => {
                drop(state);
                Poll::Ready(lease.refuse(self.more, bound))
            }
        }
    }
}

impl Drop for Growing<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut state = self.lease.shared.lock();
        let granted = state.waiters.leave(ticket);
        // One who left may have been in front of others; what it was granted goes to them.
        self.lease.give_back(state, if granted { self.more } else { 0 });
    }
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
