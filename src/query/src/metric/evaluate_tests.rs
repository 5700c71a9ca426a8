//! Does the evaluator give what the definitions say, ask for each leaf once, and stay within its budget?

use super::super::matrix::{Series, SeriesLabels};
use super::super::naive::{self, Line};
use super::super::steps::Windows;
use super::super::testing::{assert_same, by, close, labels, matrix, range, vector, without};
use super::super::window::{self, Sample};
use super::*;
use proptest::prelude::*;
use strandline_logql::ast::{BinaryExpr, BinaryOp, Expr, GroupSide, Grouping, LabelReplace, Matching};

const ENOUGH: Budget = Budget { bytes: 1 << 30, series: None };

/// Reads leaves from lines, as the real reader does from blocks.
fn read(leaf: &Leaf<'_>, lines: &[Line], steps: &Steps) -> Matrix {
    let range = leaf.aggregation;
    let mut found: Vec<(SeriesLabels, Vec<Sample>)> = Vec::new();
    for (labels, ts, value) in lines.iter().filter(|l| l.0.get("app") == Some(&range.log.matchers[0].value)) {
        let labels = SeriesLabels::of_key(&labels.key(&leaf.grouping));
        match found.iter_mut().find(|(known, _)| *known == labels) {
            Some((_, samples)) => samples.push((*ts, *value)),
            None => found.push((labels, vec![(*ts, *value)])),
        }
    }
    let windows = Windows::new(*steps, range.range_ns, range.offset_ns);
    let mut matrix = Matrix::default();
    for (labels, mut samples) in found {
        samples.sort_by_key(|(ts, _)| *ts);
        matrix.push(labels, window::exact(range.op, range.parameter, &windows, &samples, &|| false));
    }
    matrix
}

fn run(expr: &MetricExpr, lines: &[Line], steps: &Steps, budget: Budget) -> Result<Matrix, EvalError> {
    let mut reader = |leaf: &Leaf<'_>, _| Ok(read(leaf, lines, steps));
    evaluate::<EvalError>(expr, steps, &budget, &|_| Ok(()), &mut reader)
        .map(|value| value.into_matrix(steps))
}

/// Shards a, b of app x, shard a of app y; a line a nanosecond with its time as value.
fn lines() -> Vec<Line> {
    let streams = [("app=x,shard=a", 1), ("app=x,shard=b", 2), ("app=y,shard=a", 10)];
    let each = |(text, every): (&str, i64)| {
        (0..100).step_by(every as usize).map(|ts| (labels(text), ts, ts as f64)).collect::<Vec<_>>()
    };
    streams.into_iter().flat_map(each).collect()
}

fn count(app: &str, range_ns: i64) -> MetricExpr {
    MetricExpr::Range(RangeAggregation { range_ns, ..range(RangeOp::Count, app) })
}

fn aggregated(op: VectorOp, grouping: Option<Grouping>, inner: MetricExpr) -> MetricExpr {
    MetricExpr::Vector(vector(op, grouping, inner))
}

fn binary(op: BinaryOp, matching: Option<Matching>, left: MetricExpr, right: MetricExpr) -> MetricExpr {
    MetricExpr::Binary(Box::new(BinaryExpr { op, returns_bool: false, matching, left, right }))
}

#[test]
fn whole_queries() {
    let steps = Steps::range(50, 10, 3);
    let sum = |app: &str| aggregated(VectorOp::Sum, None, count(app, 10));
    let by_shard = aggregated(VectorOp::Sum, Some(by(&["shard"])), count("x", 10));
    let absent =
        |app: &str| MetricExpr::Range(RangeAggregation { range_ns: 10, ..range(RangeOp::Absent, app) });
    for (what, expr, wanted) in [
        ("a number", MetricExpr::Literal(2.0), &[("", "2 2 2")][..]),
        ("vector()", MetricExpr::VectorLiteral(7.0), &[("", "7 7 7")]),
        ("a leaf", count("x", 10), &[("app=x,shard=a", "10 10 10"), ("app=x,shard=b", "5 5 5")]),
        ("pushed down", by_shard.clone(), &[("shard=a", "10 10 10"), ("shard=b", "5 5 5")]),
        (
            "a ratio",
            binary(BinaryOp::Div, None, sum("y"), sum("x")),
            &[("", "0.06666666666666667 0.06666666666666667 0.06666666666666667")],
        ),
        (
            "a fallback",
            binary(BinaryOp::Or, None, sum("nosuch"), MetricExpr::VectorLiteral(0.0)),
            &[("", "0 0 0")],
        ),
        (
            "a filter",
            binary(BinaryOp::Greater, None, by_shard.clone(), MetricExpr::Literal(7.0)),
            &[("shard=a", "10 10 10")],
        ),
        ("nothing there", absent("nosuch"), &[("app=nosuch", "1 1 1")]),
        ("something there", absent("x"), &[]),
        ("aggregated number", aggregated(VectorOp::Count, None, MetricExpr::Literal(3.0)), &[("", "1 1 1")]),
        ("the greatest of sums", aggregated(VectorOp::Max, None, by_shard), &[("", "10 10 10")]),
    ] {
        let got = run(&expr, &lines(), &steps, ENOUGH).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_same(&got, &matrix(wanted), what);
    }
}

