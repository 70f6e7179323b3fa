//! Every key of the configuration, once: the checker knows keys from these tables, and the reference
//! (`docs/configuration.md`) is written from them. The fields of steps and change sources come from the
//! catalogue instead.

/// A key of a section.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What values it takes, in words.
    pub kind: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What holds where it is left out, in words or as TOML.
    pub default: &'static str,
    /// What it is for, with units.
    pub doc: &'static str,
    /// A value as TOML.
    pub example: &'static str,
}

/// A section, which is a TOML table or one of an array of them.
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
    /// The names of its keys.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name).collect()
    }
}

const fn required(name: &'static str, kind: &'static str, doc: &'static str, example: &'static str) -> Key {
    Key {
        name,
        kind,
        required: true,
        default: "",
        doc,
        example,
    }
}

const fn optional(
    name: &'static str,
    kind: &'static str,
    default: &'static str,
    doc: &'static str,
    example: &'static str,
) -> Key {
    Key {
        name,
        kind,
        required: false,
        default,
        doc,
        example,
    }
}

const TOKEN: Key = optional(
    "token",
    "text",
    "none",
    "The token itself: 1 to 256 visible ASCII characters. Only its SHA-256 is kept, and no message shows it.",
    "\"rRbGkZ0wqcHtWb5J\"",
);
const TOKEN_FILE: Key = optional(
    "token_file",
    "path",
    "none",
    "A file with the token, relative to the configuration file. White space at its end does not count.",
    "\"linux-1.token\"",
);
const TOKEN_ENV: Key = optional(
    "token_env",
    "text",
    "none",
    "The name of an environment variable of the master that holds the token.",
    "\"LINUX_1_TOKEN\"",
);

/// `[master]`.
pub static MASTER: SectionKeys = SectionKeys {
    header: "[master]",
    doc: "The master itself. All of it may be left out.",
    keys: &[
        optional(
            "title",
            "text",
            "\"Ironmaster\"",
            "Shown at the top of each page.",
            "\"zlib builds\"",
        ),
        optional(
            "url",
            "URL",
            "`http://` and `listen`",
            "Where people find the master, as they type it. Links start with it.",
            "\"https://ci.example.org/\"",
        ),
        optional(
            "listen",
            "address and port",
            "\"127.0.0.1:8010\"",
            "Where the master listens. `0.0.0.0:8010` is every address of the machine.",
            "\"0.0.0.0:8010\"",
        ),
        optional(
            "state_dir",
            "path",
            "\"state\"",
            "Directory of the database, logs and tokens, relative to the configuration file. One master at a time uses it.",
            "\"/var/lib/ironmaster\"",
        ),
        optional(
            "reading",
            "\"open\" or \"login\"",
            "\"open\"",
            "Whether everybody may look, or only who has logged in. Controlling always needs a login.",
            "\"login\"",
        ),
        optional(
            "log_level",
            "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
            "\"info\"",
            "How much the master says of itself on its standard error.",
            "\"debug\"",
        ),
        optional(
            "lease",
            "duration, 1s to 1d",
            "\"10m\"",
            "How long a worker that cannot reach the master lets commands run on before it kills them. Only later is a build given to another worker.",
            "\"30m\"",
        ),
        optional(
            "dead_after",
            "duration, 300ms to 1h",
            "\"30s\"",
            "After so much silence at the latest a connection to a worker counts as dead. Its builds go on; see `lease`.",
            "\"1m\"",
        ),
        optional(
            "heartbeat",
            "duration, 100ms to 10m",
            "a third of `dead_after`",
            "How often a silent connection to a worker is probed; at most two fifths of `dead_after`.",
            "\"5s\"",
        ),
    ],
};

/// `[change_hook]`.
pub static CHANGE_HOOK: SectionKeys = SectionKeys {
    header: "[change_hook]",
    doc: "The generic change hook, `POST /change_hook/base`. Without a token everybody who reaches the master may report changes.",
    keys: &[
        optional(
            "enabled",
            "true or false",
            "true",
            "Whether the hook exists.",
            "false",
        ),
        TOKEN,
        TOKEN_FILE,
        TOKEN_ENV,
    ],
};

