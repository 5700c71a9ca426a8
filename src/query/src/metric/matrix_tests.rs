//! Do labels stay sorted, unique and comparable, and are series weighed?

use super::super::testing::{by, labels, matrix, without};
use super::*;

#[test]
fn labels_are_sorted_and_the_first_of_a_name_stays() {
    let made: SeriesLabels = [("b", "2"), ("a", "1"), ("b", "3")].into_iter().collect();
    assert_eq!(made.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
    assert_eq!((made.get("b"), made.get("c")), (Some("2"), None));
    assert!(labels("a=1") < labels("a=1,b=2") && labels("a=1,b=2") < labels("a=2"));
}

#[test]
fn grouping_keeps_what_is_named_or_what_is_not() {
    let all = labels("a=1,b=,c=3");
    for (grouping, kept) in [
        (by(&["c", "a"]), "a=1,c=3"),
        (by(&["b", "nosuch"]), "b="),
        (by(&[]), ""),
        (without(&["c", "nosuch"]), "a=1,b="),
        (without(&[]), "a=1,b=,c=3"),
    ] {
        assert_eq!(SeriesLabels::of_key(&all.key(&grouping)), labels(kept), "{grouping:?}");
    }
}

#[test]
fn one_label_is_set_or_removed() {
    for (name, value, wanted) in [
        ("a", "9", "a=9,c=3"),
        ("b", "2", "a=1,b=2,c=3"),
        ("d", "4", "a=1,c=3,d=4"),
        ("a", "", "c=3"),
        ("x", "", "a=1,c=3"),
    ] {
        assert_eq!(labels("a=1,c=3").with(name, value), labels(wanted), "{name}={value}");
    }
}

#[test]
fn series_without_points_vanish() {
    let all = matrix(&[("a=1", "1 _ 3"), ("a=2", "_ _"), ("a=3", "4")]);
    assert_eq!(all.series.len(), 2);
    let kept = all.map(|value| (value < 3.0).then_some(value * 2.0));
    assert_eq!(kept, matrix(&[("a=1", "2")]));
    assert_eq!(Matrix::constant(1.0, 0), Matrix::default());
    assert_eq!(Matrix::constant(7.0, 3), matrix(&[("", "7 7 7")]));
}

#[test]
fn bytes_grow_with_labels_and_points() {
    let small = matrix(&[("a=1", "1")]).bytes();
    assert!(matrix(&[("a=12345", "1")]).bytes() == small + 4);
    assert!(matrix(&[("a=1", "1 2 3 4 5 6 7 8 9")]).bytes() >= small + 4 * size_of::<Point>());
    assert!(matrix(&[("a=1", "1"), ("a=2", "1")]).bytes() == 2 * small);
}
