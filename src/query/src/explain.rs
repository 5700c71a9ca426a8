//! What was read for a query, and what kept the rest from being read? For people who ask why a query takes its time.

use crate::language::LogQuery;
use crate::search::Search;
use crate::stats::QueryStats;
use strandline_logql::Needed;
use strandline_model::{Needle, TimeRange};

const EACH_LINE: &str = "on each line";

/// One look at the store: a log query has one, a metric query one for each range aggregation.
#[derive(Debug, Clone)]
pub struct Read {
    /// Selector and stages in canonical form.
    pub query: String,
    /// The times that were read; the end is not inside.
    pub range: TimeRange,
    /// What the text index was asked for.
    pub needle: String,
    /// How the lines that may pass were found in a block.
    pub search: &'static str,
    /// The labels that stages made or looked at; `None`: all.
    pub labels: Option<Vec<String>>,
    /// On what the stages were run.
    pub stages: &'static str,
    /// What that took, without the time spent on waiting and on the answer.
    pub stats: QueryStats,
}

impl Read {
    /// What a metric query reads of `range`, before it is done. Its lines do not wait for an answer to be chosen from them.
    pub(crate) fn for_numbers(query: &LogQuery, range: TimeRange) -> Self {
        let read = Self::new(query, range);
        Self {
            stages: if query.is_deferred() && !query.is_plain() && !query.looks_at_labels_only() {
                EACH_LINE
            } else {
                read.stages
            },
            ..read
        }
    }

    /// A look at `range`, before it is done.
    pub(crate) fn new(query: &LogQuery, range: TimeRange) -> Self {
        Self {
            query: query.text().to_owned(),
            range,
            needle: needle(query.entry_needle()),
            search: match query.search(true) {
                Search::All => "all lines",
                Search::Literal(_) => "one literal",
                Search::Pattern(_) => "one pattern",
                Search::EachLine => "each line by itself",
            },
            labels: match query.pipeline().reads() {
                Needed::All => None,
                Needed::Only(names) | Needed::Grouped(names) => Some(names.iter().cloned().collect()),
            },
            stages: if query.is_plain() {
                "none"
            } else if query.looks_at_labels_only() {
                "once for each set of labels"
            } else if query.is_deferred() {
                "on the answer alone"
            } else {
                EACH_LINE
            },
            stats: QueryStats::default(),
        }
    }
}

/// A needle for people: `"abc" and ("d" or level=error)`.
fn needle(needle: &Needle) -> String {
    let all = |needles: &[Needle], word: &str| needles.iter().map(part).collect::<Vec<_>>().join(word);
    match needle {
        Needle::Any => "anything".to_owned(),
        Needle::Literal(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
        Needle::LiteralFolded(text) => format!("{text:?} in any case"),
        Needle::Metadata { name, value } => format!("{name}={value:?}"),
        Needle::All(needles) => all(needles, " and "),
        Needle::OneOf(needles) => all(needles, " or "),
    }
}

fn part(inner: &Needle) -> String {
    match inner {
        Needle::All(_) | Needle::OneOf(_) => format!("({})", needle(inner)),
        _ => needle(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_says_what_it_looks_for_and_how() {
        let read = |text: &str| Read::new(&LogQuery::parse(text).unwrap(), TimeRange::new(0, 1));
        let found = read(r#"{a="b"} |= "x y" | json | level="error""#);
        assert_eq!(found.needle, r#""x y" and (level="error" or ("error" or "\\u"))"#);
        assert_eq!((found.search, found.stages, found.labels), ("one literal", "on each line", None));
        let found = read(r#"{a="b"} | level="error""#);
        assert_eq!((found.needle.as_str(), found.search), (r#"level="error""#, "all lines"));
        assert_eq!(found.stages, "once for each set of labels");
        assert_eq!(read(r#"{a="b"} | json"#).stages, "on the answer alone");
        assert_eq!(read(r#"{a="b"} | drop __error__"#).stages, "none");
    }
}
