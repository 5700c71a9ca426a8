//! How much memory may the process take, and how is it divided?
//!
//! `server.max_memory` is for the whole process. What does not depend on requests is set aside first: the program, the
//! allocator's waste, heads, caches, the label index, one merge. The sizes of these that nobody set follow from it; with
//! plenty of memory they are the usual defaults. What is left is for requests ([`MemoryPlan::budget`]).

use super::memory_plan::MemoryPlan;
use super::values::Config;
use std::path::{Path, PathBuf};
use strandline_model::MemoryClass;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Assumed where the system does not say how much memory there is.
const UNKNOWN_MACHINE: u64 = 2 << 30;
/// The program itself, its threads and their stacks, sled's cache, buffers of the log and of idle connections: the anonymous
/// memory of an idle server (25 MiB measured), rounded up.
const BASE: u64 = 28 * MIB;
/// Least that a process gets along with.
pub const LEAST: u64 = 96 * MIB;
/// Least that is left for requests; with less, hardly a push fits.
const LEAST_FOR_REQUESTS: u64 = 8 * MIB;
/// What an active stream takes in the label index (212 bytes measured with five labels of usual length) and among those that
/// are counted (two sets of hashes), rounded up.
const STREAM_BYTES: u64 = 320;

/// What a client that is unknown yet can make a connection hold: a head that does not end, and what came behind it. All
/// connections together may take a part of what is set aside for waste.
const CONNECTION_BYTES: u64 = 128 * KIB;
/// Fewest connections that memory leaves: with less, a few dozen slow clients behind one address would keep its others out.
const LEAST_CONNECTIONS: usize = 256;

/// Gives every size that nobody set (`is_set` says which were) the value that follows from the memory there is. The
/// faults name the settings that leave too little.
pub fn divide(
    config: &mut Config,
    is_set: impl Fn(&str) -> bool,
    machine: u64,
) -> Vec<(&'static str, String)> {
    let is_given = config.server.max_memory.is_some();
    let all = *config.server.max_memory.get_or_insert(machine.max(LEAST));
    let choose = |name: &str, value: &mut u64, part: u64, least: u64| {
        if !is_set(name) {
            *value = round(all / part).max(least).min(*value);
        }
    };
    choose("head.max_bytes", &mut config.head.max_bytes, 20, MIB);
    choose("storage.label_index_bytes", &mut config.storage.label_index_bytes, 12, 2 * MIB);
    choose("storage.cache_bytes", &mut config.storage.cache_bytes, 16, 2 * MIB);
    // What a merge holds grows with what it writes.
    choose("compaction.target_bytes", &mut config.compaction.target_bytes, 12, 4 * MIB);
    if !is_set("server.max_connections") {
        let fit = usize::try_from(all / 8 / CONNECTION_BYTES).unwrap_or(usize::MAX);
        config.server.max_connections = fit.clamp(LEAST_CONNECTIONS, config.server.max_connections);
    }
    let label_cache = round(all / 32).clamp(MIB, 32 * MIB);
    // One that takes lines, one that is being flushed, and what is written of it.
    let heads = config.head.max_bytes.saturating_mul(2) + 4 * MIB;
    // The text index under construction, what it becomes, and a part of each input. Measured: see `storm` in
    // `benches/attacks`.
    let merge_index = (all / 24).min(64 * MIB);
    let merge = 3 * merge_index;
    // Fragments and what the allocator keeps for a while.
    let waste = all / 6;
    let fixed = [
        BASE,
        waste,
        heads,
        config.storage.cache_bytes,
        config.storage.label_index_bytes,
        label_cache,
        merge,
    ];
    let fixed = fixed.iter().fold(0u64, |sum, part| sum.saturating_add(*part));
    let mut requests = all.saturating_sub(fixed);
    if !is_given {
        // Nobody said that it must be so little, so sizes that somebody did set are no reason not to start.
        requests = requests.max(all / 4);
    }
    config.memory = MemoryPlan { requests, label_cache, merge_index };
    let streams = usize::try_from(config.storage.label_index_bytes / STREAM_BYTES).unwrap_or(usize::MAX);
    config.server.max_active_streams.get_or_insert(streams);
    if requests < LEAST_FOR_REQUESTS {
        let show = |bytes: u64| super::codec::size::show(&round(bytes));
        return vec![(
            "server.max_memory",
            format!(
                "is {}, of which head.max_bytes, storage.cache_bytes and storage.label_index_bytes leave too little for \
                 requests: {} of at least {}",
                show(all),
                show(requests),
                show(LEAST_FOR_REQUESTS)
            ),
        )];
    }
    let most = |class| config.memory.budget().most(class) as u64;
    let (body, decoded, query) =
        (most(MemoryClass::Ingest), most(MemoryClass::Decode), most(MemoryClass::Query));
    let fit = |name: &str, value: &mut u64, most: u64| {
        if !is_set(name) {
            *value = round(most).min(*value);
        }
    };
    // A buffer that grows is there twice for a moment.
    fit("server.max_body_bytes", &mut config.server.max_body_bytes, body / 8 * 5);
    fit("server.max_decompressed_bytes", &mut config.server.max_decompressed_bytes, decoded / DECODING);
    fit("query.max_memory", &mut config.query.max_memory, query);
    Vec::new()
}

