//! Who asks, whose data may they see, and what of it? The only way into the query crate: no request is made without one.
//!
//! A reader of several tenants gets every stream with one label more, `__tenant_id__`; so sums over tenants are sums, and
//! not answers put together. A reader bound to a label filter sees the streams that match it, whatever is asked: the
//! filter's matchers join those of each selector, below the language.

use crate::error::QueryError;
use crate::language::{LogQuery, MetricQuery, Query};
use crate::memory::RegexMemory;
use crate::metric;
use crate::selectors::{parse_selector, parse_selectors};
use std::fmt;
use std::sync::{Arc, LazyLock};
use strandline_logql::require_non_empty_matcher;
use strandline_model::{Labels, Limits, Matcher, Selector, TenantId};

/// The label that tells the tenants of one answer apart (as Loki).
pub const TENANT_LABEL: &str = "__tenant_id__";
/// What a stored label of that name is called in such an answer.
pub const ORIGINAL_TENANT_LABEL: &str = "original___tenant_id__";
/// Most tenants of one question.
pub const MAX_TENANTS: usize = 128;

/// Which streams a reader or a writer is confined to.
#[derive(Debug, Clone)]
pub struct LabelFilter {
    text: String,
    selector: Selector,
}

impl LabelFilter {
    /// Reads a stream selector, such as `{team="a"}`.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        Ok(Self { text: text.trim().to_owned(), selector: parse_selector(text)? })
    }

    /// The selector as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The selector.
    pub fn selector(&self) -> &Selector {
        &self.selector
    }
}

/// What a question may be, whoever's data it is about.
#[derive(Debug, Clone, Default)]
pub struct ReadRules {
    /// `query.loki_strict`: refuse what Loki refuses though it could be answered: selectors that an empty value matches,
    /// and log queries at one moment.
    pub strict: bool,
    /// The limits of the tenants; of several tenants the tightest of each.
    pub limits: Arc<Limits>,
}

/// Who asks. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    tenants: Arc<[TenantId]>,
    filter: Option<Arc<LabelFilter>>,
    rules: ReadRules,
}

/// One tenant's part of a question.
#[derive(Debug, Clone)]
pub struct Part {
    /// Whose data.
    pub tenant: TenantId,
    /// Which of their streams: those asked for, as far as the reader may see them.
    pub selector: Selector,
    /// Whether the tenant is shown as a label.
    shows_tenant: bool,
}

impl Reader {
    /// A reader of these tenants, each counted once. One of none sees nothing.
    pub fn granted(mut tenants: Vec<TenantId>, filter: Option<Arc<LabelFilter>>, rules: ReadRules) -> Self {
        tenants.sort_unstable();
        tenants.dedup();
        Self { tenants: tenants.into(), filter, rules }
    }

    /// A reader of all that one tenant has, with default limits.
    pub fn of(tenant: TenantId) -> Self {
        Self::granted(vec![tenant], None, ReadRules::default())
    }

    /// Whose data, by name.
    pub fn tenants(&self) -> &[TenantId] {
        &self.tenants
    }

    /// The tenant in whose queue the reader waits: with several, the first, so that naming many is no way to more slots.
    pub fn payer(&self) -> &TenantId {
        static NOBODY: LazyLock<TenantId> = LazyLock::new(TenantId::default_tenant);
        self.tenants.first().unwrap_or_else(|| &NOBODY)
    }

    /// The filter that the reader is confined to.
    pub fn filter(&self) -> Option<&LabelFilter> {
        self.filter.as_deref()
    }

    /// What the reader may ask.
    pub fn rules(&self) -> &ReadRules {
        &self.rules
    }

    /// Whether answers tell tenants apart.
    pub fn shows_tenants(&self) -> bool {
        self.tenants.len() > 1
    }

    /// Reads LogQL, and checks it against the rules. What it compiles takes memory of `regexes`, and holds it.
    pub fn query(&self, text: &str, regexes: &Arc<RegexMemory>) -> Result<Query, QueryError> {
        let query = Query::parse_in(text, regexes)?;
        match &query {
            Query::Log(log) => self.check_log(log)?,
            Query::Metric(numbers) => self.check_metric(numbers)?,
        }
        Ok(query)
    }

