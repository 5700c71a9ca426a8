//! The command line: commands, settings, wiring, shutdown, and what a person sees on the terminal.

mod answer;
mod args;
mod ask;
pub mod config;
mod controls;
mod delete;
mod explain;
mod follow;
mod labels;
mod logging;
mod offline;
mod open_files;
mod output;
mod reload;
mod series;
mod serve;
mod shutdown;
mod table;
mod terminal;
mod token;
mod wiring;

use args::{
    Cli, Command, ConfigArgs, DeleteArgs, FileArg, QueryArgs, ServeArgs, StorageArgs, TailArgs, TokenArgs,
    VerifyArgs,
};
use clap::Parser;
use config::flags::SettingFlags;
use config::{ConfigError, Loaded};
use std::io;
use std::process::ExitCode;
use strandline_model::SystemClock;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Logging(#[from] logging::LoggingError),
    #[error(transparent)]
    Serve(#[from] serve::ServeError),
    #[error(transparent)]
    Ask(#[from] ask::AskError),
    #[error(transparent)]
    Follow(#[from] follow::FollowError),
    #[error(transparent)]
    Offline(#[from] offline::OfflineError),
    #[error(transparent)]
    Token(#[from] token::TokenError),
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
}

/// Runs the command line and returns the process exit code: 0 for success, 1 for a failure or a damage found, 2 for
/// a wrong command line or settings.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap writes help to standard output and faults to standard error; a closed one changes nothing.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let result = match cli.command {
        Command::Serve(args) => serve(args),
        Command::Query(args) => query(&args),
        Command::Tail(args) => tail(&args),
        Command::Delete(args) => delete_lines(&args),
        Command::Verify(args) => verify(args),
        Command::Stats(args) => stats(args),
        Command::Config(args) => show_config(&args),
        Command::Token(args) => make_token(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            // Faults of settings begin with their place, as editors and people like to read it.
            if let CommandError::Config(faults) = error {
                output::complain(&faults.to_string());
                return ExitCode::from(2);
            }
            output::complain(&format!("strandline: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn load(file: &FileArg, flags: &SettingFlags) -> Result<Loaded, ConfigError> {
    config::load(file.config.as_deref(), std::env::vars_os(), flags)
}

/// As [`load`], with warnings told to the person at the terminal.
fn load_and_warn(file: &FileArg, flags: &SettingFlags) -> Result<Loaded, ConfigError> {
    let loaded = load(file, flags)?;
    for warning in &loaded.warnings {
        output::complain(&format!("warning: {warning}"));
    }
    Ok(loaded)
}

fn serve(args: ServeArgs) -> Result<ExitCode, CommandError> {
    let loaded = load(&args.file, &args.settings)?;
    let log_level = logging::begin(&loaded.config.log)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        data_dir = %loaded.config.storage.data_dir.display(),
        settings_given = loaded.origins.len(),
        "starting"
    );
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    serve::run(&loaded, log_level)?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

fn query(args: &QueryArgs) -> Result<ExitCode, CommandError> {
    if args.explain {
        let account = ask::explain(args, &SystemClock::default())?;
        output::to_stdout(|out| account.write(out, terminal::stdout_is_terminal()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut answer = ask::ask(args, &SystemClock::default())?;
    answer.sort(args.direction);
    for warning in &answer.warnings {
        output::complain(&format!("warning: {warning}"));
    }
    output::to_stdout(|out| {
        if terminal::stdout_is_terminal() {
            answer.write_text(out, terminal::stdout_has_color())
        } else {
            answer.write_json(out)
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn tail(args: &TailArgs) -> Result<ExitCode, CommandError> {
    let mut outcome = Ok(());
    output::to_stdout(|out| {
        outcome = follow::follow(args, &SystemClock::default(), out, terminal::stdout_is_terminal());
        match &mut outcome {
            // A reader that went away ends the tail as it ends any output.
            Err(follow::FollowError::Output(error)) => {
                Err(std::mem::replace(error, io::ErrorKind::Other.into()))
            }
            _ => Ok(()),
        }
    })?;
    match outcome {
        Ok(()) | Err(follow::FollowError::Output(_)) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error.into()),
    }
}

fn delete_lines(args: &DeleteArgs) -> Result<ExitCode, CommandError> {
    let told = delete::run(args)?;
    output::to_stdout(|out| told.write(out, terminal::stdout_is_terminal()))?;
    Ok(ExitCode::SUCCESS)
}

fn verify(args: VerifyArgs) -> Result<ExitCode, CommandError> {
    let loaded = load_and_warn(&args.storage.file, &args.storage.settings.into())?;
    if args.accept_loss {
        for loss in offline::accept_loss(&loaded.config, &SystemClock::default())? {
            output::complain(&format!("accepted: {loss}"));
        }
    }
    let found = offline::inspect(&loaded.config)?;
    output::to_stdout(|out| offline::show_verified(out, &found, terminal::stdout_is_terminal()))?;
    Ok(if found.damages.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn stats(args: StorageArgs) -> Result<ExitCode, CommandError> {
    let loaded = load_and_warn(&args.file, &args.settings.into())?;
    let partitions = offline::measure(&loaded.config)?;
    output::to_stdout(|out| offline::show_stats(out, &partitions, terminal::stdout_is_terminal()))?;
    Ok(ExitCode::SUCCESS)
}

fn make_token(args: &TokenArgs) -> Result<ExitCode, CommandError> {
    let text = token::make(args)?;
    output::to_stdout(|out| out.write_all(text.as_bytes()))?;
    Ok(ExitCode::SUCCESS)
}

fn show_config(args: &ConfigArgs) -> Result<ExitCode, CommandError> {
    let text = if args.docs {
        config::show::documentation()
    } else {
        config::show::effective(&load_and_warn(&args.file, &args.settings)?)
    };
    output::to_stdout(|out| out.write_all(text.as_bytes()))?;
    Ok(ExitCode::SUCCESS)
}
