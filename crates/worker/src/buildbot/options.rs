//! From the command line and a stock worker's `buildbot.tac` to [`Settings`]. What the command line says counts.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use ironmaster_tls::Trust;

use super::{
    AllowShutdown, Protocol, Settings,
    address::{Endpoint, endpoint, host_and_port},
    small_files::{bounded, password},
    tac::{self, Assigned, Tac, Value},
};
use crate::Tls;

/// How often stock workers ask for a sign of life, in seconds, unless they are told otherwise.
const KEEPALIVE: u64 = 600;
/// Their longest pause between attempts to connect, in seconds.
const MAX_DELAY: u64 = 300;

/// How to be the worker of a Buildbot master.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The worker's folder. If a stock worker was made there, its buildbot.tac says the rest; it is read as text and never run
    pub dir: PathBuf,

    /// Where the master is: HOST:PORT
    #[arg(long, value_name = "HOST:PORT")]
    pub master: Option<String>,

    /// Speak TLS with the master [default: without --master what buildbot.tac says, else no]
    #[arg(long)]
    pub tls: bool,

    /// A file with the certificates (PEM) of the authorities to trust, instead of the machine's; implies --tls
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// The name that the master knows this worker by
    #[arg(long)]
    pub name: Option<String>,

    /// A file that holds the worker's password
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,

    /// Which of Buildbot's protocols to speak [default: what buildbot.tac says, else pb]
    #[arg(long, value_name = "PROTOCOL")]
    pub protocol: Option<ProtocolName>,

    /// Seconds between signs of life that the master is asked for; 0 is never [default: what buildbot.tac says, else 600]
    #[arg(long, value_name = "SECONDS")]
    pub keepalive: Option<u64>,

    /// The permissions that new files do not get, in octal: 022
    #[arg(long, value_name = "MODE", value_parser = octal)]
    pub umask: Option<u32>,

    /// The longest pause between attempts to connect, in seconds [default: what buildbot.tac says, else 300]
    #[arg(long, value_name = "SECONDS")]
    pub max_delay: Option<u64>,

    /// Give up after so many attempts to connect in a row [default: what buildbot.tac says, else never]
    #[arg(long, value_name = "N")]
    pub max_retries: Option<u32>,

    /// How many processors to tell the master of
    #[arg(long, value_name = "N")]
    pub numcpus: Option<u32>,

    /// Let somebody here ask the master to shut this worker down when it is idle: with SIGHUP, or by touching DIR/shutdown.stamp
    #[arg(long, value_name = "HOW")]
    pub allow_shutdown: Option<ShutdownName>,

    /// Remove folders in DIR that no builder has any more
    #[arg(long)]
    pub delete_leftover_dirs: bool,

    /// What to log to standard error: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log: tracing::Level,
}

/// [`Protocol`], as it is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ProtocolName {
    /// Perspective Broker, which every master has
    Pb,
    /// msgpack over a WebSocket (`msgpack_experimental_v7`)
    Msgpack,
}

/// [`AllowShutdown`], as it is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ShutdownName {
    /// With SIGHUP
    Signal,
    /// By touching the file shutdown.stamp
    File,
}

fn octal(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("it must be an octal number up to 777".into()),
    }
}

/// Why a worker does not know what it needs.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{}: {problem}", path.display())]
    Odd {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A value in `buildbot.tac` is not written out.
    #[error(
        "{}, line {line}: `{name}` is not a plain value, and this program does not run Python; pass {option} instead",
        path.display()
    )]
    Unclear {
        /// The file.
        path: PathBuf,
        /// Where in it.
        line: usize,
        /// What it should say.
        name: String,
        /// What says it as well.
        option: &'static str,
    },
    /// Nobody says it.
    #[error("{} does not say `{name}`; pass {option}", path.display())]
    Missing {
        /// The file that could say it.
        path: PathBuf,
        /// What is missing.
        name: &'static str,
        /// The option.
        option: &'static str,
    },
    /// It cannot be done.
    #[error("{0}")]
    Unsupported(String),
}

