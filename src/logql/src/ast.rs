//! What did a query say? Its parts as written, nothing compiled.
//!
//! The parser bounds how deep the parts nest, so that walking, printing and dropping a tree may recurse.

use strandline_model::MatchOp;

/// Any query.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// Asks for lines.
    Log(LogExpr),
    /// Asks for numbers.
    Metric(MetricExpr),
}

/// A query for log lines: which streams, and what is done with their lines.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogExpr {
    /// The conditions in the braces.
    pub matchers: Vec<MatcherExpr>,
    /// What follows the braces, in order.
    pub stages: Vec<Stage>,
}

/// One condition on a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatcherExpr {
    /// Label name.
    pub name: String,
    /// Comparison.
    pub op: MatchOp,
    /// Value or pattern.
    pub value: String,
}

/// One step of the pipeline.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// Keeps or drops lines by their text.
    LineFilter(LineFilterExpr),
    /// `| json`: all fields, or those that are named.
    Json(Vec<Extraction>),
    /// `| logfmt`: all fields, or those that are named.
    Logfmt {
        /// `--strict`: malformed pairs are errors.
        strict: bool,
        /// `--keep-empty`: keys without a value become labels too.
        keep_empty: bool,
        /// The named fields; none means all.
        extractions: Vec<Extraction>,
    },
    /// `| regexp "..."`: its named groups become labels.
    Regexp(String),
    /// `| pattern "..."`: its named captures become labels.
    Pattern(String),
    /// `| unpack`
    Unpack,
    /// `| decolorize`
    Decolorize,
    /// Keeps or drops lines by their labels.
    LabelFilter(LabelFilterExpr),
    /// `| line_format "..."`: the template's text becomes the line.
    LineFormat(String),
    /// `| label_format a=b, c="..."`
    LabelFormat(Vec<LabelFormatExpr>),
    /// `| drop a, b="c"`
    Drop(Vec<LabelChoice>),
    /// `| keep a, b="c"`
    Keep(Vec<LabelChoice>),
}

/// A condition on the text of a line: any of the operands (for the negative operators, none).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LineFilterExpr {
    /// Comparison.
    pub op: LineFilterOp,
    /// What to look for, at least one.
    pub operands: Vec<LineOperand>,
}

/// What a line filter looks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LineOperand {
    /// A text or pattern. Bytes, for `"\xff"` looks for a byte that is no UTF-8.
    Text(Vec<u8>),
    /// `ip("...")`: an address, a network or a range. Only with `|=` and `!=`.
    Ip(String),
}

/// How a line filter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineFilterOp {
    /// `|=`
    Contains,
    /// `!=`
    NotContains,
    /// `|~`
    Matches,
    /// `!~`
    NotMatches,
    /// `|>`
    Pattern,
    /// `!>`
    NotPattern,
}

impl LineFilterOp {
    /// The operator as written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contains => "|=",
            Self::NotContains => "!=",
            Self::Matches => "|~",
            Self::NotMatches => "!~",
            Self::Pattern => "|>",
            Self::NotPattern => "!>",
        }
    }
}

/// A label and where in the line its value stands: `name="expression"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extraction {
    /// The label to make.
    pub name: String,
    /// A JSON path, or a logfmt key.
    pub expression: String,
}

/// A condition on labels.
#[derive(Debug, Clone, PartialEq)]
pub enum LabelFilterExpr {
    /// Both hold (`and`, `,` or a blank).
    And(Box<LabelFilterExpr>, Box<LabelFilterExpr>),
    /// Either holds.
    Or(Box<LabelFilterExpr>, Box<LabelFilterExpr>),
    /// A comparison with text.
    Text(MatcherExpr),
    /// A comparison with a number, duration or size.
    Quantity {
        /// The label.
        name: String,
        /// Comparison; `=` is read as `==`.
        op: CompareOp,
        /// What it is compared with.
        value: Quantity,
    },
    /// `name=ip("...")`
    Ip {
        /// The label.
        name: String,
        /// `!=`
        negative: bool,
        /// An address, a network or a range.
        range: String,
    },
}

/// A constant that a label filter compares with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quantity {
    /// A bare number.
    Number(f64),
    /// Nanoseconds.
    Duration(i64),
    /// Bytes.
    Bytes(u64),
}

/// Comparison of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
}

/// One assignment of `label_format`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFormatExpr {
    /// The label that is set.
    pub name: String,
    /// What it is set to.
    pub value: LabelFormatValue,
}

