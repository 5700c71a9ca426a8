//! Do selectors, days and limits mean what the language says?

use super::{Bounds, LabelIndex, Labels, MatchOp, Selector, labels, selector, tenant};
use strandline_model::time::DAY_NS;
use strandline_model::{Day, TimeRange};

const STREAMS: [&str; 5] =
    [r#"{app="a", env="dev"}"#, r#"{app="a"}"#, r#"{app="b", env="prod"}"#, r#"{job="x"}"#, "{}"];

fn index() -> LabelIndex {
    let (index, _) = LabelIndex::open(None, 0, Bounds::NONE);
    let streams: Vec<Labels> = STREAMS.iter().map(|text| labels(text)).collect();
    index.add(&tenant("t"), Day(3), streams.iter());
    index.set_complete(true);
    index
}

/// The streams that these conditions select, as places in `STREAMS`.
fn selected(matchers: &[(&str, MatchOp, &str)]) -> Vec<usize> {
    let found = index().select(&tenant("t"), None, &selector(matchers), 10).unwrap();
    let place = |labels: Labels| STREAMS.iter().position(|text| labels.to_string() == *text).unwrap();
    found.into_iter().map(place).collect()
}

#[test]
fn a_label_that_is_absent_counts_as_empty() {
    use MatchOp::{Equal, NotEqual, NotRegex, Regex};
    assert_eq!(selected(&[]), [0, 1, 2, 3, 4]);
    assert_eq!(selected(&[("app", Equal, "a")]), [0, 1]);
    assert_eq!(selected(&[("app", Equal, "")]), [3, 4]);
    assert_eq!(selected(&[("none", Equal, "")]), [0, 1, 2, 3, 4]);
    assert_eq!(selected(&[("none", Equal, "a")]), [0usize; 0]);
    assert_eq!(selected(&[("app", NotEqual, "a")]), [2, 3, 4]);
    assert_eq!(selected(&[("app", NotEqual, "")]), [0, 1, 2]);
    assert_eq!(selected(&[("app", Regex, ".*")]), [0, 1, 2, 3, 4]);
    assert_eq!(selected(&[("app", Regex, ".+")]), [0, 1, 2]);
    assert_eq!(selected(&[("app", Regex, "a|")]), [0, 1, 3, 4]);
    assert_eq!(selected(&[("none", Regex, ".+")]), [0usize; 0]);
    assert_eq!(selected(&[("app", NotRegex, "a")]), [2, 3, 4]);
    assert_eq!(selected(&[("app", NotRegex, "a|")]), [2]);
    assert_eq!(selected(&[("app", NotRegex, ".*")]), [0usize; 0]);
    assert_eq!(selected(&[("env", NotEqual, "dev"), ("app", Equal, "a")]), [1]);
    assert_eq!(selected(&[("app", Regex, "a|b"), ("env", NotRegex, "d.*")]), [1, 2]);
    assert_eq!(selected(&[("app", Equal, "a"), ("app", Equal, "b")]), [0usize; 0]);
}

#[test]
fn only_days_that_the_range_touches_count() {
    let index = index();
    let count = |start, end| {
        let range = Some(TimeRange::new(start, end));
        index.series(&tenant("t"), range, &Selector::all(), 10).len()
    };
    assert_eq!(count(3 * DAY_NS, 4 * DAY_NS), 5);
    assert_eq!(count(3 * DAY_NS + 5, 3 * DAY_NS + 6), 5);
    assert_eq!(count(2 * DAY_NS, 3 * DAY_NS), 0);
    assert_eq!(count(2 * DAY_NS, 3 * DAY_NS + 1), 5);
    assert_eq!(count(4 * DAY_NS, 9 * DAY_NS), 0);
    assert_eq!(count(3 * DAY_NS, 3 * DAY_NS), 0);
    assert_eq!(count(i64::MIN, i64::MAX), 5);
}

#[test]
fn names_and_values_are_those_of_the_selected_streams() {
    let index = index();
    let t = tenant("t");
    let all = Selector::all();
    let dev = selector(&[("env", MatchOp::Equal, "dev")]);
    let not_dev = selector(&[("env", MatchOp::NotEqual, "dev")]);
    let text = |set: std::collections::BTreeSet<String>| set.into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(text(index.label_names(&t, None, &all)), "app env job");
    assert_eq!(text(index.label_names(&t, None, &dev)), "app env");
    assert_eq!(text(index.label_values(&t, "app", None, &all)), "a b");
    assert_eq!(text(index.label_values(&t, "app", None, &dev)), "a");
    assert_eq!(text(index.label_values(&t, "env", None, &not_dev)), "prod");
    assert_eq!(text(index.label_values(&t, "none", None, &all)), "");
    assert_eq!(text(index.label_names(&tenant("other"), None, &all)), "");
    assert_eq!(text(index.label_names(&t, Some(TimeRange::new(0, DAY_NS)), &all)), "");
}

#[test]
fn a_selection_beyond_the_limit_or_of_an_incomplete_index_is_none() {
    let index = index();
    let t = tenant("t");
    assert_eq!(index.select(&t, None, &Selector::all(), 5).map(|s| s.len()), Some(5));
    assert_eq!(index.select(&t, None, &Selector::all(), 4), None);
    assert_eq!(index.select(&tenant("other"), None, &Selector::all(), 0), Some(vec![]));
    assert_eq!(index.series(&t, None, &Selector::all(), 2).len(), 2);
    index.set_complete(false);
    assert_eq!(index.select(&t, None, &Selector::all(), 5), None);
    assert_eq!(index.series(&t, None, &Selector::all(), 9).len(), 5);
}

#[test]
fn days_are_replaced_and_dropped() {
    let index = index();
    let t = tenant("t");
    let two: Vec<Labels> = [r#"{app="a"}"#, r#"{app="new"}"#].map(labels).to_vec();
    index.replace_day(&t, Day(3), two.iter());
    assert_eq!(index.select(&t, None, &Selector::all(), 9).unwrap(), two);
    assert_eq!(index.stream_count(&t), 2);
    index.drop_day(&t, Day(4));
    index.drop_day(&tenant("other"), Day(3));
    assert_eq!(index.tenants(), std::slice::from_ref(&t));
    index.drop_day(&t, Day(3));
    assert_eq!((index.stream_count(&t), index.tenants()), (0, vec![]));
    assert!(index.label_names(&t, None, &Selector::all()).is_empty());
    index.add(&t, Day(5), two.iter());
    index.clear();
    assert!(!index.is_complete() && index.tenants().is_empty() && !index.is_persistent());
}
