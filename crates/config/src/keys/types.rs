//! What values keys take: read by the checker for its bounds, by the schema and by the reference.

use ironmaster_model::{Duration, FieldKind};

use crate::{keys::SectionKeys, suggest, units};

/// What values a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// Any text.
    Text,
    /// Letters, digits, `_`, `.` and `-`.
    Identifier,
    /// A file or directory, relative to the configuration file.
    Path,
    /// The base URL of a web site.
    Url,
    /// An IP address with a port.
    Address,
    /// A name that a directory can have everywhere.
    DirectoryName,
    /// A regular expression.
    Regex,
    /// true or false.
    Bool,
    /// A whole number from the first to the second, and what it counts.
    Integer(i64, i64, &'static str),
    /// A length of time from the first to the second.
    Duration(&'static str, &'static str),
    /// A number of bytes from the first to the second.
    Size(&'static str, &'static str),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// One text or a list of texts.
    TextOrTexts,
    /// Names with any values.
    Table,
    /// Names with text, or false.
    Env,
    /// A list of tables with any values.
    Tables,
    /// One section inside this one.
    Inline(&'static SectionKeys),
    /// Sections inside this one.
    Sections(&'static SectionKeys),
    /// Fields of a form inside one.
    Fields,
    /// A kind of step.
    StepKind,
    /// A kind of change source.
    ChangeSourceKind,
    /// What the type of a form's field says.
    AsField,
    /// Times that come again: five fields of cron.
    Cron,
    /// One field of such times.
    CronField,
    /// A function; only in Starlark. The example is Starlark, too.
    Function,
    /// Something, or a function in its place; that only in Starlark.
    OrFunction(&'static Type),
}

impl Type {
    /// For people, with bounds and units.
    pub fn words(&self) -> String {
        match self {
            Type::Text => "text".to_owned(),
            Type::Identifier => "identifier".to_owned(),
            Type::Path => "path".to_owned(),
            Type::Url => "URL".to_owned(),
            Type::Address => "address and port".to_owned(),
            Type::DirectoryName => "directory name".to_owned(),
            Type::Regex => "regular expression".to_owned(),
            Type::Bool => "true or false".to_owned(),
            Type::Integer(min, max, _) => format!("whole number, {min} to {max}"),
            Type::Duration(min, max) => format!("duration, {min} to {max}"),
            Type::Size(min, max) => format!("size, {min} to {max}"),
            Type::Choice(words) => {
                let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
                suggest::or(&quoted)
            }
            Type::Texts => "list of texts".to_owned(),
            Type::TextOrTexts => "text or list of texts".to_owned(),
            Type::Table => "table of name to value".to_owned(),
            Type::Env => "table of name to text or false".to_owned(),
            Type::Sections(_) | Type::Fields | Type::Tables => "array of tables".to_owned(),
            Type::Inline(_) => "table".to_owned(),
            Type::StepKind => "kind of step".to_owned(),
            Type::ChangeSourceKind => "kind of change source".to_owned(),
            Type::AsField => "as the type has it".to_owned(),
            Type::Cron => "cron expression".to_owned(),
            Type::CronField => "whole number, a list of them, or text as cron has it".to_owned(),
            Type::Function => "function (only in Starlark)".to_owned(),
            Type::OrFunction(ty) => format!("{}; or a function (only in Starlark)", ty.words()),
        }
    }

    /// In what a plain number counts; empty where there is no such thing.
    pub fn unit(&self) -> &'static str {
        match self {
            Type::Duration(..) => "seconds, or with a unit",
            Type::Size(..) => "bytes, or with a unit",
            Type::Integer(_, _, unit) => unit,
            Type::OrFunction(ty) => ty.unit(),
            _ => "",
        }
    }

    /// Bounds of a whole number.
    pub(crate) fn integers(&self) -> (i64, i64) {
        match self {
            Type::Integer(min, max, _) => (*min, *max),
            Type::OrFunction(ty) => ty.integers(),
            _ => (i64::MIN, i64::MAX),
        }
    }

    /// Bounds of a duration.
    pub(crate) fn durations(&self) -> (Duration, Duration) {
        match self {
            Type::Duration(min, max) => (
                units::duration(min).unwrap_or(Duration::ZERO),
                units::duration(max).unwrap_or(Duration(i64::MAX)),
            ),
            _ => (Duration::ZERO, Duration(i64::MAX)),
        }
    }

    /// Bounds of a size, in bytes.
    pub(crate) fn sizes(&self) -> (u64, u64) {
        match self {
            Type::Size(min, max) => (
                units::size(min).unwrap_or(0),
                units::size(max).unwrap_or(u64::MAX),
            ),
            _ => (0, u64::MAX),
        }
    }

    #[cfg(test)]
    pub(crate) fn bounds_are_good(&self) -> bool {
        match self {
            Type::Duration(min, max) => units::duration(min).is_ok() && units::duration(max).is_ok(),
            Type::Size(min, max) => units::size(min).is_ok() && units::size(max).is_ok(),
            Type::Integer(min, max, _) => min < max,
            _ => true,
        }
    }
}

/// What values a field of a kind takes, for people.
pub(crate) fn field_words(kind: &FieldKind) -> String {
    match kind {
        FieldKind::String => "text".to_owned(),
        FieldKind::Bool => "true or false".to_owned(),
        FieldKind::Integer { min, max, .. } => format!("whole number, {min} to {max}"),
        FieldKind::Duration => "duration".to_owned(),
        FieldKind::StringList => "list of texts".to_owned(),
        FieldKind::Triggerables => "list of names of schedulers".to_owned(),
        FieldKind::Command => "text (for the shell) or list of texts".to_owned(),
        FieldKind::Env => "table of name to text or false".to_owned(),
        FieldKind::LogFiles => "table of log to path, or to { path, follow }".to_owned(),
        FieldKind::Choice(words) => {
            let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
            suggest::or(&quoted)
        }
        FieldKind::Table => "table of name to value".to_owned(),
    }
}

/// In what such a field counts.
pub(crate) fn field_unit(kind: &FieldKind) -> &'static str {
    match kind {
        FieldKind::Duration => "seconds, or with a unit",
        FieldKind::Integer { unit, .. } => unit,
        _ => "",
    }
}
