//! Random lives of an index, with restarts, against a map that anyone can check.

use super::{LabelIndex, Labels, MatchOp, Selector, TenantId, is_ready, matcher, open, tenant};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use strandline_model::{Day, TimeRange};

/// Streams with their days, by tenant.
#[derive(Debug, Default, Clone, PartialEq)]
struct Model(BTreeMap<TenantId, BTreeMap<Labels, BTreeSet<i32>>>);

impl Model {
    fn add(&mut self, tenant: &TenantId, day: Day, streams: &[Labels]) {
        let streams_of = self.0.entry(tenant.clone()).or_default();
        for labels in streams {
            streams_of.entry(labels.clone()).or_default().insert(day.0);
        }
        self.prune();
    }

    fn drop_day(&mut self, tenant: &TenantId, day: Day) {
        for days in self.0.get_mut(tenant).into_iter().flat_map(|streams| streams.values_mut()) {
            days.remove(&day.0);
        }
        self.prune();
    }

    fn prune(&mut self) {
        for streams in self.0.values_mut() {
            streams.retain(|_, days| !days.is_empty());
        }
        self.0.retain(|_, streams| !streams.is_empty());
    }

    fn series(&self, tenant: &TenantId, range: Option<TimeRange>, selector: &Selector) -> BTreeSet<Labels> {
        let seen = |days: &BTreeSet<i32>| {
            range.is_none_or(|r| {
                days.iter().any(|day| r.overlaps(Day(*day).start_ns(), Day(*day).end_ns() - 1))
            })
        };
        let streams = self.0.get(tenant).into_iter().flatten();
        streams.filter(|(l, days)| selector.matches(l) && seen(days)).map(|(l, _)| l.clone()).collect()
    }
}

fn agree(
    index: &LabelIndex,
    model: &Model,
    tenant: &TenantId,
    range: Option<TimeRange>,
    selector: &Selector,
) {
    let wanted = model.series(tenant, range, selector);
    let found = index.series(tenant, range, selector, usize::MAX);
    assert_eq!(found.len(), wanted.len());
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), wanted);
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, value) in wanted.iter().flat_map(Labels::iter) {
        values.entry(name.to_owned()).or_default().insert(value.to_owned());
    }
    assert!(index.label_names(tenant, range, selector).iter().eq(values.keys()));
    for name in ["app", "env", "pod", "none"] {
        let wanted = values.remove(name).unwrap_or_default();
        assert_eq!(index.label_values(tenant, name, range, selector), wanted);
    }
    if index.is_complete() {
        let n = wanted.len();
        let selected = index.select(tenant, range, selector, n).unwrap();
        assert_eq!(selected.into_iter().collect::<BTreeSet<_>>(), wanted);
        assert!(n == 0 || index.select(tenant, range, selector, n - 1).is_none());
    }
}

#[derive(Debug, Clone)]
enum Step {
    Add(TenantId, Day, Vec<Labels>),
    Replace(TenantId, Day, Vec<Labels>),
    Drop(TenantId, Day),
    /// Commits and opens again.
    Restart,
    /// Opens again what was committed last under another number; all is lost and told again.
    Outdated,
    /// Loses what was not committed and opens under the number of the last commit.
    Crash,
    Rebuild,
    Query(TenantId, Option<TimeRange>, Selector),
}

fn any_tenant() -> impl Strategy<Value = TenantId> {
    prop::sample::select(vec![tenant("t"), tenant("t!"), tenant("u")])
}

fn any_day() -> impl Strategy<Value = Day> {
    (-3i32..4).prop_map(Day)
}

fn any_labels() -> impl Strategy<Value = Labels> {
    let value = |most: u32| (0..most).prop_map(|n| if n == 0 { String::new() } else { format!("v{n}") });
    (value(4), value(3), value(60))
        .prop_map(|(app, env, pod)| Labels::from_pairs(&[("app", app), ("env", env), ("pod", pod)]).unwrap())
}

fn any_selector() -> impl Strategy<Value = Selector> {
    let op = prop::sample::select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]);
    let name = prop::sample::select(vec!["app", "env", "pod", "none"]);
    let value = prop::sample::select(vec!["", "v1", "v2", "v.", "v1|v2", ".*", ".+", "v1|", "v[1-3].?"]);
    let one = (name, op, value).prop_map(|(name, op, value)| matcher(name, op, value));
    prop::collection::vec(one, 0..4).prop_map(|matchers| Selector { matchers })
}

