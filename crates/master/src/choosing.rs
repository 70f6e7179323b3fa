//! Questions to the configuration's functions: which of a builder's requests starts on which worker.

use std::{collections::BTreeSet, sync::Arc};

use ironmaster_engine::{Choice, Input, Offer, State, Verdict, Wish};
use ironmaster_model::{BuilderId, CallbackSet, Pick, Plan, Timestamp};
use serde_json::{Map, Value, json};

use crate::{
    asking::{Question, cut},
    committer::Committer,
    crash,
};

/// A choice, with the configuration that says what its workers are.
#[derive(Debug)]
pub(crate) struct Choosing {
    choice: Choice,
    plan: Arc<Plan>,
}

impl Question for Choosing {
    type Key = BuilderId;

    fn open(state: &State, asked: &BTreeSet<BuilderId>, most: usize) -> Vec<Self> {
        let open = state.choices().filter(|(builder, _)| !asked.contains(builder));
        let choices = open.filter_map(|(builder, _)| state.choice(builder));
        let with_plan = |choice| Self {
            choice,
            plan: Arc::clone(state.plan()),
        };
        choices.take(most).map(with_plan).collect()
    }

    fn key(&self) -> BuilderId {
        self.choice.builder
    }

    fn config(&self) -> &str {
        &self.choice.config
    }

    fn ask(&self, functions: &CallbackSet, now: Timestamp) -> Input {
        self.says(verdict(functions, &self.choice, &self.plan, now))
    }

    fn failed(&self, why: String) -> Input {
        self.says(Verdict::Nothing { why })
    }

    async fn hand_in(committer: &Committer, answer: Input) {
        crash::point("choice_made");
        if committer.submit(answer).await.is_err() {
            // A commit has failed, and nobody remembers the question. What can start, or be asked, is looked for anew when that is
            // possible again.
            let _ = committer.submit_fact(Input::Tick).await;
        }
    }
}

impl Choosing {
    fn says(&self, verdict: Verdict) -> Input {
        Input::Chosen {
            builder: self.choice.builder,
            number: self.choice.number,
            verdict,
        }
    }
}

fn verdict(functions: &CallbackSet, choice: &Choice, plan: &Plan, now: Timestamp) -> Verdict {
    let requests: Vec<_> = choice
        .requests
        .iter()
        .map(|wish| request(wish, &choice.name, now))
        .collect();
    let workers: Vec<_> = choice.workers.iter().map(|offer| worker(offer, plan)).collect();
    let pick = match &functions.0 {
        Some(functions) => functions.choose(&choice.name, &requests, &workers),
        None => Err("there are none in the configuration that is in force".to_owned()),
    };
    match pick {
        Ok(Pick::Start { request, worker }) => {
            let (request, worker) = (choice.requests.get(request), choice.workers.get(worker));
            match (request, worker) {
                (Some(wish), Some(offer)) => Verdict::Start {
                    request: wish.request.id,
                    worker: offer.worker.id,
                },
                _ => Verdict::Nothing {
                    why: "what was chosen is not there".to_owned(),
                },
            }
        }
        Ok(Pick::Nothing(why)) => Verdict::Nothing { why: cut(why) },
        Err(traceback) => {
            let builder = &choice.name;
            tracing::error!(
                builder,
                "a function of the configuration failed, so nothing of the builder starts:\n{traceback}"
            );
            let why = format!(
                "functions of the configuration are asked about builder \"{builder}\", and {traceback}"
            );
            Verdict::Nothing { why: cut(why) }
        }
    }
}

/// A request as functions see it.
pub(crate) fn request(wish: &Wish, builder: &str, now: Timestamp) -> Map<String, Value> {
    let (request, buildset) = (&wish.request, &wish.buildset);
    let properties: Map<String, Value> = buildset
        .properties
        .0
        .iter()
        .map(|(name, property)| (name.clone(), property.value.clone()))
        .collect();
    let stamps: Vec<Value> = wish
        .sourcestamps
        .iter()
        .map(|record| {
            let stamp = &record.stamp;
            json!({
                "branch": stamp.branch,
                "revision": stamp.revision,
                "repository": stamp.repository,
                "project": stamp.project,
                "codebase": stamp.codebase,
                "patch": stamp.patch.is_some(),
            })
        })
        .collect();
    let first = stamps.first().cloned().unwrap_or_default();
    object(json!({
        "id": request.id.0,
        "builder": builder,
        "buildset": request.buildset.0,
        "scheduler": buildset.scheduler,
        "reason": buildset.reason,
        "priority": request.priority,
        "submitted_at": request.submitted_at.0 / 1_000_000,
        "age": now.since(request.submitted_at).as_secs().max(0),
        "attempts": request.attempts,
        "waited_for": request.waited_for,
        "properties": properties,
        "branch": first["branch"],
        "revision": first["revision"],
        "repository": first["repository"],
        "project": first["project"],
        "codebase": first["codebase"],
        "patch": first["patch"],
        "sourcestamps": stamps,
    }))
}

/// A worker as functions see it.
fn worker(offer: &Offer, plan: &Plan) -> Map<String, Value> {
    let worker = &offer.worker;
    let def = plan.workers.get(&worker.name);
    object(json!({
        "name": worker.name,
        "labels": def.map(|def| &def.labels),
        "properties": def.map(|def| &def.properties),
        "slots": def.map_or(0, |def| def.slots),
        "running": offer.running,
        "warm": offer.warm,
        "host": worker.info.host,
        "admin": worker.info.admin,
        "version": worker.info.version,
        "facts": worker.info.facts,
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
