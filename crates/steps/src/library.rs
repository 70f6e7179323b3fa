//! The kinds of steps there are.

use ironmaster_model::{KindSpec, StepDef};

use crate::{Step, add_jobs, git, set_property, shell, trigger};

/// Descriptions of all kinds, for the configuration's catalogue.
pub fn step_kinds() -> Vec<KindSpec> {
    vec![
        add_jobs::kind(),
        git::kind(),
        set_property::kind(),
        shell::kind(),
        trigger::kind(),
    ]
}

/// The step that a definition describes; none if its kind is unknown (an older configuration named it).
pub fn make_step(definition: &StepDef) -> Option<Box<dyn Step>> {
    Some(match definition.kind.as_str() {
        "add_jobs" => Box::new(add_jobs::AddJobs::new(definition)),
        "git" => Box::new(git::Git::new(definition)),
        "set_property" => Box::new(set_property::SetProperty::new(definition)),
        "shell" => Box::new(shell::Shell::new(definition)),
        "trigger" => Box::new(trigger::Trigger::new(definition)),
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
