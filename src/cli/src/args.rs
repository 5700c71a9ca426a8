//! What can be typed: the commands and their flags.

use crate::config::flags::{SettingFlags, StorageFlags};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// A log store: Loki's API, full-text indexed, durable, one binary.
#[derive(Debug, Parser)]
#[command(name = "strandline", version, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Store logs and answer queries.
    ///
    /// Needs no configuration: listens on 127.0.0.1:3100 and keeps its data in ./strandline-data. Every setting is a
    /// flag here, a key of the settings file and an environment variable STRANDLINE_SECTION__KEY; a flag wins over a
    /// variable, a variable over the file.
    Serve(ServeArgs),
    /// Ask a running server; a table on a terminal, JSON lines in a pipe.
    Query(QueryArgs),
    /// Show lines of a running server as they come; text on a terminal, JSON lines in a pipe.
    Tail(TailArgs),
    /// Delete lines of a running server: hidden at once, gone from its disk soon.
    Delete(DeleteArgs),
    /// Check every byte of a data directory and say what is wrong and where; exit code 1 when anything is.
    Verify(VerifyArgs),
    /// Show segments, lines, bytes and compression for each tenant and day of a data directory.
    Stats(StorageArgs),
    /// Print the effective settings as YAML, each with where it comes from.
    Config(ConfigArgs),
    /// Make credentials: prints a token, and what to write into the settings for it.
    Token(TokenArgs),
}

/// Flags of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub file: FileArg,
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// Flags of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Accept what was lost: lines of a damaged log, deletes of a damaged manifest. Answers carry a warning of it until
    /// then.
    #[arg(long)]
    pub accept_loss: bool,
    #[command(flatten)]
    pub storage: StorageArgs,
}

/// Flags of the commands that look at a data directory at rest.
#[derive(Debug, Args)]
pub struct StorageArgs {
    #[command(flatten)]
    pub file: FileArg,
    #[command(flatten)]
    pub settings: StorageFlags,
}

/// Flags of `config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(flatten)]
    pub file: FileArg,
    /// Print every setting with its default, meaning, variable and flag as a Markdown table instead.
    #[arg(long)]
    pub docs: bool,
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// Flags of `token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// What to make.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; it is printed once and kept nowhere.
    New(GrantArgs),
    /// Print the settings for a token read from standard input.
    Hash(GrantArgs),
    /// Print the settings for a user whose password is read from standard input.
    Password(GrantArgs),
}

/// What somebody may do.
#[derive(Debug, Args)]
pub struct GrantArgs {
    /// What it is called in the settings; a user's name.
    pub name: String,
    /// Kinds of requests.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "push,query")]
    pub scopes: Vec<ScopeArg>,
    /// Whose data; everybody's if not given.
    #[arg(long = "tenant", value_name = "TENANT")]
    pub tenants: Vec<String>,
}

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScopeArg {
    /// Sending logs.
    Push,
    /// Reading them.
    Query,
    /// Deleting lines of one's own tenants.
    Delete,
    /// Changing rules of one's own tenants.
    Rules,
    /// Running the server: settings, log, flush, stop; not together with --tenant.
    Operate,
    /// Reading /metrics; not together with --tenant.
    Metrics,
}

impl ScopeArg {
    /// The word for it in the settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Query => "query",
            Self::Delete => "delete",
            Self::Rules => "rules",
            Self::Operate => "operate",
            Self::Metrics => "metrics",
        }
    }
}

