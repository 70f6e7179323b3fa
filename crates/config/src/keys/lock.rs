//! Keys of `[[lock]]`.

use super::{Key, SectionKeys, Type, optional, required};

/// `[[lock]]`.
pub static LOCK: SectionKeys = SectionKeys {
    header: "[[lock]]",
    doc: "Something that only a limited number of builds or steps may use at once: see [choosing](choosing.md#locks).",
    keys: &[
        required("name", Type::Identifier, "Its name.", "\"database\""),
        required(
            "scope",
            Type::Choice(&["master", "worker"]),
            "Whether there is one of it, or one on each worker.",
            "\"master\"",
        ),
        optional(
            "max_count",
            Type::Integer(1, 100_000, "holders"),
            "1",
            "How many may hold it at once.",
            "4",
        ),
        optional(
            "worker_counts",
            Type::Table,
            "{}",
            "Other numbers for single workers, by name. Only for `scope = \"worker\"`.",
            "{ linux-1 = 2 }",
        ),
    ],
};

/// `locks` of a builder.
pub(super) const BUILDER_LOCKS: Key = optional(
    "locks",
    Type::Texts,
    "[]",
    "Locks that each build holds from its start to its end: `NAME` for one of its count, `NAME:2` for two, `NAME:exclusive` for all of it. A build that waits for builds it has triggered releases its locks meanwhile, except those written with `:keep`.",
    "[\"database\", \"disk:2\"]",
);

/// `locks` of a step.
pub(super) const STEP_LOCKS: Key = optional(
    "locks",
    Type::Texts,
    "[]",
    "Locks that it waits for, and then holds while it runs: `NAME` for one of its count, `NAME:2` for two, `NAME:exclusive` for all of it. A step that waits for triggered builds keeps those written with `:keep`.",
    "[\"database:exclusive\"]",
);
