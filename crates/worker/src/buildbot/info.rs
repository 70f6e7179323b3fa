//! What this worker tells a Buildbot master of itself.

use std::{collections::BTreeMap, fs, path::Path};

use ironmaster_buildbot::WorkerInfo;

use super::{Settings, shell::own_environment};

/// What a file of the folder `info` may have, so that it fits a message.
const MAX_FILE: u64 = 64 * 1024;
/// Every command that this worker has, with the version that today's stock workers give it.
const COMMANDS: [&str; 14] = [
    "cpdir",
    "downloadFile",
    "download_file",
    "glob",
    "listdir",
    "mkdir",
    "rmdir",
    "rmfile",
    "shell",
    "stat",
    "uploadDirectory",
    "uploadFile",
    "upload_directory",
    "upload_file",
];
const COMMAND_VERSION: &str = "3.3";

/// Reads it anew: people change the files while the worker runs.
pub(super) fn gather(base: &Path, settings: &Settings) -> WorkerInfo {
    let mut other = system();
    other.extend(files(&base.join("info")));
    WorkerInfo {
        admin: other.remove("admin"),
        host: other.remove("host"),
        access_uri: other.remove("access_uri"),
        environ: own_environment(),
        system: "posix".into(),
        basedir: base.to_string_lossy().into_owned(),
        numcpus: Some(settings.numcpus.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(1))
        })),
        version: Some(concat!("ironmaster-worker ", env!("CARGO_PKG_VERSION")).into()),
        commands: COMMANDS
            .iter()
            .map(|name| ((*name).to_owned(), COMMAND_VERSION.to_owned()))
            .collect(),
        delete_leftover_dirs: settings.delete_leftover_dirs,
        other,
    }
}

/// The text files of the folder `info`.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return BTreeMap::new();
    };
    entries
        .flatten()
        .filter(|entry| {
            entry
                .metadata()
                .is_ok_and(|found| found.is_file() && found.len() <= MAX_FILE)
        })
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name, fs::read_to_string(entry.path()).ok()?))
        })
        .collect()
}

/// What the system says of itself.
fn system() -> BTreeMap<String, String> {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let (key, value) = line.split_once('=')?;
            let value = value.trim_matches('"');
            (!value.is_empty()).then(|| (format!("os_{}", key.to_lowercase()), value.to_owned()))
        })
        .collect()
}
