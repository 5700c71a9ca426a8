//! Which matchers want the lines of a stream? Found once per stream, then remembered.

use super::matcher::Matcher;
use hashbrown::HashMap;
use std::sync::Arc;
use strandline_model::{BatchStream, StreamId};

/// Most streams of a tenant whose matchers are remembered.
const MAX_STREAMS: usize = 100_000;

/// The matchers of a tenant at some moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Listing {
    /// In the order of their numbers.
    pub(super) matchers: Vec<Arc<Matcher>>,
    /// Another number after each that was taken out.
    pub(super) removals: u64,
}

/// What is known of a tenant's streams.
#[derive(Debug, Default)]
pub(super) struct Routes(HashMap<StreamId, Route>);

#[derive(Debug, Default)]
struct Route {
    matchers: Vec<Arc<Matcher>>,
    /// Matchers from this number on have not been asked yet.
    unseen: u64,
    removals: u64,
}

impl Routes {
    /// The matchers of `listing` that select `stream`.
    pub(super) fn of(&mut self, stream: &BatchStream, listing: &Listing) -> &[Arc<Matcher>] {
        if self.0.len() >= MAX_STREAMS && !self.0.contains_key(&stream.id) {
            self.0.clear();
        }
        let route = self.0.entry(stream.id).or_default();
        if route.removals != listing.removals {
            route.removals = listing.removals;
            route.matchers.retain(|matcher| !matcher.is_over());
        }
        let from = listing.matchers.partition_point(|matcher| matcher.number() < route.unseen);
        for matcher in listing.matchers.get(from..).unwrap_or_default() {
            route.unseen = matcher.number() + 1;
            if matcher.part().selector.matches(&stream.labels) {
                route.matchers.push(Arc::clone(matcher));
            }
        }
        &route.matchers
    }
}
