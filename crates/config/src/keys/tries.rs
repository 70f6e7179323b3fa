//! Keys of the scheduler type `try`, and `[[scheduler.user]]`.

use super::{SectionKeys, Type, optional, required};

/// Keys of the scheduler type `try`.
pub static SCHEDULER_TRY: SectionKeys = SectionKeys {
    header: "type = \"try\"",
    doc: "Triggered by a person who wants to know what a patch would do: with `ironmaster try` or another call of the API, or with a job file.",
    keys: &[
        optional(
            "jobdir",
            Type::Path,
            "none",
            "A maildir that job files are put into, as `buildbot tryserver` does; relative to the configuration file. It is made if it is not there.",
            "\"/srv/ci/jobdir\"",
        ),
        optional(
            "user",
            Type::Sections(&TRY_USER),
            "none",
            "Who may call it with a password: see `[[scheduler.user]]`. Administrators always may.",
            "[{ name = \"ann\", password_env = \"ANN_PASSWORD\" }]",
        ),
    ],
};

/// `[[scheduler.user]]`.
pub static TRY_USER: SectionKeys = SectionKeys {
    header: "[[scheduler.user]]",
    doc: "Somebody who may build patches with the try scheduler above it, and do nothing else. Exactly one of `password`, `password_file` and `password_env` must be given.",
    keys: &[
        required(
            "name",
            Type::Text,
            "Name of the user, without a colon.",
            "\"ann\"",
        ),
        optional(
            "password",
            Type::Text,
            "none",
            "The password itself: 1 to 256 visible ASCII characters. Only its SHA-256 is kept, and no message shows it; so it should be long and random.",
            "\"rRbGkZ0wqcHtWb5J\"",
        ),
        optional(
            "password_file",
            Type::Path,
            "none",
            "A file with the password, relative to the configuration file. White space at its end does not count.",
            "\"ann.password\"",
        ),
        optional(
            "password_env",
            Type::Text,
            "none",
            "The name of an environment variable of the master that holds the password.",
            "\"ANN_PASSWORD\"",
        ),
    ],
};
