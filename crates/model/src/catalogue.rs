//! What kinds of things a configuration may name, with their fields. Upper rooms describe their kinds
//! here (`steps` its steps, `changes` its change sources); the program collects them into a [`Catalogue`]
//! and hands it to `config`, which checks values, suggests names and writes the reference from it.

use serde_json::Value;

use crate::StepFlags;

/// The kinds that a configuration may use.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// Kinds of steps (`shell`, `git` …).
    pub steps: Vec<KindSpec>,
    /// Kinds of change sources (`git_poller` …).
    pub change_sources: Vec<KindSpec>,
}

/// One kind of step or change source.
#[derive(Clone, Debug)]
pub struct KindSpec {
    /// The value of `type` in the configuration.
    pub name: &'static str,
    /// One paragraph for the reference.
    pub doc: &'static str,
    /// Its fields, apart from those that every step has.
    pub fields: Vec<FieldSpec>,
    /// Names of the logs that a step of this kind always opens (opened when the step starts). Those of fields of the kind
    /// [`FieldKind::LogFiles`] come behind them.
    pub logs: &'static [&'static str],
    /// Flags of its steps where the configuration does not say otherwise. Of no meaning for a change source.
    pub flags: StepFlags,
    /// Checks that no single field can express; returns (field name, what is wrong).
    pub check: Option<KindCheck>,
}

/// Looks at all fields of one kind together; returns pairs of field name and what is wrong with it.
pub type KindCheck = fn(&serde_json::Map<String, Value>) -> Vec<(String, String)>;

/// One field of a kind.
#[derive(Clone, Debug)]
pub struct FieldSpec {
    /// Its key.
    pub name: &'static str,
    /// What values it takes.
    pub kind: FieldKind,
    /// Whether it must be there.
    pub required: bool,
    /// The default as JSON text for the reference, if there is one.
    pub default: Option<&'static str>,
    /// One sentence: what for, with units.
    pub doc: &'static str,
    /// An example as TOML text (the right-hand side).
    pub example: &'static str,
}

/// What values a field takes. Durations are written `"90s"`, `"20m"`, `"2h"`, or as a number of seconds; the
/// parsed definition holds seconds as a JSON number.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldKind {
    /// Text; may hold `%(prop:name)s`.
    String,
    /// true or false.
    Bool,
    /// A whole number within bounds.
    Integer {
        /// Smallest allowed.
        min: i64,
        /// Largest allowed.
        max: i64,
        /// What it counts (`bytes`); empty for a plain number.
        unit: &'static str,
    },
    /// A length of time.
    Duration,
    /// A list of texts.
    StringList,
    /// A list of names of schedulers of type `triggerable`; a text with `%(` in it is not known before the build.
    Triggerables,
    /// Either one text (run by the shell) or a list of texts (argv).
    Command,
    /// A table of texts; `false` as a value unsets the name.
    Env,
    /// A table of log to file on the worker: the file's path, or `{ path, follow }`, which is what the parsed definition holds. The step
    /// has these logs on top of its kind's.
    LogFiles,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A table of name to any value.
    Table,
}
