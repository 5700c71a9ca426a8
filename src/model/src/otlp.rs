//! Where does an attribute of OpenTelemetry go: into the stream's labels, into the entry's metadata, or nowhere?
//!
//! The rules are those of Loki's `otlp_config`, and so is their order: the first one that names an attribute holds.

use regex::Regex;

/// Resource attributes that become labels unless `ignore_defaults` is set (Loki's list).
pub const DEFAULT_INDEX_LABELS: [&str; 18] = [
    "service.name",
    "service.namespace",
    "service.instance.id",
    "deployment.environment",
    "deployment.environment.name",
    "cloud.region",
    "cloud.availability_zone",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.name",
    "k8s.replicaset.name",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
];

/// What is done with an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeAction {
    /// It becomes a label of the stream.
    IndexLabel,
    /// It becomes structured metadata of the entry.
    StructuredMetadata,
    /// It is left out.
    Drop,
}

impl AttributeAction {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::IndexLabel, Self::StructuredMetadata, Self::Drop];

    /// The name in the settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IndexLabel => "index_label",
            Self::StructuredMetadata => "structured_metadata",
            Self::Drop => "drop",
        }
    }
}

/// One rule: what is done with the attributes of these names.
#[derive(Debug, Clone, PartialEq)]
pub struct AttributeRule {
    /// What is done.
    pub action: AttributeAction,
    /// Names as they are sent, dots and all.
    pub names: Vec<String>,
    /// More names, as a pattern.
    pub pattern: Option<NamePattern>,
}

/// A regular expression over whole names.
#[derive(Debug, Clone)]
pub struct NamePattern {
    text: String,
    regex: Regex,
}

impl NamePattern {
    /// Compiles `text`; the error is the compiler's.
    pub fn new(text: &str) -> Result<Self, String> {
        let regex = Regex::new(&format!("^(?s:{text})$")).map_err(|e| e.to_string())?;
        Ok(Self { text: text.to_owned(), regex })
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// The rules for everything that an export carries.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OtlpRules {
    /// Resource attributes are labels by these rules alone, not by [`DEFAULT_INDEX_LABELS`].
    pub ignore_defaults: bool,
    /// Attributes of the resource.
    pub resource: Vec<AttributeRule>,
    /// Attributes of the instrumentation scope; an index label among them counts as metadata.
    pub scope: Vec<AttributeRule>,
    /// Attributes of the log record.
    pub log: Vec<AttributeRule>,
    /// `severity_text` becomes a label, not metadata.
    pub severity_text_as_label: bool,
}

impl OtlpRules {
    /// What is done with the resource attribute `name`.
    pub fn of_resource(&self, name: &str) -> AttributeAction {
        if !self.ignore_defaults && DEFAULT_INDEX_LABELS.contains(&name) {
            return AttributeAction::IndexLabel;
        }
        first_match(&self.resource, name)
    }

    /// What is done with the scope attribute `name`.
    pub fn of_scope(&self, name: &str) -> AttributeAction {
        first_match(&self.scope, name)
    }

    /// What is done with the attribute `name` of a log record.
    pub fn of_log(&self, name: &str) -> AttributeAction {
        first_match(&self.log, name)
    }
}

fn first_match(rules: &[AttributeRule], name: &str) -> AttributeAction {
    let matches = |rule: &&AttributeRule| {
        rule.names.iter().any(|n| n == name) || rule.pattern.as_ref().is_some_and(|p| p.regex.is_match(name))
    };
    rules.iter().find(matches).map_or(AttributeAction::StructuredMetadata, |rule| rule.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_names_an_attribute_holds() {
        use AttributeAction::{Drop, IndexLabel, StructuredMetadata};
        let rule = |action, names: &[&str], pattern: Option<&str>| AttributeRule {
            action,
            names: names.iter().map(|n| (*n).to_owned()).collect(),
            pattern: pattern.map(|p| NamePattern::new(p).unwrap()),
        };
        let mut rules = OtlpRules {
            resource: vec![
                rule(Drop, &["service.name", "secret"], None),
                rule(IndexLabel, &[], Some("team|secret|a.*")),
            ],
            log: vec![rule(Drop, &["x"], Some("x"))],
            ..OtlpRules::default()
        };
        assert_eq!(rules.of_resource("service.name"), IndexLabel, "the default list comes first");
        assert_eq!(rules.of_resource("secret"), Drop);
        assert_eq!(rules.of_resource("team"), IndexLabel);
        assert_eq!(rules.of_resource("my.team"), StructuredMetadata, "patterns match whole names");
        assert_eq!((rules.of_log("x"), rules.of_log("team")), (Drop, StructuredMetadata));
        assert_eq!(rules.of_scope("x"), StructuredMetadata);
        rules.ignore_defaults = true;
        assert_eq!(rules.of_resource("service.name"), Drop);
        assert_eq!(rules.of_resource("k8s.pod.name"), StructuredMetadata);
        assert!(NamePattern::new("(").is_err());
    }
}
