//! Where do attributes of OpenTelemetry go? `limits.otlp_config`, in the shape of Loki's `otlp_config`.

use super::codec;
use super::nearest::nearest;
use super::tree::{Fault, Key, Node, Value};
use strandline_model::otlp::{AttributeAction, AttributeRule, NamePattern, OtlpRules};

/// Reads the rules.
pub fn parse(node: &Node) -> Result<OtlpRules, Fault> {
    let mut rules = OtlpRules::default();
    for (key, value) in entries(node)? {
        match key.name.as_str() {
            "resource_attributes" => parse_resource(value, &mut rules)?,
            "scope_attributes" => rules.scope = parse_rules(value)?,
            "log_attributes" => rules.log = parse_rules(value)?,
            "severity_text_as_label" => rules.severity_text_as_label = scalar(value, codec::switch::parse)?,
            _ => {
                let known =
                    ["resource_attributes", "scope_attributes", "log_attributes", "severity_text_as_label"];
                return Err(unknown(key, &known));
            }
        }
    }
    Ok(rules)
}

fn parse_resource(node: &Node, rules: &mut OtlpRules) -> Result<(), Fault> {
    for (key, value) in entries(node)? {
        match key.name.as_str() {
            "ignore_defaults" => rules.ignore_defaults = scalar(value, codec::switch::parse)?,
            "attributes_config" => rules.resource = parse_rules(value)?,
            _ => return Err(unknown(key, &["ignore_defaults", "attributes_config"])),
        }
    }
    Ok(())
}

fn parse_rules(node: &Node) -> Result<Vec<AttributeRule>, Fault> {
    items(node, "rules")?.iter().map(parse_rule).collect()
}

fn parse_rule(node: &Node) -> Result<AttributeRule, Fault> {
    let mut action = None;
    let (mut names, mut pattern) = (Vec::new(), None);
    for (key, value) in entries(node)? {
        match key.name.as_str() {
            "action" => action = Some(scalar(value, parse_action)?),
            "attributes" => {
                let name = |item| codec::text(item).map(str::to_owned);
                names = items(value, "names")?.iter().map(name).collect::<Result<_, _>>()?;
            }
            "regex" => pattern = Some(scalar(value, NamePattern::new)?),
            _ => return Err(unknown(key, &["action", "attributes", "regex"])),
        }
    }
    let lacks = |what: &str| Fault::new(node.at, format!("the rule lacks {what}"));
    if names.is_empty() && pattern.is_none() {
        return Err(lacks("\"attributes\" or \"regex\""));
    }
    Ok(AttributeRule { action: action.ok_or_else(|| lacks("\"action\""))?, names, pattern })
}

fn parse_action(text: &str) -> Result<AttributeAction, String> {
    let named = |action: &AttributeAction| action.as_str() == text.trim();
    AttributeAction::ALL.into_iter().find(named).ok_or_else(|| {
        let names = AttributeAction::ALL.map(AttributeAction::as_str);
        format!("\"{text}\" is none of {}", names.join(", "))
    })
}

fn scalar<T>(node: &Node, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, Fault> {
    parse(codec::text(node)?).map_err(|message| Fault::new(node.at, message))
}

fn entries(node: &Node) -> Result<&[(Key, Node)], Fault> {
    match &node.value {
        Value::Map(entries) => Ok(entries),
        Value::Null => Ok(&[]),
        _ => Err(Fault::new(node.at, format!("takes a mapping, not {}", node.kind()))),
    }
}

fn items<'a>(node: &'a Node, what: &str) -> Result<&'a [Node], Fault> {
    match &node.value {
        Value::List(items) => Ok(items),
        Value::Null => Ok(&[]),
        _ => Err(Fault::new(node.at, format!("takes a list of {what}, not {}", node.kind()))),
    }
}

fn unknown(key: &Key, known: &[&str]) -> Fault {
    let hint = match nearest(&key.name, known.iter().copied()) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => format!("known are {}", known.join(", ")),
    };
    Fault::new(key.at, format!("unknown key \"{}\"; {hint}", key.name))
}

/// Writes the rules as one line of YAML.
pub fn show(rules: &OtlpRules) -> String {
    format!(
        "{{resource_attributes: {{ignore_defaults: {}, attributes_config: {}}}, scope_attributes: {}, \
         log_attributes: {}, severity_text_as_label: {}}}",
        rules.ignore_defaults,
        show_rules(&rules.resource),
        show_rules(&rules.scope),
        show_rules(&rules.log),
        rules.severity_text_as_label
    )
}

fn show_rules(rules: &[AttributeRule]) -> String {
    // JSON's strings are YAML's double-quoted ones.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let rules: Vec<String> = rules
        .iter()
        .map(|rule| {
            let mut text = format!("{{action: {}", rule.action.as_str());
            if !rule.names.is_empty() {
                let names: Vec<String> = rule.names.iter().map(|name| quoted(name)).collect();
                text.push_str(&format!(", attributes: [{}]", names.join(", ")));
            }
            if let Some(pattern) = &rule.pattern {
                text.push_str(&format!(", regex: {}", quoted(pattern.as_str())));
            }
            text + "}"
        })
        .collect();
    format!("[{}]", rules.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::tree;
    use super::*;

    #[test]
    fn rules_of_loki_s_shape_read_back_as_shown() {
        let text = "resource_attributes:\n  ignore_defaults: true\n  attributes_config:\n  \
                    - action: index_label\n    attributes: [service.name, \"a\\\"b\"]\n  \
                    - {action: drop, regex: 'k8s\\..*'}\n\
                    log_attributes: [{action: structured_metadata, attributes: [x], regex: y}]\n\
                    severity_text_as_label: true\n";
        let rules = parse(&tree::parse(text).unwrap()).unwrap();
        assert!(rules.ignore_defaults && rules.severity_text_as_label && rules.scope.is_empty());
        assert_eq!(rules.of_resource("a\"b"), AttributeAction::IndexLabel);
        assert_eq!(rules.of_resource("k8s.pod.name"), AttributeAction::Drop);
        let shown = show(&rules);
        assert_eq!(parse(&tree::parse(&shown).unwrap()).unwrap(), rules, "{shown}");
    }

    #[test]
    fn wrong_rules_say_what_and_where() {
        for (text, said) in [
            ("log_atributes: []\n", "1:1: unknown key \"log_atributes\"; did you mean \"log_attributes\"?"),
            ("log_attributes: [{attributes: [x]}]\n", "lacks \"action\""),
            ("log_attributes: [{action: drop}]\n", "lacks \"attributes\" or \"regex\""),
            (
                "log_attributes: [{action: label, attributes: [x]}]\n",
                "none of index_label, structured_metadata, drop",
            ),
            ("log_attributes: [{action: drop, regex: '('}]\n", "1:"),
            ("resource_attributes: [x]\n", "takes a mapping, not a list"),
            ("scope_attributes: x\n", "takes a list of rules, not a plain value"),
        ] {
            let fault = parse(&tree::parse(text).unwrap()).unwrap_err().to_string();
            assert!(fault.contains(said), "{text:?} gave {fault}");
        }
    }
}
