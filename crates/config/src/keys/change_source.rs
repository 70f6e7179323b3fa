//! Keys of `[[change_source]]`.

use super::{SectionKeys, Type, required};

/// `[[change_source]]`: the keys that every kind has.
pub static CHANGE_SOURCE: SectionKeys = SectionKeys {
    header: "[[change_source]]",
    doc: "Where the master looks for changes by itself. `type` says how; each kind has keys of its own beside these.",
    keys: &[
        required("name", Type::Text, "Its name.", "\"zlib\""),
        required(
            "type",
            Type::ChangeSourceKind,
            "Which kind it is.",
            "\"git_poller\"",
        ),
    ],
};
