//! What is removed, and when: by age, by size, by free disk, for all, one tenant or one stream selector.

use super::codec;
use super::nearest::nearest;
use super::tree::{Fault, Key, Node, Value};
use std::collections::BTreeMap;
use std::time::Duration;
use strandline_model::TenantId;

/// `retention.*`
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RetentionConfig {
    /// Age past which entries of every tenant go; `None` keeps them for ever.
    pub max_age: Option<Duration>,
    /// Bytes on disk of all tenants together past which the oldest partitions go.
    pub max_total_bytes: Option<u64>,
    /// Free disk below which the oldest partitions go.
    pub min_free_bytes: Option<u64>,
    /// What differs for single tenants.
    pub tenants: BTreeMap<TenantId, TenantRetention>,
    /// What differs for single streams.
    pub streams: Vec<StreamRetention>,
}

/// How long one tenant's entries are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TenantAge {
    /// As long as everybody's.
    #[default]
    Global,
    /// For ever, whatever holds for others.
    Forever,
    /// So long.
    Max(Duration),
}

/// One tenant's entry in `retention.tenants`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TenantRetention {
    /// Age past which this tenant's entries go.
    pub max_age: TenantAge,
    /// Bytes on disk of this tenant past which its oldest partitions go.
    pub max_total_bytes: Option<u64>,
}

/// One entry of `retention.streams`.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamRetention {
    /// LogQL stream selector as written; whoever wires the engine compiles it.
    pub selector: String,
    /// The tenant it holds for; `None` for every tenant.
    pub tenant: Option<TenantId>,
    /// Age past which entries of selected streams go; `None` keeps them for ever.
    pub max_age: Option<Duration>,
    /// Of several rules that select a stream, the one with the highest priority holds.
    pub priority: u32,
}

impl RetentionConfig {
    /// Age past which entries of `tenant` go, unless a stream rule says otherwise.
    pub fn max_age_of(&self, tenant: &TenantId) -> Option<Duration> {
        match self.tenants.get(tenant).map(|rule| rule.max_age).unwrap_or_default() {
            TenantAge::Global => self.max_age,
            TenantAge::Forever => None,
            TenantAge::Max(age) => Some(age),
        }
    }
}

/// Applies one field of a rule.
type SetField<T> = fn(&mut T, &str) -> Result<(), String>;

const TENANT_FIELDS: [(&str, SetField<TenantRetention>); 2] = [
    ("max_age", |rule, text| {
        rule.max_age = codec::duration_or_none::parse(text)?.map_or(TenantAge::Forever, TenantAge::Max);
        Ok(())
    }),
    ("max_total_bytes", |rule, text| {
        rule.max_total_bytes = codec::size_or_none::parse(text)?;
        Ok(())
    }),
];

/// A stream rule while it is read: which required fields came is checked at its end.
#[derive(Default)]
struct RawStreamRule {
    selector: Option<String>,
    tenant: Option<TenantId>,
    max_age: Option<Option<Duration>>,
    priority: u32,
}

const STREAM_FIELDS: [(&str, SetField<RawStreamRule>); 4] = [
    ("selector", |rule, text| {
        let text = text.trim();
        if !(text.starts_with('{') && text.ends_with('}')) {
            return Err(format!("\"{text}\" is not a stream selector; write {{app=\"name\"}}"));
        }
        rule.selector = Some(text.to_owned());
        Ok(())
    }),
    ("tenant", |rule, text| {
        rule.tenant = Some(TenantId::new(text).map_err(|e| e.to_string())?);
        Ok(())
    }),
    ("max_age", |rule, text| {
        rule.max_age = Some(codec::duration_or_none::parse(text)?);
        Ok(())
    }),
    ("priority", |rule, text| {
        rule.priority = codec::count::parse(text)?;
        Ok(())
    }),
];

/// Reads `retention.tenants`: a mapping from tenant to its rule.
pub fn parse_tenants(node: &Node) -> Result<BTreeMap<TenantId, TenantRetention>, Fault> {
    let mut tenants = BTreeMap::new();
    for (key, value) in entries(node, "tenants")? {
        let tenant = TenantId::new(&key.name).map_err(|e| Fault::new(key.at, e.to_string()))?;
        let mut rule = TenantRetention::default();
        set_fields(&mut rule, value, &TENANT_FIELDS)?;
        tenants.insert(tenant, rule);
    }
    Ok(tenants)
}

/// Reads `retention.streams`: a list of rules.
pub fn parse_streams(node: &Node) -> Result<Vec<StreamRetention>, Fault> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        Value::Null => &[],
        _ => return Err(Fault::new(node.at, format!("takes a list of rules, not {}", node.kind()))),
    };
    items.iter().map(parse_stream).collect()
}

fn parse_stream(node: &Node) -> Result<StreamRetention, Fault> {
    let mut rule = RawStreamRule::default();
    set_fields(&mut rule, node, &STREAM_FIELDS)?;
    let missing = |field: &str| Fault::new(node.at, format!("the rule lacks \"{field}\""));
    Ok(StreamRetention {
        selector: rule.selector.ok_or_else(|| missing("selector"))?,
        tenant: rule.tenant,
        max_age: rule.max_age.ok_or_else(|| missing("max_age"))?,
        priority: rule.priority,
    })
}