struct Sources<'a> {
    path: PathBuf,
    tac: Option<Tac>,
    options: &'a Options,
}

impl Options {
    /// Everything put together. `guard` is the program that becomes the guard.
    pub fn settings(&self, guard: PathBuf) -> Result<Settings, OptionsError> {
        let path = self.dir.join("buildbot.tac");
        let text = match fs::File::open(&path) {
            Ok(file) => Some(bounded(file, tac::MAX_SIZE, &path)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(OptionsError::File { path, source }),
        };
        let sources = Sources {
            tac: text.as_deref().map(Tac::read),
            path,
            options: self,
        };
        sources.refuse_proxy()?;
        let Endpoint { host, port, tls } = sources.master()?;
        let keepalive = match self.keepalive {
            Some(seconds) => seconds,
            None => sources.count(&["keepalive"], "--keepalive")?.unwrap_or(
                if sources.says_nothing("keepalive") {
                    0
                } else {
                    KEEPALIVE
                },
            ),
        };
        let max_delay = match self.max_delay {
            Some(seconds) => seconds,
            None => sources.count(&["maxdelay"], "--max-delay")?.unwrap_or(MAX_DELAY),
        };
        Ok(Settings {
            host,
            port,
            tls,
            protocol: sources.protocol()?,
            name: match &self.name {
                Some(name) => name.clone(),
                None => sources.needed_text(&["workername", "slavename"], "workername", "--name")?,
            },
            password: match &self.password_file {
                Some(path) => password(path)?,
                None => sources.needed_text(&["passwd"], "passwd", "--password-file")?,
            },
            basedir: sources.basedir(),
            keepalive: (keepalive > 0).then(|| Duration::from_secs(keepalive)),
            umask: match self.umask {
                Some(umask) => Some(umask),
                None => sources.small(&["umask"], "--umask")?,
            },
            numcpus: match self.numcpus {
                Some(count) => Some(count),
                None => sources.small(&["numcpus"], "--numcpus")?,
            },
            allow_shutdown: sources.allow_shutdown()?,
            max_retries: match self.max_retries {
                Some(count) => Some(count),
                None => sources.small(&["maxretries"], "--max-retries")?,
            },
            max_delay: Duration::from_secs(max_delay),
            delete_leftover_dirs: self.delete_leftover_dirs
                || sources.truth("delete_leftover_dirs", "--delete-leftover-dirs")?,
            guard,
        })
    }
}

impl Sources<'_> {
    fn find(&self, spellings: &[&str]) -> Option<&Assigned> {
        self.tac.as_ref()?.get(spellings)
    }

    /// Whether it is there, and says that there is none.
    fn says_nothing(&self, name: &str) -> bool {
        self.find(&[name])
            .is_some_and(|found| found.value == Value::Nothing)
    }

    fn unclear(&self, found: &Assigned, name: &str, option: &'static str) -> OptionsError {
        OptionsError::Unclear {
            path: self.path.clone(),
            line: found.line,
            name: name.to_owned(),
            option,
        }
    }

    fn text(&self, spellings: &[&str], option: &'static str) -> Result<Option<String>, OptionsError> {
        match self.find(spellings) {
            None => Ok(None),
            Some(found) => match &found.value {
                Value::Text(text) => Ok(Some(text.clone())),
                Value::Nothing => Ok(None),
                _ => Err(self.unclear(found, spellings[0], option)),
            },
        }
    }

    fn needed_text(
        &self,
        spellings: &[&str],
        name: &'static str,
        option: &'static str,
    ) -> Result<String, OptionsError> {
        self.text(spellings, option)?
            .ok_or_else(|| OptionsError::Missing {
                path: self.path.clone(),
                name,
                option,
            })
    }

