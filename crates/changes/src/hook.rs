//! The generic change hook, `/change_hook/base`: form fields in, a change out. The fields are those of
//! Buildbot's hook of that name, so that what calls it today can go on.

use base64::{Engine, engine::general_purpose::STANDARD};
use ironmaster_engine::NewChange;
use ironmaster_model::{Properties, Timestamp};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The most files of one change.
pub const FILES_MAX: usize = 100_000;

/// Why a form is not a change. The text is for whoever sent it (status 400).
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Nobody is said to have made the change.
    #[error("the field `author` (or `who`) is missing")]
    NoAuthor,
    /// A field that holds JSON does not.
    #[error("the field `{field}` must be {wanted} as JSON: {reason}")]
    Json {
        /// Name of the field.
        field: &'static str,
        /// What it should hold.
        wanted: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The time is not a number that can be kept.
    #[error("the field `{field}` must be seconds since 1970 as a number, not `{value}`")]
    Time {
        /// Name of the field.
        field: &'static str,
        /// Its value, shortened.
        value: String,
    },
    /// Properties are too large or too many.
    #[error("the field `properties` is refused: {0}")]
    Properties(#[from] ironmaster_model::properties::PropertyError),
    /// A text holds a character that cannot be kept.
    #[error("the field `{field}` holds a NUL character")]
    Nul {
        /// Name of the field.
        field: &'static str,
    },
}

/// Reads the fields of `/change_hook/base` (query and body together, in that order; of several values for one
/// name the first counts). It is always one change.
///
/// `author` (or `who`) must be there. Without `comments`, `repository`, `project` or `codebase` they are empty;
/// an empty `committer`, `revision`, `branch`, `category`, `revlink`, `when_timestamp`, `files` or `properties`
/// counts as none. Other fields are ignored.
pub fn parse_base(form: &[(String, String)]) -> Result<NewChange, HookError> {
    let form = Form(form);
    let author = match form.filled("author")? {
        Some(author) => author,
        None => form.filled("who")?.ok_or(HookError::NoAuthor)?,
    };
    let when = match form.filled("when_timestamp")? {
        Some(text) => Some(time("when_timestamp", &text)?),
        None => form.filled("when")?.map(|text| time("when", &text)).transpose()?,
    };
    Ok(NewChange {
        author,
        committer: form.filled("committer")?,
        comments: form.text("comments")?,
        files: form
            .filled("files")?
            .map_or_else(|| Ok(Vec::new()), |text| files(&text))?,
        revision: form.filled("revision")?,
        branch: form.filled("branch")?,
        category: form.filled("category")?,
        revlink: form.filled("revlink")?,
        repository: form.text("repository")?,
        project: form.text("project")?,
        codebase: form.text("codebase")?,
        when,
        properties: form
            .filled("properties")?
            .map_or_else(|| Ok(Properties::new()), |text| properties(&text))?,
        ..NewChange::default()
    })
}

/// Whether the header `Authorization` of a request holds the hook's token: as `Bearer TOKEN`, or as the password
/// of `Basic`, whoever the user is. `token_sha256` is the token's SHA-256 in hexadecimal.
pub fn authorized(authorization: Option<&str>, token_sha256: &str) -> bool {
    let Some((scheme, credentials)) = authorization.and_then(|header| header.trim().split_once(' ')) else {
        return false;
    };
    let token = if scheme.eq_ignore_ascii_case("bearer") {
        credentials.trim().as_bytes().to_vec()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let Ok(pair) = STANDARD.decode(credentials.trim()) else {
            return false;
        };
        match pair.iter().position(|byte| *byte == b':') {
            Some(colon) => pair[colon + 1..].to_vec(),
            None => return false,
        }
    } else {
        return false;
    };
    let given = hex::encode(Sha256::digest(token));
    given.as_bytes().ct_eq(token_sha256.as_bytes()).into()
}

struct Form<'f>(&'f [(String, String)]);

impl Form<'_> {
    /// The first value of a field; empty if there is none.
    fn text(&self, field: &'static str) -> Result<String, HookError> {
        let value = self.0.iter().find(|(name, _)| name == field);
        let value = value.map_or("", |(_, value)| value);
        if value.contains('\0') {
            return Err(HookError::Nul { field });
        }
        Ok(value.to_owned())
    }

    /// The same where empty is none.
    fn filled(&self, field: &'static str) -> Result<Option<String>, HookError> {
        Ok(Some(self.text(field)?).filter(|value| !value.is_empty()))
    }
}

