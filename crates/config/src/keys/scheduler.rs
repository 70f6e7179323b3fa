//! Keys of `[[scheduler]]`; those of its forms are in `force`.

use super::{Key, SectionKeys, Type, optional, required};

/// `[[scheduler]]`: the keys that every type has.
pub static SCHEDULER: SectionKeys = SectionKeys {
    header: "[[scheduler]]",
    doc: "Decides when builders are asked to build. `type` says what triggers it; each type has keys of its own beside these.",
    keys: &[
        required(
            "name",
            Type::Text,
            "Its name. Of a force or a try scheduler: an identifier.",
            "\"on-commit\"",
        ),
        required(
            "type",
            Type::Choice(&[
                "single_branch",
                "any_branch",
                "dependent",
                "periodic",
                "nightly",
                "triggerable",
                "nightly_triggerable",
                "force",
                "try",
            ]),
            "What triggers it.",
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
            Type::OrFunction(&Type::Integer(-1_000_000, 1_000_000, "")),
            "0",
            "Priority of its requests; higher goes first. In Starlark also a function of a request: see [functions](choosing.md#functions).",
            "10",
        ),
        optional(
            "properties",
            Type::Table,
            "{}",
            "Properties of its builds (source `Scheduler`).",
            "{ nightly = true }",
        ),
        optional(
            "codebases",
            Type::Texts,
            "none",
            "Names of code bases that it builds together. The code base that a change or build comes from is built at that revision, the others at the newest that was reported. A change of any other code base is not heard.",
            "[\"app\", \"lib\"]",
        ),
        optional(
            "codebase_branches",
            Type::Table,
            "{}",
            "Code base to the branch of it that is built along with the others, in place of its main branch.",
            "{ lib = \"stable\" }",
        ),
        optional(
            "pinned",
            Type::Table,
            "{}",
            "Code base to the revision of it that is always built. Its changes are not heard.",
            "{ lib = \"v1.3.1\" }",
        ),
    ],
};

