//! The program `ironmaster`: its command line. Each command is one file; none of them holds logic of its own.

mod admin;
mod catalogue;
mod check;
mod check_file;
mod client;
mod compare;
mod database;
mod explain;
mod failure;
mod fmt;
mod fsck;
mod identity;
mod limits;
mod listen;
mod login_link;
mod patch;
mod reload;
mod remote;
mod sendchange;
mod start;
mod stop;
mod try_patch;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};

/// A continuous-integration master for people who run their own build machines.
#[derive(Parser)]
#[command(
    name = "ironmaster",
    version,
    after_help = "\
EXAMPLE:
  ironmaster check ci.toml && ironmaster start ci.toml

EXIT CODES:
  0  all is well       1  it failed, and said why      2  wrong arguments or configuration
  3  fsck found something      70  the storage failed; the next start recovers"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a master until it is stopped (SIGTERM, Ctrl-C); SIGHUP reloads the configuration
    Start {
        /// The configuration file: TOML, or Starlark if its name ends in .star
        #[arg(value_name = "CONFIG")]
        config: PathBuf,
    },
    /// Has the running master read its configuration again; a wrong one changes nothing
    Reload {
        /// The configuration file
        #[arg(value_name = "CONFIG")]
        config: PathBuf,
    },
    /// Stops the running master in good order, as SIGTERM does; builds run on and are taken up by the next start
    Stop {
        /// The configuration file
        #[arg(value_name = "CONFIG")]
        config: PathBuf,
        /// Starts no more builds, and stops when none runs any more; says what it waits for
        #[arg(long, conflicts_with_all = ["now", "cancel"])]
        wait: bool,
        /// Does not even wait for requests that are being answered
        #[arg(long, conflicts_with = "cancel")]
        now: bool,
        /// Has a master that waits in order to stop go on after all
        #[arg(long)]
        cancel: bool,
    },
    /// Says why something does not run, and what would make it run
    Explain {
        /// The configuration file
        #[arg(value_name = "CONFIG")]
        config: PathBuf,
        /// What is asked about
        #[arg(value_enum)]
        what: Subject,
        /// Its id
        id: u64,
    },
    /// Checks a configuration and reports all mistakes at once
    Check {
        /// The configuration file
        #[arg(value_name = "CONFIG")]
        config: PathBuf,
        /// Prints what the configuration comes to
        #[arg(long, value_enum, value_name = "FORM")]
        print: Option<PrintForm>,
        /// Says what it would change: definitions by key, and queued requests
        #[arg(long, conflicts_with = "print")]
        diff: bool,
        /// Says what the last N changes would have started under it
        #[arg(long, value_name = "N", conflicts_with = "print")]
        replay: Option<u64>,
        /// Checks a file with jobs of a repository against it, too
        #[arg(long, value_name = "FILE", conflicts_with_all = ["print", "diff", "replay"])]
        in_repository: Option<PathBuf>,
        /// The pipeline that the file is for, if there are several
        #[arg(long, value_name = "NAME", requires = "in_repository")]
        pipeline: Option<String>,
        /// Takes the file for one of a change that is not trusted
        #[arg(long, requires = "in_repository")]
        untrusted: bool,
    },
    /// Lays a TOML configuration out: keys in the order of the reference, comments kept
    Fmt {
        /// Files to be written anew
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Writes nothing; exit code 1 if a file would change
        #[arg(long)]
        check: bool,
    },
    /// Checks the database and the logs of a master that is not running
    Fsck {
        /// The configuration file
        #[arg(value_name = "CONFIG")]
        config: PathBuf,
    },
    /// Has a master build what is not committed yet: the difference of a working copy of git, Mercurial or Subversion, or a patch
    Try(Box<try_patch::Try>),
    /// Tells a master of a commit
    #[command(name = "sendchange")]
    SendChange(Box<sendchange::SendChange>),
    /// Prints a link that logs its holder in as administrator
    LoginLink {
        /// The configuration file
        #[arg(value_name = "CONFIG")]
        config: PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Subject {
    /// A change
    Change,
    /// A build request
    Request,
    /// A build
    Build,
    /// A job of a pipeline's run
    Job,
}

#[derive(Clone, Copy, ValueEnum)]
enum PrintForm {
    /// All definitions with their defaults, as JSON
    Json,
    /// The same as TOML
    Toml,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Start { config } => start::run(&config),
        Command::Reload { config } => reload::run(&config),
        Command::Stop {
            config,
            wait,
            now,
            cancel,
        } => stop::run(&config, wait, now, cancel),
        Command::Explain { config, what, id } => explain::run(&config, what, id),
        Command::Check {
            config,
            print,
            diff,
            replay,
            in_repository: None,
            ..
        } => check::run(&config, print, diff, replay),
        Command::Check {
            config,
            in_repository: Some(file),
            pipeline,
            untrusted,
            ..
        } => check_file::run(&config, &file, pipeline.as_deref(), !untrusted),
        Command::Fmt { files, check } => fmt::run(&files, check),
        Command::Fsck { config } => fsck::run(&config),
        Command::Try(wanted) => try_patch::run(&wanted),
        Command::SendChange(change) => sendchange::run(&change),
        Command::LoginLink { config } => login_link::run(&config),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
