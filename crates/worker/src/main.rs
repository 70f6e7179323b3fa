//! The program `ironmaster-worker`: what is asked for, log, exit code.

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Parser as _;
use ironmaster_worker::{
    Config, GUARD_ARGUMENT, Said, SpoolLimits, TOKEN_VARIABLE, buildbot,
    cli::{self, Cli, Command, Flags},
    folder, guard, run,
    status::{self, StatusError},
};

/// This program, also right after an upgrade has replaced its file.
const ITSELF: &str = "/proc/self/exe";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(GUARD_ARGUMENT) {
        return match guard(arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let cli = Cli::parse();
    let flags = match cli.command {
        None => match cli.flags {
            Some(flags) => flags,
            None => cli::command()
                .error(
                    clap::error::ErrorKind::MissingSubcommand,
                    "say which worker: `start DIR`, or --master, --name and --basedir",
                )
                .exit(),
        },
        Some(Command::Create(wanted)) => {
            return match folder::create(&wanted) {
                Ok(next) => {
                    print!("{next}");
                    ExitCode::SUCCESS
                }
                Err(problem) => fail(&problem),
            };
        }
        Some(Command::Status { dir, json }) => return tell(&dir, json),
        Some(Command::Buildbot(options)) => {
            log(options.log);
            let settings = options.settings(PathBuf::from(ITSELF));
            return finish(match settings {
                Ok(settings) => buildbot::run(&settings).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            });
        }
        Some(Command::Start { dir }) => match folder::read(&dir) {
            Ok(flags) => flags,
            Err(problem) => return fail(&problem),
        },
    };
    log(flags.log);
    finish(config(flags).and_then(|config| run(&config).map_err(|error| error.to_string())))
}

fn log(level: tracing::Level) {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_max_level(level)
        .init();
}

fn finish(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(&problem),
    }
}

fn fail(problem: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("ironmaster-worker: {problem}");
    ExitCode::FAILURE
}

/// Says how the worker of a folder is.
fn tell(dir: &Path, json: bool) -> ExitCode {
    match status::status(dir) {
        Ok(status) => {
            if json {
                println!(
                    "{}",
                    serde_json::to_string(&status).expect("it has texts and numbers")
                );
            } else {
                print!("{}", status::describe(&status));
            }
            ExitCode::from(u8::from(!status.connected))
        }
        Err(problem @ StatusError::NotRunning(_)) => {
            println!("{problem}");
            ExitCode::from(3)
        }
        Err(problem) => fail(&problem),
    }
}

fn config(arguments: Flags) -> Result<Config, String> {
    Ok(Config {
        token: token(&arguments)?,
        master: arguments.master,
        ca_file: arguments.ca_file,
        name: arguments.name,
        basedir: arguments.basedir,
        said: Said {
            admin: arguments.admin,
            host: arguments.host,
            access_uri: arguments.access_uri,
        },
        max_commands: arguments.max_commands,
        spool: SpoolLimits {
            memory: arguments.spool_memory.saturating_mul(1024),
            disk: arguments.spool_disk.saturating_mul(1024 * 1024),
        },
        backoff: (
            Duration::from_millis(arguments.backoff_min.max(1)),
            Duration::from_millis(arguments.backoff_max.max(arguments.backoff_min).max(1)),
        ),
        guard: PathBuf::from(ITSELF),
    })
}

fn token(arguments: &Flags) -> Result<String, String> {
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