/// Keys of the scheduler types `single_branch` and `any_branch`.
pub static SCHEDULER_CHANGES: SectionKeys = SectionKeys {
    header: "type = \"single_branch\" or \"any_branch\"",
    doc: "Triggered by changes. `single_branch` collects the changes of all its branches with one timer; `any_branch` has one timer for each branch. Every filter that is given must match, also those [below](#which-changes-are-heard).",
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
            "codebase",
            Type::TextOrTexts,
            "all",
            "Code bases, exact.",
            "\"lib\"",
        ),
        optional(
            "branch_not",
            Type::TextOrTexts,
            "none",
            "Branches that it does not hear (globs).",
            r#"["wip/**"]"#,
        ),
        optional(
            "branch_re",
            Type::TextOrTexts,
            "all",
            "Branches, as regular expressions of which one has to match the beginning.",
            r"'release/\d+'",
        ),
        optional(
            "branch_not_re",
            Type::TextOrTexts,
            "none",
            "Branches that it does not hear, as regular expressions.",
            r"'release/\d+'",
        ),
        optional(
            "repository_not",
            Type::TextOrTexts,
            "none",
            "Repositories that it does not hear (exact).",
            "\"https://example.org/old.git\"",
        ),
        optional(
            "repository_re",
            Type::TextOrTexts,
            "all",
            "Repositories, as regular expressions of which one has to match the beginning.",
            r"'https://example\.org/'",
        ),
        optional(
            "repository_not_re",
            Type::TextOrTexts,
            "none",
            "Repositories that it does not hear, as regular expressions.",
            r"'https://example\.org/'",
        ),
        optional(
            "project_not",
            Type::TextOrTexts,
            "none",
            "Projects that it does not hear (exact).",
            "\"zlib\"",
        ),
        optional(
            "project_re",
            Type::TextOrTexts,
            "all",
            "Projects, as regular expressions of which one has to match the beginning.",
            r"'z.*'",
        ),
        optional(
            "project_not_re",
            Type::TextOrTexts,
            "none",
            "Projects that it does not hear, as regular expressions.",
            r"'z.*'",
        ),
        optional(
            "codebase_not",
            Type::TextOrTexts,
            "none",
            "Code bases that it does not hear (exact).",
            "\"lib\"",
        ),
        optional(
            "codebase_re",
            Type::TextOrTexts,
            "all",
            "Code bases, as regular expressions of which one has to match the beginning.",
            r"'lib-'",
        ),
        optional(
            "codebase_not_re",
            Type::TextOrTexts,
            "none",
            "Code bases that it does not hear, as regular expressions.",
            r"'lib-'",
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

/// Keys of a change filter that every scheduler has which hears changes.
pub static FILTER: SectionKeys = SectionKeys {
    header: "Which changes are heard",
    doc: "Further filters of the types `single_branch` and `any_branch`, and of `periodic`, `nightly` and `nightly_triggerable` where those only build what has changed. Regular expressions are tried at the beginning of the text. A change that has no such attribute passes a `not`, and no other test.",
    keys: &[
        optional(
            "category",
            Type::TextOrTexts,
            "all",
            "Categories, exact.",
            "\"push\"",
        ),
        optional(
            "category_not",
            Type::TextOrTexts,
            "none",
            "Categories that it does not hear (exact).",
            "\"pull\"",
        ),
        optional(
            "category_re",
            Type::TextOrTexts,
            "all",
            "Categories, as regular expressions of which one has to match the beginning.",
            r"'pu'",
        ),
        optional(
            "category_not_re",
            Type::TextOrTexts,
            "none",
            "Categories that it does not hear, as regular expressions.",
            r"'pu'",
        ),
        optional(
            "author",
            Type::TextOrTexts,
            "all",
            "Authors, exact.",
            "\"Ann <ann@example.org>\"",
        ),
        optional(
            "author_not",
            Type::TextOrTexts,
            "none",
            "Authors that it does not hear (exact).",
            "\"bot\"",
        ),
        optional(
            "author_re",
            Type::TextOrTexts,
            "all",
            "Authors, as regular expressions of which one has to match the beginning.",
            r"'.*@example\.org'",
        ),
        optional(
            "author_not_re",
            Type::TextOrTexts,
            "none",
            "Authors that it does not hear, as regular expressions.",
            r"'.*@example\.org'",
        ),
        optional(
            "committer",
            Type::TextOrTexts,
            "all",
            "Committers, exact.",
            "\"Ann <ann@example.org>\"",
        ),
        optional(
            "committer_not",
            Type::TextOrTexts,
            "none",
            "Committers that it does not hear (exact).",
            "\"bot\"",
        ),
        optional(
            "committer_re",
            Type::TextOrTexts,
            "all",
            "Committers, as regular expressions of which one has to match the beginning.",
            r"'.*@example\.org'",
        ),
        optional(
            "committer_not_re",
            Type::TextOrTexts,
            "none",
            "Committers that it does not hear, as regular expressions.",
            r"'.*@example\.org'",
        ),
        optional(
            "property",
            Type::Table,
            "all",
            "Properties of the change with the values that they may have, as text.",
            "{ event = \"push\" }",
        ),
        optional(
            "property_not",
            Type::Table,
            "none",
            "The same with values that they must not have.",
            "{ event = \"push\" }",
        ),
        optional(
            "property_re",
            Type::Table,
            "all",
            "Properties with regular expressions of which one has to match the beginning of the value.",
            "{ event = \"push\" }",
        ),
        optional(
            "property_not_re",
            Type::Table,
            "none",
            "The same with regular expressions that must not match.",
            "{ event = \"push\" }",
        ),
        optional(
            "files",
            Type::TextOrTexts,
            "all",
            "Globs. At least one changed file must match one of them, or the change is not heard; so a change that was reported without its files never is.",
            "[\"src/**\", \"*.toml\"]",
        ),
        optional(
            "unimportant_files",
            Type::TextOrTexts,
            "none",
            "Globs. A change whose files all match is built along with the next one but triggers nothing.",
            "[\"docs/**\", \"*.md\"]",
        ),
        optional(
            "important_files",
            Type::TextOrTexts,
            "all",
            "Globs, the other way round: a change is unimportant if none of its files matches. Not together with `unimportant_files`.",
            "[\"src/**\"]",
        ),
        optional(
            "only_important",
            Type::Bool,
            "false",
            "Whether unimportant changes are not heard at all, so that they are not built along either.",
            "true",
        ),
        optional(
            "change_filter",
            Type::Function,
            "none",
            "Is called with each change; the scheduler hears it if the other filters match and this gives something true. The change has `author`, `committer`, `comments`, `files`, `revision`, `branch`, `category`, `revlink`, `repository`, `project`, `codebase` and `properties`. If it fails, the scheduler does not hear the change, and the master's log has the traceback.",
            "lambda change: \"[skip ci]\" not in change.comments",
        ),
    ],
};

/// Where a scheduler that is not set off by changes builds from.
pub(super) const BRANCH: Key = optional(
    "branch",
    Type::Text,
    "the repository's default",
    "The branch it builds.",
    "\"main\"",
);
pub(super) const REPOSITORY: Key = optional(
    "repository",
    Type::Text,
    "\"\"",
    "The repository it builds, as change sources spell it.",
    "\"https://git.example.org/zlib.git\"",
);
pub(super) const PROJECT: Key = optional("project", Type::Text, "\"\"", "The project.", "\"zlib\"");
pub(super) const CODEBASE: Key = optional(
    "codebase",
    Type::Text,
    "\"\"",
    "The code base; empty is the default one.",
    "\"lib\"",
);

const ONLY_IF_CHANGED: Key = optional(
    "only_if_changed",
    Type::Bool,
    "false",
    "Whether it only builds if an important change to what it builds was reported since it last built. Those changes are built then, and the filters further down say which ones count.",
    "true",
);

/// Keys of the scheduler type `periodic`.
pub static SCHEDULER_PERIODIC: SectionKeys = SectionKeys {
    header: "type = \"periodic\"",
    doc: "Triggered at regular intervals.",
    keys: &[
        required(
            "interval",
            Type::Duration("1s", "366d"),
            "From one build to the next.",
            "\"24h\"",
        ),
        ONLY_IF_CHANGED,
        BRANCH,
        REPOSITORY,
        PROJECT,
        CODEBASE,
    ],
};

/// Keys of the scheduler types `nightly` and `nightly_triggerable`.
pub static SCHEDULER_NIGHTLY: SectionKeys = SectionKeys {
    header: "type = \"nightly\" or \"nightly_triggerable\"",
    doc: "Triggered by a calendar. `nightly_triggerable` builds only if a step of type `trigger` has asked for it since the last time, and then what the last of them asked for.",
    keys: &[
        optional(
            "cron",
            Type::Cron,
            "see the five keys below",
            "When it is due: minute, hour, day of the month, month, day of the week. `*`, numbers, `1-5`, `*/15`, lists, names of months and days, `L` for the last day of the month, and `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. Sunday is 0 and 7. Where both days are restricted, one of them is enough.",
            "\"0 3 * * 1-5\"",
        ),
        optional(
            "minute",
            Type::CronField,
            "0",
            "The fields one by one, in place of `cron`.",
            "[0, 30]",
        ),
        optional("hour", Type::CronField, "\"*\"", "Hour.", "3"),
        optional(
            "day_of_month",
            Type::CronField,
            "\"*\"",
            "Day of the month.",
            "\"L\"",
        ),
        optional("month", Type::CronField, "\"*\"", "Month.", "\"jan,jul\""),
        optional(
            "day_of_week",
            Type::CronField,
            "\"*\"",
            "Day of the week. As a number, 0 is Monday; as text, it is cron's, where `\"0\"` is Sunday: names are clearer.",
            "\"mon-fri\"",
        ),
        optional(
            "time_zone",
            Type::Text,
            "\"UTC\"",
            "The time zone that this is meant in, by its name in the IANA database.",
            "\"Europe/Berlin\"",
        ),
        optional(
            "jitter",
            Type::Duration("0s", "12h"),
            "0s",
            "Delays each run by an amount between zero and this, so that not everything starts at once. The amount depends on the scheduler's name and the time.",
            "\"20m\"",
        ),
        ONLY_IF_CHANGED,
        optional(
            "force_at",
            Type::Cron,
            "never",
            "Further times, at which it builds even though nothing has changed.",
            "\"0 3 * * 0\"",
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
    doc: "Triggered when all builds that another scheduler requested at once have succeeded (or ended with warnings). It builds the same source, for the same changes.",
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
    doc: "Triggered by a step of type `trigger` in a build. What it builds is that build's source, if the step does not say otherwise; the keys here say what is built where the step asks for the newest source.",
    keys: &[BRANCH, REPOSITORY, PROJECT, CODEBASE],
};