/// A push takes this many times its unpacked size at most while it is decoded and packed for the log, if its lines are
/// not very short: the batch, its record and space for the compressed record.
const DECODING: u64 = 4;

/// What is worth a warning: bounds that can never be reached, for the memory ends before. By the name of the setting.
pub fn warnings(config: &Config) -> Vec<(&'static str, String)> {
    let budget = config.memory.budget();
    let mut found = Vec::new();
    let mut look = |name, bytes: u64, class| {
        let most = budget.most(class) as u64;
        if bytes > most {
            let show = |bytes: u64| super::codec::size::show(&round(bytes));
            found.push((
                name,
                format!(
                    "{name} is {}, but server.max_memory ({}) leaves at most {} for one request; what is larger is refused",
                    show(bytes),
                    show(config.server.max_memory.unwrap_or(0)),
                    show(most)
                ),
            ));
        }
    };
    look("server.max_body_bytes", config.server.max_body_bytes, MemoryClass::Ingest);
    look("server.max_decompressed_bytes", config.server.max_decompressed_bytes, MemoryClass::Decode);
    look("query.max_memory", config.query.max_memory, MemoryClass::Query);
    found
}

/// Sizes are easier to read in whole units.
fn round(bytes: u64) -> u64 {
    if bytes >= 4 * MIB { bytes / MIB * MIB } else { bytes / (64 * KIB) * (64 * KIB) }
}

/// Memory for this process: what its cgroup and all above it allow, or else half of the machine's. `read` reads a file.
pub fn of_machine(read: impl Fn(&Path) -> Option<String>) -> u64 {
    let machine =
        read(Path::new("/proc/meminfo")).and_then(|text| total_of(&text)).unwrap_or(UNKNOWN_MACHINE);
    match cgroup_limit(&read) {
        Some(limit) if limit < machine => limit,
        _ => machine / 2,
    }
}

/// `MemTotal:        8028456 kB`
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(KIB)
}

