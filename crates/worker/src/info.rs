//! What this machine is, for the greeting and the `info` verb.

use std::{fs, path::Path};

use ironmaster_wire::WorkerInfo;

/// What its owner says of this machine, for people.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// Who looks after it.
    pub admin: Option<String>,
    /// What it is.
    pub host: Option<String>,
    /// How people who may get onto it do so.
    pub access_uri: Option<String>,
}

/// Describes this machine. What the system does not say stays empty.
pub(crate) fn gather(basedir: &Path, said: Said) -> WorkerInfo {
    let system = rustix::system::uname();
    let kernel = format!(
        "{} {}",
        system.sysname().to_string_lossy(),
        system.release().to_string_lossy()
    );
    let os_version = match os_release() {
        Some(name) => format!("{name} ({kernel})"),
        None => kernel,
    };
    WorkerInfo {
        os: std::env::consts::OS.into(),
        arch: std::env::consts::ARCH.into(),
        hostname: system.nodename().to_string_lossy().into_owned(),
        cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32),
        memory_bytes: memory().unwrap_or(0),
        os_version,
        admin: said.admin,
        host: said.host,
        access_uri: said.access_uri,
        basedir: basedir.to_string_lossy().into_owned(),
    }
}

fn os_release() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned())
}

fn memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
