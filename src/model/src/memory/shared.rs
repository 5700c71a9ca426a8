//! What all leases of a budget share.

use super::accounts::Accounts;
use super::class::Class;
use super::waiting::Waiters;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The bounds and the state behind them.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) total: usize,
    pub(super) floors: [usize; Class::ALL.len()],
    pub(super) state: Mutex<State>,
}

/// What changes with each lease.
#[derive(Debug)]
pub(super) struct State {
    pub(super) accounts: Accounts,
    pub(super) waiters: Waiters,
    pub(super) refused: [u64; Class::ALL.len()],
}

impl Shared {
    /// Taken for a few additions, once per step of a lease.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
