//! An index keeps to its memory, and reading or saving one can be stopped.

use super::{Bounds, LabelIndex, LabelState, Labels, Selector, is_ready, labels, open, tenant};
use crate::labels::ImageError;
use std::cell::Cell;
use strandline_model::Day;

fn streams(n: usize) -> Vec<Labels> {
    (0..n).map(|i| labels(&format!("{{app=\"a\", pod=\"pod-{i}\"}}"))).collect()
}

#[test]
fn what_needs_more_memory_is_given_up_and_let_go() {
    let (streams, t) = (streams(20_000), tenant("t"));
    let whole = LabelIndex::empty(usize::MAX);
    whole.add(&t, Day(1), streams.iter());
    let needed = whole.memory_bytes();
    assert!(needed > 20_000 * 50, "{needed}");
    let index = LabelIndex::empty(needed / 2);
    index.set_complete(true);
    index.add(&t, Day(1), streams.iter().take(1000));
    assert!(index.is_complete() && index.memory_bytes() > 0 && index.memory_bytes() < needed / 2);
    index.add(&t, Day(1), streams.iter());
    assert!(index.is_given_up() && !index.is_complete());
    assert_eq!((index.memory_bytes(), index.tenants().len()), (0, 0));
    index.add(&t, Day(2), streams.iter().take(9));
    index.drop_day(&t, Day(2));
    assert_eq!((index.memory_bytes(), index.tenants().len()), (0, 0), "it stays empty");
}

#[test]
fn what_is_forgotten_is_counted_no_more() {
    let (streams, t) = (streams(5000), tenant("t"));
    let index = LabelIndex::empty(usize::MAX);
    for day in 0..50 {
        index.add(&t, Day(2 * day), streams.iter());
    }
    let with_days = index.memory_bytes();
    for day in 0..50 {
        index.drop_day(&t, Day(2 * day));
    }
    assert!(index.memory_bytes() < with_days / 10, "{} of {with_days}", index.memory_bytes());
}

#[test]
fn the_estimate_is_not_below_the_sum() {
    for (pods, apps) in [(3000, 3000), (3000, 7), (3000, 1)] {
        let index = LabelIndex::empty(usize::MAX);
        let streams: Vec<Labels> =
            (0..pods).map(|i| labels(&format!("{{app=\"{}\", pod=\"pod-{i}\"}}", i % apps))).collect();
        index.add(&tenant("t"), Day(1), streams.iter());
        index.add(&tenant("t"), Day(4), streams.iter());
        let exact = index.tenant(&tenant("t")).unwrap().read().memory_bytes();
        let estimate = index.memory_bytes();
        assert!(exact <= estimate + estimate / 10 && estimate < 2 * exact, "{exact} {estimate}");
    }
}

#[test]
fn an_image_that_does_not_fit_is_not_read_and_one_that_is_stopped_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("labels");
    let (index, _) = open(&path, 0);
    index.add(&tenant("t"), Day(1), streams(5000).iter());
    let asked = Cell::new(0);
    index.save_ahead(&|| {
        asked.set(asked.get() + 1);
        false
    });
    assert!(asked.get() > 100, "asked for each page");
    index.set_complete(true);
    index.commit(3);
    let needed = index.memory_bytes();
    drop(index);
    for stop_at in [1, 50, 500] {
        let asked = Cell::new(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() >= stop_at
        };
        let bounds = Bounds { stop: &stop, ..Bounds::NONE };
        let (index, state) = LabelIndex::open(Some(path.clone()), 3, bounds);
        assert!(matches!(state, LabelState::NeedsRebuild(ImageError::Stopped)), "{state:?}");
        assert!(!index.is_persistent() && asked.get() == stop_at);
    }
    let (index, state) = open(&path, 3);
    assert!(is_ready(&state), "{state:?}");
    assert!(index.memory_bytes() < 2 * needed, "{} of {needed}", index.memory_bytes());
    assert_eq!(index.series(&tenant("t"), None, &Selector::all(), usize::MAX).len(), 5000);
    drop(index);
    for max_bytes in [1000, needed / 4] {
        let (index, state) = LabelIndex::open(Some(path.clone()), 3, Bounds { max_bytes, ..Bounds::NONE });
        assert!(
            matches!(state, LabelState::NeedsRebuild(ImageError::TooLarge(_) | ImageError::Missing)),
            "{state:?}"
        );
        assert!(!index.is_complete() && index.memory_bytes() == 0);
    }
}

#[test]
fn an_unfinished_image_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("labels");
    let (index, _) = open(&path, 3);
    index.add(&tenant("t"), Day(1), streams(500).iter());
    index.save_ahead(&|| false);
    drop(index);
    let (index, state) = open(&path, 3);
    assert!(matches!(state, LabelState::NeedsRebuild(ImageError::Stale { .. })), "{state:?}");
    assert!(index.is_persistent() && !dir.path().join("labels.bad-1").exists());
}