    /// As [`Self::query`] where only a log query makes sense.
    pub fn log_query(&self, text: &str, regexes: &Arc<RegexMemory>) -> Result<LogQuery, QueryError> {
        let query = LogQuery::parse_in(text, regexes)?;
        self.check_log(&query)?;
        Ok(query)
    }

    /// Reads the bare selectors of a request, as parameters hold them, into memory of `regexes`, which the caller holds as
    /// long as them.
    pub fn selectors(&self, texts: &[&str], regexes: &Arc<RegexMemory>) -> Result<Vec<Selector>, QueryError> {
        let selectors = parse_selectors(texts, regexes)?;
        selectors.iter().try_for_each(|selector| self.check_empty(selector))?;
        Ok(selectors)
    }

    /// As [`Self::selectors`] for one.
    pub fn selector(&self, text: &str, regexes: &Arc<RegexMemory>) -> Result<Selector, QueryError> {
        self.selectors(&[text], regexes)?.pop().ok_or(QueryError::Internal)
    }

    fn check_log(&self, query: &LogQuery) -> Result<(), QueryError> {
        self.check_empty(query.selector())?;
        self.check_labels(query.selector())
    }

    fn check_metric(&self, query: &MetricQuery) -> Result<(), QueryError> {
        query.leaves().iter().try_for_each(|leaf| self.check_log(leaf))?;
        let max = self.rules.limits.max_query_range_ns;
        let widest = metric::leaves(query.expr()).iter().map(|leaf| leaf.aggregation.range_ns).max();
        match widest {
            Some(range) if max > 0 && range > max => Err(QueryError::Limit(format!(
                "[interval] value exceeds limit: [{}] > [{}] (limits.max_query_range)",
                go_duration(range),
                go_duration(max)
            ))),
            _ => Ok(()),
        }
    }

    fn check_empty(&self, selector: &Selector) -> Result<(), QueryError> {
        if self.rules.strict { Ok(require_non_empty_matcher(selector)?) } else { Ok(()) }
    }

    /// Loki's `required_labels` and `minimum_labels_number`.
    fn check_labels(&self, selector: &Selector) -> Result<(), QueryError> {
        let limits = &self.rules.limits;
        let mut present: Vec<&str> = selector.matchers.iter().map(|m| m.name.as_str()).collect();
        present.dedup();
        let lacks = |name: &&String| !present.contains(&name.as_str());
        let missing: Vec<&str> = limits.required_labels.iter().filter(lacks).map(String::as_str).collect();
        if !missing.is_empty() {
            return Err(QueryError::Limit(format!(
                "stream selector is missing required matchers [{}], labels present in the query were [{}] \
                 (limits.required_labels)",
                missing.join(", "),
                present.join(", ")
            )));
        }
        let (found, least) = (selector.matchers.len(), limits.minimum_labels_number);
        if found < least {
            return Err(QueryError::Limit(format!(
                "stream selector has less label matchers than required: (present: [{}], number_present: {found}, \
                 required_number_label_matchers: {least}) (limits.minimum_labels_number)",
                present.join(", ")
            )));
        }
        Ok(())
    }

    /// What has to be read for the streams that `asked` selects: each tenant with the selector that holds there. Matchers
    /// of the tenant's label choose tenants; the filter is in every part.
    pub fn parts(&self, asked: &Selector) -> Vec<Part> {
        let own = self.filter.iter().flat_map(|filter| &filter.selector.matchers);
        if !self.shows_tenants() {
            let selector = Selector { matchers: asked.matchers.iter().chain(own).cloned().collect() };
            let part = |tenant: &TenantId| {
                let (tenant, selector) = (tenant.clone(), selector.clone());
                Part { tenant, selector, shows_tenant: false }
            };
            return self.tenants.iter().map(part).collect();
        }
        let (of_tenants, of_streams): (Vec<&Matcher>, Vec<&Matcher>) =
            asked.matchers.iter().partition(|m| m.name == TENANT_LABEL);
        let stored = |matcher: &Matcher| match matcher.name == ORIGINAL_TENANT_LABEL {
            true => Matcher { name: TENANT_LABEL.to_owned(), ..matcher.clone() },
            false => matcher.clone(),
        };
        let matchers: Vec<Matcher> = of_streams.into_iter().map(stored).chain(own.cloned()).collect();
        let wanted = |tenant: &&TenantId| of_tenants.iter().all(|m| m.matches(tenant.as_str()));
        let part = |tenant: &TenantId| Part {
            tenant: tenant.clone(),
            selector: Selector { matchers: matchers.clone() },
            shows_tenant: true,
        };
        self.tenants.iter().filter(wanted).map(part).collect()
    }