/// `[limits]`.
pub static LIMITS: SectionKeys = SectionKeys {
    header: "[limits]",
    doc: "Bounds on what comes from outside.",
    keys: &[optional(
        "request_size",
        "size, 1KiB to 1GiB",
        "\"10MiB\"",
        "The largest body of a request to the API or the change hook.",
        "\"1MiB\"",
    )],
};

/// `[[worker]]`.
pub static WORKER: SectionKeys = SectionKeys {
    header: "[[worker]]",
    doc: "A machine that may connect. Exactly one of `token`, `token_file` and `token_env` must be given.",
    keys: &[
        required(
            "name",
            "identifier",
            "Its name: letters, digits, `_`, `.` and `-`, not starting with a digit or a dot.",
            "\"linux-1\"",
        ),
        TOKEN,
        TOKEN_FILE,
        TOKEN_ENV,
        optional(
            "slots",
            "whole number, 1 to 1000",
            "1",
            "How many builds it runs at once.",
            "4",
        ),
        optional(
            "labels",
            "list of texts",
            "[]",
            "What builders may ask for with `label:NAME`.",
            "[\"linux\", \"x86_64\"]",
        ),
        optional(
            "properties",
            "table of name to value",
            "{}",
            "Properties of every build on it (source `Worker`).",
            "{ os = \"debian12\" }",
        ),
    ],
};

/// `[[builder]]`.
pub static BUILDER: SectionKeys = SectionKeys {
    header: "[[builder]]",
    doc: "A named job: which steps, and which workers may run them.",
    keys: &[
        required(
            "name",
            "text",
            "Its name: 1 to 255 characters, none of them a control character.",
            "\"zlib on linux\"",
        ),
        required(
            "workers",
            "list of texts",
            "Which workers may run it: names, `label:NAME` for every worker with that label, or `*` for all.",
            "[\"linux-1\", \"label:linux\"]",
        ),
        required(
            "step",
            "array of tables",
            "What it does, in order: see `[[builder.step]]`.",
            "[{ type = \"shell\", command = \"make check\" }]",
        ),
        optional(
            "description",
            "text",
            "none",
            "For people; Markdown.",
            "\"Builds and tests zlib.\"",
        ),
        optional(
            "tags",
            "list of texts",
            "[]",
            "For finding it among many.",
            "[\"zlib\", \"linux\"]",
        ),
        optional(
            "env",
            "table of name to text or false",
            "{}",
            "Environment of every command; `false` unsets a name. Values may hold `%(prop:name)s`.",
            "{ CC = \"clang\", LANG = false }",
        ),
        optional(
            "properties",
            "table of name to value",
            "{}",
            "Properties of every build (source `Builder`).",
            "{ optimise = true }",
        ),
        optional(
            "attempts",
            "whole number, 1 to 100",
            "3",
            "How often one request is tried when machines fail. A build that fails by itself is not tried again.",
            "5",
        ),
        optional(
            "collapse",
            "\"never\" or \"same_branch\"",
            "\"never\"",
            "Whether waiting requests are merged when their branch, repository, project, code base and patch are equal; then the newest revision is built.",
            "\"same_branch\"",
        ),
        optional(
            "builds_max",
            "whole number, 1 to 100000",
            "no bound",
            "How many of its builds run at once over all workers.",
            "1",
        ),
        optional(
            "builddir",
            "directory name",
            "made from `name`",
            "Name of its directory on workers. Two builders cannot share one.",
            "\"zlib\"",
        ),
    ],
};

