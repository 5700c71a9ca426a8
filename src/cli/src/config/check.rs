//! Do the settings make sense, alone and together?

use super::Config;

/// What is wrong, by the name of the setting to change.
pub fn check(config: &Config) -> Vec<(&'static str, String)> {
    let mut faults = Vec::new();
    let mut range = |name: &'static str, value: u64, least: u64, most: u64| {
        if !(least..=most).contains(&value) {
            let show = |bytes: u64| super::codec::size::show(&bytes);
            faults.push((name, format!("must lie between {} and {}", show(least), show(most))));
        }
    };
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    range("query.max_memory", config.query.max_memory, MIB, 1 << 40);
    if let Some(bytes) = config.server.max_memory {
        range("server.max_memory", bytes, super::memory::LEAST, 1 << 50);
    }
    range("server.max_body_bytes", config.server.max_body_bytes, KIB, 4 * GIB);
    range("server.max_decompressed_bytes", config.server.max_decompressed_bytes, KIB, 4 * GIB);
    // Below, a file holds hardly a batch; above, recycling and replay come in steps that are too long.
    range("wal.file_bytes", config.wal.file_bytes, 64 * KIB, GIB);
    range("head.max_bytes", config.head.max_bytes, 64 * KIB, 16 * GIB);
    // Block offsets are 32 bits wide, and a filter reads a block whole.
    range("segment.block_bytes", config.segment.block_bytes, 4 * KIB, 16 * MIB);
    range("compaction.target_bytes", config.compaction.target_bytes, MIB, 4 * GIB);
    range("limits.max_line_bytes", config.limits.max_line_bytes as u64, 1, 16 * MIB);

    let positive = [
        ("server.header_timeout", config.server.header_timeout),
        ("server.idle_timeout", config.server.idle_timeout),
        ("server.body_timeout", config.server.body_timeout),
        ("server.write_timeout", config.server.write_timeout),
        ("wal.sync_interval", config.wal.sync_interval),
        ("head.max_age", config.head.max_age),
        ("head.idle", config.head.idle),
        ("query.timeout", config.query.timeout),
    ];
    for (name, _) in positive.iter().filter(|(_, duration)| duration.is_zero()) {
        faults.push((name, "must be longer than 0".to_owned()));
    }
    if !(1..=19).contains(&config.compaction.zstd_level) {
        faults.push(("compaction.zstd_level", "must lie between 1 and 19".to_owned()));
    }
    if config.query.threads > 1024 {
        faults.push(("query.threads", "must be at most 1024".to_owned()));
    }
    if config.query.max_queued > 1_000_000 {
        faults.push(("query.max_queued", "must be at most 1000000".to_owned()));
    }
    // Each is an open file.
    for (name, count) in [
        ("server.max_tails", config.server.max_tails),
        ("server.max_connections", config.server.max_connections),
    ] {
        if count > 100_000 {
            faults.push((name, "must be at most 100000".to_owned()));
        }
    }
    for (name, count) in [
        ("limits.max_label_names", config.limits.max_label_names),
        ("limits.max_streams_per_push", config.limits.max_streams_per_push),
        ("limits.max_lines_per_push", config.limits.max_lines_per_push),
        ("limits.max_entries_per_query", config.limits.max_entries_per_query),
        ("limits.max_concurrent_tail_requests", config.limits.max_concurrent_tail_requests),
        ("server.max_connections", config.server.max_connections),
        ("server.max_tails", config.server.max_tails),
        ("query.max_queued", config.query.max_queued),
        ("limits.volume_max_series", config.limits.volume_max_series),
    ] {
        if count == 0 {
            faults.push((name, "must be at least 1".to_owned()));
        }
    }
    match (&config.tls.cert_file, &config.tls.key_file) {
        (Some(_), None) => faults.push(("tls.key_file", "is missing, but tls.cert_file is given".to_owned())),
        (None, Some(_)) => faults.push(("tls.cert_file", "is missing, but tls.key_file is given".to_owned())),
        (None, None) if config.tls.client_ca_file.is_some() => {
            faults.push(("tls.client_ca_file", "needs tls.cert_file and tls.key_file".to_owned()));
        }
        _ => {}
    }
    for (name, burst, rate) in [
        ("limits.ingestion_burst", config.limits.ingestion_burst, config.limits.ingestion_rate),
        ("limits.stream_burst", config.limits.stream_burst, config.limits.stream_rate),
    ] {
        if burst > 0 && rate == 0 {
            faults.push((name, "does nothing without a rate".to_owned()));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn defaults_make_sense() {
        assert_eq!(check(&Config::default()), []);
    }

    #[test]
    fn each_check_can_fail() {
        type Break = fn(&mut Config);
        let broken: [(&str, Break); 11] = [
            ("server.max_connections", |c| c.server.max_connections = 0),
            ("server.idle_timeout", |c| c.server.idle_timeout = Duration::ZERO),
            ("server.max_body_bytes", |c| c.server.max_body_bytes = 0),
            ("segment.block_bytes", |c| c.segment.block_bytes = 17 << 20),
            ("wal.file_bytes", |c| c.wal.file_bytes = 1),
            ("query.timeout", |c| c.query.timeout = Duration::ZERO),
            ("compaction.zstd_level", |c| c.compaction.zstd_level = 23),
            ("query.threads", |c| c.query.threads = 5000),
            ("limits.max_lines_per_push", |c| c.limits.max_lines_per_push = 0),
            ("server.max_tails", |c| c.server.max_tails = 0),
            ("server.max_tails", |c| c.server.max_tails = 1_000_000),
        ];
        for (name, break_it) in broken {
            let mut config = Config::default();
            break_it(&mut config);
            let faults = check(&config);
            assert!(faults.len() == 1 && faults[0].0 == name, "{name}: {faults:?}");
        }
    }
}
