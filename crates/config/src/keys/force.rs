//! Keys of the scheduler type `force`, and `[[scheduler.field]]`.

use super::{
    SectionKeys, Type, optional, required,
    scheduler::{BRANCH, CODEBASE, PROJECT, REPOSITORY},
};

/// Keys of the scheduler type `force`.
pub static SCHEDULER_FORCE: SectionKeys = SectionKeys {
    header: "type = \"force\"",
    doc: "Triggered by a person who presses its button and fills in its form.",
    keys: &[
        optional(
            "button",
            Type::Text,
            "the name",
            "Text on the button.",
            "\"Build now\"",
        ),
        optional(
            "label",
            Type::Text,
            "the name",
            "Heading of the form.",
            "\"Build a branch\"",
        ),
        optional(
            "reason",
            Type::Text,
            "\"force build\"",
            "What the field `reason` holds at first.",
            "\"try again\"",
        ),
        optional(
            "reason_required",
            Type::Bool,
            "false",
            "Whether a reason must be given.",
            "true",
        ),
        BRANCH,
        REPOSITORY,
        PROJECT,
        CODEBASE,
        optional(
            "patch",
            Type::Bool,
            "false",
            "Whether the form takes a patch, which the step `git` applies.",
            "true",
        ),
        optional(
            "field",
            Type::Sections(&FIELD),
            "none",
            "Further fields of the form: see `[[scheduler.field]]`.",
            "[{ name = \"target\", type = \"string\" }]",
        ),
    ],
};

/// `[[scheduler.field]]`.
pub static FIELD: SectionKeys = SectionKeys {
    header: "[[scheduler.field]]",
    doc: "One more field in the form of the force scheduler above it. Its value becomes a property (source `Force Build Form`).",
    keys: &[
        required("name", Type::Identifier, "Name of the property.", "\"target\""),
        required(
            "type",
            Type::Choice(&[
                "string", "text", "int", "bool", "choice", "username", "file", "fixed", "group",
            ]),
            "One line, several lines, a whole number, yes or no, one of several, somebody's name, the text of a file, what cannot be changed, further fields.",
            "\"choice\"",
        ),
        optional("label", Type::Text, "the name", "Shown to people.", "\"Target\""),
        optional(
            "default",
            Type::AsField,
            "\"\", 0 or what is nearest to it, false, the first choice, none of several",
            "Value where none is given.",
            "\"all\"",
        ),
        optional(
            "required",
            Type::Bool,
            "false",
            "Whether blank is refused.",
            "true",
        ),
        optional(
            "regex",
            Type::Regex,
            "none",
            "What text must match as a whole. Only for `string`, `text` and `username`.",
            "'[a-z]+'",
        ),
        optional(
            "tooltip",
            Type::Text,
            "\"\"",
            "Shown on hovering.",
            "\"What make is told to make.\"",
        ),
        optional(
            "choices",
            Type::Texts,
            "none",
            "The choices. Only for `choice`, which needs them.",
            "[\"all\", \"docs\"]",
        ),
        optional(
            "strict",
            Type::Bool,
            "true",
            "Whether anything but the choices is refused. Only for `choice`.",
            "false",
        ),
        optional(
            "multiple",
            Type::Bool,
            "false",
            "Whether several can be chosen; the value is a list then. Only for `choice`.",
            "true",
        ),
        optional(
            "min",
            Type::Integer(i64::MIN, i64::MAX, ""),
            "none",
            "The smallest number that is accepted. Only for `int`.",
            "1",
        ),
        optional(
            "max",
            Type::Integer(i64::MIN, i64::MAX, ""),
            "none",
            "The largest number that is accepted. Only for `int`.",
            "64",
        ),
        optional(
            "need_email",
            Type::Bool,
            "true",
            "Whether it must look like `Name <name@example.org>`. Only for `username`.",
            "false",
        ),
        optional(
            "max_size",
            Type::Size("1B", "48KiB"),
            "48KiB",
            "The largest file that is accepted. Only for `file`.",
            "\"8KiB\"",
        ),
        optional(
            "hide",
            Type::Bool,
            "false",
            "Whether pages leave the field out. It can be set all the same.",
            "true",
        ),
        optional(
            "fields",
            Type::Fields,
            "none",
            "The fields of the group. Only for `group`, which needs them. The property is an object, and the full name of a field in it is `group_field`.",
            "[{ name = \"jobs\", type = \"int\" }]",
        ),
        optional(
            "layout",
            Type::Choice(&["vertical", "simple", "tabs"]),
            "\"vertical\"",
            "How the group is shown. Only for `group`.",
            "\"simple\"",
        ),
        optional(
            "columns",
            Type::Integer(1, 6, "columns"),
            "1",
            "In how many columns the group is shown. Only for `group`.",
            "2",
        ),
    ],
};
