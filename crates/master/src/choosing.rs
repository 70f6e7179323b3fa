//! Asks the configuration's functions which of a builder's requests starts on which worker.
//!
//! Who is to be asked is known to the State, so nothing is remembered here: after a start, a reload or a lost commit it says so
//! again. Functions run far from the committer; what they say goes in as an input, and is looked at there once more. Of each builder there is one
//! question at a time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ironmaster_engine::{Choice, Input, Offer, Verdict, Wish};
use ironmaster_model::{BuilderId, CallbackSet, Pick, Plan, Timestamp};
use serde_json::{Map, Value, json};
use tokio::{sync::Notify, task::JoinSet};

use crate::{
    SubmitError,
    committer::{Committer, clock},
    crash,
};

/// Questions that are asked at once. The threads that functions run on are fewer.
const QUESTIONS_MAX: usize = 8;
/// How long to wait while nothing can be decided.
const BACKOFF: Duration = Duration::from_secs(1);
/// The longest text that is kept of a failure, in bytes.
const TEXT_BYTES_MAX: usize = 8 << 10;

/// What asking needs.
#[derive(Debug)]
pub(crate) struct Choosing {
    pub(crate) committer: Committer,
    /// Told when somebody is to be asked.
    pub(crate) wake: Arc<Notify>,
}

impl Choosing {
    /// Asks whenever there is something to ask, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut asked: BTreeSet<BuilderId> = BTreeSet::new();
        let mut questions: JoinSet<BuilderId> = JoinSet::new();
        loop {
            match self.open(&asked, QUESTIONS_MAX - questions.len()).await {
                Ok((plan, choices)) => {
                    for choice in choices {
                        let functions = self.committer.functions().get();
                        // There is another configuration since, and another question.
                        if functions.config != choice.config {
                            continue;
                        }
                        asked.insert(choice.builder);
                        let (this, plan) = (Arc::clone(&self), Arc::clone(&plan));
                        questions.spawn(async move {
                            let builder = choice.builder;
                            this.ask(functions.set, choice, plan).await;
                            builder
                        });
                    }
                }
                Err(SubmitError::Stopping) => return,
                Err(_) => {
                    // Nothing can be read from a State that is being mended.
                    tokio::time::sleep(BACKOFF).await;
                    continue;
                }
            }
            tokio::select! {
                () = self.wake.notified() => {}
                Some(Ok(builder)) = questions.join_next() => {
                    asked.remove(&builder);
                }
            }
        }
    }

    /// Questions that nobody has been asked yet, at most so many.
    async fn open(
        &self,
        asked: &BTreeSet<BuilderId>,
        most: usize,
    ) -> Result<(Arc<Plan>, Vec<Choice>), SubmitError> {
        let asked = asked.clone();
        self.committer
            .look(move |state| {
                let open = state.choices().filter(|(builder, _)| !asked.contains(builder));
                let choices = open.filter_map(|(builder, _)| state.choice(builder));
                (Arc::clone(state.plan()), choices.take(most).collect())
            })
            .await
    }

    async fn ask(&self, functions: CallbackSet, choice: Choice, plan: Arc<Plan>) {
        let (builder, number, name) = (choice.builder, choice.number, choice.name.clone());
        let asked = tokio::task::spawn_blocking(move || verdict(&functions, &choice, &plan, clock()));
        let verdict = asked.await.unwrap_or_else(|error| {
            tracing::error!(builder = name, %error, "asking what starts has failed");
            Verdict::Nothing {
                why: "functions of the configuration could not be asked: see the master's log".to_owned(),
            }
        });
        crash::point("choice_made");
        let input = Input::Chosen {
            builder,
            number,
            verdict,
        };
        if self.committer.submit(input).await.is_err() {
            // A commit has failed, and nobody remembers the question. What can start, or be asked, is looked for anew when that is possible
            // again.
            let _ = self.committer.submit_fact(Input::Tick).await;
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

pub(crate) fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push_str("\n… and more");
    }
    text
}