#[test]
fn absence_is_labelled_with_what_is_certain() {
    use strandline_logql::ast::MatcherExpr;
    use strandline_model::MatchOp::{Equal, NotEqual, Regex};
    let matcher =
        |(name, op, value): (&str, _, &str)| MatcherExpr { name: name.into(), op, value: value.into() };
    let matchers = [
        ("app", Equal, "nosuch"),
        ("env", Regex, "a.*"),
        ("x", NotEqual, "y"),
        ("z", Equal, "1"),
        ("twice", Equal, "1"),
        ("twice", Equal, "1"),
        ("empty", Equal, ""),
    ];
    let got = absent(&matrix(&[("", "_ 1 _")]), &matchers.map(matcher), 3);
    assert_eq!(got, matrix(&[("app=nosuch,z=1", "1 _ 1")]));
}

#[test]
fn an_instant_answer_is_in_the_order_it_asks_for() {
    let values = [("k=c", "2"), ("k=a", "2"), ("k=d", "NaN"), ("k=b", "9")];
    let order = |op: VectorOp, k: Option<u64>, steps: Steps| {
        let inner = MetricExpr::Range(range(RangeOp::Avg, "x"));
        let expr = MetricExpr::Vector(VectorAggregation { parameter: k, ..vector(op, Some(by(&[])), inner) });
        ordered(&expr, steps, &values)
    };
    let instant = Steps::instant(0);
    for (op, k, wanted) in [
        (VectorOp::Sort, None, "acbd"),
        (VectorOp::SortDesc, None, "bacd"),
        (VectorOp::Topk, Some(3), "abc"),
        (VectorOp::ApproxTopk, Some(1), "b"),
        (VectorOp::Bottomk, Some(2), "ac"),
    ] {
        assert_eq!(order(op, k, instant), wanted, "{op:?}");
    }
    // Over time there is no order but that of labels.
    assert_eq!(order(VectorOp::SortDesc, None, Steps::range(0, 1, 1)), "abcd");
    assert_eq!(order(VectorOp::Topk, Some(2), Steps::range(0, 1, 1)), "ab");
}

#[test]
fn what_is_sorted_stays_so_in_an_operation() {
    let values = [("k=c", "2"), ("k=a", "3"), ("k=b", "9")];
    for (query, wanted) in [
        ("sort(X) + 1", "cab"),
        ("1 + sort_desc(X)", "bac"),
        ("sort_desc(X) > 2", "ba"),
        ("sort_desc(X) + on (k) X", "bac"),
        ("sort_desc(X) + on () group_left () sum(X)", "bac"),
        ("X and sort_desc(X)", "cab"),
        ("sum by (k) (topk(2, X))", "ab"),
        ("X + 1", "abc"),
    ] {
        let query = query.replace('X', "count_over_time({a=\"b\"}[1s])");
        let Ok(Expr::Metric(expr)) = strandline_logql::parse_query(&query) else { panic!("{query}") };
        assert_eq!(ordered(&expr, Steps::instant(0), &values), wanted, "{query}");
    }
}

/// The values of the label `k` in the order of the answer, where each leaf has these `values`.
fn ordered(expr: &MetricExpr, steps: Steps, values: &[(&str, &str)]) -> String {
    let read = |leaf: &Leaf<'_>, _: usize| match leaf.is_inside {
        true => Ok(matrix(&[("", "1")])),
        false => Ok(matrix(values)),
    };
    let got = evaluate::<EvalError>(expr, &steps, &ENOUGH, &|_| Ok(()), &mut { read }).expect("a value");
    let keys = got.into_matrix(&steps).series.into_iter().map(|s| s.labels.get("k").map(str::to_owned));
    keys.collect::<Option<String>>().expect("labels")
}

