//! The program `ironmaster-worker`: arguments, log, exit code.

use std::{io::IsTerminal as _, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use ironmaster_worker::{Config, GUARD_ARGUMENT, SpoolLimits, TOKEN_VARIABLE, buildbot, guard, run};
use tracing::Level;

/// Builds for an Ironmaster master: runs its commands below one folder and sends back what they print.
///
/// The worker keeps running its commands when the connection is lost, and connects again by itself. It stops on
/// SIGTERM or Ctrl-C. Nothing that it started outlives it.
#[derive(Parser)]
#[command(
    name = "ironmaster-worker",
    version,
    after_help = "\
EXAMPLE:
  ironmaster-worker --master ws://ci.example.org:8010 --name linux-1 \\
      --token-file /etc/ironmaster/token --basedir /var/lib/ironmaster-worker

EXIT CODES:
  0  stopped by a signal    1  refused by the master, or cannot run    2  wrong arguments"
)]
struct Arguments {
    /// Where the master is: ws://HOST:PORT
    #[arg(long, value_name = "URL")]
    master: String,

    /// The name that the master knows this worker by
    #[arg(long)]
    name: String,

    /// A file that holds the worker's token
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,

    /// The token itself; other users of this machine can see it, so prefer a file or the variable IRONMASTER_WORKER_TOKEN
    #[arg(long)]
    token: Option<String>,

    /// The folder for everything that this worker does; one worker per folder
    #[arg(long, value_name = "DIR")]
    basedir: PathBuf,

    /// Who looks after this worker, for the people who look at it in the master
    #[arg(long, value_name = "TEXT")]
    admin: Option<String>,

    /// What this machine is, for the same people
    #[arg(long, value_name = "TEXT")]
    host: Option<String>,

    /// How many commands may run at once
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1000))]
    max_commands: u32,

    /// How many KiB of each command's unconfirmed output stay in memory
    #[arg(long, value_name = "KIB", default_value_t = 4096)]
    spool_memory: usize,

    /// How many MiB of each command's unconfirmed output go to disk after that; then the command has to wait
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    spool_disk: u64,

    /// The shortest pause before connecting again, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100)]
    backoff_min: u64,

    /// The longest pause before connecting again, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    backoff_max: u64,

    /// What to log to standard error: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: Level,
}

/// In the place of a stock Buildbot worker.
#[derive(Debug, Parser)]
#[command(name = "ironmaster-worker", version)]
enum BuildbotArguments {
    /// Be the worker of a Buildbot master, in the place of buildbot-worker
    Buildbot(buildbot::Options),
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(GUARD_ARGUMENT) {
        return match guard(arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let result = if std::env::args().nth(1).as_deref() == Some("buildbot") {
        let BuildbotArguments::Buildbot(options) = BuildbotArguments::parse();
        log(options.log);
        // Also right after an upgrade has replaced the file.
        options
            .settings(PathBuf::from("/proc/self/exe"))
            .map_err(|error| error.to_string())
            .and_then(|settings| buildbot::run(&settings).map_err(|error| error.to_string()))
    } else {
        let arguments = Arguments::parse();
        log(arguments.log);
        config(arguments).and_then(|config| run(&config).map_err(|error| error.to_string()))
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("ironmaster-worker: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn log(level: Level) {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_max_level(level)
        .init();
}

fn config(arguments: Arguments) -> Result<Config, String> {
    Ok(Config {
        token: token(&arguments)?,
        master: arguments.master,
        name: arguments.name,
        basedir: arguments.basedir,
        admin: arguments.admin,
        host: arguments.host,
        max_commands: arguments.max_commands,
        spool: SpoolLimits {
            memory: arguments.spool_memory.saturating_mul(1024),
            disk: arguments.spool_disk.saturating_mul(1024 * 1024),
        },
        backoff: (
            Duration::from_millis(arguments.backoff_min.max(1)),
            Duration::from_millis(arguments.backoff_max.max(arguments.backoff_min).max(1)),
        ),
        // Also right after an upgrade has replaced the file.
        guard: PathBuf::from("/proc/self/exe"),
    })
}

fn token(arguments: &Arguments) -> Result<String, String> {
    let token = if let Some(path) = &arguments.token_file {
        std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read the token file {}: {error}", path.display()))?
    } else if let Some(token) = &arguments.token {
        token.clone()
    } else {
        std::env::var(TOKEN_VARIABLE)
            .map_err(|_| format!("no token: give --token-file FILE, or set {TOKEN_VARIABLE}"))?
    };
    match token.trim() {
        "" => Err("the token is empty".into()),
        token => Ok(token.to_owned()),
    }
}
