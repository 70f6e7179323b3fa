//! What a worker says of itself.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{PathStyle, Value};

/// The answer to `getWorkerInfo`. Everything may be missing, as the worker's owner writes some of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerInfo {
    /// Who cares for it, from its file `info/admin`.
    pub admin: Option<String>,
    /// What it is, from `info/host`.
    pub host: Option<String>,
    /// How to get onto it, from `info/access_uri`.
    pub access_uri: Option<String>,
    /// Its environment. It may hold secrets.
    pub environ: BTreeMap<String, String>,
    /// Python's name of the kind of system: `posix` or `nt`.
    pub system: String,
    /// The folder of its builders.
    pub basedir: String,
    /// How many processors it has.
    pub numcpus: Option<u32>,
    /// Its version, `4.3.0`.
    pub version: Option<String>,
    /// Its commands with their versions, `shell` with `3.3`.
    pub commands: BTreeMap<String, String>,
    /// Whether it wants folders removed that no builder has any more.
    pub delete_leftover_dirs: bool,
    /// Everything else that is text: `os_id`, and further files of `info`.
    pub other: BTreeMap<String, String>,
}

impl WorkerInfo {
    /// How its paths are written.
    pub fn paths(&self) -> PathStyle {
        PathStyle::of(&self.system)
    }

    /// Whether it is from before the time when slaves became workers; arguments had other names.
    pub fn is_slave(&self) -> bool {
        self.commands
            .get("uploadFile")
            .and_then(|version| version.split('.').next()?.parse::<u32>().ok())
            .is_some_and(|major| major < 3)
    }

    /// From what came. What is not as it should be is left out: a worker is not turned away for it.
    pub(crate) fn read(value: &Value) -> Self {
        let mut info = Self::default();
        let Value::Dict(entries) = value else { return info };
        for (key, value) in entries {
            let Some(key) = key.as_text() else { continue };
            let text = || value.as_text().map(Cow::into_owned);
            match key.as_ref() {
                "admin" => info.admin = text(),
                "host" => info.host = text(),
                "access_uri" => info.access_uri = text(),
                "environ" => info.environ = texts(value),
                "system" => info.system = text().unwrap_or_default(),
                "basedir" => info.basedir = text().unwrap_or_default(),
                "numcpus" => {
                    if let Value::Int(number) = value {
                        info.numcpus = u32::try_from(*number).ok();
                    }
                }
                "version" => info.version = text(),
                "worker_commands" | "slave_commands" => info.commands = texts(value),
                "delete_leftover_dirs" => {
                    info.delete_leftover_dirs = match value {
                        Value::Bool(truth) => *truth,
                        Value::Int(number) => *number != 0,
                        _ => false,
                    };
                }
                other => {
                    if let Some(text) = text() {
                        info.other.insert(other.to_owned(), text);
                    }
                }
            }
        }
        info
    }

    /// As it is sent.
    pub(crate) fn write(&self) -> Value {
        let texts = |map: &BTreeMap<String, String>| {
            Value::dict(
                map.iter()
                    .map(|(key, value)| (key.as_str(), value.as_str().into())),
            )
        };
        let mut entries: Vec<(&str, Value)> = Vec::new();
        for (key, value) in [
            ("admin", &self.admin),
            ("host", &self.host),
            ("access_uri", &self.access_uri),
            ("version", &self.version),
        ] {
            if let Some(value) = value {
                entries.push((key, value.as_str().into()));
            }
        }
        entries.extend(
            self.other
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str().into())),
        );
        entries.push(("environ", texts(&self.environ)));
        entries.push(("system", self.system.as_str().into()));
        entries.push(("basedir", self.basedir.as_str().into()));
        entries.push(("numcpus", u64::from(self.numcpus.unwrap_or(1)).into()));
        entries.push(("worker_commands", texts(&self.commands)));
        entries.push(("delete_leftover_dirs", self.delete_leftover_dirs.into()));
        Value::dict(entries)
    }
}

/// The texts of a dictionary.
pub(crate) fn texts(value: &Value) -> BTreeMap<String, String> {
    let Value::Dict(entries) = value else {
        return BTreeMap::new();
    };
    entries
        .iter()
        .filter_map(|(key, value)| Some((key.as_text()?.into_owned(), value.as_text()?.into_owned())))
        .collect()
}
