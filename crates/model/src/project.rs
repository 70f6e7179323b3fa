//! Projects, and the repositories that belong to them.

use serde::{Deserialize, Serialize};

/// What builders and code bases belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectDef {
    /// Its name, an identifier.
    pub name: String,
    /// For people; Markdown.
    pub description: Option<String>,
    /// How much of the workers is its, beside others that want them: twice the share, twice the builds.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub share: u32,
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_one(share: &u32) -> bool {
    *share == 1
}

/// A repository that builds are made from, under a name of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodebaseDef {
    /// Its name, an identifier.
    pub name: String,
    /// Name of its project.
    pub project: String,
    /// The repository, as change sources spell it.
    pub repository: String,
    /// Its main branch; none = the repository's default.
    pub branch: Option<String>,
}