#[test]
fn each_leaf_is_read_once_and_in_order() {
    let ratio = |a: &str, b: &str| {
        let sum = |app: &str| aggregated(VectorOp::Sum, None, count(app, 10));
        binary(BinaryOp::Div, None, sum(a), sum(b))
    };
    let expr = binary(
        BinaryOp::Add,
        None,
        ratio("x", "y"),
        binary(BinaryOp::Add, None, ratio("y", "x"), ratio("z", "x")),
    );
    let steps = Steps::range(50, 10, 3);
    let (mut asked, mut rooms) = (Vec::new(), Vec::new());
    let value = evaluate::<EvalError>(&expr, &steps, &ENOUGH, &|_| Ok(()), &mut |leaf, room| {
        asked.push(leaf.aggregation.log.matchers[0].value.clone());
        rooms.push(room);
        Ok(Matrix::constant(2.0, 3))
    });
    assert_eq!(asked, ["x", "y", "z"]);
    assert!(rooms[0] == ENOUGH.bytes && rooms[1] < rooms[0] && rooms[2] < rooms[0], "{rooms:?}");
    assert_eq!(value, Ok(Value::Matrix(matrix(&[("", "3 3 3")]))));
}

#[test]
fn the_budget_holds() {
    let steps = Steps::range(50, 10, 3);
    let expr = binary(BinaryOp::Add, None, count("x", 10), count("x", 20));
    let need = run(&count("x", 10), &lines(), &steps, ENOUGH).expect("a value").bytes();
    for (bytes, fits) in [(4 * need, true), (2 * need, false), (need / 2, false)] {
        let got = run(&expr, &lines(), &steps, Budget { bytes, series: None });
        assert_eq!(got.is_ok(), fits, "{bytes} of {need}");
        assert!(fits || got == Err(EvalError::TooManyBytes(bytes)));
    }
    // What is used up is counted no more.
    let long = (0..50).fold(count("x", 10), |expr, _| binary(BinaryOp::Add, None, expr, count("x", 20)));
    assert!(run(&long, &lines(), &steps, Budget { bytes: 6 * need, series: None }).is_ok());
    let limit = |series| run(&count("x", 10), &lines(), &steps, Budget { series: Some(series), ..ENOUGH });
    assert!(limit(2).is_ok());
    let error = limit(1).expect_err("two series");
    assert!(
        error.to_string().starts_with("maximum number of series (1) reached for a single query;"),
        "{error}"
    );
}

#[test]
fn errors_of_the_reader_come_through() {
    #[derive(Debug, PartialEq)]
    enum Failed {
        Reading,
        Evaluating(EvalError),
    }
    impl From<EvalError> for Failed {
        fn from(error: EvalError) -> Self {
            Self::Evaluating(error)
        }
    }
    let steps = Steps::instant(5);
    let got = evaluate(&count("x", 1), &steps, &ENOUGH, &|_| Ok(()), &mut |_, _| Err(Failed::Reading));
    assert_eq!(got, Err(Failed::Reading));
    let set = binary(BinaryOp::And, None, MetricExpr::Literal(1.0), count("x", 1));
    let got = evaluate(&set, &steps, &ENOUGH, &|_| Ok(()), &mut |_, _| Ok::<_, Failed>(Matrix::default()));
    assert_eq!(got, Err(Failed::Evaluating(EvalError::LiteralInSet("and"))));
}

fn grouping() -> impl Strategy<Value = Grouping> {
    prop::sample::select(vec![
        by(&[]),
        by(&["a"]),
        by(&["a", "b"]),
        without(&["b"]),
        without(&[]),
        without(&["app"]),
    ])
}

fn matching() -> impl Strategy<Value = Option<Matching>> {
    let group = prop::sample::select(vec![None, None, Some(GroupSide::Left), Some(GroupSide::Right)]);
    let group = (group, prop::sample::select(vec![vec![], vec!["b".to_owned()], vec!["r".to_owned()]]));
    let one = (grouping(), group).prop_map(|(grouping, (side, names))| Matching {
        on: !grouping.without,
        labels: grouping.labels,
        group: side.map(|side| (side, names)),
    });
    prop::option::of(one)
}

/// An eighth of a second: rates over it and its powers of two are exact, so that comparisons do not hang on rounding.
const UNIT: i64 = 125_000_000;

fn leaf() -> impl Strategy<Value = MetricExpr> {
    use RangeOp as R;
    let op = prop::sample::select(vec![R::Count, R::Rate, R::Sum, R::Min, R::Max, R::Avg, R::Absent]);
    let app = prop::sample::select(vec!["x", "y", "nosuch"]);
    (op, app, 0u32..6, -10i64..10, prop::option::of(grouping())).prop_map(
        |(op, app, power, offset, grouping)| {
            let (range_ns, offset_ns) = (UNIT << power, UNIT * offset);
            let grouping = grouping.filter(|_| matches!(op, R::Min | R::Max | R::Avg));
            MetricExpr::Range(RangeAggregation { range_ns, offset_ns, grouping, ..range(op, app) })
        },
    )
}

