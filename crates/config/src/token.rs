//! Tokens and passwords: given in the configuration, in a file or in the environment; only their digests go further.

use std::{fs, io::Read, path::Path};

use ironmaster_model::PbSecret;
use md5::Md5;
use sha2::{Digest, Sha256};

use crate::checker::{Checker, Section, Span, Text};

/// What a secret is called, and the keys that it is given with.
pub(crate) struct Words {
    noun: &'static str,
    /// The secret itself, a file, a variable of the environment.
    keys: [&'static str; 3],
}

/// A machine's.
pub(crate) const TOKEN: Words = Words {
    noun: "token",
    keys: ["token", "token_file", "token_env"],
};
/// A person's.
pub(crate) const PASSWORD: Words = Words {
    noun: "password",
    keys: ["password", "password_file", "password_env"],
};

/// Largest token, in bytes.
const TOKEN_BYTES_MAX: usize = 256;
/// A shorter token can be guessed.
const TOKEN_BYTES_STRONG: usize = 16;

/// What is kept of a secret.
#[derive(Debug, Default)]
pub(crate) struct Token {
    /// As hex.
    pub(crate) sha256: String,
    pub(crate) pb: PbSecret,
}

/// Reads the secret of a section; `owner` names it in the configuration's identity.
pub(crate) fn read(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    words: &Words,
    owner: &str,
    required: bool,
) -> Option<Token> {
    let (noun, [itself, file, env]) = (words.noun, words.keys);
    let given: Vec<&str> = words.keys.into_iter().filter(|key| section.has(key)).collect();
    // Whatever is wrong with it: it is not shown.
    if let Some(value) = section.get(itself) {
        checker.secret(value);
    }
    let key = match given.as_slice() {
        [] => {
            if required {
                checker.missing(
                    section,
                    itself,
                    format!(
                        "give it a `{itself}`, a `{file}` or a `{env}`; \
                         `openssl rand -hex 24` makes a good {noun}"
                    ),
                );
            }
            return None;
        }
        [key] => *key,
        [first, second, ..] => {
            let span = section.key_span(second).unwrap_or_default();
            let other = section.key_span(first).unwrap_or_default();
            checker.error_related(
                "conflict",
                span,
                format!("{} has both `{first}` and `{second}`", section.what),
                (other, "first given here"),
                Some("keep one of them".to_owned()),
            );
            return None;
        }
    };
    let text = checker.text(section, key)?;
    let token = match key {
        key if key == itself => text.value.clone(),
        key if key == file => from_file(checker, &text, words)?,
        _ => from_env(checker, &text, words)?,
    };
    check(checker, &token, noun, key, text.span)?;
    let sha256 = hex::encode(Sha256::digest(token.as_bytes()));
    checker.tokens.insert(owner.to_owned(), sha256.clone());
    let pb = PbSecret(Md5::digest(token.as_bytes()).into());
    Some(Token { sha256, pb })
}

fn from_file(checker: &mut Checker<'_>, path: &Text, words: &Words) -> Option<String> {
    let (noun, [_, key, _]) = (words.noun, words.keys);
    let full = checker.base_dir.join(&path.value);
    match read_bounded(&full) {
        Ok(text) => {
            if readable_by_all(&full) {
                checker.warning(
                    "token_readable",
                    path.span,
                    format!(
                        "everybody on this machine can read the {noun} file `{}`",
                        path.value
                    ),
                    &format!("chmod 600 {}", full.display()),
                );
            }
            Some(text.trim_end().to_owned())
        }
        Err(error) => {
            checker.error_help(
                key,
                path.span,
                format!("cannot read the {noun} file `{}`: {error}", path.value),
                Some("the path is relative to the directory of the configuration file".to_owned()),
            );
            None
        }
    }
}

/// Reads a little more than a token can have, so that a mistaken path to something huge does no harm.
pub(crate) fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?
        .take(TOKEN_BYTES_MAX as u64 + 64)
        .read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(unix)]
pub(crate) fn readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
pub(crate) fn readable_by_all(_path: &Path) -> bool {
    false
}

fn from_env(checker: &mut Checker<'_>, name: &Text, words: &Words) -> Option<String> {
    let [_, _, key] = words.keys;
    match std::env::var(&name.value) {
        Ok(token) => Some(token),
        Err(error) => {
            let what = match error {
                std::env::VarError::NotPresent => "is not set",
                std::env::VarError::NotUnicode(_) => "is not text",
            };
            checker.error(
                key,
                name.span,
                format!("the environment variable `{}` {what}", name.value),
            );
            None
        }
    }
}

fn check(checker: &mut Checker<'_>, token: &str, noun: &str, key: &str, span: Span) -> Option<()> {
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
        checker.error(
            "bad_token",
            span,
            format!(
                "the {noun} from `{key}` has {} bytes; allowed are 1 to {TOKEN_BYTES_MAX}",
                if token.is_empty() {
                    "no".to_owned()
                } else {
                    "too many".to_owned()
                }
            ),
        );
        return None;
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        checker.error(
            "bad_token",
            span,
            format!("the {noun} from `{key}` holds something else than visible ASCII characters"),
        );
        return None;
    }
    if token.len() < TOKEN_BYTES_STRONG {
        checker.warning(
            "weak_token",
            span,
            format!("the {noun} from `{key}` is short"),
            &format!(
                "take {TOKEN_BYTES_STRONG} characters or more; `openssl rand -hex 24` makes a good {noun}"
            ),
        );
    }
    Some(())
}
