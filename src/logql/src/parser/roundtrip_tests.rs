//! Is every query that is printed read as the same query? And does no text, however hostile, do more than be refused?

use super::*;
use crate::ast::*;
use crate::pretty;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn name() -> impl Strategy<Value = String> {
    let functions =
        select(vec!["rate", "sum", "bytes", "duration", "ip", "vector", "é1"]).prop_map(str::to_owned);
    prop_oneof![4 => "[a-zA-Z_][a-zA-Z0-9_]{0,6}", 1 => functions]
        .prop_filter("reserved", |n| matches!(tokens(n).first(), Some((Token::Ident(_), _))))
}

fn names() -> impl Strategy<Value = Vec<String>> {
    vec(name(), 0..3)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-z\"\\\\\n{}|]{0,6}"]
}

fn match_op() -> impl Strategy<Value = MatchOp> {
    select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex])
}

/// A comparison with text that is a regex too.
fn condition() -> impl Strategy<Value = (MatchOp, String)> {
    (match_op(), "[a-z.+*|é\n]{0,6}")
        .prop_filter("no regex", |(op, value)| crate::check::label_text(*op, value).is_ok())
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("not a literal", |n| n.is_finite()),
        any::<i32>().prop_map(f64::from),
        select(vec![0.0, -0.0, 1e21, 1e-7, f64::MAX, f64::MIN_POSITIVE, 5e-324]),
    ]
}

fn quantity() -> impl Strategy<Value = Quantity> {
    prop_oneof![
        number().prop_map(Quantity::Number),
        any::<i64>().prop_map(Quantity::Duration),
        (any::<u64>(), 0..64).prop_map(|(size, shift)| Quantity::Bytes(size >> shift)),
    ]
}

fn label_filter() -> impl Strategy<Value = LabelFilterExpr> {
    let compare = select(vec![
        CompareOp::Equal,
        CompareOp::NotEqual,
        CompareOp::Greater,
        CompareOp::GreaterEqual,
        CompareOp::Less,
        CompareOp::LessEqual,
    ]);
    let leaf = prop_oneof![
        (name(), condition()).prop_map(|(name, (op, value))| LabelFilterExpr::Text(MatcherExpr {
            name,
            op,
            value
        })),
        (name(), compare, quantity()).prop_map(|(name, op, value)| LabelFilterExpr::Quantity {
            name,
            op,
            value
        }),
        (name(), any::<bool>(), text()).prop_map(|(name, negative, range)| LabelFilterExpr::Ip {
            name,
            negative,
            range
        }),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        (inner.clone(), inner, any::<bool>()).prop_map(|(left, right, and)| {
            let (left, right) = (Box::new(left), Box::new(right));
            if and { LabelFilterExpr::And(left, right) } else { LabelFilterExpr::Or(left, right) }
        })
    })
}

fn line_filter() -> impl Strategy<Value = LineFilterExpr> {
    use LineFilterOp as Op;
    let op =
        select(vec![Op::Contains, Op::NotContains, Op::Matches, Op::NotMatches, Op::Pattern, Op::NotPattern]);
    let operand = prop_oneof![
        text().prop_map(|text| LineOperand::Text(text.into_bytes())),
        vec(any::<u8>(), 0..8).prop_map(LineOperand::Text),
        text().prop_map(LineOperand::Ip),
    ];
    (op, vec(operand, 1..4)).prop_map(|(op, mut operands)| {
        if !matches!(op, Op::Contains | Op::NotContains) {
            for operand in &mut operands {
                if let LineOperand::Ip(range) = operand {
                    *operand = LineOperand::Text(range.clone().into_bytes());
                }
            }
        }
        // Several operands of these are several filters.
        if matches!(op, Op::NotContains | Op::NotMatches | Op::NotPattern) {
            operands.truncate(1);
        }
        LineFilterExpr { op, operands }
    })
}

fn stage() -> impl Strategy<Value = Stage> {
    let extractions =
        || vec((name(), text()).prop_map(|(name, expression)| Extraction { name, expression }), 0..3);
    let choices = || {
        vec(
            (name(), option::of(condition())).prop_map(|(name, condition)| LabelChoice { name, condition }),
            1..3,
        )
    };
    let value =
        prop_oneof![name().prop_map(LabelFormatValue::Label), text().prop_map(LabelFormatValue::Template)];
    let formats = vec((name(), value).prop_map(|(name, value)| LabelFormatExpr { name, value }), 1..3);
    prop_oneof![
        line_filter().prop_map(Stage::LineFilter),
        extractions().prop_map(Stage::Json),
        (any::<bool>(), any::<bool>(), extractions())
            .prop_map(|(strict, keep_empty, extractions)| Stage::Logfmt { strict, keep_empty, extractions }),
        "[a-z\"]{0,3}".prop_map(|text| Stage::Regexp(format!("{text}(?P<x>.)"))),
        "[a-z\"]{0,3}".prop_map(|text| Stage::Pattern(format!("{text}<x>"))),
        Just(Stage::Unpack),
        Just(Stage::Decolorize),
        label_filter().prop_map(Stage::LabelFilter),
        text().prop_map(Stage::LineFormat),
        formats.prop_map(Stage::LabelFormat),
        choices().prop_map(Stage::Drop),
        choices().prop_map(Stage::Keep),
    ]
}

