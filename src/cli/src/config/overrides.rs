//! Which limits differ for single tenants? A file of Loki's form, read again while the server runs.
//!
//! ```yaml
//! overrides:
//!   team-a:
//!     max_line_bytes: 1MiB   # a key of our section `limits`
//!     ingestion_rate_mb: 4   # or Loki's name for it
//! ```

use super::nearest::nearest;
use super::settings::{self, SETTINGS};
use super::tree::{self, Fault, Key, Node, Value};
use super::{Config, check};
use std::collections::HashMap;
use strandline_model::{Limits, TenantId};

/// Most tenants of the file.
const MAX_TENANTS: usize = 100_000;
/// What Loki's files begin with.
const ROOT: &str = "overrides";
/// The section whose keys may stand here.
const SECTION: &str = "limits";

/// How Loki writes a value that we write otherwise.
type Translate = fn(&str) -> Result<String, String>;

/// Loki's name, ours, and how the value is translated.
const ALIASES: [(&str, &str, Translate); 20] = [
    ("max_line_size", "max_line_bytes", loki_size),
    ("max_label_names_per_series", "max_label_names", same),
    ("max_label_name_length", "max_label_name_bytes", same),
    ("max_label_value_length", "max_label_value_bytes", same),
    ("max_structured_metadata_size", "max_metadata_bytes", loki_size),
    ("max_structured_metadata_entries_count", "max_metadata_pairs", same),
    ("reject_old_samples_max_age", "reject_older_than", same),
    ("creation_grace_period", "reject_newer_than", same),
    ("max_entries_limit_per_query", "max_entries_per_query", same),
    ("max_query_series", "max_series_per_query", same),
    ("ingestion_rate_mb", "ingestion_rate", mebibytes),
    ("ingestion_burst_size_mb", "ingestion_burst", mebibytes),
    ("per_stream_rate_limit", "stream_rate", loki_size),
    ("per_stream_rate_limit_burst", "stream_burst", loki_size),
    ("max_streams_per_user", "max_active_streams", same),
    ("max_global_streams_per_user", "max_active_streams", same),
    ("max_query_length", "max_query_length", same),
    ("max_query_lookback", "max_query_lookback", same),
    ("max_query_range", "max_query_range", same),
    ("query_timeout", "query_timeout", same),
];

/// Reads the file's text; what a tenant does not say is as in `defaults`. An error tells each fault with line and column.
pub fn parse(text: &str, defaults: &Limits) -> Result<HashMap<TenantId, Limits>, Vec<Fault>> {
    let root = tree::parse(text).map_err(|fault| vec![fault])?;
    let mut tenants = HashMap::new();
    let mut faults = Vec::new();
    for (key, node) in entries(&root, "the key \"overrides\"").map_err(|fault| vec![fault])? {
        if key.name != ROOT {
            faults
                .push(Fault::new(key.at, format!("unknown key \"{}\"; did you mean \"{ROOT}\"?", key.name)));
            continue;
        }
        let all = entries(node, "tenants").map_err(|fault| vec![fault])?;
        if all.len() > MAX_TENANTS {
            return Err(vec![Fault::new(node.at, format!("more than {MAX_TENANTS} tenants"))]);
        }
        for (key, node) in all {
            let limits = limits_of(node, defaults, &mut faults);
            match TenantId::new(&key.name) {
                Ok(tenant) => drop(tenants.insert(tenant, limits)),
                Err(error) => faults.push(Fault::new(key.at, error.to_string())),
            }
        }
    }
    if faults.is_empty() { Ok(tenants) } else { Err(faults) }
}

fn limits_of(node: &Node, defaults: &Limits, faults: &mut Vec<Fault>) -> Limits {
    let mut config = Config { limits: defaults.clone(), ..Config::default() };
    let entries = match entries(node, "limits") {
        Ok(entries) => entries,
        Err(fault) => {
            faults.push(fault);
            return config.limits;
        }
    };
    for (key, value) in entries {
        if let Err(fault) = set(&mut config, key, value) {
            faults.push(Fault::new(fault.at, format!("{}: {}", key.name, fault.message)));
        }
    }
    let own = |name: &str| name.strip_prefix(SECTION).is_some_and(|rest| rest.starts_with('.'));
    for (name, message) in check::check(&config).into_iter().filter(|(name, _)| own(name)) {
        faults.push(Fault::new(node.at, format!("{name}: {message}")));
    }
    config.limits
}

fn set(config: &mut Config, key: &Key, value: &Node) -> Result<(), Fault> {
    let ours = |name: &str| {
        settings::find(&format!("{SECTION}.{name}")).filter(|setting| setting.name != "limits.overrides_file")
    };
    if let Some(setting) = ours(&key.name) {
        return (setting.apply)(config, value);
    }
    let Some((_, name, translate)) = ALIASES.iter().find(|(loki, ..)| *loki == key.name) else {
        return Err(unknown(key));
    };
    let Some(setting) = ours(name) else { return Err(unknown(key)) };
    let text = translate(super::codec::text(value)?).map_err(|message| Fault::new(value.at, message))?;
    (setting.apply)(config, &Node { at: value.at, value: Value::Text(text) })
}