/// Seconds since 1970, whole or not, to a moment.
fn time(field: &'static str, text: &str) -> Result<Timestamp, HookError> {
    // Up to the year 9999: beyond it other programs cannot show it.
    const SECONDS_MAX: f64 = 253_402_300_799.0;
    match text.trim().parse::<f64>() {
        Ok(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => {
            Ok(Timestamp((seconds * 1e6).round() as i64))
        }
        _ => Err(HookError::Time {
            field,
            value: text.chars().take(40).collect(),
        }),
    }
}

fn files(text: &str) -> Result<Vec<String>, HookError> {
    let wrong = |reason: String| HookError::Json {
        field: "files",
        wanted: "a list of texts",
        reason,
    };
    let files: Vec<String> = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    if files.len() > FILES_MAX {
        return Err(wrong(format!("{} files are more than {FILES_MAX}", files.len())));
    }
    Ok(files)
}

fn properties(text: &str) -> Result<Properties, HookError> {
    let map: Map<String, Value> = serde_json::from_str(text).map_err(|error| HookError::Json {
        field: "properties",
        wanted: "an object",
        reason: error.to_string(),
    })?;
    let mut properties = Properties::new();
    for (name, value) in map {
        properties.set(name, value, "Change");
    }
    properties.validate()?;
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn form(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn all_fields_are_read() {
        let change = parse_base(&form(&[
            ("author", "Ann <ann@example.org>"),
            ("who", "not this one"),
            ("author", "nor this"),
            ("committer", "Bob"),
            ("comments", "fix it\n\nreally"),
            ("revision", "abc"),
            ("branch", "main"),
            ("category", "push"),
            ("revlink", "https://example.org/abc"),
            ("repository", "https://example.org/r.git"),
            ("project", "p"),
            ("codebase", "c"),
            ("when_timestamp", "1700000000.25"),
            ("when", "1"),
            ("files", r#"["a.c","dir/b ü.c"]"#),
            ("properties", r#"{"a":[1,null],"b":"x"}"#),
            ("unknown", "ignored"),
        ]))
        .unwrap();
        let mut properties = Properties::new();
        properties.set("a", json!([1, null]), "Change");
        properties.set("b", "x", "Change");
        assert_eq!(
            change,
            NewChange {
                author: "Ann <ann@example.org>".into(),
                committer: Some("Bob".into()),
                comments: "fix it\n\nreally".into(),
                files: vec!["a.c".into(), "dir/b ü.c".into()],
                revision: Some("abc".into()),
                branch: Some("main".into()),
                category: Some("push".into()),
                revlink: Some("https://example.org/abc".into()),
                repository: "https://example.org/r.git".into(),
                project: "p".into(),
                codebase: "c".into(),
                when: Some(Timestamp(1_700_000_000_250_000)),
                properties,
                ..NewChange::default()
            }
        );
    }

    #[test]
    fn almost_nothing_is_enough() {
        for (fields, when) in [
            (vec![("who", "ann")], None),
            (
                vec![
                    ("author", ""),
                    ("who", "ann"),
                    ("branch", ""),
                    ("files", ""),
                    ("when", ""),
                ],
                None,
            ),
            (
                vec![("who", "ann"), ("when", "12")],
                Some(Timestamp::from_secs(12)),
            ),
        ] {
            let change = parse_base(&form(&fields)).unwrap();
            let expected = NewChange {
                author: "ann".into(),
                when,
                ..NewChange::default()
            };
            assert_eq!(change, expected, "{fields:?}");
        }
    }

    #[test]
    fn the_token_is_taken_in_either_form() {
        let token = hex::encode(Sha256::digest("hunter2"));
        for (header, allowed) in [
            (Some("Bearer hunter2"), true),
            (Some("bearer  hunter2 "), true),
            // `change:hunter2` and `:hunter2`.
            (Some("Basic Y2hhbmdlOmh1bnRlcjI="), true),
            (Some("basic Omh1bnRlcjI="), true),
            (Some("Bearer hunter3"), false),
            (Some("Bearer"), false),
            (Some("Bearer "), false),
            // `hunter2` without a user, and what is no base64.
            (Some("Basic aHVudGVyMg=="), false),
            (Some("Basic !"), false),
            (Some("Digest hunter2"), false),
            (Some("hunter2"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(authorized(header, &token), allowed, "{header:?}");
        }
    }

    #[test]
    fn mistakes_are_told_by_field() {
        let deep = format!("{{\"a\":{}}}", "[".repeat(100_000));
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(70_000));
        for (fields, part) in [
            (vec![("comments", "x")], "`author`"),
            (vec![("author", "")], "`author`"),
            (
                vec![("author", "a"), ("files", "a.c")],
                "`files` must be a list of texts",
            ),
            (vec![("author", "a"), ("files", "[1]")], "`files`"),
            (vec![("author", "a"), ("files", "{}")], "`files`"),
            (
                vec![("author", "a"), ("properties", "[]")],
                "`properties` must be an object",
            ),
            (vec![("author", "a"), ("properties", &deep)], "`properties`"),
            (vec![("author", "a"), ("properties", &large)], "70002 bytes"),
            (
                vec![("author", "a"), ("properties", r#"{"":1}"#)],
                "property name",
            ),
            (vec![("author", "a"), ("when", "yesterday")], "not `yesterday`"),
            (vec![("author", "a"), ("when", "-1")], "`when`"),
            (vec![("author", "a"), ("when", "NaN")], "`when`"),
            (vec![("author", "a"), ("when", "inf")], "`when`"),
            (
                vec![("author", "a"), ("when_timestamp", "1e300")],
                "`when_timestamp`",
            ),
            (vec![("author", "a\0b")], "NUL"),
        ] {
            let error = parse_base(&form(&fields)).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
