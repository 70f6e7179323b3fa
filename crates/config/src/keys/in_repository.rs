//! Keys of `[pipeline.in_repository]`, and of `[[job]]` in the file that it names.

use super::{JOB, Key, SectionKeys, Type, optional, pipeline::JOB_KEYS};

/// `[pipeline.in_repository]`.
pub static IN_REPOSITORY: SectionKeys = SectionKeys {
    header: "[pipeline.in_repository]",
    doc: "The jobs of the pipeline are in a file of the repository that it builds, and are read at the revision being built. The file has `[[job]]` with the keys of `[[pipeline.job]]`, apart from `priority`, and can use what is granted here and nothing else.",
    keys: &[
        optional(
            "file",
            Type::Path,
            "\".ironmaster.toml\"",
            "The file, from the top of the repository. One that ends in `.star` is Starlark.",
            "\"ci/pipeline.star\"",
        ),
        optional(
            "repository",
            Type::Text,
            "that of `codebase`",
            "The repository, as `git fetch` takes it. The file is read from here, whatever a change says. Either this or `codebase` must be there.",
            "\"https://git.example.org/zlib.git\"",
        ),
        optional(
            "codebase",
            Type::Text,
            "the default one",
            "The code base whose revision is looked at. Where it is one of `[[codebase]]`, its repository is known.",
            "\"lib\"",
        ),
        optional(
            "builders",
            Type::Texts,
            "[]",
            "Names of builders that every run may use, also that of a change nobody has looked at.",
            "[\"check\"]",
        ),
        optional(
            "builder_tags",
            Type::Texts,
            "[]",
            "The same for all builders that have one of these tags.",
            "[\"public\"]",
        ),
        optional(
            "pipelines",
            Type::Texts,
            "[]",
            "Names of pipelines that every run may start.",
            "[\"documentation\"]",
        ),
        optional(
            "trusted_branches",
            Type::TextOrTexts,
            "none",
            "Globs. A run is trusted if its branch matches one of them, the repository itself says that the branch has the revision, nothing is patched, and nothing untrusted has started the run.",
            "[\"main\", \"release/*\"]",
        ),
        optional(
            "trusted_builders",
            Type::Texts,
            "[]",
            "Names of further builders that trusted runs may use.",
            "[\"publish\"]",
        ),
        optional(
            "trusted_builder_tags",
            Type::Texts,
            "[]",
            "The same for all builders that have one of these tags.",
            "[\"release\"]",
        ),
        optional(
            "trusted_pipelines",
            Type::Texts,
            "[]",
            "Names of further pipelines that trusted runs may start.",
            "[\"deploy\"]",
        ),
        optional(
            "jobs",
            Type::Integer(1, 10_000, "jobs"),
            "100",
            "The most jobs that a run may have; each combination of a matrix is one.",
            "20",
        ),
        optional(
            "patience",
            Type::Duration("1s", "7d"),
            "\"10m\"",
            "How long the master keeps trying to read the file while the repository cannot be reached. After that the run has failed.",
            "\"1h\"",
        ),
    ],
};

/// How many keys of a job a file in a repository has: all but `priority`, the last.
const REPOSITORY_KEYS: usize = JOB_KEYS.len() - 1;

const fn repository_keys() -> [Key; REPOSITORY_KEYS] {
    let mut keys = [JOB_KEYS[0]; REPOSITORY_KEYS];
    let mut at = 0;
    while at < REPOSITORY_KEYS {
        keys[at] = JOB_KEYS[at];
        at += 1;
    }
    keys
}

static KEYS: [Key; REPOSITORY_KEYS] = repository_keys();

/// `[[job]]` in the file of a repository.
pub static REPOSITORY_JOB: SectionKeys = SectionKeys {
    header: "[[job]]",
    doc: JOB.doc,
    keys: &KEYS,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_repository_says_no_priority() {
        assert!(JOB.key("priority").is_some());
        assert!(REPOSITORY_JOB.key("priority").is_none());
        assert_eq!(REPOSITORY_JOB.keys.len() + 1, JOB.keys.len());
    }
}