fn unknown(key: &Key) -> Fault {
    let own =
        SETTINGS.iter().filter(|s| s.section() == SECTION && s.key() != "overrides_file").map(|s| s.key());
    let all = own.chain(ALIASES.iter().map(|(loki, ..)| *loki));
    let hint = match nearest(&key.name, all) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => "`strandline config --docs` lists every limit".to_owned(),
    };
    Fault::new(key.at, format!("unknown limit; {hint}"))
}

fn entries<'a>(node: &'a Node, what: &str) -> Result<&'a [(Key, Node)], Fault> {
    match &node.value {
        Value::Map(entries) => Ok(entries),
        Value::Null => Ok(&[]),
        _ => Err(Fault::new(node.at, format!("takes {what}, not {}", node.kind()))),
    }
}

fn same(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// Loki's sizes count in steps of 1024, whether it says KB or KiB.
fn loki_size(text: &str) -> Result<String, String> {
    let wrong = || format!("\"{text}\" is not a size; write 256KB or 3MB");
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u32 = match unit.trim().to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(wrong()),
    };
    times(number, factor).ok_or_else(wrong)
}

fn mebibytes(text: &str) -> Result<String, String> {
    times(text.trim(), 20).ok_or_else(|| format!("\"{text}\" is not a number of megabytes"))
}

/// `number` times a power of two, as whole bytes.
fn times(number: &str, power: u32) -> Option<String> {
    let bytes = number.parse::<f64>().ok()?
        * f64::from(2u32.pow(power.min(30)))
        * if power > 30 { 1024.0 } else { 1.0 };
    (bytes.is_finite() && (0.0..9e18).contains(&bytes)).then(|| (bytes.round() as u64).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<HashMap<TenantId, Limits>, Vec<String>> {
        parse(text, &Limits { max_label_names: 7, ..Limits::default() })
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn rules_for_opentelemetry_are_limits_like_others() {
        let text = "overrides:\n  a:\n    otlp_config:\n      severity_text_as_label: true\n";
        let tenants = parse(text, &Limits::default()).unwrap();
        assert!(tenants[&TenantId::new("a").unwrap()].otlp.severity_text_as_label);
        assert!(parse("overrides: {a: {otlp_config: {x: 1}}}", &Limits::default()).is_err());
    }

    #[test]
    fn our_names_and_lokis_and_what_is_not_said() {
        let text = "overrides:\n  a:\n    max_line_bytes: 1MiB\n    stream_rate: 5\n    required_labels: [team, env]\n  \
                    b:\n    max_line_size: 256KB\n    ingestion_rate_mb: 1.5\n    per_stream_rate_limit: 3MB\n    \
                    max_query_length: 30d1h\n    reject_old_samples_max_age: 1w\n    max_query_series: 9\n  c:\n";
        let tenants = read(text).unwrap();
        let of = |name: &str| &tenants[&TenantId::new(name).unwrap()];
        assert_eq!((of("a").max_line_bytes, of("a").stream_rate, of("a").max_label_names), (1 << 20, 5, 7));
        assert_eq!(of("a").required_labels, ["team", "env"]);
        assert_eq!((of("b").max_line_bytes, of("b").ingestion_rate), (256 << 10, 3 << 19));
        assert_eq!((of("b").stream_rate, of("b").max_series_per_query), (3 << 20, 9));
        assert_eq!(of("b").max_query_length_ns, 721 * 3_600_000_000_000);
        assert_eq!(of("b").reject_older_than_ns, 7 * 86_400_000_000_000);
        assert_eq!(of("c").max_label_names, 7);
        for empty in ["", "overrides:\n", "# nothing\n"] {
            assert!(read(empty).unwrap().is_empty());
        }
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let text = "overrides:\n  a:\n    max_line_sizes: 1MB\n    max_label_names: x\n  ../b:\n    overrides_file: c\nother: 1\n";
        assert_eq!(
            read(text).unwrap_err(),
            [
                "3:5: max_line_sizes: unknown limit; did you mean \"max_line_size\"?",
                "4:22: max_label_names: \"x\" is not a whole number in range",
                "6:5: overrides_file: unknown limit; `strandline config --docs` lists every limit",
                "5:3: tenant ID '../b' contains unsupported character '/'",
                "7:1: unknown key \"other\"; did you mean \"overrides\"?",
            ]
        );
        assert_eq!(read("overrides: [a]").unwrap_err(), ["1:12: takes tenants, not a list"]);
        assert!(
            read("overrides:\n  a: {max_label_names: 0}\n").unwrap_err()[0].contains("must be at least 1")
        );
        assert!(
            read("overrides:\n  a: {max_line_size: 5furlongs}\n").unwrap_err()[0]
                .starts_with("2:22: max_line_size: ")
        );
        assert!(read("overrides:\n  a: {ingestion_rate_mb: -1}\n").is_err());
    }
}
