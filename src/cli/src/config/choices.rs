//! Settings that are one of a few words.

/// When the write-ahead log reaches the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalSync {
    /// Before the acknowledgement: an acknowledged line survives a power cut.
    Always,
    /// Every `wal.sync_interval`: a power cut may cost that much.
    Interval,
    /// When the operating system likes; survives `kill -9`, not a power cut.
    Off,
}

/// How the program's own log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}