/// `[[builder.step]]`: the keys that every kind of step has.
pub static STEP: SectionKeys = SectionKeys {
    header: "[[builder.step]]",
    doc: "One step of the builder above it. `type` says which kind; each kind has keys of its own beside these.",
    keys: &[
        required("type", "kind of step", "Which kind of step it is.", "\"shell\""),
        optional(
            "name",
            "text",
            "the kind's name",
            "Shown to people. Steps with the same name get a number: `shell`, `shell_1`.",
            "\"compile\"",
        ),
        optional(
            "halt_on_failure",
            "true or false",
            "as the kind has it",
            "A failure ends the build; only `always_run` steps follow.",
            "true",
        ),
        optional(
            "flunk_on_failure",
            "true or false",
            "as the kind has it",
            "A failure makes the build fail.",
            "false",
        ),
        optional(
            "flunk_on_warnings",
            "true or false",
            "as the kind has it",
            "Warnings make the build fail.",
            "true",
        ),
        optional(
            "warn_on_failure",
            "true or false",
            "as the kind has it",
            "A failure makes the build end with warnings.",
            "true",
        ),
        optional(
            "warn_on_warnings",
            "true or false",
            "as the kind has it",
            "Warnings make the build end with warnings.",
            "false",
        ),
        optional(
            "always_run",
            "true or false",
            "as the kind has it",
            "It runs even when the build was stopped or has failed.",
            "true",
        ),
    ],
};

/// `[[scheduler]]`: the keys that every type has.
pub static SCHEDULER: SectionKeys = SectionKeys {
    header: "[[scheduler]]",
    doc: "Decides when builders are asked to build. `type` says what sets it off; each type has keys of its own beside these.",
    keys: &[
        required(
            "name",
            "text",
            "Its name. Of a force scheduler: an identifier.",
            "\"on-commit\"",
        ),
        required(
            "type",
            "\"single_branch\", \"any_branch\", \"periodic\" or \"force\"",
            "What sets it off.",
            "\"single_branch\"",
        ),
        required(
            "builders",
            "list of texts",
            "Names of the builders that it asks, or `*` for all.",
            "[\"zlib on linux\"]",
        ),
        optional(
            "priority",
            "whole number, -1000000 to 1000000",
            "0",
            "Priority of its requests; higher goes first.",
            "10",
        ),
        optional(
            "properties",
            "table of name to value",
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
            "text",
            "all branches",
            "The branch whose changes it hears; a glob is allowed.",
            "\"main\"",
        ),
        optional(
            "branches",
            "list of texts",
            "all branches",
            "The same for several branches. Not together with `branch`.",
            "[\"main\", \"release/*\"]",
        ),
        optional(
            "repository",
            "text or list of texts",
            "all",
            "Repositories, exact.",
            "\"https://git.example.org/zlib.git\"",
        ),
        optional(
            "project",
            "text or list of texts",
            "all",
            "Projects, exact.",
            "\"zlib\"",
        ),
        optional(
            "category",
            "text or list of texts",
            "all",
            "Categories, exact.",
            "\"push\"",
        ),
        optional(
            "codebase",
            "text or list of texts",
            "all",
            "Code bases, exact.",
            "\"lib\"",
        ),
        optional(
            "files",
            "text or list of texts",
            "all",
            "Globs. At least one changed file must match one of them, or the change is not heard.",
            "[\"src/**\", \"*.toml\"]",
        ),
        optional(
            "unimportant_files",
            "text or list of texts",
            "none",
            "Globs. A change whose files all match is built along with the next one but sets nothing off.",
            "[\"docs/**\", \"*.md\"]",
        ),
        optional(
            "tree_stable",
            "duration, 0s to 7d",
            "at once",
            "How long no important change may arrive before it builds. Without it each change is built by itself.",
            "\"30s\"",
        ),
    ],
};

/// Where a scheduler that is not set off by changes builds from.
const BRANCH: Key = optional(
    "branch",
    "text",
    "the repository's default",
    "The branch it builds.",
    "\"main\"",
);
const REPOSITORY: Key = optional(
    "repository",
    "text",
    "\"\"",
    "The repository it builds, as change sources spell it.",
    "\"https://git.example.org/zlib.git\"",
);
const PROJECT: Key = optional("project", "text", "\"\"", "The project.", "\"zlib\"");
const CODEBASE: Key = optional(
    "codebase",
    "text",
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
            "duration, 1s to 366d",
            "From one build to the next.",
            "\"24h\"",
        ),
        BRANCH,
        REPOSITORY,
        PROJECT,
        CODEBASE,
    ],
};