    /// Equal for readers that get equal answers.
    pub(crate) fn key(&self) -> String {
        let tenants: Vec<&str> = self.tenants.iter().map(TenantId::as_str).collect();
        // A tenant's name has neither a bar nor a quote.
        format!("{}{:?}", tenants.join("|"), self.filter.as_ref().map(|filter| &filter.text))
    }
}

/// The filter names labels of the asker's own; nothing of it is secret.
impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("key", &self.key()).finish_non_exhaustive()
    }
}

impl Part {
    /// A stream's labels as they are shown.
    pub fn shown(&self, labels: Arc<Labels>) -> Arc<Labels> {
        if !self.shows_tenant {
            return labels;
        }
        let tenant = (TENANT_LABEL, self.tenant.as_str());
        let renamed = |name| if name == TENANT_LABEL { ORIGINAL_TENANT_LABEL } else { name };
        let stored = labels.iter().filter(|(name, _)| *name != ORIGINAL_TENANT_LABEL || !has_own(&labels));
        let mut pairs: Vec<(&str, &str)> = stored.map(|(name, value)| (renamed(name), value)).collect();
        pairs.push(tenant);
        // Names of stored labels, no two alike: they make a label set.
        Labels::from_pairs(&pairs).map_or(labels, Arc::new)
    }

    /// The labels of a stream as they are stored, of those that [`Self::shown`] made.
    pub(crate) fn stored(&self, shown: &Arc<Labels>) -> Arc<Labels> {
        if !self.shows_tenant {
            return Arc::clone(shown);
        }
        let own = shown.iter().filter_map(|(name, value)| Some((self.stored_name(name)?, value)));
        Labels::from_pairs(&own.collect::<Vec<_>>()).map_or_else(|_| Arc::clone(shown), Arc::new)
    }

    /// A stored label's name as it is shown.
    pub(crate) fn shown_name(&self, name: String) -> String {
        if self.shows_tenant && name == TENANT_LABEL { ORIGINAL_TENANT_LABEL.to_owned() } else { name }
    }

    /// A label's name in the store, and nothing for the label that is not stored.
    pub(crate) fn stored_name<'a>(&self, name: &'a str) -> Option<&'a str> {
        match name {
            TENANT_LABEL if self.shows_tenant => None,
            ORIGINAL_TENANT_LABEL if self.shows_tenant => Some(TENANT_LABEL),
            other => Some(other),
        }
    }

    /// Whether the tenant is shown as a label.
    pub(crate) fn shows_tenant(&self) -> bool {
        self.shows_tenant
    }
}

fn has_own(labels: &Labels) -> bool {
    labels.get(TENANT_LABEL).is_some()
}

