//! Keys of `[[scheduler]]` and `[[scheduler.field]]`.

use super::{Key, SectionKeys, Type, optional, required};

/// `[[scheduler]]`: the keys that every type has.
pub static SCHEDULER: SectionKeys = SectionKeys {
    header: "[[scheduler]]",
    doc: "Decides when builders are asked to build. `type` says what sets it off; each type has keys of its own beside these.",
    keys: &[
        required(
            "name",
            Type::Text,
            "Its name. Of a force scheduler: an identifier.",
            "\"on-commit\"",
        ),
        required(
            "type",
            Type::Choice(&[
                "single_branch",
                "any_branch",
                "dependent",
                "periodic",
                "triggerable",
                "force",
            ]),
            "What sets it off.",
            "\"single_branch\"",
        ),
        optional(
            "builders",
            Type::Texts,
            "none",
            "Names of the builders that it asks, or `*` for all. A scheduler has either this or `pipeline`.",
            "[\"zlib on linux\"]",
        ),
        optional(
            "pipeline",
            Type::Text,
            "none",
            "Name of the pipeline that it starts in place of builders.",
            "\"release\"",
        ),
        optional(
            "priority",
            Type::Integer(-1_000_000, 1_000_000, ""),
            "0",
            "Priority of its requests; higher goes first.",
            "10",
        ),
        optional(
            "properties",
            Type::Table,
            "{}",
            "Properties of its builds (source `Scheduler`).",
            "{ nightly = true }",
        ),
    ],
};

/// Keys of the scheduler types `single_branch` and `any_branch`.
pub static SCHEDULER_CHANGES: SectionKeys = SectionKeys {
    header: "type = \"single_branch\" or \"any_branch\"",
    doc: "Set off by changes. `single_branch` collects the changes of all its branches with one timer; `any_branch` has one timer for each branch. Every filter that is given must match.",
    keys: &[
        optional(
            "branch",
            Type::Text,
            "all branches",
            "The branch whose changes it hears; a glob is allowed.",
            "\"main\"",
        ),
        optional(
            "branches",
            Type::Texts,
            "all branches",
            "The same for several branches. Not together with `branch`.",
            "[\"main\", \"release/*\"]",
        ),
        optional(
            "repository",
            Type::TextOrTexts,
            "all",
            "Repositories, exact.",
            "\"https://git.example.org/zlib.git\"",
        ),
        optional(
            "project",
            Type::TextOrTexts,
            "all",
            "Projects, exact.",
            "\"zlib\"",
        ),
        optional(
            "category",
            Type::TextOrTexts,
            "all",
            "Categories, exact.",
            "\"push\"",
        ),
        optional(
            "codebase",
            Type::TextOrTexts,
            "all",
            "Code bases, exact.",
            "\"lib\"",
        ),
        optional(
            "files",
            Type::TextOrTexts,
            "all",
            "Globs. At least one changed file must match one of them, or the change is not heard.",
            "[\"src/**\", \"*.toml\"]",
        ),
        optional(
            "unimportant_files",
            Type::TextOrTexts,
            "none",
            "Globs. A change whose files all match is built along with the next one but sets nothing off.",
            "[\"docs/**\", \"*.md\"]",
        ),
        optional(
            "change_filter",
            Type::Function,
            "none",
            "Is called with each change; the scheduler hears it if the other filters match and this gives something true. The change has `author`, `committer`, `comments`, `files`, `revision`, `branch`, `category`, `revlink`, `repository`, `project`, `codebase` and `properties`. If it fails, the scheduler does not hear the change, and the master's log has the traceback.",
            "lambda change: \"[skip ci]\" not in change.comments",
        ),
        optional(
            "tree_stable",
            Type::Duration("0s", "7d"),
            "at once",
            "How long no important change may arrive before it builds. Without it each change is built by itself.",
            "\"30s\"",
        ),
    ],
};

/// Where a scheduler that is not set off by changes builds from.
const BRANCH: Key = optional(
    "branch",
    Type::Text,
    "the repository's default",
    "The branch it builds.",
    "\"main\"",
);
const REPOSITORY: Key = optional(
    "repository",
    Type::Text,
    "\"\"",
    "The repository it builds, as change sources spell it.",
    "\"https://git.example.org/zlib.git\"",
);
const PROJECT: Key = optional("project", Type::Text, "\"\"", "The project.", "\"zlib\"");
const CODEBASE: Key = optional(
    "codebase",
    Type::Text,
    "\"\"",
    "The code base; empty is the default one.",
    "\"lib\"",
);

/// Keys of the scheduler type `periodic`.
pub static SCHEDULER_PERIODIC: SectionKeys = SectionKeys {
    header: "type = \"periodic\"",
    doc: "Set off by time.",
    keys: &[
        required(
            "interval",
            Type::Duration("1s", "366d"),
            "From one build to the next.",
            "\"24h\"",
        ),
        BRANCH,
        REPOSITORY,
        PROJECT,
        CODEBASE,
    ],
};

/// Keys of the scheduler type `dependent`.
pub static SCHEDULER_DEPENDENT: SectionKeys = SectionKeys {
    header: "type = \"dependent\"",
    doc: "Set off whenever all builds of one decision of another scheduler have succeeded (or ended with warnings). It builds the same source, for the same changes.",
    keys: &[required(
        "upstream",
        Type::Text,
        "Name of the other scheduler.",
        "\"on-commit\"",
    )],
};

/// Keys of the scheduler type `triggerable`.
pub static SCHEDULER_TRIGGERABLE: SectionKeys = SectionKeys {
    header: "type = \"triggerable\"",
    doc: "Set off by a step of type `trigger` in a build. What it builds is that build's source, if the step does not say otherwise; the keys here say what is built where the step asks for the newest source.",
    keys: &[BRANCH, REPOSITORY, PROJECT, CODEBASE],
};

/// Keys of the scheduler type `force`.
pub static SCHEDULER_FORCE: SectionKeys = SectionKeys {
    header: "type = \"force\"",
    doc: "Set off by a person who presses its button and fills in its form.",
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
            Type::Choice(&["string", "text", "int", "bool", "choice"]),
            "One line, several lines, a whole number, yes or no, one of several.",
            "\"choice\"",
        ),
        optional("label", Type::Text, "the name", "Shown to people.", "\"Target\""),
        optional(
            "default",
            Type::AsField,
            "\"\", 0, false or the first choice",
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
            "What text must match as a whole. Only for `string` and `text`.",
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
    ],
};