/// The least of the limits of all cgroups that the process is in.
fn cgroup_limit(read: &impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let membership = read(Path::new("/proc/self/cgroup"))?;
    let mut least: Option<u64> = None;
    for line in membership.lines() {
        // `0::/path` in version 2, `9:memory:/path` in version 1.
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let (root, files): (&str, &[&str]) = if controllers.is_empty() {
            ("/sys/fs/cgroup", &["memory.max", "memory.high"])
        } else if controllers.split(',').any(|c| c == "memory") {
            ("/sys/fs/cgroup/memory", &["memory.limit_in_bytes"])
        } else {
            continue;
        };
        let root = PathBuf::from(root);
        // In a namespace of its own the process sees its cgroup as the root; then the path may lead nowhere.
        for folder in Path::new(path.trim_start_matches('/')).ancestors() {
            for file in files {
                let limit = read(&root.join(folder).join(file)).and_then(|text| text.trim().parse().ok());
                least = [least, limit].into_iter().flatten().min();
            }
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn machine(files: &[(&str, &str)]) -> u64 {
        let files: HashMap<&Path, &str> =
            files.iter().map(|(path, text)| (Path::new(*path), *text)).collect();
        of_machine(|path| files.get(path).map(|text| (*text).to_owned()))
    }

    const EIGHT_GIB: (&str, &str) = ("/proc/meminfo", "MemTotal:        8388608 kB\nMemFree: 1 kB\n");

    #[test]
    fn without_a_limit_it_is_half_the_machine() {
        assert_eq!(machine(&[EIGHT_GIB]), 4 << 30);
        assert_eq!(machine(&[]), UNKNOWN_MACHINE / 2);
        let unlimited = [
            EIGHT_GIB,
            ("/proc/self/cgroup", "4:memory:/a\n0::/a\n"),
            ("/sys/fs/cgroup/a/memory.max", "max\n"),
            ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(machine(&unlimited), 4 << 30);
    }

    #[test]
    fn the_least_limit_of_all_cgroups_above_holds() {
        let group = |path: &'static str, limit: &'static str| {
            machine(&[EIGHT_GIB, ("/proc/self/cgroup", "0::/a.slice/b.scope\n"), (path, limit)])
        };
        for path in [
            "/sys/fs/cgroup/a.slice/b.scope/memory.max",
            "/sys/fs/cgroup/a.slice/memory.max",
            "/sys/fs/cgroup/memory.max",
            "/sys/fs/cgroup/a.slice/memory.high",
        ] {
            assert_eq!(group(path, "134217728\n"), 128 << 20, "{path}");
        }
        let old = [
            EIGHT_GIB,
            ("/proc/self/cgroup", "12:cpu,cpuacct:/x\n9:memory:/docker/1\n"),
            ("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "536870912\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n"),
        ];
        assert_eq!(machine(&old), 512 << 20);
    }

    fn divided(all: u64) -> Config {
        let mut config = Config::default();
        assert_eq!(divide(&mut config, |_| false, all), []);
        config
    }

    #[test]
    fn with_plenty_the_defaults_are_as_ever() {
        let (config, usual) = (divided(4 << 30), Config::default());
        assert_eq!(config.head, usual.head);
        assert_eq!(config.storage, usual.storage);
        assert_eq!(config.compaction, usual.compaction);
        assert_eq!(config.memory.merge_index, 64 * MIB);
        assert_eq!(config.query, usual.query);
        assert_eq!(config.server.max_connections, usual.server.max_connections);
        assert_eq!(config.server.max_body_bytes, usual.server.max_body_bytes);
        assert_eq!(config.server.max_decompressed_bytes, usual.server.max_decompressed_bytes);
        assert_eq!(config.memory.label_cache, 32 << 20);
        assert_eq!(warnings(&config), []);
    }

    #[test]
    fn in_a_small_container_all_fits_together() {
        for all in [96 * MIB, 128 * MIB, 200 * MIB, 512 * MIB, 1 << 30, 1 << 40] {
            let config = divided(all);
            assert_eq!(super::super::check::check(&config), [], "{all}");
            assert_eq!(warnings(&config), [], "{all}");
            let heads = config.server.max_connections as u64 * CONNECTION_BYTES;
            assert!((256..=1024).contains(&config.server.max_connections), "{config:?}");
            assert!(heads <= (all / 8).max(32 * MIB), "{config:?}");
            let plan = config.memory;
            let parts = plan.requests + plan.label_cache + config.storage.label_index_bytes;
            assert!(
                parts + 2 * config.head.max_bytes + config.storage.cache_bytes + BASE <= all,
                "{all}: {config:?}"
            );
        }
        let config = divided(128 * MIB);
        assert!(config.server.max_decompressed_bytes >= 2 * MIB, "{config:?}");
        assert!(config.server.max_active_streams.is_some_and(|n| n >= 10_000));
    }

    #[test]
    fn what_is_set_stays_and_what_cannot_be_is_named() {
        let mut config = Config::default();
        config.head.max_bytes = 100 * MIB;
        assert_eq!(divide(&mut config, |name| name == "head.max_bytes", 128 * MIB), []);
        assert_eq!((config.head.max_bytes, config.memory.requests), (100 * MIB, 32 * MIB));
        config.server.max_memory = Some(128 * MIB);
        let faults = divide(&mut config, |name| name == "head.max_bytes", 128 * MIB);
        assert!(faults[0].1.contains("head.max_bytes"), "{faults:?}");
        let mut config = Config::default();
        config.server.max_body_bytes = 4 << 30;
        assert_eq!(divide(&mut config, |name| name == "server.max_body_bytes", 1 << 30), []);
        let found = warnings(&config);
        assert_eq!(found.len(), 1);
        for named in ["server.max_body_bytes is 4GiB", "server.max_memory (1GiB)"] {
            assert!(found[0].1.contains(named), "{found:?}");
        }
    }
}
