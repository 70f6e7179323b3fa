//! The reference of all keys, as Markdown.

use std::fmt::Write;

use ironmaster_model::{Catalogue, KindSpec, StepFlags};

use crate::{
    keys::{self, SectionKeys, Type, field_unit, field_words},
    spelling::Spelling,
    toml_form,
};

const HEAD: &str = "\
<!-- Generated from the code. CONTRIBUTING.md says how to regenerate it. -->

# Reference of the configuration

Every section and key, in both spellings. [The guide](configuration.md) says how they work together, and
[`ironmaster.schema.json`](ironmaster.schema.json) is the same for editors.

Each section is headed as TOML writes it, with the call that Starlark has for it. Where the column of defaults says
**required**, the key must be there. The unit is that of a plain number: `30` is thirty seconds where a duration is
wanted, `\"30m\"` is thirty minutes.

";

/// The page.
pub fn markdown(catalogue: &Catalogue) -> String {
    let mut out = HEAD.to_owned();
    for keys in keys::TOP {
        section(&mut out, 2, keys);
        match keys.name() {
            "builder" => {
                section(&mut out, 2, &keys::STEP);
                for spec in &catalogue.steps {
                    kind(&mut out, "step", spec);
                    flags(&mut out, spec.flags);
                }
            }
            "pipeline" => {
                section(&mut out, 3, &keys::CONCURRENCY);
                section(&mut out, 3, &keys::IN_REPOSITORY);
                section(&mut out, 2, &keys::JOB);
                section(&mut out, 3, &keys::WHEN);
                section(&mut out, 3, &keys::APPROVAL);
                section(&mut out, 3, &keys::RETRY);
            }
            "scheduler" => {
                section(&mut out, 3, &keys::SCHEDULER_CHANGES);
                section(&mut out, 3, &keys::FILTER);
                section(&mut out, 3, &keys::SCHEDULER_DEPENDENT);
                section(&mut out, 3, &keys::SCHEDULER_PERIODIC);
                section(&mut out, 3, &keys::SCHEDULER_NIGHTLY);
                section(&mut out, 3, &keys::SCHEDULER_TRIGGERABLE);
                section(&mut out, 3, &keys::SCHEDULER_FORCE);
                section(&mut out, 3, &keys::FIELD);
                section(&mut out, 3, &keys::SCHEDULER_TRY);
                section(&mut out, 3, &keys::TRY_USER);
            }
            "change_source" => {
                for spec in &catalogue.change_sources {
                    kind(&mut out, "change source", spec);
                }
            }
            _ => {}
        }
    }
    format!("{}\n", out.trim_end())
}

fn section(out: &mut String, level: usize, section: &SectionKeys) {
    let marks = "#".repeat(level);
    // Some are titles rather than what a file says.
    let quote = if section.header.contains(['[', '=']) {
        "`"
    } else {
        ""
    };
    let _ = write!(
        out,
        "{marks} {quote}{}{quote}\n\n{}\n\n",
        section.header, section.doc
    );
    if section.header.starts_with('[') {
        let call = section.name().rsplit('.').next().unwrap_or_default();
        let first = section.keys.first().filter(|key| key.required);
        let arguments = first.map_or_else(|| "…".to_owned(), |key| format!("{}, …", example(key.example)));
        let _ = write!(out, "In Starlark: `{call}({arguments})`.");
        for key in section.keys {
            if let Type::Sections(_) = key.ty {
                let _ = write!(out, " The key `{0}` is called `{0}s`.", key.name);
            }
        }
        out.push_str("\n\n");
    } else {
        for key in section.keys {
            if let Type::Sections(_) = key.ty {
                let _ = write!(out, "In Starlark the key `{0}` is called `{0}s`.\n\n", key.name);
            }
        }
    }
    table_head(out);
    for key in section.keys {
        row(
            out,
            key.name,
            &key.ty.words(),
            key.ty.unit(),
            key.required,
            &code_unless_prose(key.default),
            key.doc,
            key.example,
        );
    }
    out.push('\n');
}

fn kind(out: &mut String, what: &str, spec: &KindSpec) {
    let _ = write!(out, "### {what} `{}`\n\n{}\n\n", spec.name, spec.doc);
    if what == "step"
        && let Some(first) = spec.fields.first()
    {
        let _ = write!(
            out,
            "In Starlark: `{}({}, …)`; what has no name is `{}`.\n\n",
            spec.name,
            example(first.example),
            first.name
        );
    }
    table_head(out);
    for field in &spec.fields {
        let default = field
            .default
            .map_or_else(|| "none".to_owned(), |default| format!("`{default}`"));
        row(
            out,
            field.name,
            &field_words(&field.kind),
            field_unit(&field.kind),
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
    out.push_str("| key | value | unit | default | meaning | example |\n|---|---|---|---|---|---|\n");
}

#[expect(clippy::too_many_arguments, reason = "these are the columns of a table")]
fn row(
    out: &mut String,
    name: &str,
    kind: &str,
    unit: &str,
    required: bool,
    default: &str,
    doc: &str,
    toml: &str,
) {
    let default = if required { "**required**" } else { default };
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let starlark = example(toml);
    // The same in both spellings, as a rule.
    let differs = toml_form::value(toml).is_some() && starlark.replace('"', "'") != toml.replace('"', "'");
    let shown = if toml_form::value(toml).is_none() {
        format!("`{}`", cell(toml))
    } else if differs {
        format!("`{}`, in Starlark `{}`", cell(toml), cell(&starlark))
    } else {
        format!("`{}`", cell(toml))
    };
    let _ = writeln!(
        out,
        "| `{name}` | {} | {} | {} | {} | {shown} |",
        cell(kind),
        cell(unit),
        cell(default),
        cell(doc),
    );
}

fn example(toml: &str) -> String {
    Spelling::Starlark.example(toml)
}

/// A default that is TOML is set as code, one in words as it is.
fn code_unless_prose(default: &str) -> String {
    if toml_form::value(default).is_some() {
        format!("`{default}`")
    } else {
        default.to_owned()
    }
}
