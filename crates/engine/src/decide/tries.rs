//! A try scheduler: somebody's patch becomes a buildset.
//!
//! The job is checked as a whole before anything is stated. What tells it from other jobs, so that none is built twice, is the
//! affair of whoever hands it over: see `jobdir.rs` of the master.

use std::{collections::BTreeMap, sync::Arc};

use ironmaster_model::{BuilderId, NewSourceStamp, Patch, Properties, SchedulerDef, SchedulerKind};

use super::{
    buildset,
    launch::{Launch, Launched, launch},
};
use crate::{
    Refusal, Reply, State, TryJob, Tx,
    codebases::{aggregate, same_repository},
    schedulers,
};

/// Source of the properties that a job brings.
const SOURCE: &str = "try build";
/// How much of a comment the reason of the buildset quotes, in characters.
const QUOTED_MAX: usize = 200;
/// The largest number of path elements that a patch can ask to strip.
const LEVEL_MAX: u32 = 100;

type Problems = BTreeMap<String, String>;

pub(super) fn accept(tx: &mut Tx<'_>, job: TryJob) -> Result<Reply, Refusal> {
    let state = tx.state();
    let name = job.scheduler.as_str();
    let plan = Arc::clone(state.plan());
    let found = state.scheduler_by_name(name).filter(|record| record.active);
    let definition = plan.schedulers.get(name);
    let (Some(record), Some(definition)) = (found, definition) else {
        return Err(not_found(name));
    };
    if !matches!(definition.kind, SchedulerKind::Try(_)) {
        return Err(not_found(name));
    }
    if !record.enabled {
        return Err(Refusal::Conflict {
            reason: format!("try scheduler \"{name}\" is switched off"),
        });
    }
    let mut problems = Problems::new();
    let builders = chosen(state, definition, &job.builders, &mut problems);
    let stamp = stamp(definition, &job, &mut problems);
    // What the scheduler says cannot be changed by whoever sends a job.
    let mut properties = Properties::new();
    for (name, value) in &job.properties {
        properties.set(name, value.clone(), SOURCE);
    }
    let who = job.who.trim();
    if !who.is_empty() && properties.get("owner").is_none() {
        properties.set("owner", who, SOURCE);
    }
    properties.update(&schedulers::base_properties(definition));
    if let Err(error) = properties.validate() {
        problems.insert("properties".into(), error.to_string());
    }
    if !problems.is_empty() {
        return Err(Refusal::Invalid { fields: problems });
    }
    let stamp = buildset::stamp(tx, stamp);
    let sourcestamps = aggregate(tx, definition, vec![stamp]);
    let launched = launch(
        tx,
        definition,
        Launch {
            reason: reason(who, &job.comment),
            sourcestamps,
            changes: Vec::new(),
            files: None,
            properties,
            priority: None,
            builders,
            parent: None,
            external_id: Some(job.id).filter(|id| !id.is_empty()),
        },
    );
    match launched {
        Some(Launched::Buildset { buildset, requests }) => Ok(Reply::Buildset { buildset, requests }),
        Some(Launched::Run(run)) => Ok(Reply::Run(run)),
        None => unreachable!("the builders were chosen, and there is one at least, or its pipeline is there"),
    }
}

fn not_found(name: &str) -> Refusal {
    Refusal::NotFound {
        what: format!("try scheduler \"{name}\""),
    }
}

/// The builders that the job names: each must be the scheduler's. None where a pipeline is started.
fn chosen(
    state: &State,
    definition: &SchedulerDef,
    names: &[String],
    problems: &mut Problems,
) -> Option<Vec<BuilderId>> {
    let mut problem = |text: String| {
        problems.insert("builders".into(), text);
    };
    let name = &definition.name;
    if let Some(pipeline) = &definition.pipeline {
        if !names.is_empty() {
            problem(format!(
                "try scheduler \"{name}\" starts pipeline \"{pipeline}\", so a job for it names no builders"
            ));
        }
        return None;
    }
    let all = schedulers::builders(state, definition);
    let called = |id: &BuilderId| state.builder(*id).map_or("", |builder| &builder.name);
    let strange: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| !all.iter().any(|id| called(id) == *name))
        .take(10)
        .collect();
    if !strange.is_empty() {
        let known: Vec<&str> = all.iter().map(called).take(50).collect();
        problem(format!(
            "try scheduler \"{name}\" cannot build {}; its builders are {}",
            strange.join(", "),
            known.join(", ")
        ));
    } else if all.is_empty() {
        problem(format!("try scheduler \"{name}\" has no builders"));
    }
    let wanted = |id: &BuilderId| names.is_empty() || names.iter().any(|name| name == called(id));
    Some(all.iter().copied().filter(wanted).collect())
}

/// What is to be built, of the code base that the job, its repository or the scheduler says.
fn stamp(definition: &SchedulerDef, job: &TryJob, problems: &mut Problems) -> NewSourceStamp {
    let patch = job.patch.as_ref().filter(|patch| !patch.body.trim().is_empty());
    if let Some(patch) = patch
        && patch.level > LEVEL_MAX
    {
        problems.insert(
            "patchlevel".into(),
            format!(
                "a patch cannot strip {} path elements, at most {LEVEL_MAX}",
                patch.level
            ),
        );
    }
    let patch = patch.map(|patch| Patch {
        level: patch.level,
        subdir: patch.subdir.clone(),
        author: job.who.trim().to_owned(),
        comment: job.comment.clone(),
        // A diff ends with a line, and its white space matters.
        body: if patch.body.ends_with('\n') {
            patch.body.clone()
        } else {
            format!("{}\n", patch.body)
        },
    });
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut stamp = NewSourceStamp {
        branch: given(&job.branch),
        revision: given(&job.revision),
        repository: job.repository.clone(),
        project: job.project.clone(),
        codebase: job.codebase.clone(),
        patch,
    };
    if definition.codebases.is_empty() {
        return stamp;
    }
    let sources = || definition.codebases.iter().map(|of| &of.source);
    let found = match job.codebase.as_str() {
        "" => sources()
            .find(|source| same_repository(&source.repository, &job.repository))
            .or_else(|| sources().next().filter(|_| definition.codebases.len() == 1)),
        name => sources().find(|source| source.codebase == name),
    };
    let Some(source) = found else {
        let known: Vec<&str> = sources().map(|source| source.codebase.as_str()).collect();
        let problem = if job.codebase.is_empty() {
            "the job has to say its code base"
        } else {
            "the job's code base is none of the scheduler's"
        };
        problems.insert(
            "codebase".into(),
            format!("{problem}: one of {}", known.join(", ")),
        );
        return stamp;
    };
    // A client may know the repository by the path of somebody's clone; workers have to find it.
    let of_source = source.stamp();
    stamp.codebase = of_source.codebase;
    stamp.repository = of_source.repository;
    stamp.project = of_source.project;
    stamp.branch = stamp.branch.or(of_source.branch);
    stamp
}

/// Why it is built, for people.
fn reason(who: &str, comment: &str) -> String {
    let mut reason = "'try' job".to_owned();
    if !who.is_empty() {
        reason.push_str(" by user ");
        reason.push_str(who);
    }
    let mut quoted: String = comment.trim().chars().take(QUOTED_MAX).collect();
    if !quoted.is_empty() {
        if quoted.len() < comment.trim().len() {
            quoted.push('…');
        }
        reason.push_str(&format!(" ({quoted})"));
    }
    reason
}