/// Where the settings file is.
#[derive(Debug, Args)]
pub struct FileArg {
    /// Settings file (YAML).
    #[arg(long, env = "STRANDLINE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Flags of `query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// The LogQL query, such as '{app="x"} |= "y"'.
    pub query: String,
    /// The server.
    #[arg(long, env = "STRANDLINE_URL", default_value = "http://127.0.0.1:3100")]
    pub url: String,
    /// How far back from now to look.
    #[arg(long, default_value = "1h", value_parser = crate::config::parse_duration, conflicts_with = "start")]
    pub since: Duration,
    /// Earliest time: RFC 3339, or nanoseconds since the epoch.
    #[arg(long)]
    pub start: Option<String>,
    /// Time to stop before: RFC 3339, or nanoseconds since the epoch; now if not given.
    #[arg(long)]
    pub end: Option<String>,
    /// Most lines to show.
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
    /// Newest or oldest first.
    #[arg(long, value_enum, default_value_t = Direction::Backward)]
    pub direction: Direction,
    /// Tell what was read for the answer, and what was ruled out by what, instead of the answer.
    #[arg(long)]
    pub explain: bool,
    /// The tenant (X-Scope-OrgID), for servers with auth.enabled.
    #[arg(long, env = "STRANDLINE_ORG_ID", value_name = "TENANT")]
    pub org_id: Option<String>,
    /// The token, for servers with auth.tokens; best given by the variable, which others cannot see.
    #[arg(long, env = "STRANDLINE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
}

/// Flags of `tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// The LogQL query, such as '{app="x"} |= "y"'.
    pub query: String,
    /// The server.
    #[arg(long, env = "STRANDLINE_URL", default_value = "http://127.0.0.1:3100")]
    pub url: String,
    /// How far back from now to begin.
    #[arg(long, default_value = "1h", value_parser = crate::config::parse_duration)]
    pub since: Duration,
    /// Most lines of the past to begin with.
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
    /// The tenant (X-Scope-OrgID), for servers with auth.enabled.
    #[arg(long, env = "STRANDLINE_ORG_ID", value_name = "TENANT")]
    pub org_id: Option<String>,
}

/// Flags of `delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: DeleteAction,
    /// The server.
    #[arg(long, env = "STRANDLINE_URL", default_value = "http://127.0.0.1:3100", global = true)]
    pub url: String,
    /// The tenant (X-Scope-OrgID), for servers with auth.enabled.
    #[arg(long, env = "STRANDLINE_ORG_ID", value_name = "TENANT", global = true)]
    pub org_id: Option<String>,
}

/// What `delete` can do.
#[derive(Debug, Subcommand)]
pub enum DeleteAction {
    /// Delete the lines that a log query finds and that are stored by now; prints the number of the request.
    Create {
        /// The LogQL query, such as '{app="x"} |= "y"'.
        query: String,
        /// Earliest time: RFC 3339, or seconds or nanoseconds since the epoch.
        #[arg(long)]
        start: String,
        /// Latest time, included: as --start; now if not given.
        #[arg(long)]
        end: Option<String>,
    },
    /// Show the requests that are under way and the latest that are done.
    List,
    /// Take a request back that is not done: what is left of its lines is seen again.
    Cancel {
        /// The number that `create` printed.
        id: String,
    },
}

/// In which order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    /// Newest first.
    Backward,
    /// Oldest first.
    Forward,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_documented_lines_parse() {
        for line in [
            "strandline serve",
            "strandline serve --data-dir /d --http-listen 0.0.0.0:3100 --config c.yaml",
            "strandline query {app=\"x\"} --url http://127.0.0.1:3100 --since 1h30m --limit 5 --direction forward",
            "strandline tail {app=\"x\"} --since 5m --limit 5 --org-id t",
            "strandline delete create {app=\"x\"} --start 2026-11-21T00:00:00Z --url http://127.0.0.1:3100",
            "strandline delete list --org-id t",
            "strandline delete cancel 0000000a",
            "strandline verify --data-dir /d",
            "strandline stats --data-dir /d",
            "strandline config --wal.sync off",
            "strandline config --docs",
        ] {
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        for line in
            ["strandline query {} --since soon", "strandline verify --wal.sync off", "strandline srve"]
        {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn short_help_is_one_screen_and_long_help_has_every_setting() {
        let mut command = Cli::command();
        let serve = command.find_subcommand_mut("serve").unwrap();
        let short = serve.render_help().to_string();
        assert!(short.lines().count() < 50, "{short}");
        assert!(short.contains("--data-dir"), "{short}");
        let long = serve.render_long_help().to_string();
        assert!(long.contains("--limits.max-line-bytes"), "{long}");
        assert!(long.contains("[default: 64MiB]"), "{long}");
    }
}