/// Keys of the scheduler type `force`.
pub static SCHEDULER_FORCE: SectionKeys = SectionKeys {
    header: "type = \"force\"",
    doc: "Set off by a person who presses its button and fills in its form.",
    keys: &[
        optional(
            "button",
            "text",
            "the name",
            "Text on the button.",
            "\"Build now\"",
        ),
        optional(
            "label",
            "text",
            "the name",
            "Heading of the form.",
            "\"Build a branch\"",
        ),
        optional(
            "reason",
            "text",
            "\"force build\"",
            "What the field `reason` holds at first.",
            "\"try again\"",
        ),
        optional(
            "reason_required",
            "true or false",
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
            "array of tables",
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
        required("name", "identifier", "Name of the property.", "\"target\""),
        required(
            "type",
            "\"string\", \"text\", \"int\", \"bool\" or \"choice\"",
            "One line, several lines, a whole number, yes or no, one of several.",
            "\"choice\"",
        ),
        optional("label", "text", "the name", "Shown to people.", "\"Target\""),
        optional(
            "default",
            "as the type has it",
            "\"\", 0, false or the first choice",
            "Value where none is given.",
            "\"all\"",
        ),
        optional(
            "required",
            "true or false",
            "false",
            "Whether blank is refused.",
            "true",
        ),
        optional(
            "regex",
            "regular expression",
            "none",
            "What text must match as a whole. Only for `string` and `text`.",
            "'[a-z]+'",
        ),
        optional(
            "tooltip",
            "text",
            "\"\"",
            "Shown on hovering.",
            "\"What make is told to make.\"",
        ),
        optional(
            "choices",
            "list of texts",
            "none",
            "The choices. Only for `choice`, which needs them.",
            "[\"all\", \"docs\"]",
        ),
        optional(
            "strict",
            "true or false",
            "true",
            "Whether anything but the choices is refused. Only for `choice`.",
            "false",
        ),
    ],
};

/// `[[change_source]]`: the keys that every kind has.
pub static CHANGE_SOURCE: SectionKeys = SectionKeys {
    header: "[[change_source]]",
    doc: "Where the master looks for changes by itself. `type` says how; each kind has keys of its own beside these.",
    keys: &[
        required("name", "text", "Its name.", "\"zlib\""),
        required(
            "type",
            "kind of change source",
            "Which kind it is.",
            "\"git_poller\"",
        ),
    ],
};

/// The sections that stand at the top of a file.
pub(crate) const TOP: &[&str] = &[
    "master",
    "change_hook",
    "limits",
    "worker",
    "builder",
    "scheduler",
    "change_source",
];

/// What people who know Buildbot, or guess, may write, and what it is called here.
pub(crate) const OTHER_NAMES: &[(&str, &str)] = &[
    ("workernames", "workers"),
    ("workername", "workers"),
    ("factory", "step"),
    ("max_builds", "slots"),
    ("collapse_requests", "collapse"),
    ("tree_stable_timer", "tree_stable"),
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
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_names_lead_to_keys_that_exist() {
        let sections = [
            &MASTER,
            &CHANGE_HOOK,
            &LIMITS,
            &WORKER,
            &BUILDER,
            &STEP,
            &SCHEDULER,
            &SCHEDULER_CHANGES,
            &SCHEDULER_PERIODIC,
            &SCHEDULER_FORCE,
            &FIELD,
            &CHANGE_SOURCE,
        ];
        for (_, name) in OTHER_NAMES {
            assert!(
                sections.iter().any(|section| section.names().contains(name)),
                "{name}"
            );
        }
    }

    #[test]
    fn examples_are_toml() {
        for section in [
            &MASTER,
            &CHANGE_HOOK,
            &LIMITS,
            &WORKER,
            &BUILDER,
            &STEP,
            &SCHEDULER,
            &SCHEDULER_CHANGES,
            &SCHEDULER_PERIODIC,
            &SCHEDULER_FORCE,
            &FIELD,
            &CHANGE_SOURCE,
        ] {
            for key in section.keys {
                let text = format!("{} = {}", key.name, key.example);
                assert!(toml::de::DeTable::parse(&text).is_ok(), "{text}");
            }
        }
    }
}
