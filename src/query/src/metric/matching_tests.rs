//! Do series find their partners, and is it an error where they find too many?

use super::super::binary;
use super::super::testing::{assert_same, matrix};
use super::super::value::Value;
use super::*;
use BinaryOp as B;
use strandline_logql::ast::{BinaryOp, Matching, MetricExpr};

type Rows<'a> = &'a [(&'a str, &'a str)];

fn matching(on: bool, labels: &[&str], group: Option<(GroupSide, &[&str])>) -> Option<Matching> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Some(Matching { on, labels: owned(labels), group: group.map(|(side, names)| (side, owned(names))) })
}

fn run(
    op: BinaryOp,
    returns_bool: bool,
    matching: Option<Matching>,
    left: Rows,
    right: Rows,
) -> Result<Matrix, EvalError> {
    let side = || MetricExpr::Literal(0.0);
    let expr = BinaryExpr { op, returns_bool, matching, left: side(), right: side() };
    match binary::combine(&expr, Value::Matrix(matrix(left)), Value::Matrix(matrix(right)), 9)? {
        Value::Matrix(matrix) => Ok(matrix),
        scalar => panic!("{scalar:?}"),
    }
}

#[test]
fn one_to_one() {
    let (left, right) =
        ([("s=a,x=1", "6 6 _"), ("s=b,x=1", "6 4 2")], [("s=a,x=1", "1 _ 3"), ("s=b,x=1", "2 0 2")]);
    let other = [("s=a,y=2", "1 _ 3"), ("s=b,y=2", "2 0 2")];
    for (op, bool, how, right, wanted) in [
        (B::Add, false, None, right, &[("s=a,x=1", "7"), ("s=b,x=1", "8 4 4")][..]),
        (B::Div, false, None, right, &[("s=a,x=1", "6"), ("s=b,x=1", "3 NaN 1")]),
        (B::Greater, false, None, right, &[("s=a,x=1", "6"), ("s=b,x=1", "6 4")]),
        (B::Less, true, None, right, &[("s=a,x=1", "0"), ("s=b,x=1", "0 0 0")]),
        (B::Equal, false, None, right, &[("s=b,x=1", "_ _ 2")]),
        (B::Add, false, None, other, &[]),
        (B::Add, false, matching(true, &["s"], None), other, &[("s=a", "7"), ("s=b", "8 4 4")]),
        (B::Add, false, matching(false, &["x", "y"], None), other, &[("s=a", "7"), ("s=b", "8 4 4")]),
        (B::Greater, false, matching(true, &["s"], None), other, &[("s=a", "6"), ("s=b", "6 4")]),
    ] {
        let got = run(op, bool, how.clone(), &left, &right).expect("unique matches");
        assert_same(&got, &matrix(wanted), &format!("{op:?} {how:?}"));
    }
}

#[test]
fn many_to_one() {
    let many = [("app=x,s=a", "6 30"), ("app=x,s=b", "6 30"), ("app=y,s=a", "9 9")];
    let one = [("app=x,env=p", "12 29"), ("app=z,env=q", "1 1")];
    let bare = [("", "100 200")];
    let (on, off) = (true, false);
    for (op, how, swap, wanted) in [
        (
            B::Sub,
            matching(on, &["app"], Some((GroupSide::Left, &[]))),
            false,
            &[("app=x,s=a", "-6 1"), ("app=x,s=b", "-6 1")][..],
        ),
        (
            B::Sub,
            matching(off, &["s", "env"], Some((GroupSide::Left, &[]))),
            false,
            &[("app=x,s=a", "-6 1"), ("app=x,s=b", "-6 1")],
        ),
        (
            B::Sub,
            matching(on, &["app"], Some((GroupSide::Left, &["env"]))),
            false,
            &[("app=x,env=p,s=a", "-6 1"), ("app=x,env=p,s=b", "-6 1")],
        ),
        (
            B::Sub,
            matching(on, &["app"], Some((GroupSide::Right, &[]))),
            true,
            &[("app=x,s=a", "6 -1"), ("app=x,s=b", "6 -1")],
        ),
        (
            B::Greater,
            matching(on, &["app"], Some((GroupSide::Left, &[]))),
            false,
            &[("app=x,s=a", "_ 30"), ("app=x,s=b", "_ 30")],
        ),
        // The left side's value, whichever side is many.
        (
            B::Greater,
            matching(on, &["app"], Some((GroupSide::Right, &[]))),
            true,
            &[("app=x,s=a", "12"), ("app=x,s=b", "12")],
        ),
    ] {
        let (left, right): (Rows, Rows) = if swap { (&one, &many) } else { (&many, &one) };
        let got = run(op, false, how.clone(), left, right).expect("unique matches");
        assert_same(&got, &matrix(wanted), &format!("{op:?} {how:?}"));
    }
    let got = run(B::Add, false, matching(on, &[], Some((GroupSide::Left, &[]))), &many, &bare);
    let wanted = [("app=x,s=a", "106 230"), ("app=x,s=b", "106 230"), ("app=y,s=a", "109 209")];
    assert_same(&got.expect("unique matches"), &matrix(&wanted), "on nothing");
}

