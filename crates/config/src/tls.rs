//! The keys `certificate` and `key` of a listener.

use std::{fs::File, path::PathBuf};

use crate::{
    checker::{Checker, Section},
    settings::TlsFiles,
    token,
};

const CERTIFICATE: &str = "certificate";
const KEY: &str = "key";

/// Reads both keys; there are both or none.
pub(crate) fn read(checker: &mut Checker<'_>, section: &Section<'_>) -> Option<TlsFiles> {
    let certificate = file(checker, section, CERTIFICATE);
    let key = file(checker, section, KEY);
    for (has, lacks) in [(CERTIFICATE, KEY), (KEY, CERTIFICATE)] {
        if let (Some(span), false) = (section.key_span(has), section.has(lacks)) {
            checker.error_help(
                "conflict",
                span,
                format!("{} has a `{has}`, and no `{lacks}`", section.what),
                Some(
                    "TLS needs both: the certificate is shown to everybody, the key proves that it is ours"
                        .to_owned(),
                ),
            );
        }
    }
    Some(TlsFiles {
        certificate: certificate?,
        key: key?,
    })
}

fn file(checker: &mut Checker<'_>, section: &Section<'_>, key: &'static str) -> Option<PathBuf> {
    let path = checker.text(section, key)?;
    if path.value.is_empty() {
        checker.error("bad_path", path.span, format!("`{key}` is empty"));
        return None;
    }
    let full = checker.base_dir.join(&path.value);
    if let Err(error) = File::open(&full) {
        checker.error_help(
            key,
            path.span,
            format!("cannot read the {key} file `{}`: {error}", path.value),
            Some("the path is relative to the directory of the configuration file".to_owned()),
        );
        return None;
    }
    if key == KEY && token::readable_by_all(&full) {
        checker.warning(
            "key_readable",
            path.span,
            format!("everybody on this machine can read the key file `{}`", path.value),
            &format!("chmod 600 {}", full.display()),
        );
    }
    Some(full)
}