    fn count(&self, spellings: &[&str], option: &'static str) -> Result<Option<u64>, OptionsError> {
        match self.find(spellings) {
            None => Ok(None),
            Some(found) => match &found.value {
                Value::Number(number) => u64::try_from(*number)
                    .map(Some)
                    .map_err(|_| self.unclear(found, spellings[0], option)),
                Value::Nothing => Ok(None),
                _ => Err(self.unclear(found, spellings[0], option)),
            },
        }
    }

    fn small(&self, spellings: &[&str], option: &'static str) -> Result<Option<u32>, OptionsError> {
        let count = self.count(spellings, option)?;
        Ok(count.map(|count| u32::try_from(count).unwrap_or(u32::MAX)))
    }

    fn truth(&self, name: &str, option: &'static str) -> Result<bool, OptionsError> {
        match self.find(&[name]) {
            None => Ok(false),
            Some(found) => match &found.value {
                Value::Truth(truth) => Ok(*truth),
                Value::Number(number) => Ok(*number != 0),
                Value::Nothing => Ok(false),
                _ => Err(self.unclear(found, name, option)),
            },
        }
    }

    fn refuse_proxy(&self) -> Result<(), OptionsError> {
        if self.options.master.is_some() {
            return Ok(());
        }
        if self
            .text(&["proxy_connection_string"], "--master HOST:PORT")?
            .is_some()
        {
            return Err(OptionsError::Unsupported(format!(
                "{} wants a proxy, which this worker does not know; pass --master HOST:PORT of what can be reached directly",
                self.path.display()
            )));
        }
        Ok(())
    }

    /// Where the master is. What the command line says of encryption is added to whatever says where.
    fn master(&self) -> Result<Endpoint, OptionsError> {
        let mut found = self.said_master()?;
        if self.options.tls {
            found.tls.get_or_insert_default();
        }
        if let Some(file) = &self.options.ca_file {
            found.tls.get_or_insert_default().trust = Trust::File(file.clone());
        }
        Ok(found)
    }

    fn said_master(&self) -> Result<Endpoint, OptionsError> {
        const OPTION: &str = "--master HOST:PORT";
        if let Some(master) = &self.options.master {
            let (host, port) = host_and_port(master).ok_or_else(|| {
                OptionsError::Unsupported(format!("--master is {master:?}; it must be HOST:PORT"))
            })?;
            return Ok(Endpoint {
                host,
                port,
                tls: None,
            });
        }
        if let Some(connection) = self.text(&["connection_string"], OPTION)? {
            return endpoint(&connection, &self.basedir()).ok_or_else(|| {
                OptionsError::Unsupported(format!(
                    "{}: connection_string is {connection:?}; this worker knows `tcp:host=HOST:port=PORT` and \
                     `tls:host=HOST:port=PORT:trustRoots=FOLDER`; pass {OPTION}, with --tls or --ca-file for encryption",
                    self.path.display()
                ))
            });
        }
        let host = self.needed_text(&["buildmaster_host"], "buildmaster_host", OPTION)?;
        let port = self
            .count(&["port"], OPTION)?
            .and_then(|port| u16::try_from(port).ok())
            .ok_or_else(|| OptionsError::Missing {
                path: self.path.clone(),
                name: "port",
                option: OPTION,
            })?;
        // As a stock worker, which looks at it only without a connection string.
        let tls = self.truth("use_tls", "--master HOST:PORT, with --tls for encryption")?;
        Ok(Endpoint {
            host,
            port,
            tls: tls.then(Tls::default),
        })
    }

    fn protocol(&self) -> Result<Protocol, OptionsError> {
        Ok(match self.options.protocol {
            Some(ProtocolName::Pb) => Protocol::Pb,
            Some(ProtocolName::Msgpack) => Protocol::Msgpack,
            None => match self.text(&["protocol"], "--protocol")?.as_deref() {
                None | Some("pb") => Protocol::Pb,
                Some("msgpack_experimental_v7") => Protocol::Msgpack,
                Some(other) => {
                    return Err(OptionsError::Unsupported(format!(
                        "{}: protocol is {other:?}, which this worker does not speak; pass --protocol pb or msgpack",
                        self.path.display()
                    )));
                }
            },
        })
    }

