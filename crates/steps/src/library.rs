//! The kinds of steps there are.

use ironmaster_model::{KindSpec, StepDef};

use crate::{Step, add_jobs, download, folders, git, set_property, shell, trigger, upload};

/// Descriptions of all kinds, for the configuration's catalogue.
pub fn step_kinds() -> Vec<KindSpec> {
    vec![
        add_jobs::kind(),
        folders::copy_kind(),
        download::kind(),
        git::kind(),
        folders::mkdir_kind(),
        folders::remove_kind(),
        set_property::kind(),
        shell::kind(),
        trigger::kind(),
        upload::kind(),
    ]
}

/// The step that a definition describes; none if its kind is unknown (an older configuration named it).
pub fn make_step(definition: &StepDef) -> Option<Box<dyn Step>> {
    Some(match definition.kind.as_str() {
        "add_jobs" => Box::new(add_jobs::AddJobs::new(definition)),
        "copy" => Box::new(folders::Copy::new(definition)),
        "download" => Box::new(download::Download::new(definition)),
        "git" => Box::new(git::Git::new(definition)),
        "mkdir" => Box::new(folders::EachPath::mkdir(definition)),
        "remove" => Box::new(folders::EachPath::remove(definition)),
        "set_property" => Box::new(set_property::SetProperty::new(definition)),
        "shell" => Box::new(shell::Shell::new(definition)),
        "trigger" => Box::new(trigger::Trigger::new(definition)),
        "upload" => Box::new(upload::Upload::new(definition)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_can_be_made() {
        for kind in step_kinds() {
            let definition = StepDef {
                name: "x".into(),
                kind: kind.name.into(),
                params: serde_json::Map::new(),
                flags: kind.flags,
                logs: kind.logs.iter().map(|&log| log.to_owned()).collect(),
                locks: Vec::new(),
            };
            assert!(
                make_step(&definition).is_some(),
                "{} has a description but cannot be made",
                kind.name
            );
        }
    }
}
