//! TOML or Starlark in, definitions out, with diagnostics.
//!
//! [`load`] reads a file, [`check`] a text; what it is spelt in is told by the file's name. Both read all of it,
//! whatever is wrong, and report all mistakes at once: see [`Report`]. [`keys`] lists every key; the check, both
//! spellings, the [`schema`] and the [`reference`](mod@reference) come from that one list, and from the
//! [`Catalogue`] for the kinds of steps and change sources. (The tests that the committed schema and reference are
//! current stand in `changes`, the lowest room that knows all kinds.)
//!
//! How it is laid out: `toml_form` and `starlark_form` make the same `tree` of a text, over `sources`; `checker`,
//! `values` and `grammar` are the typed, reporting access to it; `master`, `worker`, `builder`, `pipeline` and `scheduler` read one
//! kind of section each; `fields` reads what the catalogue describes; `plan` puts it together and looks at what
//! concerns several sections. [`read_jobs`] reads a file of jobs that a running build adds. To add a key: a line in `keys`, and the reading of it in its section.
//!
//! **Invariant:** a token never leaves this crate, neither in a definition nor in a message: definitions hold
//! its SHA-256, and the excerpts that reports show are masked. (The database's password does, in a type that does not
//! print it.)

mod builder;
mod callbacks;
mod checker;
mod data;
mod data_form;
mod database;
pub mod diff;
mod fields;
pub mod format;
mod grammar;
pub mod keys;
mod lock;
mod log_files;
mod mask;
mod master;
mod pipeline;
mod plan;
pub mod print;
mod project;
pub mod reference;
mod report;
mod repository_file;
mod scheduler;
pub mod schema;
mod settings;
mod sources;
mod spelling;
mod starlark_files;
mod starlark_form;
mod suggest;
mod tls;
mod token;
mod toml_form;
mod tree;
mod units;
mod values;
mod worker;

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use ironmaster_model::{Catalogue, Plan};

pub use database::{DatabaseSettings, Password};
pub use pipeline::{JOBS_FILE_BYTES_MAX, read_jobs};
pub use report::{Finding, Place, Related, Report, Severity};
pub use repository_file::{REPOSITORY_FILE_BYTES_MAX, repository_jobs};
pub use settings::{
    ChangeHookSettings, Limits, LogLevel, PbSettings, Reading, SendchangeSettings, Settings, TlsFiles,
};

/// The largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A configuration that can be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What decisions depend on.
    pub plan: Plan,
    /// How the master is set up.
    pub settings: Settings,
    /// What probably is not meant so; no errors.
    pub warnings: Report,
    /// The files that it was read from, the one that was named first. Secrets in them are masked.
    pub files: Vec<ConfigFile>,
}

/// A file of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its name, relative to the configuration's directory.
    pub name: String,
    /// Its text with secrets masked.
    pub text: String,
}

/// Reads and checks the configuration at `path`. Token files and a relative state directory are looked for
/// beside it. The report of a refused configuration holds everything that is wrong with it.
pub fn load(path: &Path, catalogue: &Catalogue) -> Result<Loaded, Report> {
    let name = path.display().to_string();
    let text = read(path, FILE_BYTES_MAX).map_err(|(message, help)| unreadable(&message, help))?;
    match check(&name, &text, base_dir(path), catalogue) {
        (Some(loaded), _) => Ok(loaded),
        (None, report) => Err(report),
    }
}

/// Where the master of the configuration at `path` keeps its state. The rest of the configuration may be wrong; if this
/// much cannot be read, the report says why.
pub fn state_dir(path: &Path, catalogue: &Catalogue) -> Result<PathBuf, Report> {
    let text = read(path, FILE_BYTES_MAX).map_err(|(message, help)| unreadable(&message, help))?;
    let name = path.display().to_string();
    let (settings, report) = plan::settings(&name, &text, base_dir(path), catalogue);
    settings.map(|settings| settings.state_dir).ok_or(report)
}

/// The directory that relative paths in a configuration start at.
fn base_dir(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Checks a configuration that was read already. `source_name` is the file's name in findings; one that ends in
/// `.star` is Starlark, any other TOML. `base_dir` is where token files and files to `load` are looked for. The report holds errors and warnings; there is a [`Loaded`] if and only
/// if it has no errors.
pub fn check(
    source_name: &str,
    text: &str,
    base_dir: &Path,
    catalogue: &Catalogue,
) -> (Option<Loaded>, Report) {
    plan::check(source_name, text, base_dir, catalogue)
}

/// The text of a file that has at most so many bytes; else what is wrong, and what to do.
fn read(path: &Path, bytes_max: u64) -> Result<String, (String, &'static str)> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            let message = format!("cannot read the configuration `{}`: {error}", path.display());
            (message, "name another file, or make this one")
        })?;
    if bytes.len() as u64 > bytes_max {
        let message = format!(
            "the configuration `{}` is larger than {} MiB",
            path.display(),
            bytes_max >> 20
        );
        return Err((message, "is it the right file?"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].split(|byte| *byte == b'\n').count();
        let message = format!(
            "line {line} of the configuration `{}` is not UTF-8",
            path.display()
        );
        (message, "save it as UTF-8")
    })
}

fn unreadable(message: &str, help: &str) -> Report {
    Report {
        findings: vec![Finding {
            severity: Severity::Error,
            code: "unreadable",
            message: message.to_owned(),
            place: None,
            related: Vec::new(),
            help: Some(help.to_owned()),
        }],
        sources: BTreeMap::new(),
    }
}
