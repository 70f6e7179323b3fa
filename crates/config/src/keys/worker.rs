//! Keys of `[[worker]]`.

use super::{Key, SectionKeys, Type, optional, required};

pub(super) const TOKEN: Key = optional(
    "token",
    Type::Text,
    "none",
    "The token itself: 1 to 256 visible ASCII characters. Only its SHA-256 is kept, and no message shows it.",
    "\"rRbGkZ0wqcHtWb5J\"",
);
pub(super) const TOKEN_FILE: Key = optional(
    "token_file",
    Type::Path,
    "none",
    "A file with the token, relative to the configuration file. White space at its end does not count.",
    "\"linux-1.token\"",
);
pub(super) const TOKEN_ENV: Key = optional(
    "token_env",
    Type::Text,
    "none",
    "The name of an environment variable of the master that holds the token.",
    "\"LINUX_1_TOKEN\"",
);

/// `[[worker]]`.
pub static WORKER: SectionKeys = SectionKeys {
    header: "[[worker]]",
    doc: "A machine that may connect. Exactly one of `token`, `token_file` and `token_env` must be given.",
    keys: &[
        required(
            "name",
            Type::Identifier,
            "Its name: letters, digits, `_`, `.` and `-`, not starting with a digit or a dot.",
            "\"linux-1\"",
        ),
        TOKEN,
        TOKEN_FILE,
        TOKEN_ENV,
        optional(
            "slots",
            Type::Integer(1, 1_000, "builds"),
            "1",
            "How many builds it runs at once.",
            "4",
        ),
        optional(
            "labels",
            Type::Texts,
            "[]",
            "What builders may ask for with `label:NAME`.",
            "[\"linux\", \"x86_64\"]",
        ),
        optional(
            "properties",
            Type::Table,
            "{}",
            "Properties of every build on it (source `Worker`).",
            "{ os = \"debian12\" }",
        ),
        optional(
            "downtime",
            Type::Texts,
            "[]",
            "Times in which it starts no new build, each as `CRON for DURATION`: when it begins, as five fields of cron, and how long it lasts (`1m` to `31d`). Builds that run go on.",
            "[\"0 22 * * mon-fri for 8h\"]",
        ),
        optional(
            "time_zone",
            Type::Text,
            "\"UTC\"",
            "The time zone that `downtime` is meant in, by its name in the IANA database.",
            "\"Europe/Berlin\"",
        ),
        optional(
            "missing_after",
            Type::Duration("0s", "366d"),
            "1h",
            "How long it may be disconnected, while a master runs, before it counts as missing: its page says so, and there is an event. `0s` = never.",
            "\"10m\"",
        ),
    ],
};
