//! Keys of `[[project]]` and `[[codebase]]`.

use super::{SectionKeys, Type, optional, required};

/// `[[project]]`.
pub static PROJECT: SectionKeys = SectionKeys {
    header: "[[project]]",
    doc: "What builders and code bases belong to, for finding them and for sharing the workers.",
    keys: &[
        required("name", Type::Identifier, "Its name, an identifier.", "\"zlib\""),
        optional(
            "description",
            Type::Text,
            "none",
            "For people; Markdown.",
            "\"Compression.\"",
        ),
        optional(
            "share",
            Type::Integer(1, 1_000_000, ""),
            "1",
            "Its share of the workers where several projects want them: a project with twice the share of another runs twice as many builds.",
            "3",
        ),
    ],
};

/// `[[codebase]]`.
pub static CODEBASE: SectionKeys = SectionKeys {
    header: "[[codebase]]",
    doc: "A repository with a name, so that several can be built together. A change that names no code base belongs to the one with its repository.",
    keys: &[
        required("name", Type::Identifier, "Its name, an identifier.", "\"lib\""),
        required(
            "repository",
            Type::Text,
            "The repository, as change sources spell it. `.git` and `/` at the end make no difference.",
            "\"https://git.example.org/zlib.git\"",
        ),
        optional(
            "branch",
            Type::Text,
            "the repository's default",
            "Its main branch: what of it is built along with other code bases.",
            "\"main\"",
        ),
        required("project", Type::Text, "Name of its project.", "\"zlib\""),
    ],
};
