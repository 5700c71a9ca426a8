//! What do operations between numbers, and between numbers and series, give?

use super::super::testing::{assert_same, close, matrix};
use super::*;
use BinaryOp as B;
use strandline_logql::ast::MetricExpr;

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

fn expr(op: BinaryOp, returns_bool: bool) -> BinaryExpr {
    let side = || MetricExpr::Literal(0.0);
    BinaryExpr { op, returns_bool, matching: None, left: side(), right: side() }
}

#[test]
fn between_numbers_comparisons_answer_zero_or_one() {
    for (a, op, b, wanted) in [
        (0.1, B::Add, 0.2, 0.300_000_000_000_000_04),
        (1.0, B::Sub, INF, -INF),
        (1e100, B::Mul, 1e300, INF),
        (7.0, B::Div, 2.0, 3.5),
        (10.0, B::Div, 0.0, NAN),
        (10.0, B::Div, -0.0, NAN),
        (0.0, B::Div, 0.0, NAN),
        (7.0, B::Mod, 4.0, 3.0),
        (-7.0, B::Mod, 4.0, -3.0),
        (7.5, B::Mod, -2.0, 1.5),
        (1.0, B::Mod, 0.0, NAN),
        (2.0, B::Pow, 10.0, 1024.0),
        (-8.0, B::Pow, 0.5, NAN),
        (0.0, B::Pow, 0.0, 1.0),
        (1.0, B::Equal, 1.0, 1.0),
        (NAN, B::Equal, NAN, 0.0),
        (NAN, B::NotEqual, NAN, 1.0),
        (1.0, B::Greater, 2.0, 0.0),
        (2.0, B::GreaterEqual, 2.0, 1.0),
        (1.0, B::Less, 2.0, 1.0),
        (NAN, B::LessEqual, 2.0, 0.0),
    ] {
        for returns_bool in [false, true] {
            let got = combine(&expr(op, returns_bool), Value::Scalar(a), Value::Scalar(b), 1);
            let Ok(Value::Scalar(got)) = got else { panic!("{a} {op:?} {b}: {got:?}") };
            assert!(close(got, wanted), "{a} {op:?} {b}: {got}, wanted {wanted}");
        }
    }
}

#[test]
fn a_number_meets_every_point_and_a_filter_keeps_the_series_value() {
    let series = || Value::Matrix(matrix(&[("a=1", "1 _ 3"), ("a=2", "5 NaN 0")]));
    let number = || Value::Scalar(3.0);
    for (op, returns_bool, number_first, wanted) in [
        (B::Add, false, false, &[("a=1", "4 _ 6"), ("a=2", "8 NaN 3")][..]),
        (B::Sub, false, true, &[("a=1", "2 _ 0"), ("a=2", "-2 NaN 3")]),
        (B::Div, false, true, &[("a=1", "3 _ 1"), ("a=2", "0.6 NaN NaN")]),
        (B::Greater, false, false, &[("a=2", "5")]),
        (B::Greater, false, true, &[("a=1", "1"), ("a=2", "_ _ 0")]),
        (B::Equal, false, true, &[("a=1", "_ _ 3")]),
        (B::NotEqual, false, false, &[("a=1", "1"), ("a=2", "5 NaN 0")]),
        (B::Greater, true, false, &[("a=1", "0 _ 0"), ("a=2", "1 0 0")]),
        (B::Less, true, true, &[("a=1", "0 _ 0"), ("a=2", "1 0 0")]),
        (B::LessEqual, false, false, &[("a=1", "1 _ 3"), ("a=2", "_ _ 0")]),
    ] {
        let (left, right) = if number_first { (number(), series()) } else { (series(), number()) };
        let got = combine(&expr(op, returns_bool), left, right, 3);
        let Ok(Value::Matrix(got)) = got else { panic!("{op:?}: {got:?}") };
        assert_same(&got, &matrix(wanted), &format!("{op:?} bool {returns_bool} first {number_first}"));
    }
}

#[test]
fn sets_have_no_numbers_in_them() {
    for (op, word) in [(B::And, "and"), (B::Or, "or"), (B::Unless, "unless")] {
        let error = combine(&expr(op, false), Value::Scalar(1.0), Value::Matrix(Matrix::default()), 1);
        assert_eq!(error, Err(EvalError::LiteralInSet(word)));
    }
}
