//! Which settings are there? The one table: parsing, flags, variables, the printed config and the documentation
//! all come from it, so a setting is added here and in `Config`, nowhere else.

use super::tree::{Fault, Node};
use super::{Config, access, codec, lists, otlp, retention};
use std::sync::Arc;

/// What every environment variable of ours begins with.
pub const ENV_PREFIX: &str = "STRANDLINE_";

/// One setting.
pub struct Setting {
    /// `section.key`, as in the file.
    pub name: &'static str,
    /// What its value looks like.
    pub kind: &'static str,
    /// One line for help and documentation.
    pub help: &'static str,
    /// A second, short flag, without the dashes.
    pub alias: Option<&'static str>,
    /// Whether the value must never be shown.
    pub secret: bool,
    /// Whether the value is a list or a mapping, given as YAML on one line outside the file.
    pub structured: bool,
    /// Reads a value into the configuration.
    pub apply: fn(&mut Config, &Node) -> Result<(), Fault>,
    /// Writes the value; YAML if `structured`.
    pub show: fn(&Config) -> String,
}

impl Setting {
    /// `section` of `section.key`.
    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(section, _)| section)
    }

    /// `key` of `section.key`.
    pub fn key(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(_, key)| key)
    }

    /// `STRANDLINE_SECTION__KEY`.
    pub fn env_name(&self) -> String {
        env_name(self.name)
    }

    /// The flag without its dashes: `section.key-in-parts`.
    pub fn flag(&self) -> String {
        flag(self.name)
    }
}

/// The variable of a setting's name.
pub fn env_name(name: &str) -> String {
    format!("{ENV_PREFIX}{}", name.replace('.', "__").to_ascii_uppercase())
}

/// The flag of a setting's name, without its dashes.
pub fn flag(name: &str) -> String {
    name.replace('_', "-")
}

/// The setting called `name`.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// A row: name, codec, field of `Config`, help, and the short flag where there is one.
macro_rules! row {
    ($name:literal, $codec:ident, $($field:ident).+, $help:literal) => {
        row!($name, $codec, $($field).+, $help, None)
    };
    ($name:literal, $codec:ident, $($field:ident).+, $help:literal, $alias:expr) => {
        Setting {
            name: $name,
            kind: codec::$codec::KIND,
            help: $help,
            alias: $alias,
            secret: false,
            structured: false,
            apply: |config, node| {
                config.$($field).+ =
                    codec::$codec::parse(codec::text(node)?).map_err(|message| Fault::new(node.at, message))?;
                Ok(())
            },
            show: |config| codec::$codec::show(&config.$($field).+),
        }
    };
}

