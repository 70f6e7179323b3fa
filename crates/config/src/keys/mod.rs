//! Every key of the configuration, once. The checker knows names, types and bounds from these tables; the schema and
//! the reference are written from them; and both spellings have their words from them. The fields of steps and change
//! sources come from the catalogue instead.

mod builder;
mod change_source;
mod force;
mod in_repository;
mod lock;
mod pipeline;
mod project;
mod scheduler;
mod settings;
mod tries;
mod types;
mod worker;

pub use builder::{BUILDER, STEP};
pub use change_source::CHANGE_SOURCE;
pub use force::{FIELD, SCHEDULER_FORCE};
pub use in_repository::{IN_REPOSITORY, REPOSITORY_JOB};
pub use lock::LOCK;
pub use pipeline::{APPROVAL, CONCURRENCY, JOB, PIPELINE, RETRY, WHEN};
pub use project::{CODEBASE, PROJECT};
pub use scheduler::{
    FILTER, SCHEDULER, SCHEDULER_CHANGES, SCHEDULER_DEPENDENT, SCHEDULER_NIGHTLY, SCHEDULER_PERIODIC,
    SCHEDULER_TRIGGERABLE,
};
pub use settings::{CHANGE_HOOK, LIMITS, MASTER, PB, SENDCHANGE};
pub use tries::{SCHEDULER_TRY, TRY_USER};
pub use types::Type;
pub(crate) use types::{field_unit, field_words};
pub use worker::WORKER;

/// A key of a section.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What values it takes.
    pub ty: Type,
    /// Whether it must be there.
    pub required: bool,
    /// What holds where it is left out, in words or as TOML.
    pub default: &'static str,
    /// What it is for, with units.
    pub doc: &'static str,
    /// A value as TOML.
    pub example: &'static str,
}

/// A section, which is a TOML table or one of an array of them, and a call in Starlark.
#[derive(Clone, Copy, Debug)]
pub struct SectionKeys {
    /// As it is written: `[master]`, `[[worker]]`.
    pub header: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

impl SectionKeys {
    /// Its name without brackets: `master`, `builder.step`.
    pub fn name(&self) -> &'static str {
        self.header.trim_matches(['[', ']'])
    }

    /// Whether there can be several.
    pub fn repeats(&self) -> bool {
        self.header.starts_with("[[")
    }

    /// A key of it.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// The sections that stand at the top of a file, in the order of the reference.
pub static TOP: &[&SectionKeys] = &[
    &MASTER,
    &CHANGE_HOOK,
    &PB,
    &SENDCHANGE,
    &LIMITS,
    &PROJECT,
    &CODEBASE,
    &WORKER,
    &LOCK,
    &BUILDER,
    &PIPELINE,
    &SCHEDULER,
    &CHANGE_SOURCE,
];

/// Which further keys a scheduler has, by its type.
pub static SCHEDULER_TYPES: &[(&str, &[&SectionKeys])] = &[
    ("single_branch", &[&SCHEDULER_CHANGES, &FILTER]),
    ("any_branch", &[&SCHEDULER_CHANGES, &FILTER]),
    ("dependent", &[&SCHEDULER_DEPENDENT]),
    ("periodic", &[&SCHEDULER_PERIODIC, &FILTER]),
    ("nightly", &[&SCHEDULER_NIGHTLY, &FILTER]),
    ("triggerable", &[&SCHEDULER_TRIGGERABLE]),
    ("nightly_triggerable", &[&SCHEDULER_NIGHTLY, &FILTER]),
    ("force", &[&SCHEDULER_FORCE]),
    ("try", &[&SCHEDULER_TRY]),
];

const fn required(name: &'static str, ty: Type, doc: &'static str, example: &'static str) -> Key {
    Key {
        name,
        ty,
        required: true,
        default: "",
        doc,
        example,
    }
}

const fn optional(
    name: &'static str,
    ty: Type,
    default: &'static str,
    doc: &'static str,
    example: &'static str,
) -> Key {
    Key {
        name,
        ty,
        required: false,
        default,
        doc,
        example,
    }
}

/// What people who know Buildbot, or guess, may write, and what it is called here.
pub(crate) const OTHER_NAMES: &[(&str, &str)] = &[
    ("workernames", "workers"),
    ("workername", "workers"),
    ("factory", "step"),
    ("max_builds", "slots"),
    ("collapse_requests", "collapse"),
    ("tree_stable_timer", "tree_stable"),
    ("onlyifchanged", "only_if_changed"),
    ("onlyimportant", "only_important"),
    ("dayofweek", "day_of_week"),
    ("dayofmonth", "day_of_month"),
    ("timezone", "time_zone"),
    ("branch_not_eq", "branch_not"),
    ("file_is_important", "important_files"),
    ("periodic_build_timer", "interval"),
    ("builder_names", "builders"),
    ("button_name", "button"),
    ("poll_interval", "interval"),
    ("pollinterval", "interval"),
    ("repourl", "repository"),
    ("repo", "repository"),
    ("password", "token"),
    ("port", "listen"),
    ("buildbot_url", "url"),
    ("kind", "type"),
    ("environment", "env"),
    ("default_branch", "branch"),
    ("userpass", "user"),
];

/// All sections, also those inside others.
pub fn all() -> impl Iterator<Item = &'static SectionKeys> {
    let inside = [
        &STEP,
        &SCHEDULER_CHANGES,
        &SCHEDULER_DEPENDENT,
        &FILTER,
        &SCHEDULER_PERIODIC,
        &SCHEDULER_NIGHTLY,
        &SCHEDULER_TRIGGERABLE,
        &SCHEDULER_FORCE,
        &FIELD,
        &SCHEDULER_TRY,
        &TRY_USER,
        &JOB,
        &CONCURRENCY,
        &IN_REPOSITORY,
        &WHEN,
        &APPROVAL,
        &RETRY,
    ];
    TOP.iter().copied().chain(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_names_lead_to_keys_that_exist() {
        for (_, name) in OTHER_NAMES {
            assert!(all().any(|section| section.key(name).is_some()), "{name}");
        }
    }

    #[test]
    fn examples_are_toml() {
        for key in all().flat_map(|section| section.keys) {
            if matches!(key.ty, Type::Function) {
                continue;
            }
            let text = format!("{} = {}", key.name, key.example);
            assert!(toml::de::DeTable::parse(&text).is_ok(), "{text}");
        }
    }

    #[test]
    fn bounds_can_be_read() {
        for key in all().flat_map(|section| section.keys) {
            assert!(key.ty.bounds_are_good(), "{}", key.name);
        }
    }
}
