//! The program `ironmaster`: its command line. Each command is one file; none of them holds logic of its own.

mod admin;
mod catalogue;
mod check;
mod database;
mod failure;
mod fsck;
mod login_link;
mod start;

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
    /// Checks a configuration and reports all mistakes at once
    Check {
        /// The configuration file
        #[arg(value_name = "CONFIG")]
        config: PathBuf,
        /// Prints what the configuration comes to
        #[arg(long, value_enum, value_name = "FORM")]
        print: Option<PrintForm>,
    },
    /// Checks the database and the logs of a master that is not running
    Fsck {
        /// The configuration file
        #[arg(value_name = "CONFIG")]
        config: PathBuf,
    },
    /// Prints a link that logs its holder in as administrator
    LoginLink {
        /// The configuration file
        #[arg(value_name = "CONFIG")]
        config: PathBuf,
    },
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
        Command::Check { config, print } => check::run(&config, print),
        Command::Fsck { config } => fsck::run(&config),
        Command::LoginLink { config } => login_link::run(&config),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