fn entries<'a>(node: &'a Node, what: &str) -> Result<&'a [(Key, Node)], Fault> {
    match &node.value {
        Value::Map(entries) => Ok(entries),
        Value::Null => Ok(&[]),
        _ => Err(Fault::new(node.at, format!("takes a mapping of {what}, not {}", node.kind()))),
    }
}

fn set_fields<T>(rule: &mut T, node: &Node, fields: &[(&'static str, SetField<T>)]) -> Result<(), Fault> {
    for (key, value) in entries(node, "fields")? {
        let Some((_, set)) = fields.iter().find(|(name, _)| *name == key.name) else {
            let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
            let hint = match nearest(&key.name, names.iter().copied()) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => format!("known are {}", names.join(", ")),
            };
            return Err(Fault::new(key.at, format!("unknown key \"{}\"; {hint}", key.name)));
        };
        let text = codec::text(value)?;
        set(rule, text).map_err(|message| Fault::new(value.at, message))?;
    }
    Ok(())
}

/// Writes `retention.tenants` as one line of YAML.
pub fn show_tenants(tenants: &BTreeMap<TenantId, TenantRetention>) -> String {
    let rules: Vec<String> = tenants
        .iter()
        .map(|(tenant, rule)| {
            let mut fields = Vec::new();
            match rule.max_age {
                TenantAge::Global => {}
                TenantAge::Forever => fields.push("max_age: 0".to_owned()),
                TenantAge::Max(age) => fields.push(format!("max_age: {}", codec::duration::show(&age))),
            }
            if rule.max_total_bytes.is_some() {
                let size = codec::size_or_none::show(&rule.max_total_bytes);
                fields.push(format!("max_total_bytes: {size}"));
            }
            format!("{:?}: {{{}}}", tenant.as_str(), fields.join(", "))
        })
        .collect();
    format!("{{{}}}", rules.join(", "))
}

/// Writes `retention.streams` as one line of YAML.
pub fn show_streams(streams: &[StreamRetention]) -> String {
    let rules: Vec<String> = streams
        .iter()
        .map(|rule| {
            // JSON's strings are YAML's double-quoted ones.
            let mut text = format!("{{selector: {}", serde_json::Value::from(rule.selector.as_str()));
            if let Some(tenant) = &rule.tenant {
                text.push_str(&format!(", tenant: {:?}", tenant.as_str()));
            }
            let age = codec::duration_or_none::show(&rule.max_age);
            text.push_str(&format!(", max_age: {age}, priority: {}}}", rule.priority));
            text
        })
        .collect();
    format!("[{}]", rules.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::tree::parse;
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn tenants_inherit_unless_they_say_otherwise() {
        let text = "a: {max_age: 2d, max_total_bytes: 1GiB}\nb: {max_age: 0}\nc: {}\n";
        let config = RetentionConfig {
            max_age: Some(DAY * 7),
            tenants: parse_tenants(&parse(text).unwrap()).unwrap(),
            ..RetentionConfig::default()
        };
        let age = |name: &str| config.max_age_of(&TenantId::new(name).unwrap());
        assert_eq!(age("a"), Some(DAY * 2));
        assert_eq!(age("b"), None);
        assert_eq!(age("c"), Some(DAY * 7));
        assert_eq!(age("nobody"), Some(DAY * 7));
        let shown = show_tenants(&config.tenants);
        assert_eq!(parse_tenants(&parse(&shown).unwrap()).unwrap(), config.tenants, "{shown}");
    }

    #[test]
    fn stream_rules_read_back_as_shown() {
        let text = "- {selector: '{app=\"x\", env=~\"a|b\"}', tenant: t1, max_age: 30d, priority: 3}\n\
                    - selector: '{a=\"\\\"\"}'\n  max_age: 0\n";
        let rules = parse_streams(&parse(text).unwrap()).unwrap();
        assert_eq!(rules.len(), 2);
        assert_eq!((rules[0].max_age, rules[0].priority), (Some(DAY * 30), 3));
        assert_eq!((rules[1].max_age, rules[1].tenant.clone()), (None, None));
        let shown = show_streams(&rules);
        assert_eq!(parse_streams(&parse(&shown).unwrap()).unwrap(), rules, "{shown}");
    }

    #[test]
    fn wrong_rules_say_what_and_where() {
        for (text, said) in [
            (
                "- selector: '{a=\"b\"}'\n  max_aeg: 1d\n",
                "2:3: unknown key \"max_aeg\"; did you mean \"max_age\"?",
            ),
            ("- selector: '{a=\"b\"}'\n", "lacks \"max_age\""),
            ("- max_age: 1d\n", "lacks \"selector\""),
            ("- {selector: app, max_age: 1d}\n", "is not a stream selector"),
            ("- {selector: '{a=\"b\"}', max_age: soon}\n", "is not a duration"),
            ("a: b\n", "takes a list of rules, not a mapping"),
        ] {
            let fault = parse_streams(&parse(text).unwrap()).unwrap_err().to_string();
            assert!(fault.contains(said), "{text:?} gave {fault}");
        }
        for (text, said) in [
            ("../x: {max_age: 1d}\n", "1:1: tenant ID"),
            ("a: 1d\n", "1:4: takes a mapping of fields"),
            ("a: {other: 1}\n", "known are max_age, max_total_bytes"),
            ("a: {max_age: }\n", "has no value"),
        ] {
            let fault = parse_tenants(&parse(text).unwrap()).unwrap_err().to_string();
            assert!(fault.contains(said), "{text:?} gave {fault}");
        }
    }
}