/// Every setting, in the order of the documentation.
pub const SETTINGS: &[Setting] = &[
    row!(
        "server.http_listen",
        address,
        server.http_listen,
        "address and port to listen on; loopback unless told otherwise",
        Some("http-listen")
    ),
    row!(
        "server.otlp_grpc_listen",
        address_or_off,
        server.otlp_grpc_listen,
        "address and port for OTLP over gRPC, or off"
    ),
    row!("server.max_body_bytes", size, server.max_body_bytes, "largest request body as sent"),
    row!(
        "server.max_decompressed_bytes",
        size,
        server.max_decompressed_bytes,
        "largest request body once decompressed"
    ),
    row!(
        "server.max_memory",
        size_or_none,
        server.max_memory,
        "most memory of the process; 0 is what its cgroup allows, or else half of the machine's"
    ),
    row!(
        "server.max_active_streams",
        count_or_none,
        server.max_active_streams,
        "streams of all tenants with lines in the last hour, new ones above it get 429; 0 is chosen from server.max_memory"
    ),
    row!(
        "server.body_timeout",
        duration,
        server.body_timeout,
        "how long a client may take to send a request body"
    ),
    row!(
        "server.min_body_rate",
        size,
        server.min_body_rate,
        "bytes per second that a request body has to come at on average, after ten seconds; 0 is any"
    ),
    row!(
        "server.header_timeout",
        duration,
        server.header_timeout,
        "how long a client may take to send a request header"
    ),
    Setting {
        name: "server.allowed_origins",
        kind: "list",
        help: "web pages besides those of this server whose browsers may push, change something or tail, such as https://app.example.com",
        alias: None,
        secret: false,
        structured: true,
        apply: |config, node| {
            config.server.allowed_origins = lists::origins::parse(node)?;
            Ok(())
        },
        show: |config| lists::texts::show(&config.server.allowed_origins),
    },
    Setting {
        name: "server.allowed_hosts",
        kind: "list",
        help: "names of this server besides localhost; on a loopback address, or if there are any, requests for other names are refused",
        alias: None,
        secret: false,
        structured: true,
        apply: |config, node| {
            config.server.allowed_hosts = lists::hosts::parse(node)?;
            Ok(())
        },
        show: |config| lists::texts::show(&config.server.allowed_hosts),
    },
    row!(
        "server.write_timeout",
        duration,
        server.write_timeout,
        "how long a client may take nothing of its answer; of a long one, less than 256KiB"
    ),
    row!(
        "server.idle_timeout",
        duration,
        server.idle_timeout,
        "how long a connection may wait for its next request"
    ),
    row!(
        "server.max_connections",
        count,
        server.max_connections,
        "most connections at once; for more, idle ones are closed, and without these only /ready and /metrics are answered. \
         Fewer by default where memory is short"
    ),
    row!(
        "server.max_connections_per_address",
        count_or_none,
        server.max_connections_per_address,
        "the same for one client address (IPv6: one /64 network); 0 is half of server.max_connections"
    ),
    row!(
        "server.max_tails",
        count,
        server.max_tails,
        "most live tails of all tenants at once; one client address may have half of them, and 64 in any case"
    ),
    row!(
        "server.http_path_prefix",
        url_prefix,
        server.http_path_prefix,
        "what stands in front of all paths, such as /logs; /ready, /health and /metrics answer without it too"
    ),
    row!(
        "tls.cert_file",
        path_or_none,
        tls.cert_file,
        "certificate of the server (PEM), read again when it changes; without it nothing is encrypted"
    ),
    row!("tls.key_file", path_or_none, tls.key_file, "private key of the certificate (PEM)"),
    row!(
        "tls.client_ca_file",
        path_or_none,
        tls.client_ca_file,
        "certificates (PEM) of which each client must have one; without it clients need none"
    ),
    row!("storage.data_dir", path, storage.data_dir, "the data directory", Some("data-dir")),
    row!(
        "storage.min_free_bytes",
        size,
        storage.min_free_bytes,
        "free disk below which the store turns read-only"
    ),
    row!(
        "storage.cache_bytes",
        size,
        storage.cache_bytes,
        "memory for tables and text indexes of open segments"
    ),
    row!(
        "storage.label_index_bytes",
        size,
        storage.label_index_bytes,
        "memory for the label index (about 120 bytes a stream); beyond it stream tables of segments answer, slower"
    ),
    row!(
        "wal.sync",
        wal_sync,
        wal.sync,
        "when the write-ahead log is synced; only always survives a power cut"
    ),
    row!("wal.sync_interval", duration, wal.sync_interval, "time between syncs when wal.sync is interval"),
    row!("wal.file_bytes", size, wal.file_bytes, "size of one preallocated file of the write-ahead log"),
    row!("head.max_bytes", size, head.max_bytes, "bytes in memory at which they become segments"),
    row!("head.max_age", duration, head.max_age, "age at which entries in memory become segments"),
    row!("head.idle", duration, head.idle, "quiet time after which entries in memory become segments"),
    row!("segment.block_bytes", size, segment.block_bytes, "raw bytes of one block of a segment"),
    row!("compaction.enabled", switch, compaction.enabled, "merge small segments in the background"),
    row!(
        "compaction.target_bytes",
        size,
        compaction.target_bytes,
        "raw bytes that a merged segment aims for"
    ),
    row!("compaction.zstd_level", count, compaction.zstd_level, "zstd level of merged segments, 1 to 19"),
    row!(
        "retention.max_age",
        duration_or_none,
        retention.max_age,
        "age past which entries are removed; 0 keeps them for ever"
    ),
    row!(
        "retention.max_total_bytes",
        size_or_none,
        retention.max_total_bytes,
        "bytes on disk past which the oldest days are removed; 0 is no bound"
    ),
    row!(
        "retention.min_free_bytes",
        size_or_none,
        retention.min_free_bytes,
        "free disk below which the oldest days are removed; 0 is no bound"
    ),
    Setting {
        name: "retention.tenants",
        kind: "mapping",
        help: "tenant -> {max_age, max_total_bytes}: what differs for single tenants",
        alias: None,
        secret: false,
        structured: true,
        apply: |config, node| {
            config.retention.tenants = retention::parse_tenants(node)?;
            Ok(())
        },
        show: |config| retention::show_tenants(&config.retention.tenants),
    },
    Setting {
        name: "retention.streams",
        kind: "list",
        help: "[{selector, tenant, max_age, priority}]: what differs for single streams",
        alias: None,
        secret: false,
        structured: true,
        apply: |config, node| {
            config.retention.streams = retention::parse_streams(node)?;
            Ok(())
        },
        show: |config| retention::show_streams(&config.retention.streams),
    },
    row!(
        "deletes.cancel_period",
        duration_or_none,
        deletes.cancel_period,
        "how long lines that were deleted by request are only hidden, so that it can be taken back whole"
    ),
    row!("query.threads", count, query.threads, "threads that scan; 0 is one for each core"),
    row!("query.timeout", duration, query.timeout, "time after which a query is given up"),
    row!(
        "query.max_concurrent",
        count_or_none,
        query.max_concurrent,
        "queries that run at once, more wait, tenants in turn; 0 is chosen from query.threads. A tenant of which none runs may start one beyond it, up to twice as many"
    ),
    row!(
        "query.max_queued",
        count,
        query.max_queued,
        "queries of one tenant that wait for their turn; more get 429. Of all tenants, four times as many may wait"
    ),
    row!("query.max_memory", size, query.max_memory, "most memory that one query may hold for its answer"),
    row!(
        "query.loki_strict",
        switch,
        query.loki_strict,
        "refuse as Loki does selectors that select everything, {}, and log queries on /query"
    ),
    row!("limits.max_line_bytes", size, limits.max_line_bytes, "longest line; longer ones are refused"),
    row!("limits.max_label_names", count, limits.max_label_names, "most labels of one stream"),
    row!("limits.max_label_name_bytes", size, limits.max_label_name_bytes, "longest label name"),
    row!("limits.max_label_value_bytes", size, limits.max_label_value_bytes, "longest label value"),
    row!(
        "limits.max_metadata_bytes",
        size,
        limits.max_metadata_bytes,
        "most structured metadata of one entry, names and values"
    ),
    row!(
        "limits.max_metadata_pairs",
        count,
        limits.max_metadata_pairs,
        "most structured metadata pairs of one entry"
    ),
    row!(
        "limits.reject_older_than",
        age_ns,
        limits.reject_older_than_ns,
        "oldest acceptable age of a line; 0 accepts any"
    ),
    row!(
        "limits.reject_newer_than",
        age_ns,
        limits.reject_newer_than_ns,
        "how far in the future a line may lie; 0 accepts any"
    ),
    row!(
        "limits.max_streams_per_push",
        count,
        limits.max_streams_per_push,
        "most streams in one push; above it the push is refused whole"
    ),
    row!("limits.max_lines_per_push", count, limits.max_lines_per_push, "most lines in one push"),
    row!(
        "limits.max_entries_per_query",
        count,
        limits.max_entries_per_query,
        "most entries that one log query may return"
    ),
    row!(
        "limits.max_series_per_query",
        count,
        limits.max_series_per_query,
        "most series that one metric query may return; 0 is no limit"
    ),
    Setting {
        name: "limits.otlp_config",
        kind: "mapping",
        help: "{resource_attributes, scope_attributes, log_attributes, severity_text_as_label}: where attributes of \
               OpenTelemetry go, as in Loki",
        alias: None,
        secret: false,
        structured: true,
        apply: |config, node| {
            config.limits.otlp = Arc::new(otlp::parse(node)?);
            Ok(())
        },
        show: |config| otlp::show(&config.limits.otlp),
    },
    row!(
        "limits.volume_enabled",
        switch,
        limits.volume_enabled,
        "index/volume is answered; off, Logs Drilldown finds no services"
    ),
    row!(
        "limits.volume_max_series",
        count,
        limits.volume_max_series,
        "most label sets that index/volume may come to; above it the request is refused"
    ),
    row!(
        "limits.ingestion_rate",
        size,
        limits.ingestion_rate,
        "bytes a tenant may send per second, above it 429; 0 is no limit"
    ),
    row!(
        "limits.ingestion_burst",
        size,
        limits.ingestion_burst,
        "bytes a tenant may send at once after a pause; at least a second's worth"
    ),
    row!(
        "limits.stream_rate",
        size,
        limits.stream_rate,
        "bytes one stream may take in per second, above it 429; 0 is no limit"
    ),
    row!(
        "limits.stream_burst",
        size,
        limits.stream_burst,
        "bytes one stream may take in at once after a pause; at least a second's worth"
    ),
    row!(
        "limits.max_active_streams",
        count,
        limits.max_active_streams,
        "streams of a tenant with lines in the last hour, new ones above it get 429; 0 is no limit"
    ),
    row!(
        "limits.max_query_length",
        age_ns,
        limits.max_query_length_ns,
        "longest time between start and end of a query; 0 is no limit"
    ),
    row!(
        "limits.max_query_lookback",
        age_ns,
        limits.max_query_lookback_ns,
        "how far back from now a query sees anything; 0 is no limit"
    ),
    row!(
        "limits.max_query_range",
        age_ns,
        limits.max_query_range_ns,
        "longest range of a range aggregation, [5m]; 0 is no limit"
    ),
    row!(
        "limits.query_timeout",
        age_ns,
        limits.query_timeout_ns,
        "time after which a tenant's query is given up; 0 is query.timeout"
    ),
    Setting {
        name: "limits.required_labels",
        kind: "list",
        help: "labels for which every selector of a query must have a matcher",
        alias: None,
        secret: false,
        structured: true,
        apply: |config, node| {
            config.limits.required_labels = codec::names::parse(node)?;
            Ok(())
        },
        show: |config| codec::names::show(&config.limits.required_labels),
    },
    row!(
        "limits.minimum_labels_number",
        count,
        limits.minimum_labels_number,
        "fewest matchers of every selector of a query"
    ),
    row!(
        "limits.overrides_file",
        path_or_none,
        overrides_file,
        "file of what differs for single tenants, read again when it changes and on SIGHUP: overrides: {tenant: {limit: value}}"
    ),
    row!(
        "limits.max_concurrent_tail_requests",
        count,
        limits.max_concurrent_tail_requests,
        "most live tails of one tenant at once"
    ),
    row!(
        "limits.tail_max_duration",
        age_ns,
        limits.tail_max_duration_ns,
        "how long a live tail may stay open; 0 is for ever"
    ),
    row!(
        "limits.deletion_mode",
        deletion_mode,
        limits.deletion_mode,
        "whether lines can be deleted by request"
    ),
    row!(
        "auth.enabled",
        switch,
        auth.enabled,
        "every request must name its tenant in X-Scope-OrgID; off, all is one tenant"
    ),
    row!(
        "auth.multi_tenant_queries",
        switch,
        auth.multi_tenant_queries,
        "a read may name several tenants, X-Scope-OrgID: a|b"
    ),
    Setting {
        name: "auth.tokens",
        kind: "list",
        help: "[{name, token_sha256 or token_file, scopes: [push, query, delete, rules, operate, metrics], tenants, filter}]: who may do what",
        alias: None,
        secret: false,
        structured: true,
        apply: |config, node| {
            config.auth.tokens = access::parse_tokens(node)?;
            Ok(())
        },
        show: |config| access::show_tokens(&config.auth.tokens),
    },
    Setting {
        name: "auth.users",
        kind: "list",
        help: "[{name, password_hash, scopes, tenants, filter}]: the same for those who come with a password",
        alias: None,
        secret: false,
        structured: true,
        apply: |config, node| {
            config.auth.users = access::parse_users(node)?;
            Ok(())
        },
        show: |config| access::show_users(&config.auth.users),
    },
    row!(
        "log.level",
        log_filter,
        log.level,
        "the program's own log: error, warn, info, debug, trace, or directives",
        Some("log-level")
    ),
    row!(
        "log.format",
        log_format,
        log.format,
        "auto is text on a terminal and JSON elsewhere",
        Some("log-format")
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_flags_and_variables_are_unique_and_plain() {
        let mut seen = BTreeSet::new();
        for setting in SETTINGS {
            let plain = |text: &str| {
                !text.is_empty()
                    && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            };
            assert!(plain(setting.section()) && plain(setting.key()), "{}", setting.name);
            // `__` separates the parts of a variable's name.
            assert!(!setting.name.contains("__"), "{}", setting.name);
            assert!(seen.insert(setting.env_name()), "{}", setting.name);
            assert!(seen.insert(setting.flag()), "{}", setting.name);
            assert!(setting.alias.is_none_or(|alias| seen.insert(alias.to_owned())), "{}", setting.name);
            assert!(!setting.help.is_empty() && !setting.help.ends_with('.'), "{}", setting.name);
        }
        assert_eq!(find("server.http_listen").unwrap().env_name(), "STRANDLINE_SERVER__HTTP_LISTEN");
        assert_eq!(find("storage.data_dir").unwrap().flag(), "storage.data-dir");
    }

    #[test]
    fn what_a_setting_shows_it_reads_back() {
        for setting in SETTINGS {
            let shown = (setting.show)(&Config::default());
            let node = if setting.structured {
                super::super::tree::parse(&shown).unwrap()
            } else {
                Node::text(&*shown)
            };
            let mut config = Config::default();
            (setting.apply)(&mut config, &node).unwrap_or_else(|e| panic!("{}: {e}", setting.name));
            assert_eq!(config, Config::default(), "{}", setting.name);
        }
    }
}