/// The right side of a `label_format` assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelFormatValue {
    /// Another label, which is moved.
    Label(String),
    /// A template.
    Template(String),
}

/// A label that `drop` or `keep` names: always, or when it compares so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelChoice {
    /// The label.
    pub name: String,
    /// The condition, if there is one.
    pub condition: Option<(MatchOp, String)>,
}

/// A query for numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricExpr {
    /// `rate({...}[5m])` and its kin.
    Range(RangeAggregation),
    /// `sum by (a) (...)` and its kin.
    Vector(VectorAggregation),
    /// `a + b`
    Binary(Box<BinaryExpr>),
    /// `label_replace(...)`
    LabelReplace(Box<LabelReplace>),
    /// `vector(1)`
    VectorLiteral(f64),
    /// A number.
    Literal(f64),
}

/// An aggregation over the lines of a window of time.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeAggregation {
    /// What is computed.
    pub op: RangeOp,
    /// The quantile, for [`RangeOp::Quantile`] only.
    pub parameter: Option<f64>,
    /// The lines.
    pub log: LogExpr,
    /// Length of the window in nanoseconds.
    pub range_ns: i64,
    /// How far back the window ends, in nanoseconds; may be negative.
    pub offset_ns: i64,
    /// Where each line's value comes from, if not from the line's mere existence or length.
    pub unwrap: Option<Unwrap>,
    /// Which labels the result keeps.
    pub grouping: Option<Grouping>,
}

/// `| unwrap label`, and the filters behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Unwrap {
    /// The label whose value is taken.
    pub label: String,
    /// How it is read.
    pub conversion: Option<Conversion>,
    /// What holds for the sample.
    pub filters: Vec<LabelFilterExpr>,
}

/// How the text of an unwrapped label is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// `bytes(label)`
    Bytes,
    /// `duration(label)`: seconds.
    Duration,
    /// `duration_seconds(label)`: the same.
    DurationSeconds,
}

/// `by (a, b)` or `without (a, b)`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grouping {
    /// Whether the names are those that go.
    pub without: bool,
    /// Names.
    pub labels: Vec<String>,
}

/// Aggregations over a window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is LogQL's word for it")]
pub enum RangeOp {
    Rate,
    RateCounter,
    Count,
    BytesRate,
    Bytes,
    Avg,
    Sum,
    Min,
    Max,
    Stddev,
    Stdvar,
    Quantile,
    First,
    Last,
    Absent,
}

/// An aggregation over the series of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorAggregation {
    /// What is computed.
    pub op: VectorOp,
    /// The k of `topk`, `bottomk` and `approx_topk` only.
    pub parameter: Option<u64>,
    /// Which series are taken together.
    pub grouping: Option<Grouping>,
    /// The series.
    pub inner: Box<MetricExpr>,
}

/// Aggregations over series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is LogQL's word for it")]
pub enum VectorOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    ApproxTopk,
    Sort,
    SortDesc,
}

/// An operation between two metric queries.
#[derive(Debug, Clone, PartialEq)]
pub struct BinaryExpr {
    /// The operation.
    pub op: BinaryOp,
    /// `bool`: comparisons answer 0 or 1 instead of filtering.
    pub returns_bool: bool,
    /// `on (...)` or `ignoring (...)`, if either was written.
    pub matching: Option<Matching>,
    /// Left side.
    pub left: MetricExpr,
    /// Right side.
    pub right: MetricExpr,
}

/// Which series of the two sides belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matching {
    /// `on` if true, else `ignoring`.
    pub on: bool,
    /// The names behind it.
    pub labels: Vec<String>,
    /// `group_left` or `group_right`, with the names to copy from the "one" side.
    pub group: Option<(GroupSide, Vec<String>)>,
}

/// Which side has many series for one of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupSide {
    /// `group_left`
    Left,
    /// `group_right`
    Right,
}

/// Operations between two metric queries, the loosest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is LogQL's sign for it")]
pub enum BinaryOp {
    Or,
    And,
    Unless,
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
}

/// `label_replace(inner, "destination", "replacement", "source", "regex")`
#[derive(Debug, Clone, PartialEq)]
pub struct LabelReplace {
    /// The series.
    pub inner: MetricExpr,
    /// The label that is set.
    pub destination: String,
    /// What it is set to, with `$1` for groups.
    pub replacement: String,
    /// The label that is looked at.
    pub source: String,
    /// The pattern, which must match the whole value.
    pub regex: String,
}