fn any_expr() -> impl Strategy<Value = MetricExpr> {
    use BinaryOp as B;
    use VectorOp as V;
    let number = prop::sample::select(vec![0.0, 1.0, 3.0, -2.0]);
    let base = prop_oneof![
        8 => leaf(),
        1 => number.clone().prop_map(MetricExpr::Literal),
        1 => number.prop_map(MetricExpr::VectorLiteral),
    ];
    base.prop_recursive(4, 24, 2, |inner| {
        let op = prop::sample::select(vec![
            V::Sum,
            V::Avg,
            V::Min,
            V::Max,
            V::Count,
            V::Stdvar,
            V::Topk,
            V::Bottomk,
            V::Sort,
        ]);
        let aggregation = (op, prop::option::of(grouping()), 1u64..3, inner.clone()).prop_map(
            |(op, grouping, k, inner)| {
                let parameter = matches!(op, V::Topk | V::Bottomk).then_some(k);
                let grouping = grouping.filter(|_| op != V::Sort);
                MetricExpr::Vector(VectorAggregation { op, parameter, grouping, inner: Box::new(inner) })
            },
        );
        let op = prop::sample::select(vec![
            B::Or,
            B::And,
            B::Unless,
            B::Equal,
            B::NotEqual,
            B::Greater,
            B::LessEqual,
            B::Add,
            B::Sub,
            B::Mul,
            B::Div,
        ]);
        let binary = (op, any::<bool>(), matching(), inner.clone(), inner.clone()).prop_map(
            |(op, returns_bool, matching, left, right)| {
                MetricExpr::Binary(Box::new(BinaryExpr { op, returns_bool, matching, left, right }))
            },
        );
        let replace = inner.prop_map(|inner| {
            let texts = ["r", "<$0>", "a", ".*"].map(str::to_owned);
            let [destination, replacement, source, regex] = texts;
            MetricExpr::LabelReplace(Box::new(LabelReplace {
                inner,
                destination,
                replacement,
                source,
                regex,
            }))
        });
        prop_oneof![3 => aggregation, 4 => binary, 1 => replace]
    })
}

fn any_lines() -> impl Strategy<Value = Vec<Line>> {
    let line = (prop::sample::select(vec!["x", "y"]), 0u8..3, 0u8..2, -20i64..80, -3i8..4);
    let line = line.prop_map(|(app, a, b, ts, value)| {
        let labels = [("app", app.to_owned()), ("a", a.to_string()), ("b", b.to_string())];
        (labels.into_iter().collect(), UNIT * ts, f64::from(value))
    });
    prop::collection::vec(line, 0..40)
}

type Labelled = (u32, SeriesLabels, f64);

fn points(matrix: &Matrix) -> Vec<Labelled> {
    let of = |series: &Series| {
        series.points.iter().map(|(step, value)| (*step, series.labels.clone(), *value)).collect::<Vec<_>>()
    };
    matrix.series.iter().flat_map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn evaluation_is_the_definition(expr in any_expr(), lines in any_lines(), step in 1i64..20, count in 1u32..5) {
        let steps = Steps::range(0, UNIT * step, count);
        let times: Vec<i64> = (0..count).map(|k| i64::from(k) * UNIT * step).collect();
        match (run(&expr, &lines, &steps, ENOUGH), naive::over(&expr, &lines, &times)) {
            (Ok(got), Ok(mut wanted)) => {
                prop_assert!(got.series.is_sorted_by(|a, b| a.labels <= b.labels));
                let mut points = points(&got);
                let by_all = |a: &Labelled, b: &Labelled| (a.0, &a.1).cmp(&(b.0, &b.1)).then(a.2.total_cmp(&b.2));
                points.sort_by(by_all);
                wanted.sort_by(by_all);
                let same = |(g, w): (&Labelled, &Labelled)| (g.0, &g.1) == (w.0, &w.1) && close(g.2, w.2);
                let all_same = points.len() == wanted.len() && points.iter().zip(&wanted).all(same);
                prop_assert!(all_same, "{points:?}, wanted {wanted:?}");
                let doubles = |all: &[Labelled]| all.windows(2).any(|w| (w[0].0, &w[0].1) == (w[1].0, &w[1].1));
                let unique = got.series.windows(2).all(|w| w[0].labels < w[1].labels);
                prop_assert!(unique || doubles(&wanted), "one series in pieces: {got:?}");
            }
            // Of several mistakes, either may be told.
            (got, wanted) => prop_assert_eq!(got.is_err(), wanted.is_err(), "{:?} / {:?}", got, wanted),
        }
    }
}
