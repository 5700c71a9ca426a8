//! Which service does a stream belong to when its labels do not say so?
//!
//! Loki's discovery: clients and dashboards rely on every stream having a `service_name`.

use strandline_model::Labels;

/// The label that names a stream's service.
pub const SERVICE_NAME: &str = "service_name";
/// The service of a stream that names none.
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// The labels that supply a service name, best first.
pub const SERVICE_LABELS: [&str; 13] = [
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
    "k8s_job_name",
];

/// Streams that Loki's own components write carry one of these and stay as they are.
const INTERNAL: [&str; 2] = ["__aggregated_metric__", "__pattern__"];

/// `labels` with a `service_name`.
pub fn with_service_name(labels: Labels) -> Labels {
    let has = |name: &str| labels.get(name).is_some();
    if has(SERVICE_NAME) || INTERNAL.iter().any(|name| has(name)) {
        return labels;
    }
    let service = SERVICE_LABELS.iter().find_map(|name| labels.get(name)).unwrap_or(UNKNOWN_SERVICE);
    labels.with(SERVICE_NAME, service)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(pairs: &[(&str, &str)]) -> Option<String> {
        let labels = with_service_name(Labels::from_pairs(pairs).unwrap());
        labels.get(SERVICE_NAME).map(str::to_owned)
    }

    #[test]
    fn the_first_source_that_is_there_wins() {
        let table: &[(&[(&str, &str)], &str)] = &[
            (&[], "unknown_service"),
            (&[("pod", "p")], "unknown_service"),
            (&[("service_name", "own"), ("service", "s")], "own"),
            (&[("service_name", ""), ("app", "a")], "a"),
            (&[("app", ""), ("job", "j")], "j"),
            (&[("app", "a"), ("job", "j"), ("service", "s")], "s"),
        ];
        for (pairs, wanted) in table {
            assert_eq!(service(pairs).as_deref(), Some(*wanted), "{pairs:?}");
        }
        for (i, name) in SERVICE_LABELS.iter().enumerate() {
            let later: Vec<(&str, &str)> = SERVICE_LABELS.iter().skip(i).map(|n| (*n, *n)).collect();
            assert_eq!(service(&later).as_deref(), Some(*name));
        }
        assert_eq!(service(&[("__pattern__", "x"), ("app", "a")]), None);
        assert_eq!(service(&[("__aggregated_metric__", "x")]), None);
    }
}
