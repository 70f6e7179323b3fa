//! `ironmaster sendchange`: tells a master of a commit, as hooks do.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    failure::Failure,
    remote::{At, Remote, escaped},
    try_patch::pair,
};

#[derive(clap::Args)]
pub(crate) struct SendChange {
    #[command(flatten)]
    at: At,
    /// Who made it
    #[arg(short = 'W', long, visible_alias = "who")]
    author: String,
    /// The repository, as the configuration spells it
    #[arg(short = 'R', long)]
    repository: Option<String>,
    /// The branch
    #[arg(short, long)]
    branch: Option<String>,
    /// The revision
    #[arg(short, long)]
    revision: Option<String>,
    /// The project
    #[arg(short, long)]
    project: Option<String>,
    /// The code base; without it the one with the repository
    #[arg(long)]
    codebase: Option<String>,
    /// The category
    #[arg(short = 'C', long)]
    category: Option<String>,
    /// What the commit says
    #[arg(short = 'c', long, visible_alias = "comments")]
    message: Option<String>,
    /// Where to look at it
    #[arg(short = 'l', long)]
    revlink: Option<String>,
    /// When it was made, in seconds since 1970; without it now
    #[arg(long, value_name = "SECONDS")]
    when: Option<i64>,
    /// A property of the change; may be given several times
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = pair)]
    properties: Vec<(String, String)>,
    /// Changed files
    #[arg(value_name = "FILE")]
    files: Vec<String>,
}

pub(crate) fn run(change: &SendChange) -> Result<(), Failure> {
    let remote = Remote::new(&change.at)?;
    let mut form = String::new();
    let mut put = |name: &str, value: &str| {
        if !form.is_empty() {
            form.push('&');
        }
        form.push_str(&format!("{name}={}", escaped(value)));
    };
    put("author", &change.author);
    for (name, value) in [
        ("repository", &change.repository),
        ("branch", &change.branch),
        ("revision", &change.revision),
        ("project", &change.project),
        ("codebase", &change.codebase),
        ("category", &change.category),
        ("comments", &change.message),
        ("revlink", &change.revlink),
    ] {
        if let Some(value) = value {
            put(name, value);
        }
    }
    if let Some(when) = change.when {
        put("when_timestamp", &when.to_string());
    }
    if !change.files.is_empty() {
        put("files", &json!(change.files).to_string());
    }
    if !change.properties.is_empty() {
        let properties: BTreeMap<_, _> = change.properties.iter().cloned().collect();
        put("properties", &json!(properties).to_string());
    }
    remote.tell(&form).map_err(|error| remote.failure(error))?;
    println!("the master has heard of it");
    Ok(())
}
