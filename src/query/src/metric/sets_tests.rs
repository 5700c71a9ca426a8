//! Do `and`, `or` and `unless` keep the points with a partner, or those without?

use super::super::testing::{assert_same, by, matrix, without};
use super::*;

#[test]
fn partners_step_by_step() {
    let left = [("s=a,x=1", "1 2 _"), ("s=a,x=2", "_ 3 4"), ("s=b,x=1", "5 5 5")];
    let right = [("s=a", "9 _ _"), ("s=c", "8 8 8")];
    let all = [("s=a,x=1", "1 2 _"), ("s=a,x=2", "_ 3 4"), ("s=b,x=1", "5 5 5"), ("s=c", "8 8 8")];
    for (op, matching, wanted) in [
        (BinaryOp::And, by(&["s"]), &[("s=a,x=1", "1")][..]),
        (BinaryOp::And, without(&["x"]), &[("s=a,x=1", "1")]),
        (BinaryOp::And, without(&[]), &[]),
        (BinaryOp::And, by(&[]), &left),
        (BinaryOp::Unless, by(&["s"]), &[("s=a,x=1", "_ 2"), ("s=a,x=2", "_ 3 4"), ("s=b,x=1", "5 5 5")]),
        (BinaryOp::Unless, by(&[]), &[]),
        (BinaryOp::Unless, without(&[]), &left),
        (BinaryOp::Or, by(&["s"]), &all),
        (BinaryOp::Or, by(&[]), &left),
    ] {
        let got = combine(op, &matching, matrix(&left), matrix(&right), 3);
        assert_same(&got, &matrix(wanted), &format!("{op:?} {matching:?}"));
    }
}

#[test]
fn a_fallback_fills_the_gaps_of_the_same_series() {
    let zero = || matrix(&[("", "0 0 0")]);
    for (left, wanted) in [
        (matrix(&[("", "_ 5 _")]), matrix(&[("", "0 5 0")])),
        (Matrix::default(), zero()),
        (matrix(&[("", "1 2 3")]), matrix(&[("", "1 2 3")])),
    ] {
        assert_eq!(combine(BinaryOp::Or, &without(&[]), left, zero(), 3), wanted);
    }
}

#[test]
fn doubles_stay_doubles() {
    let twice = || matrix(&[("a=1", "_ 7"), ("a=1", "_ 8")]);
    let got = combine(BinaryOp::Or, &without(&[]), matrix(&[("a=1", "1")]), twice(), 2);
    assert_same(&got, &matrix(&[("a=1", "1 7"), ("a=1", "_ 8")]), "one fills the gap");
    let got = combine(BinaryOp::Or, &without(&[]), Matrix::default(), twice(), 2);
    assert_same(&got, &twice(), "both were there");
}

#[test]
fn steps_across_words() {
    let mut set = StepSet::new(130);
    set.extend(&[(0, 1.0), (63, 1.0), (64, 1.0), (129, 1.0), (999, 1.0)]);
    let held: Vec<u32> = (0..1000).filter(|step| set.holds(*step)).collect();
    assert_eq!(held, [0, 63, 64, 129]);
}