    fn allow_shutdown(&self) -> Result<Option<AllowShutdown>, OptionsError> {
        Ok(match self.options.allow_shutdown {
            Some(ShutdownName::Signal) => Some(AllowShutdown::Signal),
            Some(ShutdownName::File) => Some(AllowShutdown::File),
            None => match self.text(&["allow_shutdown"], "--allow-shutdown")?.as_deref() {
                Some("signal") => Some(AllowShutdown::Signal),
                Some("file") => Some(AllowShutdown::File),
                _ => None,
            },
        })
    }

    /// The file may name another folder than the one it lies in.
    fn basedir(&self) -> PathBuf {
        match self.find(&["basedir"]).map(|found| &found.value) {
            Some(Value::Text(text)) if Path::new(text).is_absolute() => PathBuf::from(text),
            _ => self.options.dir.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;

    fn settings(tac: Option<&str>, change: impl FnOnce(&mut Options)) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        if let Some(tac) = tac {
            fs::write(folder.path().join("buildbot.tac"), tac).unwrap();
        }
        fs::write(folder.path().join("pw"), "from a file\n").unwrap();
        let line = ["w".as_ref(), folder.path().as_os_str()];
        let matches = Options::augment_args(clap::Command::new("w")).get_matches_from(line);
        let mut options = Options::from_arg_matches(&matches).unwrap();
        change(&mut options);
        if let Some(path) = &mut options.password_file {
            *path = folder.path().join(&path);
        }
        let settings = options.settings("/proc/self/exe".into());
        settings.map_err(|error| error.to_string())
    }

    /// As Buildbot 4.3 writes it.
    const NEW: &str = "
import os
from buildbot_worker.bot import Worker
from twisted.application import service
basedir = '/srv/worker'
rotateLength = 10000000
maxRotatedFiles = 10
# if this is a relocatable tac file, get the directory containing the TAC
if basedir == '.':
    import os.path
    basedir = os.path.abspath(os.path.dirname(__file__))
application = service.Application('buildbot-worker')
buildmaster_host = 'ci.example.org'
port = 9989
connection_string = None
workername = 'linux-1'
passwd = 'it\\'s'
keepalive = 600
umask = 0o22
maxdelay = 300
numcpus = None
allow_shutdown = 'signal'
maxretries = 10
use_tls = 0
delete_leftover_dirs = 1
proxy_connection_string = None
protocol = 'msgpack_experimental_v7'
s = Worker(buildmaster_host, port, workername, passwd, basedir,
           keepalive, umask=umask, maxdelay=maxdelay,
           connection_string=connection_string,
           proxy_connection_string=proxy_connection_string)
s.setServiceParent(application)
";

    #[test]
    fn a_stock_workers_file_says_everything() {
        let read = settings(Some(NEW), |_| {}).unwrap();
        assert_eq!(
            (read.host.as_str(), read.port, read.protocol),
            ("ci.example.org", 9989, Protocol::Msgpack)
        );
        assert_eq!((read.name.as_str(), read.password.as_str()), ("linux-1", "it's"));
        assert_eq!(read.basedir, Path::new("/srv/worker"));
        assert_eq!(
            (read.keepalive, read.umask, read.max_retries, read.numcpus),
            (Some(Duration::from_mins(10)), Some(0o22), Some(10), None)
        );
        assert_eq!(read.allow_shutdown, Some(AllowShutdown::Signal));
        assert!(read.delete_leftover_dirs);
        assert!(!format!("{read:?}").contains("it's"));
    }

    #[test]
    fn an_old_file_is_read_and_options_count_more() {
        let old = "from buildslave.bot import BuildSlave\nbasedir = r'.'\nbuildmaster_host = 'old'\nport = 9989\n\
                   slavename = \"slave\"\npasswd = 'p'\nkeepalive = None\nusepty = 0\numask = 022\n";
        let read = settings(Some(old), |_| {}).unwrap();
        assert_eq!((read.name.as_str(), read.umask), ("slave", Some(0o22)));
        assert_eq!((read.keepalive, read.protocol), (None, Protocol::Pb));
        let read = settings(Some(old), |options| {
            options.master = Some("[::1]:17".into());
            options.name = Some("other".into());
            options.password_file = Some("pw".into());
            options.keepalive = Some(3);
            options.protocol = Some(ProtocolName::Msgpack);
        })
        .unwrap();
        assert_eq!((read.host.as_str(), read.port), ("::1", 17));
        assert_eq!(
            (read.name.as_str(), read.password.as_str()),
            ("other", "from a file")
        );
        assert_eq!(read.protocol, Protocol::Msgpack);
        assert_eq!(read.keepalive, Some(Duration::from_secs(3)));
    }

    #[test]
    fn encryption_is_as_the_file_or_the_options_say() {
        let tls = |from: &str, to: &str, change: &dyn Fn(&mut Options)| {
            settings(Some(&NEW.replacen(from, to, 1)), change).unwrap().tls
        };
        let system = Some(Tls::default());
        let trusted = |trust| Some(Tls { trust, name: None });
        let file = trusted(Trust::File("ca.pem".into()));
        assert_eq!(tls("", "", &|_| {}), None);
        assert_eq!(tls("use_tls = 0", "use_tls = True", &|_| {}), system);
        assert_eq!(tls("", "", &|options| options.tls = true), system);
        let ca_file = |options: &mut Options| options.ca_file = Some("ca.pem".into());
        assert_eq!(tls("", "", &ca_file), file);
        assert_eq!(tls("use_tls = 0", "use_tls = 1", &ca_file), file);
        // Who says where the master is says all of it.
        let elsewhere = |options: &mut Options| options.master = Some("localhost:9".into());
        assert_eq!(tls("use_tls = 0", "use_tls = 1", &elsewhere), None);
        let string = "connection_string = 'tls:host=h:port=1:trustRoots=roots'";
        assert_eq!(
            tls("connection_string = None", string, &|_| {}),
            trusted(Trust::Folder("/srv/worker/roots".into()))
        );
        assert_eq!(tls("connection_string = None", string, &ca_file), file);
    }

    #[test]
    fn what_cannot_be_read_says_which_option_to_pass() {
        let table: &[(&str, &str, &str)] = &[
            (
                "passwd = 'it\\'s'",
                "passwd = open('pw').read()",
                "line 17: `passwd` is not a plain value, and this program does not run Python; pass --password-file",
            ),
            (
                "workername = 'linux-1'",
                "",
                "does not say `workername`; pass --name",
            ),
            ("port = 9989", "port = 'a'", "pass --master HOST:PORT"),
            ("port = 9989", "port = 99999", "pass --master HOST:PORT"),
            ("use_tls = 0", "use_tls = wanted", "with --tls for encryption"),
            (
                "connection_string = None",
                "connection_string = 'tls:host=h:port=1:privateKey=k'",
                "pass --master HOST:PORT",
            ),
            (
                "proxy_connection_string = None",
                "proxy_connection_string = 'tcp:p:1'",
                "proxy",
            ),
            (
                "'msgpack_experimental_v7'",
                "'msgpack_experimental_v9'",
                "pass --protocol pb or msgpack",
            ),
        ];
        for (from, to, expected) in table {
            let problem = settings(Some(&NEW.replacen(from, to, 1)), |_| {}).unwrap_err();
            assert!(problem.contains(expected), "{to}: {problem}");
            assert!(!problem.contains("it's"));
        }
        let problem = settings(None, |_| {}).unwrap_err();
        assert!(problem.contains("pass --master"), "{problem}");
    }
}
