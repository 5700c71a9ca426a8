//! What is asked of the reader, and when may it aggregate further?

use super::super::testing::{by, range, unwrap, vector, without};
use super::*;
use RangeOp as R;
use VectorOp as V;
use strandline_logql::ast::{BinaryExpr, BinaryOp};

#[test]
fn sums_of_sums_and_extremes_of_extremes_are_pushed_down() {
    for (outer, inner, pushed) in [
        (V::Sum, R::Rate, true),
        (V::Sum, R::Count, true),
        (V::Sum, R::BytesRate, true),
        (V::Sum, R::Bytes, true),
        (V::Sum, R::Sum, true),
        (V::Min, R::Min, true),
        (V::Max, R::Max, true),
        (V::Sum, R::Avg, false),
        (V::Sum, R::RateCounter, false),
        (V::Sum, R::Absent, false),
        (V::Sum, R::Max, false),
        (V::Max, R::Min, false),
        (V::Max, R::Count, false),
        (V::Count, R::Count, false),
        (V::Avg, R::Avg, false),
        (V::Topk, R::Rate, false),
    ] {
        let expr = vector(outer, Some(by(&["b", "a", "b"])), MetricExpr::Range(range(inner, "x")));
        let leaf = pushdown(&expr);
        assert_eq!(leaf.is_some(), pushed, "{outer:?} of {inner:?}");
        assert!(leaf.is_none_or(|leaf| leaf.grouping == by(&["a", "b"])));
    }
    let grouped = RangeAggregation { grouping: Some(by(&["a"])), ..range(R::Max, "x") };
    assert_eq!(pushdown(&vector(V::Max, None, MetricExpr::Range(grouped))), None);
    assert_eq!(pushdown(&vector(V::Sum, None, MetricExpr::Literal(1.0))), None);
    let plain = vector(V::Sum, None, MetricExpr::Range(range(R::Rate, "x")));
    assert_eq!(pushdown(&plain).map(|leaf| leaf.grouping), Some(by(&[])));
}

#[test]
fn the_unwrapped_label_goes_unless_the_inner_grouping_names_it() {
    let unwrapped = |grouping| RangeAggregation { unwrap: unwrap("v"), grouping, ..range(R::Max, "x") };
    for (inner, wanted) in [
        (None, without(&["v"])),
        (Some(by(&["v", "a"])), by(&["a", "v"])),
        (Some(by(&[])), by(&[])),
        (Some(without(&["w"])), without(&["v", "w"])),
        (Some(without(&[])), without(&["v"])),
    ] {
        assert_eq!(Leaf::of(&unwrapped(inner.clone())).grouping, wanted, "{inner:?}");
    }
    for (outer, wanted) in
        [(None, by(&[])), (Some(by(&["v", "a"])), by(&["a"])), (Some(without(&["a"])), without(&["a", "v"]))]
    {
        let expr = vector(V::Max, outer.clone(), MetricExpr::Range(unwrapped(None)));
        assert_eq!(pushdown(&expr).map(|leaf| leaf.grouping), Some(wanted), "{outer:?}");
    }
}

#[test]
fn labels_that_are_needed() {
    let rate = range(R::Rate, "x");
    assert_eq!(needed_labels(&Leaf::of(&rate)), NeededLabels::All);
    let absent = range(R::Absent, "x");
    assert_eq!(needed_labels(&Leaf::of(&absent)), NeededLabels::Only(BTreeSet::new()));
    let by_two = Leaf { aggregation: &rate, grouping: by(&["a", "b"]), is_inside: true, is_named_only: true };
    assert_eq!(needed_labels(&by_two), NeededLabels::Only(["a", "b"].into()));
}

#[test]
fn equal_leaves_are_one() {
    let sum = |app: &str, labels: &[&str]| {
        MetricExpr::Vector(vector(V::Sum, Some(by(labels)), MetricExpr::Range(range(R::Rate, app))))
    };
    let both = |left, right| {
        MetricExpr::Binary(Box::new(BinaryExpr {
            op: BinaryOp::Div,
            returns_bool: false,
            matching: None,
            left,
            right,
        }))
    };
    let expr = both(both(sum("x", &["a"]), sum("y", &["a"])), both(sum("x", &["a"]), sum("x", &[])));
    let found: Vec<(String, Grouping, usize)> = uses(&expr)
        .into_iter()
        .map(|(leaf, uses)| (leaf.aggregation.log.matchers[0].value.clone(), leaf.grouping, uses))
        .collect();
    let wanted = [("x", by(&["a"]), 2), ("y", by(&["a"]), 1), ("x", by(&[]), 1)];
    assert_eq!(found, wanted.map(|(app, grouping, uses)| (app.to_owned(), grouping, uses)));
    assert_eq!(leaves(&expr).len(), 3);
}