fn log() -> impl Strategy<Value = LogExpr> {
    let plain = text().prop_map(|value| (MatchOp::Equal, value));
    let matcher = (name(), prop_oneof![plain, condition()]).prop_map(|(name, (op, value))| MatcherExpr {
        name,
        op,
        value,
    });
    // No text means these: `drop a != "x"` is a condition on `a`.
    let reachable = |stages: &Vec<Stage>| {
        stages.windows(2).all(|pair| {
            let [stage, next] = pair else { return true };
            let (Stage::Drop(choices) | Stage::Keep(choices)) = stage else { return true };
            let Stage::LineFilter(next) = next else { return true };
            let open = choices.last().is_some_and(|last| last.condition.is_none());
            !open || !matches!(next.op, LineFilterOp::NotContains | LineFilterOp::NotMatches)
        })
    };
    let stages = vec(stage(), 0..4).prop_filter("no text means this", reachable);
    (vec(matcher, 0..3), stages).prop_map(|(matchers, stages)| LogExpr { matchers, stages })
}

fn grouping() -> impl Strategy<Value = Option<Grouping>> {
    option::of((any::<bool>(), names()).prop_map(|(without, labels)| Grouping { without, labels }))
}

fn range() -> impl Strategy<Value = MetricExpr> {
    let conversion =
        option::of(select(vec![Conversion::Bytes, Conversion::Duration, Conversion::DurationSeconds]));
    let unwrap = (name(), conversion, vec(label_filter(), 0..3))
        .prop_map(|(label, conversion, filters)| Unwrap { label, conversion, filters });
    let parts = (select(RangeOp::ALL.to_vec()), number(), log(), 0..=i64::MAX / 1_000_000, any::<i64>());
    (parts, unwrap, grouping()).prop_map(|((op, parameter, log, ms, offset_ns), unwrap, grouping)| {
        use RangeOp as R;
        let counts = matches!(op, R::Count | R::BytesRate | R::Bytes);
        let either = matches!(op, R::Rate | R::Absent);
        let unwrap = Some(unwrap).filter(|_| !counts && (!either || offset_ns % 3 == 0));
        let grouping = grouping.filter(|_| !counts && !either && !matches!(op, R::Sum | R::RateCounter));
        let parameter = (op == RangeOp::Quantile).then_some(parameter.abs());
        let range_ns = ms * 1_000_000;
        let offset_ns = if offset_ns % 2 == 0 { 0 } else { offset_ns };
        MetricExpr::Range(RangeAggregation { op, parameter, log, range_ns, offset_ns, unwrap, grouping })
    })
}

fn matching() -> impl Strategy<Value = Option<Matching>> {
    let side = select(vec![GroupSide::Left, GroupSide::Right]);
    option::of(
        (any::<bool>(), names(), option::of((side, names()))).prop_map(|(on, labels, group)| Matching {
            on,
            labels,
            group,
        }),
    )
}

fn metric() -> impl Strategy<Value = MetricExpr> {
    let leaf = prop_oneof![
        6 => range(),
        1 => number().prop_map(|n| MetricExpr::VectorLiteral(n.abs())),
        1 => number().prop_map(MetricExpr::Literal),
    ];
    leaf.prop_recursive(4, 12, 2, |inner| {
        let vector = (select(VectorOp::ALL.to_vec()), 1..=i64::MAX as u64, grouping(), inner.clone())
            .prop_map(|(op, k, grouping, inner)| {
                let takes = matches!(op, VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk);
                let inner = Box::new(inner);
                let groups = !matches!(op, VectorOp::ApproxTopk | VectorOp::Sort | VectorOp::SortDesc);
                let grouping = grouping.filter(|_| groups);
                VectorAggregation { op, parameter: takes.then_some(k), grouping, inner }
            });
        let binary =
            (select(BinaryOp::ALL.to_vec()), any::<bool>(), matching(), inner.clone(), inner.clone())
                .prop_map(|(op, returns_bool, matching, left, right)| BinaryExpr {
                    op,
                    returns_bool,
                    matching,
                    left,
                    right,
                });
        let binary = binary.prop_filter("computed or refused", |expr| {
            let literals =
                [&expr.left, &expr.right].into_iter().filter(|leg| matches!(leg, MetricExpr::Literal(_)));
            let set = matches!(expr.op, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless);
            literals.count() < if set { 1 } else { 2 }
        });
        let label_replace =
            (inner, text(), text(), text()).prop_map(|(inner, destination, replacement, source)| {
                LabelReplace { inner, destination, replacement, source, regex: "(.*)".to_owned() }
            });
        prop_oneof![
            vector.prop_map(MetricExpr::Vector),
            binary.prop_map(|expr| MetricExpr::Binary(Box::new(expr))),
            label_replace.prop_map(|expr| MetricExpr::LabelReplace(Box::new(expr))),
        ]
    })
}

fn expr() -> impl Strategy<Value = Expr> {
    prop_oneof![log().prop_map(Expr::Log), metric().prop_map(Expr::Metric)]
}

