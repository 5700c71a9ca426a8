//! Are patterns anchored, and replacements read as Go reads them?

use super::super::testing::{assert_same, labels, matrix};
use super::*;
use strandline_logql::ast::MetricExpr;

fn expr(destination: &str, replacement: &str, source: &str, regex: &str) -> LabelReplace {
    LabelReplace {
        inner: MetricExpr::Literal(0.0),
        destination: destination.into(),
        replacement: replacement.into(),
        source: source.into(),
        regex: regex.into(),
    }
}

#[test]
fn labels_after_the_replacement() {
    let before = "env=prod,pod=checkout-0";
    for (destination, replacement, source, regex, after) in [
        ("x", "$1", "pod", "nomatch(.*)", before),
        ("x", "$1", "pod", "heck(.*)", before),
        ("x", "$1", "pod", ".*(.)", "env=prod,pod=checkout-0,x=0"),
        ("pod", "", "pod", ".*-0", "env=prod"),
        ("both", "${e}!", "env", "(?P<e>.*)", "both=prod!,env=prod,pod=checkout-0"),
        ("svc", "$1-$2", "env", "(pr)(.*)", "env=prod,pod=checkout-0,svc=pr-od"),
        ("env", "same", "env", ".*", "env=same,pod=checkout-0"),
        // An absent label is empty.
        ("x", "$1", "y", "(.*)", before),
        ("x", "none", "y", "", "env=prod,pod=checkout-0,x=none"),
        // Names go as far as they can; unknown ones are empty.
        ("x", "$1x", "env", "(.*)", before),
        ("x", "${1}x", "env", "(.*)", "env=prod,pod=checkout-0,x=prodx"),
        ("x", "$1_$1", "env", "(p).*", "env=prod,pod=checkout-0,x=p"),
        ("x", "$1.$9$nosuch", "env", "(p).*", "env=prod,pod=checkout-0,x=p."),
        ("x", "$$1 $ ${1 ${} $", "env", "(.*)", "env=prod,pod=checkout-0,x=$1 $ ${1 ${} $"),
        ("x", "$01$0", "env", "(p)rod", "env=prod,pod=checkout-0,x=prod"),
        ("x", "<$1>", "env", "prod(x)?", "env=prod,pod=checkout-0,x=<>"),
        ("x", "$é", "env", "(?P<a>.*)", before),
        // Of several groups of one name the first that took part counts.
        ("x", "$n", "env", "(?P<n>x)|(q)|(?P<n>pr)od", "env=prod,pod=checkout-0,x=pr"),
        ("x", "$n$2", "env", "(?P<n>p)(?P<n>r)od", "env=prod,pod=checkout-0,x=pr"),
        // Invalid names are not refused.
        ("1-x", "v", "env", "prod", "1-x=v,env=prod,pod=checkout-0"),
        ("x", "$1", "env", "a|(prod)|b", "env=prod,pod=checkout-0,x=prod"),
    ] {
        let expr = expr(destination, replacement, source, regex);
        let replacement = Replacement::new(&expr).unwrap_or_else(|e| panic!("{regex}: {e}"));
        let got = replacement.apply(matrix(&[(before, "1")])).series.remove(0).labels;
        assert_eq!(got, labels(after), "{expr:?}");
    }
}

#[test]
fn equal_labels_stay_two_series_where_they_meet() {
    let expr = expr("pod", "same", "pod", ".*");
    let got = Replacement::new(&expr).expect("compiles").apply(matrix(&[("pod=a", "1"), ("pod=b", "2")]));
    assert_same(&got, &matrix(&[("pod=same", "1"), ("pod=same", "2")]), "doubles");
    let got =
        Replacement::new(&expr).expect("compiles").apply(matrix(&[("pod=a", "1 _ 3"), ("pod=b", "_ 2")]));
    assert_same(&got, &matrix(&[("pod=same", "1 2 3")]), "taking turns");
}

#[test]
fn a_bad_pattern_is_an_error() {
    let expr = expr("x", "", "y", "(");
    let error = Replacement::new(&expr).expect_err("no pattern").to_string();
    assert!(error.contains("missing closing )"), "{error}");
}
