//! The keys of a try scheduler, and `[[scheduler.user]]`.

use std::collections::BTreeMap;

use ironmaster_model::{PbSecret, TryDef};

use crate::{
    checker::{Checker, Section, Span},
    keys, token,
};

/// Reads one; `jobdirs` are the directories of those before it.
pub(super) fn tries(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    title: &str,
    jobdirs: &mut BTreeMap<std::path::PathBuf, Span>,
) -> TryDef {
    let jobdir = checker.text(section, "jobdir").and_then(|text| {
        if text.value.is_empty() {
            checker.error("bad_path", text.span, "`jobdir` is empty");
            return None;
        }
        let path = checker.base_dir.join(&text.value);
        if let Some(first) = jobdirs.insert(path.clone(), text.span) {
            checker.error_related(
                "conflict",
                text.span,
                "two schedulers cannot take their jobs from one directory".to_owned(),
                (first, "first given here"),
                Some("give each a directory of its own".to_owned()),
            );
        }
        Some(path)
    });
    let (users, pb_users) = users(checker, section, title);
    TryDef {
        jobdir,
        users,
        pb_users,
    }
}

/// Users with what is kept of their passwords: one for HTTP, one for Perspective Broker.
fn users(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    title: &str,
) -> (BTreeMap<String, String>, BTreeMap<String, PbSecret>) {
    let (mut users, mut pb_users) = (BTreeMap::new(), BTreeMap::new());
    let mut places: BTreeMap<String, Span> = BTreeMap::new();
    for mut section in checker.sections(section.get("user"), "a user", &keys::TRY_USER) {
        let name = checker.text(&section, "name");
        match &name {
            Some(name) => {
                section.what = format!("user `{}`", name.value);
                // HTTP's Basic authentication puts one between name and password.
                if name.value.is_empty() || name.value.contains(':') {
                    checker.error(
                        "bad_name",
                        name.span,
                        "a user's name is not empty and has no colon",
                    );
                }
            }
            None if !section.has("name") => checker.missing(&section, "name", "write `name = \"ann\"`"),
            None => {}
        }
        checker.unknown_keys(&section, &[]);
        let called = name.as_ref().map_or("", |name| name.value.as_str());
        let owner = format!("user {called} of scheduler {title}");
        let password = token::read(checker, &section, &token::PASSWORD, &owner, true);
        let Some(name) = name else { continue };
        if let Some(first) = places.insert(name.value.clone(), name.span) {
            checker.duplicate("user", &name, first);
            continue;
        }
        let password = password.unwrap_or_default();
        users.insert(name.value.clone(), password.sha256);
        pb_users.insert(name.value, password.pb);
    }
    (users, pb_users)
}