/// Words of the language, more or less in order.
fn words() -> impl Strategy<Value = String> {
    let word = select(vec![
        "{",
        "}",
        "{}",
        "{a=\"b\"}",
        "a",
        "=",
        "\"x\"",
        "|=",
        "|~",
        "!=",
        "|>",
        "or",
        "and",
        ",",
        "(",
        ")",
        " ",
        "`",
        "by",
        "without",
        "|",
        "json",
        "logfmt",
        "--strict",
        "drop",
        "label_format",
        "unwrap",
        "ip",
        "bytes",
        "rate",
        "sum",
        "topk",
        "sum_over_time",
        "quantile_over_time",
        "label_replace",
        "vector",
        "[5m]",
        "[",
        "]",
        "offset",
        "5m",
        "1KB",
        "1",
        "-",
        "+",
        "^",
        "/",
        ">",
        "==",
        "bool",
        "on",
        "group_left",
        "unless",
        "#",
        "/*",
        "\n",
        "\\",
    ]);
    vec(word, 0..24).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_printed_is_read_again(expr in expr()) {
        let printed = expr.to_string();
        prop_assert_eq!(parse_query(&printed), Ok(expr), "{}", printed);
    }

    #[test]
    fn what_is_laid_out_is_read_again(expr in expr()) {
        let laid_out = pretty(&expr);
        match parse_query(&laid_out) {
            // Sizes are rounded, once.
            Ok(again) => prop_assert_eq!(pretty(&again), laid_out),
            Err(e) => prop_assert!(false, "{}\n{}", e, laid_out),
        }
    }

    #[test]
    fn foreign_text_never_panics(text in any::<String>(), words in words()) {
        let _ = parse_query(&text);
        if let Ok(expr) = parse_query(&words) {
            let printed = expr.to_string();
            // What is no number differs from itself.
            if !printed.contains("(0 / 0)") {
                prop_assert_eq!(parse_query(&printed), Ok(expr));
            }
        }
    }
}

/// Runs on a stack of a quarter of what a worker has, so that others may have used most of theirs.
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(512 << 10).spawn(run).unwrap().join().unwrap();
}

fn chain(first: &str, next: &str, times: usize) -> String {
    format!("{first}{}", next.repeat(times))
}

fn brackets(open: &str, inner: &str, close: &str, times: usize) -> String {
    format!("{}{inner}{}", open.repeat(times), close.repeat(times))
}

#[test]
fn endless_queries_are_refused_and_deep_ones_fit_the_stack() {
    let shapes: [fn(usize) -> String; 14] = [
        |n| brackets("(", "{}", ")", n),
        |n| brackets("(", "vector(1)", ")", n),
        |n| brackets("sum(", "vector(1)", ")", n),
        |n| brackets("label_replace(", "vector(1)", ",``,``,``,``)", n),
        |n| format!("rate({}[5m])", brackets("(", "{}", ")", n)),
        |n| chain("vector(1)", "+vector(1)", n),
        |n| chain("vector(1)", "^vector(1)", n),
        |n| chain("vector(1)", " or vector(1)", n),
        |n| chain("{}|a=1", " and a=1", n),
        |n| chain("{}|a=1", " or a=1", n),
        |n| chain("{}|a=1", ",a=1", n),
        |n| chain("{}|a=1", " a=1", n),
        |n| format!("{{}}|{}", brackets("(", "a=1", ")", n)),
        |n| format!("rate({{}}|unwrap x|{}[5m])", brackets("(", "a=1", ")", n)),
    ];
    for shape in shapes {
        on_a_small_stack(move || {
            let hostile = shape(crate::MAX_QUERY_BYTES / 64);
            let error = parse_query(&hostile).unwrap_err().to_string();
            assert!(error.contains("nested too deeply"), "{}: {error}", &shape(2));
            // The deepest that is taken can be printed, read again and all else.
            let deepest =
                (MAX_HEIGHT - 3..=MAX_DEPTH).rev().find_map(|times| parse_query(&shape(times)).ok());
            let expr = deepest.unwrap_or_else(|| panic!("{}", &shape(2)));
            assert_eq!(expr.clone(), expr);
            assert!(!format!("{expr:?}").is_empty());
            assert_eq!(parse_query(&pretty(&expr)).as_ref(), Ok(&expr));
            assert_eq!(parse_query(&expr.to_string()).as_ref(), Ok(&expr));
        });
    }
}

#[test]
fn long_but_flat_queries_are_taken() {
    let numbers = format!("1{}", "+1".repeat(40_000));
    assert_eq!(parse_query(&numbers).unwrap().to_string(), "40001");
    let filters = format!("{{}}{}", "|=``".repeat(30_000));
    assert!(matches!(parse_query(&filters), Ok(Expr::Log(log)) if log.stages.len() == 30_000));
    let stages = format!("{{}}{}", "|a=1".repeat(30_000));
    assert!(matches!(parse_query(&stages), Ok(Expr::Log(log)) if log.stages.len() == 30_000));
    assert!(pretty(&parse_query(&filters).unwrap()).len() > 100_000);
}
