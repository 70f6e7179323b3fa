//! A force scheduler's button: the form is checked, and becomes a buildset.
//!
//! The form that people see ([`force_fields`]) and the check of what they fill in are made from one list of fields, so
//! that they cannot differ.

mod form;

use std::sync::Arc;

use ironmaster_model::{
    BuilderId, FixedSource, ForceDef, NewSourceStamp, Patch, SchedulerDef, SchedulerKind,
};
use serde_json::{Map, Value};

pub use form::force_fields;
use form::{Problems, Values, fill, general, is_blank, own, scalar, source, sources};

use super::{
    buildset, invalid,
    launch::{Launch, Launched, launch},
};
use crate::{Refusal, Reply, State, Tx, schedulers};

/// Source of the properties that a form sets.
const SOURCE: &str = "Force Build Form";

pub(super) fn force(
    tx: &mut Tx<'_>,
    name: &str,
    params: &Map<String, Value>,
    owner: Option<String>,
) -> Result<Reply, Refusal> {
    let state = tx.state();
    let found = state.scheduler_by_name(name).filter(|record| record.active);
    let (Some(record), Some(definition)) = (found, state.plan().schedulers.get(name)) else {
        return Err(not_found(name));
    };
    let SchedulerKind::Force(form) = &definition.kind else {
        return Err(not_found(name));
    };
    if !record.enabled {
        return Err(Refusal::Conflict {
            reason: format!("force scheduler \"{name}\" is switched off"),
        });
    }
    let filled = Filled::new(definition, form, params, owner);
    let builders = match definition.pipeline {
        Some(_) => Ok(Vec::new()),
        None => chosen_builders(state, definition, params),
    };
    let (filled, builders) = match (filled, builders) {
        (Ok(filled), Ok(builders)) => (filled, builders),
        (filled, builders) => {
            let mut fields = filled.err().unwrap_or_default();
            fields.extend(builders.err().unwrap_or_default());
            return Err(Refusal::Invalid { fields });
        }
    };
    let mut properties = schedulers::base_properties(definition);
    for (name, value) in filled.properties {
        properties.set(name, value, SOURCE);
    }
    properties.set("reason", filled.reason.as_str(), SOURCE);
    properties.set("owner", filled.owner.as_str(), SOURCE);
    properties
        .validate()
        .map_err(|error| invalid("properties", error.to_string()))?;
    let plan = Arc::clone(state.plan());
    let stamps = filled.stamps.into_iter();
    let sourcestamps = stamps.map(|stamp| buildset::stamp(tx, stamp)).collect();
    let launched = launch(
        tx,
        &plan.schedulers[name],
        Launch {
            reason: format!("A build was forced by '{}': {}", filled.owner, filled.reason),
            sourcestamps,
            changes: Vec::new(),
            files: None,
            properties,
            priority: Some(filled.priority),
            builders: Some(builders),
            parent: None,
            external_id: None,
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
        what: format!("force scheduler \"{name}\""),
    }
}

/// The builders that the caller names, which must be the scheduler's; all of them if none is named.
fn chosen_builders(
    state: &State,
    definition: &SchedulerDef,
    params: &Map<String, Value>,
) -> Result<Vec<BuilderId>, Problems> {
    let problem = |field: &str, text: String| Err(Problems::from([(field.to_owned(), text)]));
    if let Some(value) = params
        .get("builderid")
        .map(scalar)
        .filter(|value| !is_blank(value))
    {
        let id = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let Some(id) = id.map(BuilderId) else {
            return problem("builderid", format!("{value} is not a builder's id"));
        };
        let its_own = state
            .builder(id)
            .is_some_and(|builder| builder.active && definition.builders.contains(&builder.name));
        if !its_own {
            return problem(
                "builderid",
                format!("builder {id} is not one of this scheduler's"),
            );
        }
        return Ok(vec![id]);
    }
    let all = schedulers::builders(state, definition);
    let names: Vec<&str> = match params.get("builderNames") {
        None | Some(Value::Null) if all.is_empty() => {
            return problem("builderNames", "this scheduler has no builders".into());
        }
        None | Some(Value::Null) => return Ok(all),
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
            names.iter().filter_map(Value::as_str).collect()
        }
        Some(_) => return problem("builderNames", "this is not a list of builders' names".into()),
    };
    let chosen: Vec<BuilderId> = all
        .into_iter()
        .filter(|id| {
            state
                .builder(*id)
                .is_some_and(|builder| names.contains(&builder.name.as_str()))
        })
        .collect();
    if chosen.is_empty() {
        return problem(
            "builderNames",
            "none of these builders is one of this scheduler's".into(),
        );
    }
    Ok(chosen)
}

/// What somebody wants, once the form was found to be in order.
struct Filled {
    owner: String,
    reason: String,
    priority: i64,
    stamps: Vec<NewSourceStamp>,
    properties: Values,
}

impl Filled {
    fn new(
        definition: &SchedulerDef,
        form: &ForceDef,
        params: &Map<String, Value>,
        owner: Option<String>,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let general = fill(&[general(definition, form)], params, &mut problems);
        let stamps: Vec<NewSourceStamp> = sources(form)
            .iter()
            .map(|of| stamp(of, &fill(&[source(form, of)], params, &mut problems)))
            .collect();
        let properties = fill(&own(&form.fields), params, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            owner: owner
                .filter(|owner| !owner.is_empty() && owner != "anonymous")
                .or_else(|| optional(&general, "username"))
                .unwrap_or_else(|| "anonymous".into()),
            reason: text(&general, "reason"),
            priority: general
                .get("priority")
                .and_then(Value::as_i64)
                .unwrap_or(definition.priority),
            stamps,
            properties,
        })
    }
}

/// The stamp that the fields of one source name.
fn stamp(of: &FixedSource, values: &Values) -> NewSourceStamp {
    let inside = |values: &Values, name: &str| match values.get(name) {
        Some(Value::Object(inside)) => inside.clone(),
        _ => Values::new(),
    };
    // The default code base has no name, and its fields stand alone.
    let values = if of.codebase.is_empty() {
        values.clone()
    } else {
        inside(values, &of.codebase)
    };
    let patch = inside(&values, "patch");
    NewSourceStamp {
        branch: optional(&values, "branch"),
        revision: optional(&values, "revision"),
        repository: text(&values, "repository"),
        project: text(&values, "project"),
        codebase: of.codebase.clone(),
        patch: patch
            .get("body")
            .and_then(Value::as_str)
            .filter(|body| !body.trim().is_empty())
            .map(|body| Patch {
                level: patch.get("level").and_then(Value::as_u64).unwrap_or(1) as u32,
                subdir: text(&patch, "subdir"),
                author: text(&patch, "author"),
                comment: text(&patch, "comment"),
                // A diff ends with a line, and its white space matters.
                body: if body.ends_with('\n') {
                    body.to_owned()
                } else {
                    format!("{body}\n")
                },
            }),
    }
}

fn text(values: &Values, name: &str) -> String {
    match values.get(name) {
        Some(Value::String(text)) => text.trim().to_owned(),
        _ => String::new(),
    }
}

fn optional(values: &Values, name: &str) -> Option<String> {
    Some(text(values, name)).filter(|text| !text.is_empty())
}
