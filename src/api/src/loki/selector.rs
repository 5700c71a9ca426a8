//! Which streams does a parameter mean? The one place where the metadata and index endpoints read selectors, by the rules
//! of the reader. What the reader may see of what is selected is the query crate's business.

use crate::http::failure::Failure;
use crate::http::params::Params;
use std::sync::Arc;
use strandline_model::Selector;
use strandline_query::{Reader, RegexMemory};

/// Most selectors of one request.
const MAX_SELECTORS: usize = 100;

/// The selector in `query`, which must be there and select something. As with the others here, what is compiled for it
/// takes memory of `regexes`.
pub(crate) fn required(
    reader: &Reader,
    params: &Params,
    regexes: &Arc<RegexMemory>,
) -> Result<Selector, Failure> {
    Ok(reader.selector(params.get("query").unwrap_or(""), regexes)?)
}

/// The selector in `query`; none means all streams.
pub(crate) fn optional(
    reader: &Reader,
    params: &Params,
    regexes: &Arc<RegexMemory>,
) -> Result<Selector, Failure> {
    params.get("query").map_or_else(|| Ok(Selector::all()), |text| Ok(reader.selector(text, regexes)?))
}

/// The selector in `query`, which must be there; `{}` means all streams.
pub(crate) fn even_empty(
    reader: &Reader,
    params: &Params,
    regexes: &Arc<RegexMemory>,
) -> Result<Selector, Failure> {
    match params.get("query") {
        Some(text) if is_empty(text) => Ok(Selector::all()),
        _ => required(reader, params, regexes),
    }
}

/// The selectors of `match`; none, or a single empty one, means all streams.
pub(crate) fn all_of_match(
    reader: &Reader,
    params: &Params,
    regexes: &Arc<RegexMemory>,
) -> Result<Vec<Selector>, Failure> {
    let texts: Vec<&str> = params.all(&["match[]", "match"]).take(MAX_SELECTORS + 1).collect();
    match texts.as_slice() {
        [] => Ok(vec![Selector::all()]),
        [one] if is_empty(one) => Ok(vec![Selector::all()]),
        some if some.len() > MAX_SELECTORS => {
            Err(Failure::bad_request(format_args!("more than {MAX_SELECTORS} selectors in match[]")))
        }
        some => Ok(reader.selectors(some, regexes)?),
    }
}

fn is_empty(text: &str) -> bool {
    text.chars().filter(|c| !c.is_whitespace()).eq("{}".chars())
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_model::TenantId;
    use strandline_query::ReadRules;

    fn reader(strict: bool) -> Reader {
        let rules = ReadRules { strict, ..ReadRules::default() };
        Reader::granted(vec![TenantId::new("t").unwrap()], None, rules)
    }

    #[test]
    fn only_some_endpoints_take_everything_where_rules_are_strict() {
        type Read = fn(&Reader, &Params, &Arc<RegexMemory>) -> Result<Selector, Failure>;
        let regexes = RegexMemory::unlimited();
        let count = |read: Read, query: &str| {
            read(&reader(true), &Params::from_query(query), &regexes).map(|s| s.matchers.len()).ok()
        };
        for (query, needs, may_lack, may_be_empty) in [
            ("query={a=\"b\"}", Some(1), Some(1), Some(1)),
            ("", None, Some(0), None),
            ("query={}", None, None, Some(0)),
            ("query=+{+}+", None, None, Some(0)),
            ("query={a=\"b\"}|=\"x\"", None, None, None),
        ] {
            assert_eq!(count(required, query), needs, "{query}");
            assert_eq!(count(optional, query), may_lack, "{query}");
            assert_eq!(count(even_empty, query), may_be_empty, "{query}");
        }
        assert!(required(&reader(false), &Params::from_query("query={}"), &regexes).is_ok());
        let missing = required(&reader(false), &Params::from_query(""), &regexes).unwrap_err();
        assert!(missing.text().starts_with("parse error at line 1, col 1"));
        let matches = |query: &str| {
            all_of_match(&reader(true), &Params::from_query(query), &regexes).map(|all| all.len())
        };
        assert_eq!(matches("match={a=\"b\"}&match[]={c=\"d\"}"), Ok(2));
        assert_eq!((matches(""), matches("match[]={}")), (Ok(1), Ok(1)));
        assert!(matches("match={a=\"b\"}&match={}").is_err());
    }
}
