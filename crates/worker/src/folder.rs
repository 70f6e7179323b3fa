//! The folder of a worker: its settings in a small file, its token in another, and everything that it does.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use clap::Parser as _;

use crate::cli::{Cli, Create, Flags};

/// The file with the settings.
pub const SETTINGS: &str = "worker.toml";
/// The file with the token, unless the settings name another.
const TOKEN: &str = "token";

/// Why the folder of a worker cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// There is a worker already.
    #[error("{} is the folder of a worker already; choose another, or remove that file", .0.display())]
    Exists(PathBuf),
    /// A file or folder cannot be made.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}; `ironmaster-worker create` makes the folder of a worker", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The settings are wrong.
    #[error("{}: {problem}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
    /// The address of the master, or the worker's name or token, cannot be used.
    #[error("{0}")]
    Unusable(String),
}

/// Reads the settings of a folder: options of the program, which checks them as if they had been given to it. Paths are
/// relative to the folder.
pub fn read(dir: &Path) -> Result<Flags, FolderError> {
    let path = dir.join(SETTINGS);
    let text = fs::read_to_string(&path).map_err(|source| FolderError::Read {
        path: path.clone(),
        source,
    })?;
    let wrong = |problem: String| FolderError::Wrong {
        path: path.clone(),
        problem,
    };
    let mut settings: toml::Table = text.parse().map_err(|error| wrong(format!("{error}")))?;
    settings.entry("basedir").or_insert_with(|| ".".into());
    if !settings.contains_key("token") {
        settings.entry("token_file").or_insert_with(|| TOKEN.into());
    }
    let mut arguments = vec![SETTINGS.to_owned()];
    for (key, value) in settings {
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            other => {
                let found = other.type_str();
                return Err(wrong(format!("{key} is a text or a number, not a {found}")));
            }
        };
        arguments.push(format!("--{}={value}", key.replace('_', "-")));
    }
    let mut flags = Cli::try_parse_from(arguments)
        .map_err(|error| wrong(first_words(&error.to_string())))?
        .flags
        .ok_or_else(|| wrong("it says nothing".into()))?;
    flags.basedir = dir.join(flags.basedir);
    flags.token_file = flags.token_file.map(|file| dir.join(file));
    flags.ca_file = flags.ca_file.map(|file| dir.join(file));
    Ok(flags)
}

/// What is wrong, without the usage that a command line would be told.
fn first_words(error: &str) -> String {
    let words = error.split("\n\n").next().unwrap_or_default();
    let lines: Vec<&str> = words.lines().map(str::trim).collect();
    lines.join(" ").trim_start_matches("error: ").to_owned()
}

/// Makes a folder. What is returned tells a person what to do next.
pub fn create(wanted: &Create) -> Result<String, FolderError> {
    let settings = wanted.dir.join(SETTINGS);
    if settings.exists() {
        return Err(FolderError::Exists(settings));
    }
    crate::run::address(&wanted.master, wanted.ca_file.as_deref())
        .map_err(|error| FolderError::Unusable(error.to_string()))?;
    // The folder must not depend on where it was made from.
    let ca_file = match &wanted.ca_file {
        None => None,
        Some(path) => Some(fs::canonicalize(path).map_err(|error| {
            FolderError::Unusable(format!(
                "cannot read the certificates in {}: {error}",
                path.display()
            ))
        })?),
    };
    let token = match &wanted.token_file {
        None => {
            let mut bytes = [0; 24];
            getrandom::fill(&mut bytes).map_err(|error| FolderError::Unusable(error.to_string()))?;
            hex::encode(bytes)
        }
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|source| FolderError::Read {
                path: path.clone(),
                source,
            })?;
            text.trim().to_owned()
        }
    };
    if token.is_empty() || wanted.name.is_empty() || wanted.name.len() > 256 {
        return Err(FolderError::Unusable(
            "the token must not be empty, and the name must have 1 to 256 bytes".into(),
        ));
    }
    let written = |path: &Path| {
        let path = path.to_owned();
        move |source| FolderError::Write { path, source }
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&wanted.dir)
        .map_err(written(&wanted.dir))?;
    let token_path = wanted.dir.join(TOKEN);
    write_new(&token_path, 0o600, &format!("{token}\n")).map_err(written(&token_path))?;
    write_new(&settings, 0o644, &text(wanted, ca_file.as_deref())).map_err(written(&settings))?;
    Ok(next_steps(wanted, &token_path))
}

