//! TOML in, definitions out, with diagnostics.
//!
//! [`load`] reads a file, [`check`] a text. Both read all of it, whatever is wrong, and report all mistakes at
//! once: see [`Report`]. [`keys`] lists every key; the check and the reference in `docs/configuration.md` come
//! from that one list, and from the [`Catalogue`] for the kinds of steps and change sources. (The test that the page
//! is current stands in `changes`, the lowest room that knows all kinds.)
//!
//! How it is laid out: `checker` has the typed, reporting access to tables; `master`, `worker`, `builder`
//! and `scheduler` read one kind of section each; `fields` reads what the catalogue describes; `plan` puts
//! it together and looks at what concerns several sections. To add a key: a line in `keys`, and the reading of
//! it in its section.
//!
//! **Invariant:** a token never leaves this crate, neither in a definition nor in a message: definitions hold
//! its SHA-256, and the excerpts that reports show are masked.

mod builder;
mod checker;
mod fields;
pub mod keys;
mod mask;
mod master;
mod plan;
pub mod reference;
mod report;
mod scheduler;
mod settings;
mod suggest;
mod token;
mod units;
mod worker;

use std::{collections::BTreeMap, fs, io::Read, path::Path};

use ironmaster_model::{Catalogue, Plan};

pub use report::{Finding, Place, Related, Report, Severity};
pub use settings::{ChangeHookSettings, Limits, LogLevel, Reading, Settings};

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
}

/// Reads and checks the configuration at `path`. Token files and a relative state directory are looked for
/// beside it. The report of a refused configuration holds everything that is wrong with it.
pub fn load(path: &Path, catalogue: &Catalogue) -> Result<Loaded, Report> {
    let name = path.display().to_string();
    let text = read(path).map_err(|(message, help)| unreadable(&message, help))?;
    let base_dir = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match check(&name, &text, base_dir, catalogue) {
        (Some(loaded), _) => Ok(loaded),
        (None, report) => Err(report),
    }
}

/// Checks a configuration that was read already. `source_name` is the file's name in findings, `base_dir` is
/// where token files are looked for. The report holds errors and warnings; there is a [`Loaded`] if and only
/// if it has no errors.
pub fn check(
    source_name: &str,
    text: &str,
    base_dir: &Path,
    catalogue: &Catalogue,
) -> (Option<Loaded>, Report) {
    plan::check(source_name, text, base_dir, catalogue)
}

fn read(path: &Path) -> Result<String, (String, &'static str)> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            let message = format!("cannot read the configuration `{}`: {error}", path.display());
            (message, "name another file, or make this one")
        })?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let message = format!("the configuration `{}` is larger than 16 MiB", path.display());
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
