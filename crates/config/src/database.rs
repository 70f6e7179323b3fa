//! Which database the master uses, and the password for it.

use std::fmt;

use crate::{
    checker::{Checker, Section, Text},
    token,
};

const PASSWORD_KEYS: [&str; 2] = ["database_password_file", "database_password_env"];

/// The database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseSettings {
    /// A file in the state directory.
    Sqlite,
    /// A PostgreSQL server's.
    Postgres {
        /// `postgres://user@host/database`, without a password.
        url: String,
        /// The password, if the server wants one.
        password: Option<Password>,
    },
}

/// A password. Nothing that is printed shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The password itself, for the server only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Reads the keys of `[master]` that begin with `database`.
pub(crate) fn read(checker: &mut Checker<'_>, section: &Section<'_>) -> DatabaseSettings {
    let password = password(checker, section);
    let Some(text) = checker.text(section, "database") else {
        unused(checker, section);
        return DatabaseSettings::Sqlite;
    };
    if text.value == "sqlite" {
        unused(checker, section);
        return DatabaseSettings::Sqlite;
    }
    let rest = ["postgres://", "postgresql://"]
        .iter()
        .find_map(|scheme| text.value.strip_prefix(scheme));
    let Some(rest) = rest else {
        // What is no address may still have a password in it.
        hide(checker, section);
        checker.error_help(
            "bad_database",
            text.span,
            "`database` is neither \"sqlite\" nor the address of a PostgreSQL database",
            Some("write \"postgres://USER@HOST/DATABASE\", for example \"postgres://ironmaster@localhost/ironmaster\"".to_owned()),
        );
        return DatabaseSettings::Sqlite;
    };
    if has_password(rest) {
        hide(checker, section);
        checker.error_help(
            "password_in_address",
            text.span,
            "the address in `database` has a password in it",
            Some(
                "take it out, and give it by `database_password_file` or `database_password_env`".to_owned(),
            ),
        );
    }
    DatabaseSettings::Postgres {
        url: text.value,
        password,
    }
}

/// Keeps the address out of what is shown.
fn hide(checker: &mut Checker<'_>, section: &Section<'_>) {
    if let Some(node) = section.get("database") {
        checker.secret(node);
    }
}

/// Whether an address (what follows `postgres://`) tells a password.
fn has_password(rest: &str) -> bool {
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let user = address.rsplit_once('@').map_or("", |(user, _)| user);
    user.contains(':') || query.split('&').any(|pair| pair.starts_with("password="))
}

fn unused(checker: &mut Checker<'_>, section: &Section<'_>) {
    for key in PASSWORD_KEYS {
        if let Some(span) = section.key_span(key) {
            checker.warning(
                "unused_password",
                span,
                format!("`{key}` is not used: the database is SQLite"),
                "set `database` to the address of a PostgreSQL database, or take the key out",
            );
        }
    }
}

fn password(checker: &mut Checker<'_>, section: &Section<'_>) -> Option<Password> {
    if let (Some(span), Some(other)) = (
        section.key_span(PASSWORD_KEYS[1]),
        section.key_span(PASSWORD_KEYS[0]),
    ) {
        checker.error_related(
            "conflict",
            span,
            format!("{} has two passwords for the database", section.what),
            (other, "first given here"),
            Some("keep one of them".to_owned()),
        );
        return None;
    }
    let password = if let Some(path) = checker.text(section, PASSWORD_KEYS[0]) {
        if path.value.is_empty() {
            checker.error("bad_path", path.span, format!("`{}` is empty", PASSWORD_KEYS[0]));
            return None;
        }
        from_file(checker, &path)?
    } else {
        let name = checker.text(section, PASSWORD_KEYS[1])?;
        let Ok(password) = std::env::var(&name.value) else {
            checker.error(
                "password_env",
                name.span,
                format!("the environment variable `{}` is not set", name.value),
            );
            return None;
        };
        password
    };
    Some(Password(password))
}

fn from_file(checker: &mut Checker<'_>, path: &Text) -> Option<String> {
    let full = checker.base_dir.join(&path.value);
    match token::read_bounded(&full) {
        Ok(text) => {
            if token::readable_by_all(&full) {
                checker.warning(
                    "password_readable",
                    path.span,
                    format!(
                        "everybody on this machine can read the password file `{}`",
                        path.value
                    ),
                    &format!("chmod 600 {}", full.display()),
                );
            }
            Some(text.trim_end().to_owned())
        }
        Err(error) => {
            checker.error_help(
                "password_file",
                path.span,
                format!("cannot read the password file `{}`: {error}", path.value),
                Some("the path is relative to the directory of the configuration file".to_owned()),
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_addresses_are_noticed() {
        for (rest, expected) in [
            ("ci@localhost/builds", false),
            ("ci@localhost:5433/builds", false),
            ("/builds?host=/run/postgresql", false),
            ("ci:secret@localhost/builds", true),
            ("ci:@localhost", true),
            ("ci:se@cret@localhost/builds", true),
            ("localhost/builds?user=ci&password=secret", true),
        ] {
            assert_eq!(has_password(rest), expected, "{rest}");
        }
    }
}