fn any_range() -> impl Strategy<Value = Option<TimeRange>> {
    let hours = 3_600_000_000_000i64;
    prop::option::of(
        (-100i64..100, 0i64..100).prop_map(move |(a, n)| TimeRange::new(a * hours, (a + n) * hours)),
    )
}

fn any_step() -> impl Strategy<Value = Step> {
    let streams = || prop::collection::vec(any_labels(), 0..30);
    prop_oneof![
        6 => (any_tenant(), any_day(), streams()).prop_map(|(t, d, s)| Step::Add(t, d, s)),
        2 => (any_tenant(), any_day(), streams()).prop_map(|(t, d, s)| Step::Replace(t, d, s)),
        2 => (any_tenant(), any_day()).prop_map(|(t, d)| Step::Drop(t, d)),
        2 => Just(Step::Restart),
        1 => Just(Step::Crash),
        1 => Just(Step::Outdated),
        1 => Just(Step::Rebuild),
        8 => (any_tenant(), any_range(), any_selector()).prop_map(|(t, r, s)| Step::Query(t, r, s)),
    ]
}

/// An index, what it should know, and what its image should know.
struct Life {
    dir: tempfile::TempDir,
    index: Option<LabelIndex>,
    generation: u64,
    model: Model,
    saved: Option<Model>,
}

impl Life {
    fn index(&self) -> &LabelIndex {
        self.index.as_ref().unwrap()
    }

    fn reopen(&mut self, generation: u64) -> bool {
        self.index = None;
        let (index, state) = open(&self.dir.path().join("labels"), generation);
        assert_eq!(index.is_complete(), is_ready(&state));
        assert!(index.is_persistent());
        self.index = Some(index);
        is_ready(&state)
    }

    fn tell_again(&mut self) {
        for (tenant, streams) in &self.model.0 {
            for (labels, days) in streams {
                days.iter().for_each(|day| self.index().add(tenant, Day(*day), [labels].into_iter()));
            }
        }
        self.index().set_complete(true);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Add(tenant, day, streams) => {
                self.index().add(&tenant, day, streams.iter());
                self.model.add(&tenant, day, &streams);
            }
            Step::Replace(tenant, day, streams) => {
                self.index().replace_day(&tenant, day, streams.iter());
                self.model.drop_day(&tenant, day);
                self.model.add(&tenant, day, &streams);
            }
            Step::Drop(tenant, day) => {
                self.index().drop_day(&tenant, day);
                self.model.drop_day(&tenant, day);
            }
            Step::Restart => {
                self.generation += 1;
                self.index().commit(self.generation);
                self.saved = Some(self.model.clone());
                assert!(self.reopen(self.generation));
            }
            Step::Crash => {
                if self.reopen(self.generation) {
                    self.model = self.saved.clone().unwrap();
                } else {
                    assert_eq!(self.saved, None);
                    self.tell_again();
                }
            }
            Step::Outdated => {
                self.generation += 1;
                assert!(!self.reopen(self.generation));
                self.saved = None;
                self.tell_again();
            }
            Step::Rebuild => {
                self.index().clear();
                self.tell_again();
            }
            Step::Query(tenant, range, selector) => {
                agree(self.index(), &self.model, &tenant, range, &selector)
            }
        }
        let tenants: Vec<TenantId> = self.model.0.keys().cloned().collect();
        assert_eq!(self.index().tenants(), tenants);
        for (tenant, streams) in &self.model.0 {
            assert_eq!(self.index().stream_count(tenant), streams.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn the_index_behaves_like_a_list(steps in prop::collection::vec(any_step(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let (index, state) = open(&dir.path().join("labels"), 0);
        assert!(!is_ready(&state));
        index.set_complete(true);
        let mut life = Life { dir, index: Some(index), generation: 0, model: Model::default(), saved: None };
        for step in steps {
            life.step(step);
        }
        for tenant in life.model.0.keys() {
            agree(life.index(), &life.model, tenant, None, &Selector::all());
        }
    }
}