/// A length of time as Loki's messages have it: days and smaller units, `30d1h`.
pub fn go_duration(ns: i64) -> String {
    const UNITS: [(&str, i64); 5] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
    ];
    let (mut rest, mut text) = (ns, String::new());
    for (name, unit) in UNITS {
        if rest >= unit {
            text.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants(names: &[&str]) -> Vec<TenantId> {
        names.iter().map(|name| TenantId::new(name).unwrap()).collect()
    }

    fn reader(names: &[&str], filter: Option<&str>) -> Reader {
        let filter = filter.map(|text| Arc::new(LabelFilter::parse(text).unwrap()));
        Reader::granted(tenants(names), filter, ReadRules::default())
    }

    fn parts(reader: &Reader, selector: &str) -> Vec<String> {
        let parts = reader.parts(&parse_selector(selector).unwrap());
        let text = |part: &Part| {
            let matchers = part.selector.matchers.iter().map(|m| format!("{}:{}", m.name, m.value));
            format!("{} {}", part.tenant, matchers.collect::<Vec<_>>().join(","))
        };
        parts.iter().map(text).collect()
    }

    #[test]
    fn the_filter_is_in_every_part_and_tenants_are_chosen_by_their_label() {
        assert_eq!(parts(&reader(&["a"], Some("{t=\"1\"}")), "{x=\"2\"}"), ["a x:2,t:1"]);
        let both = reader(&["b", "a", "b"], Some("{t=\"1\"}"));
        assert_eq!(both.tenants(), tenants(&["a", "b"]));
        assert_eq!(parts(&both, "{}"), ["a t:1", "b t:1"]);
        assert_eq!(parts(&both, "{__tenant_id__=\"b\"}"), ["b t:1"]);
        assert_eq!(parts(&both, "{__tenant_id__!~\"a|b\"}"), [""; 0]);
        assert_eq!(
            parts(&both, "{original___tenant_id__=\"z\"}"),
            ["a __tenant_id__:z,t:1", "b __tenant_id__:z,t:1"]
        );
        // A single tenant has no such label, as in Loki.
        assert_eq!(parts(&reader(&["a", "a"], None), "{__tenant_id__=\"a\"}"), ["a __tenant_id__:a"]);
        assert_eq!(parts(&reader(&[], None), "{}"), [""; 0]);
    }

    #[test]
    fn a_filter_on_a_tenants_label_means_the_stored_one() {
        let both = reader(&["a", "b"], Some("{__tenant_id__=\"a\"}"));
        assert_eq!(parts(&both, "{}"), ["a __tenant_id__:a", "b __tenant_id__:a"]);
    }

    #[test]
    fn labels_are_shown_with_their_tenant() {
        let part = &reader(&["a", "b"], None).parts(&Selector::all())[1];
        let shown = |text: &str| part.shown(Arc::new(Labels::parse(text).unwrap())).to_string();
        assert_eq!(shown("{x=\"1\"}"), "{__tenant_id__=\"b\", x=\"1\"}");
        assert_eq!(
            shown("{__tenant_id__=\"z\", original___tenant_id__=\"y\"}"),
            "{__tenant_id__=\"b\", original___tenant_id__=\"z\"}"
        );
        assert_eq!(
            shown("{original___tenant_id__=\"y\"}"),
            "{__tenant_id__=\"b\", original___tenant_id__=\"y\"}"
        );
    }

    #[test]
    fn rules_name_their_setting() {
        let limits = Limits {
            required_labels: vec!["team".to_owned()],
            minimum_labels_number: 2,
            max_query_range_ns: 3_600_000_000_000,
            ..Limits::default()
        };
        let rules = ReadRules { strict: true, limits: Arc::new(limits) };
        let reader = Reader::granted(tenants(&["a"]), None, rules);
        let refused =
            |text: &str| reader.query(text, &RegexMemory::unlimited()).map(|_| ()).unwrap_err().to_string();
        assert!(refused("{}").contains("queries require at least one regexp or equality matcher"));
        assert!(
            refused("{a=\"1\", b=\"2\"}")
                .contains("missing required matchers [team], labels present in the query were [a, b]")
        );
        assert!(refused("{team=\"1\"}").contains("number_present: 1, required_number_label_matchers: 2"));
        assert!(refused("1 + sum(rate({a=\"1\"}[1m]))").contains("limits.required_labels"));
        assert_eq!(
            refused("rate({a=\"1\", team=\"2\"}[6h30m])"),
            "[interval] value exceeds limit: [6h30m] > [1h] (limits.max_query_range)"
        );
        assert!(reader.query("rate({a=\"1\", team=\"2\"}[1h])", &RegexMemory::unlimited()).is_ok());
        assert!(reader.selector("{a=~\".*\"}", &RegexMemory::unlimited()).is_err());
        assert!(Reader::of(TenantId::default_tenant()).selector("{}", &RegexMemory::unlimited()).is_ok());
    }
}