#[test]
fn partners_may_change_from_step_to_step() {
    let many = [("s=a", "1 1 1")];
    let one = [("k=1,s=a", "5"), ("k=2,s=a", "_ 6")];
    let how = matching(true, &["s"], Some((GroupSide::Left, &["k"])));
    let got = run(B::Add, false, how, &many, &one).expect("unique at each step");
    assert_same(&got, &matrix(&[("k=1,s=a", "6"), ("k=2,s=a", "_ 7")]), "included");
    let got = run(B::Add, false, matching(true, &["s"], None), &many, &one).expect("unique at each step");
    assert_same(&got, &matrix(&[("s=a", "6 7")]), "one to one");
    // Either of two may be the many side's, too.
    let got = run(B::Sub, false, matching(true, &["s"], None), &one, &many).expect("unique at each step");
    assert_same(&got, &matrix(&[("s=a", "4 5")]), "taking turns");
}

#[test]
fn ambiguous_matches_are_errors() {
    let (fine, double) = ([("app=x", "1")], [("app=x,s=a", "1"), ("app=x,s=b", "1")]);
    let on_app = |group| matching(true, &["app"], group);
    let swapped = |group| (on_app(Some((group, &["env"][..]))), group);
    let (to_left, _) = swapped(GroupSide::Left);
    let (to_right, _) = swapped(GroupSide::Right);
    let envs = [("app=x,env=1", "1"), ("app=x,env=2", "1")];
    for (how, left, right, wanted) in [
        (on_app(None), &fine[..], &double[..], EvalError::ManyToMany(Hand::Right)),
        (on_app(None), &double, &fine, EvalError::ManyToOne),
        (on_app(None), &double, &double, EvalError::ManyToMany(Hand::Right)),
        (to_left.clone(), &fine, &double, EvalError::ManyToMany(Hand::Right)),
        (to_right, &double, &fine, EvalError::ManyToMany(Hand::Left)),
        // The label that tells the many apart is replaced by one that the other side has not.
        (to_left, &envs, &fine, EvalError::AmbiguousResult),
    ] {
        assert_eq!(run(B::Sub, false, how.clone(), left, right), Err(wanted), "{how:?}");
    }
    assert_eq!(
        EvalError::ManyToMany(Hand::Right).to_string(),
        "found duplicate series on the right hand-side;many-to-many matching not allowed: matching labels must be \
         unique on one side"
    );
    // What the filter drops is in nobody's way.
    let two = [("app=x,s=a", "1"), ("app=x,s=b", "9")];
    let got = run(B::Greater, false, on_app(None), &two, &fine).expect("one is left");
    assert_same(&got, &matrix(&[("app=x", "9")]), "filtered");
    // Doubles without a partner on the left are errors, too.
    assert!(run(B::Add, false, on_app(None), &[("app=q", "1")], &double).is_err());
}
