//! The command line: what can be asked of the program.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::buildbot;

/// Builds for an Ironmaster master: runs its commands below one folder and sends back what they print.
///
/// The worker keeps running its commands when the connection is lost, and connects again by itself. It stops on
/// SIGTERM or Ctrl-C, and when the master tells it to. Nothing that it started outlives it.
#[derive(Debug, Parser)]
#[command(
    name = "ironmaster-worker",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
EXAMPLES:
  ironmaster-worker create /var/lib/ironmaster-worker --master ws://ci.example.org:8010 --name linux-1
  ironmaster-worker start /var/lib/ironmaster-worker

  ironmaster-worker --master ws://ci.example.org:8010 --name linux-1 \\
      --token-file /etc/ironmaster/token --basedir /var/lib/ironmaster-worker

EXIT CODES:
  0  stopped by a signal, or by the master    1  refused by the master, or cannot run    2  wrong arguments"
)]
pub struct Cli {
    /// What to do, unless the options say how to run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to run.
    #[command(flatten)]
    pub flags: Option<Flags>,
}

/// What to do with the folder of a worker.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a folder for a worker: its settings, and a token that only this user can read
    Create(Create),
    /// Run the worker of a folder, until it is stopped
    Start {
        /// The folder that `create` made
        dir: PathBuf,
    },
    /// Be the worker of a Buildbot master, in the place of buildbot-worker
    Buildbot(buildbot::Options),
    /// Say whether the worker of a folder runs, is connected, and what it does
    ///
    /// Exit codes: 0 it runs and is connected, 1 it runs and is not connected, 3 it does not run.
    Status {
        /// The folder that `create` made, or that `--basedir` named
        dir: PathBuf,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
}

/// What `create` has to know.
#[derive(Debug, Args)]
pub struct Create {
    /// The folder to make, or an empty one
    pub dir: PathBuf,
    /// Where the master is: ws://HOST:PORT, or wss://HOST:PORT with TLS
    #[arg(long, value_name = "URL")]
    pub master: String,
    /// With wss://: a file with the certificates (PEM) of the authorities to trust, instead of the machine's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The name that the master knows this worker by
    #[arg(long)]
    pub name: String,
    /// A file with the token that the master expects; without it a new one is made
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Who looks after this worker, for the people who look at it in the master
    #[arg(long, value_name = "TEXT")]
    pub admin: Option<String>,
    /// What this machine is, for the same people
    #[arg(long, value_name = "TEXT")]
    pub host: Option<String>,
    /// How those of them who may get onto this machine do so, such as ssh://buildbot@arm-7.example.org
    #[arg(long, value_name = "URI")]
    pub access_uri: Option<String>,
}

/// How to run without a folder of settings.
#[derive(Debug, Args)]
pub struct Flags {
    /// Where the master is: ws://HOST:PORT, or wss://HOST:PORT with TLS
    #[arg(long, value_name = "URL")]
    pub master: String,

    /// With wss://: a file with the certificates (PEM) of the authorities to trust, instead of the machine's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// The name that the master knows this worker by
    #[arg(long)]
    pub name: String,

    /// A file that holds the worker's token
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,

    /// The token itself; other users of this machine can see it, so prefer a file or the variable IRONMASTER_WORKER_TOKEN
    #[arg(long)]
    pub token: Option<String>,

    /// The folder for everything that this worker does; one worker per folder
    #[arg(long, value_name = "DIR")]
    pub basedir: PathBuf,

    /// Who looks after this worker, for the people who look at it in the master
    #[arg(long, value_name = "TEXT")]
    pub admin: Option<String>,

    /// What this machine is, for the same people
    #[arg(long, value_name = "TEXT")]
    pub host: Option<String>,

    /// How those of them who may get onto this machine do so, such as ssh://buildbot@arm-7.example.org
    #[arg(long, value_name = "URI")]
    pub access_uri: Option<String>,

    /// How many commands may run at once
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_commands: u32,

    /// How many KiB of each command's unconfirmed output stay in memory
    #[arg(long, value_name = "KIB", default_value_t = 4096)]
    pub spool_memory: usize,

    /// How many MiB of each command's unconfirmed output go to disk after that; then the command has to wait
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub spool_disk: u64,

    /// The shortest pause before connecting again, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pub backoff_min: u64,

    /// The longest pause before connecting again, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    pub backoff_max: u64,

    /// What to log to standard error: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log: tracing::Level,
}

/// The command line as a whole, for what describes it.
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        path::Path,
    };

    use clap_mangen::Man;

    use super::*;

    /// One page for all commands: the library makes one for each.
    fn manual() -> String {
        let mut command = command().disable_help_subcommand(true);
        command.build();
        let man = Man::new(command.clone()).manual("Ironmaster");
        let mut page = section(|out| man.render_title(out));
        page += &section(|out| man.render_name_section(out));
        page += &section(|out| man.render_synopsis_section(out));
        page += &section(|out| man.render_description_section(out));
        page += &section(|out| man.render_options_section(out));
        for sub in command.get_subcommands() {
            let man = Man::new(sub.clone());
            page += &format!(".SH \"{}\"\n", sub.get_name().to_uppercase());
            page += &section(|out| man.render_synopsis_section(out)).replace(".SH SYNOPSIS\n", "");
            page += &section(|out| man.render_description_section(out)).replace(".SH DESCRIPTION", ".PP");
            page += &section(|out| man.render_options_section(out)).replace(".SH OPTIONS\n", "");
        }
        let rest = command.get_after_help().expect("there is some").to_string();
        for part in rest.split("\n\n") {
            let (title, text) = part.split_once(":\n").unwrap_or(("", part));
            let text = text.replace('\\', "\\e").replace('-', "\\-");
            let title = if title.is_empty() {
                String::new()
            } else {
                format!(".SH \"{title}\"\n")
            };
            page += &format!("{title}.nf\n{text}\n.fi\n");
        }
        // Once is enough.
        let (quotes, page) = page.split_at(page.find(".TH").expect("it has a title"));
        quotes.to_owned() + &page.replace(quotes, "")
    }

    fn section(render: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        render(&mut out).expect("memory takes it");
        String::from_utf8(out).expect("it is text")
    }

    #[test]
    fn the_man_page_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist/man/ironmaster-worker.1");
        let page = manual();
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, &page).expect("the checkout is ours");
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == page,
            "{} is not current; write it anew with UPDATE_EXPECT=1",
            path.display()
        );
    }

    #[test]
    fn the_unit_starts_a_worker() {
        let unit = include_str!("../../../dist/systemd/ironmaster-worker.service");
        let line = unit
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="))
            .expect("it starts something");
        let cli = Cli::try_parse_from(line.split_whitespace()).expect("these are right arguments");
        let Some(Command::Start { dir }) = cli.command else {
            panic!("{line}");
        };
        let state = unit
            .lines()
            .find_map(|line| line.strip_prefix("StateDirectory="))
            .expect("it has a folder");
        assert_eq!(dir, Path::new("/var/lib").join(state));
    }

    #[test]
    fn flags_and_folders_exclude_each_other() {
        let parse = |line: &str| Cli::try_parse_from(line.split_whitespace());
        let cli = parse("w --master ws://h --name n --basedir d").expect("all that is needed");
        assert_eq!(cli.flags.expect("there are some").max_commands, 256);
        assert!(parse("w start d").expect("a folder").flags.is_none());
        assert!(parse("w --name n start d").is_err());
        assert!(parse("w --master ws://h").is_err());
    }
}
