//! The reference of all keys, as Markdown.

use std::fmt::Write;

use ironmaster_model::{Catalogue, KindSpec, StepFlags};

use crate::keys::{self, SectionKeys, field_words};

/// Where the generated part of a page begins.
pub const BEGIN: &str = "<!-- generated from the code: begin -->";
/// Where it ends.
pub const END: &str = "<!-- generated from the code: end -->";

/// The page with its generated part replaced; none if it has no such part.
pub fn replaced(page: &str, generated: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", generated.trim()))
}

/// The reference of every section and key, with the kinds of the catalogue.
pub fn markdown(catalogue: &Catalogue) -> String {
    let mut out = String::new();
    for keys in [
        &keys::MASTER,
        &keys::CHANGE_HOOK,
        &keys::LIMITS,
        &keys::WORKER,
        &keys::BUILDER,
        &keys::STEP,
    ] {
        section(&mut out, 3, keys);
    }
    for spec in &catalogue.steps {
        kind(&mut out, "step", spec);
        flags(&mut out, spec.flags);
    }
    section(&mut out, 3, &keys::SCHEDULER);
    section(&mut out, 4, &keys::SCHEDULER_CHANGES);
    section(&mut out, 4, &keys::SCHEDULER_PERIODIC);
    section(&mut out, 4, &keys::SCHEDULER_FORCE);
    section(&mut out, 4, &keys::FIELD);
    section(&mut out, 3, &keys::CHANGE_SOURCE);
    for spec in &catalogue.change_sources {
        kind(&mut out, "change source", spec);
    }
    out
}

fn section(out: &mut String, level: usize, section: &SectionKeys) {
    let marks = "#".repeat(level);
    let _ = write!(out, "{marks} `{}`\n\n{}\n\n", section.header, section.doc);
    table_head(out);
    for key in section.keys {
        row(
            out,
            key.name,
            &key.ty.words(),
            key.required,
            &code_unless_prose(key.default),
            key.doc,
            key.example,
        );
    }
    out.push('\n');
}

fn kind(out: &mut String, what: &str, spec: &KindSpec) {
    let _ = write!(out, "#### {what} `{}`\n\n{}\n\n", spec.name, spec.doc);
    table_head(out);
    for field in &spec.fields {
        let default = field
            .default
            .map_or_else(|| "none".to_owned(), |default| format!("`{default}`"));
        row(
            out,
            field.name,
            &field_words(&field.kind),
            field.required,
            &default,
            field.doc,
            field.example,
        );
    }
    out.push('\n');
}

fn flags(out: &mut String, flags: StepFlags) {
    let set: Vec<_> = [
        ("halt_on_failure", flags.halt_on_failure),
        ("flunk_on_failure", flags.flunk_on_failure),
        ("flunk_on_warnings", flags.flunk_on_warnings),
        ("warn_on_failure", flags.warn_on_failure),
        ("warn_on_warnings", flags.warn_on_warnings),
        ("always_run", flags.always_run),
    ]
    .into_iter()
    .filter(|(_, set)| *set)
    .map(|(name, _)| format!("`{name}`"))
    .collect();
    let set = if set.is_empty() {
        "none".to_owned()
    } else {
        set.join(", ")
    };
    let _ = write!(out, "Flags that are true unless you say otherwise: {set}.\n\n");
}

fn table_head(out: &mut String) {
    out.push_str("| key | value | default | meaning | example |\n|---|---|---|---|---|\n");
}

fn row(out: &mut String, name: &str, kind: &str, required: bool, default: &str, doc: &str, example: &str) {
    let default = if required { "**required**" } else { default };
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let _ = writeln!(
        out,
        "| `{name}` | {} | {} | {} | `{}` |",
        cell(kind),
        cell(default),
        cell(doc),
        cell(example)
    );
}

/// A default that is TOML is set as code, one in words as it is.
fn code_unless_prose(default: &str) -> String {
    let toml = format!("x = {default}");
    if toml::de::DeTable::parse(&toml).is_ok() {
        format!("`{default}`")
    } else {
        default.to_owned()
    }
}
