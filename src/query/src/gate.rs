//! Whose turn is it? A bounded number of queries run, the others wait in the order they came.

use crate::error::QueryError;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::time::Duration;

/// A waiting query looks this often whether it is still wanted.
const TICK: Duration = Duration::from_millis(50);

/// Lets a number of queries pass at once.
#[derive(Debug)]
pub(crate) struct Gate {
    inside_max: usize,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    inside: usize,
    next_ticket: u64,
    waiting: VecDeque<u64>,
}

/// Held while a query runs.
#[derive(Debug)]
pub(crate) struct Permit<'a>(&'a Gate);

impl Gate {
    pub(crate) fn new(inside_max: usize) -> Self {
        Self { inside_max: inside_max.max(1), state: Mutex::default(), moved: Condvar::new() }
    }

    /// Waits for a turn; `given_up` is asked now and then why to wait no longer.
    pub(crate) fn enter(&self, given_up: impl Fn() -> Option<QueryError>) -> Result<Permit<'_>, QueryError> {
        let mut state = self.state.lock();
        if state.inside < self.inside_max && state.waiting.is_empty() {
            state.inside += 1;
            return Ok(Permit(self));
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(ticket);
        loop {
            if let Some(error) = given_up() {
                state.waiting.retain(|t| *t != ticket);
                self.moved.notify_all();
                return Err(error);
            }
            if state.inside < self.inside_max && state.waiting.front() == Some(&ticket) {
                state.waiting.pop_front();
                state.inside += 1;
                self.moved.notify_all();
                return Ok(Permit(self));
            }
            self.moved.wait_for(&mut state, TICK);
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.state.lock().inside -= 1;
        self.0.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn those_who_wait_enter_in_order_and_those_who_give_up_are_skipped() {
        let gate = Arc::new(Gate::new(1));
        let order = Arc::new(Mutex::new(Vec::new()));
        let first = gate.enter(|| None).unwrap();
        let threads: Vec<_> = (0..4)
            .map(|i| {
                let before = gate.state.lock().waiting.len();
                let (at, order_at) = (Arc::clone(&gate), Arc::clone(&order));
                let thread = std::thread::spawn(move || {
                    let entered = at.enter(|| (i == 1).then_some(QueryError::Cancelled));
                    if entered.is_ok() {
                        order_at.lock().push(i);
                    }
                });
                while i != 1 && gate.state.lock().waiting.len() == before {
                    std::thread::yield_now();
                }
                thread
            })
            .collect();
        drop(first);
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(*order.lock(), [0, 2, 3]);
        assert_eq!(gate.state.lock().inside, 0);
    }
}