fn write_new(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn text(wanted: &Create, ca_file: Option<&Path>) -> String {
    let mut text = format!(
        "# A worker of Ironmaster: `ironmaster-worker start` with this folder runs it.\n\
         # Every option of the program can stand here, with _ for -; paths are relative to this folder.\n\
         master = {}\nname = {}\ntoken_file = {}\n",
        quoted(&wanted.master),
        quoted(&wanted.name),
        quoted(TOKEN),
    );
    if let Some(path) = ca_file {
        text.push_str(&format!("ca_file = {}\n", quoted(&path.to_string_lossy())));
    }
    for (key, value) in [
        ("admin", &wanted.admin),
        ("host", &wanted.host),
        ("access_uri", &wanted.access_uri),
    ] {
        if let Some(value) = value {
            text.push_str(&format!("{key} = {}\n", quoted(value)));
        }
    }
    text
}

fn next_steps(wanted: &Create, token: &Path) -> String {
    let (name, dir) = (&wanted.name, wanted.dir.display());
    let section = format!(
        "    [[worker]]\n    name = {}\n    token_file = {}\n",
        quoted(name),
        quoted(&format!("{name}.token"))
    );
    let expected = if wanted.token_file.is_some() {
        "If the master does not know this worker yet, add".to_owned()
    } else {
        format!(
            "Copy {} to the master, beside its configuration, as {name}.token, readable by the master alone. Add",
            token.display()
        )
    };
    format!(
        "Made the worker {name} in {dir}.\n\n{expected} to its configuration\n\n{section}\nand reload it. Then, here:\n\n    \
         ironmaster-worker start {dir}\n"
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn wanted(dir: &Path) -> Create {
        Create {
            dir: dir.join("w"),
            master: "ws://ci.example.org:8010".into(),
            ca_file: None,
            name: "arm-7".into(),
            token_file: None,
            admin: Some("Ada \"the\" <ada@example.org>".into()),
            host: None,
            access_uri: Some("ssh://buildbot@arm-7".into()),
        }
    }

    #[test]
    fn what_is_made_can_be_started() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = wanted(dir.path());
        let said = create(&wanted).unwrap();
        let token = fs::read_to_string(wanted.dir.join("token")).unwrap();
        assert_eq!(token.trim().len(), 48);
        assert!(!said.contains(token.trim()), "a terminal shows a token");
        assert!(
            said.contains("[[worker]]") && said.contains("arm-7.token"),
            "{said}"
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&wanted.dir.join("token")), 0o600);
        assert_eq!(mode(&wanted.dir), 0o700);
        let flags = read(&wanted.dir).unwrap();
        assert_eq!(
            (flags.master, flags.name),
            (wanted.master.clone(), wanted.name.clone())
        );
        assert_eq!(flags.admin, wanted.admin);
        assert_eq!(flags.access_uri, wanted.access_uri);
        assert_eq!(flags.basedir, wanted.dir);
        assert_eq!(flags.token_file, Some(wanted.dir.join("token")));
        assert!(matches!(create(&wanted), Err(FolderError::Exists(_))));
    }

    #[test]
    fn mistakes_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let bad = Create {
            master: "ftp://example.org".into(),
            ..wanted(dir.path())
        };
        assert!(create(&bad).unwrap_err().to_string().contains("ws://"));
        assert!(!bad.dir.exists(), "nothing is left behind");
        assert!(matches!(read(dir.path()), Err(FolderError::Read { .. })));
        for (text, said) in [
            ("name = 'n'", "master"),
            ("master = 'ws://h'\nname = 'n'\nspeed = 3", "speed"),
            ("master = 'ws://h'\nname = 'n'\nmax_commands = 0", "1..=1000"),
            ("master = 'ws://h'\nname = [1]", "array"),
            ("master = 'ws://h'\nname", "line 2"),
            ("master = 'ws://h'\nname = 'n'\nlog = 'loud'", "loud"),
        ] {
            fs::write(dir.path().join(SETTINGS), text).unwrap();
            let problem = read(dir.path()).unwrap_err().to_string();
            assert!(problem.contains(said) && problem.contains(SETTINGS), "{problem}");
        }
    }
}
