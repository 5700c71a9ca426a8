//! The resolved, checked configuration that the rest of the program reads: a struct for each section.

use super::access::AuthConfig;
use super::choices::{LogFormat, WalSync};
use super::memory_plan::MemoryPlan;
use super::retention::RetentionConfig;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use strandline_model::Limits;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Every setting, resolved and checked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// The HTTP server.
    pub server: ServerConfig,
    /// Where data lies.
    pub storage: StorageConfig,
    /// The write-ahead log.
    pub wal: WalConfig,
    /// Entries in memory.
    pub head: HeadConfig,
    /// Segment files.
    pub segment: SegmentConfig,
    /// The background merge of segments.
    pub compaction: CompactionConfig,
    /// What is removed, and when.
    pub retention: RetentionConfig,
    /// Deletes by request.
    pub deletes: DeletesConfig,
    /// Reading.
    pub query: QueryConfig,
    /// What encrypts HTTP.
    pub tls: TlsConfig,
    /// Limits on input and answers.
    pub limits: Limits,
    /// `limits.overrides_file`: what differs for single tenants.
    pub overrides_file: Option<PathBuf>,
    /// Tenants, tokens and users.
    pub auth: AuthConfig,
    /// The program's own log.
    pub log: LogConfig,
    /// How `server.max_memory` is divided; no setting of its own.
    pub memory: MemoryPlan,
}

/// `server.*`
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// Address of the one port.
    pub http_listen: SocketAddr,
    /// Address of the port for OTLP over gRPC; `None` for no such port.
    pub otlp_grpc_listen: Option<SocketAddr>,
    /// Largest request body as sent.
    pub max_body_bytes: u64,
    /// Largest request body once decompressed: what a decompression bomb runs into.
    pub max_decompressed_bytes: u64,
    /// Most memory of the process; `None` until it is known how much there is.
    pub max_memory: Option<u64>,
    /// Most streams of all tenants with lines in the last hour; `None` until the memory for them is known.
    pub max_active_streams: Option<usize>,
    /// How long a client may take to send its request header.
    pub header_timeout: Duration,
    /// How long a client may take to send a body.
    pub body_timeout: Duration,
    /// Bytes of a body that a client has to send per second on average; 0 for any.
    pub min_body_rate: u64,
    /// How long a client may take nothing of its answer.
    pub write_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// Most connections at once.
    pub max_connections: usize,
    /// Most connections of one client address; `None`: half of all.
    pub max_connections_per_address: Option<usize>,
    /// What stands in front of all paths.
    pub http_path_prefix: String,
    /// Most live tails of all tenants.
    pub max_tails: usize,
    /// Web pages of other origins whose requests are taken.
    pub allowed_origins: Vec<String>,
    /// Names of this server besides `localhost`.
    pub allowed_hosts: Vec<String>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            // Loopback: a store without authentication must not be on the network by accident.
            http_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 3100)),
            otlp_grpc_listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 4317))),
            max_body_bytes: 64 * MIB,
            max_decompressed_bytes: 64 * MIB,
            max_memory: None,
            max_active_streams: None,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            max_connections: 1024,
            max_connections_per_address: None,
            body_timeout: Duration::from_secs(120),
            min_body_rate: 8 * KIB,
            write_timeout: Duration::from_secs(60),
            http_path_prefix: String::new(),
            max_tails: 4000,
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
        }
    }
}

/// `storage.*`
#[derive(Debug, Clone, PartialEq)]
pub struct StorageConfig {
    /// The data directory.
    pub data_dir: PathBuf,
    /// Free disk below which the store turns read-only.
    pub min_free_bytes: u64,
    /// Memory for tables and text indexes of open segments.
    pub cache_bytes: u64,
    /// Most memory of the label index; beyond it stream tables of segments answer.
    pub label_index_bytes: u64,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./strandline-data"),
            min_free_bytes: 256 * MIB,
            cache_bytes: 48 * MIB,
            label_index_bytes: 256 * MIB,
        }
    }
}

/// `wal.*`
#[derive(Debug, Clone, PartialEq)]
pub struct WalConfig {
    /// When to sync.
    pub sync: WalSync,
    /// The interval of [`WalSync::Interval`].
    pub sync_interval: Duration,
    /// Size of one preallocated file.
    pub file_bytes: u64,
}

impl Default for WalConfig {
    fn default() -> Self {
        Self { sync: WalSync::Always, sync_interval: Duration::from_millis(100), file_bytes: 16 * MIB }
    }
}

/// `head.*`
#[derive(Debug, Clone, PartialEq)]
pub struct HeadConfig {
    /// Raw bytes at which the head is sealed and written as segments.
    pub max_bytes: u64,
    /// Age at which it is sealed however small.
    pub max_age: Duration,
    /// Quiet time after which it is sealed early.
    pub idle: Duration,
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self { max_bytes: 28 * MIB, max_age: Duration::from_secs(300), idle: Duration::from_secs(5) }
    }
}

/// `segment.*`
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentConfig {
    /// Raw line bytes of one block.
    pub block_bytes: u64,
}

impl Default for SegmentConfig {
    fn default() -> Self {
        Self { block_bytes: 512 * KIB }
    }
}

/// `compaction.*`
#[derive(Debug, Clone, PartialEq)]
pub struct CompactionConfig {
    /// Whether small segments are merged in the background.
    pub enabled: bool,
    /// Raw bytes that a merged segment aims for.
    pub target_bytes: u64,
    /// zstd level of merged segments.
    pub zstd_level: i32,
}

impl Default for CompactionConfig {
    fn default() -> Self {
        Self { enabled: true, target_bytes: 256 * MIB, zstd_level: 1 }
    }
}

/// `deletes.*`
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeletesConfig {
    /// How long what is deleted stays on the disk, hidden; `None`: it goes as soon as possible.
    pub cancel_period: Option<Duration>,
}

/// `query.*`
#[derive(Debug, Clone, PartialEq)]
pub struct QueryConfig {
    /// Threads that scan blocks; already resolved, never 0 once loaded.
    pub threads: usize,
    /// Time after which a query is given up.
    pub timeout: Duration,
    /// Queries that run at the same time; more wait. `None`: chosen from the number of threads.
    pub max_concurrent: Option<usize>,
    /// Queries of one tenant that wait for their turn; more are refused.
    pub max_queued: usize,
    /// Most memory that one query may hold for its answer, in bytes.
    pub max_memory: u64,
    /// Whether to refuse what Loki refuses though it could be answered.
    pub loki_strict: bool,
}

impl Default for QueryConfig {
    fn default() -> Self {
        Self {
            threads: 0,
            timeout: Duration::from_secs(60),
            max_concurrent: None,
            max_queued: 512,
            max_memory: 256 * MIB,
            loki_strict: false,
        }
    }
}

/// `tls.*`
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TlsConfig {
    /// The server's certificate (PEM); without it nothing is encrypted.
    pub cert_file: Option<PathBuf>,
    /// Its private key (PEM).
    pub key_file: Option<PathBuf>,
    /// Certificates of which each client must have one (PEM).
    pub client_ca_file: Option<PathBuf>,
}

/// `log.*`
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    /// A level, or filter directives such as `info,strandline_store=debug`.
    pub level: String,
    /// How lines are written.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Auto }
    }
}
