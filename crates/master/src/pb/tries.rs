//! `buildbot try --connect=pb`: somebody hands in a patch over Perspective Broker, and watches what becomes of it.

use std::collections::BTreeMap;

use ironmaster_buildbot::pb::{TryEvent, TryJob as SentJob, TrySession};
use ironmaster_engine::{Input, Reply, TryJob, TryPatch};
use ironmaster_model::{BuildId, BuildRequestId, BuilderId, Event, Plan, Results, StepId};
use ironmaster_store::{Filter, FilterValue, Op, Query, Resource};
use ironmaster_tls::Stream;
use tokio::io::AsyncReadExt;

use super::{DEPTH_MAX, READ_BYTES, json, send};
use crate::{FeedReader, Master};

/// What goes before the numbers of builds that there never were: of requests that ended without one.
const NO_BUILD: u64 = 1 << 63;

/// Who is on the other side.
pub(super) struct Tester {
    pub(super) user: String,
    /// The try scheduler that the user may call.
    pub(super) scheduler: String,
    pub(super) session: TrySession,
}

/// What was tried, and what there is to tell of it.
struct Tried {
    feed: FeedReader,
    /// Their place in the client's list.
    requests: BTreeMap<BuildRequestId, usize>,
    /// Builds that run, each with the step that does.
    running: BTreeMap<BuildId, (BuildRequestId, Option<(StepId, String)>)>,
}

/// Until the other side has seen enough.
pub(super) async fn serve(master: &Master, mut tester: Tester, stream: &mut Stream) -> Result<(), String> {
    let mut buffer = vec![0; READ_BYTES];
    let mut tried: Option<Tried> = None;
    loop {
        while let Some(event) = tester.session.poll_event() {
            match event {
                TryEvent::Builders(request) => {
                    let names = names(&master.plan(), &tester.scheduler);
                    tester.session.send_builders(request, &names)
                }
                TryEvent::Try { request, job } => match start(master, &tester, *job).await {
                    Ok((new, builders)) => {
                        tried = Some(new);
                        tester.session.accept(request, &builders)
                    }
                    Err(reason) => {
                        let (user, scheduler) = (&tester.user, &tester.scheduler);
                        tracing::warn!(user, scheduler, reason, "a job is refused");
                        master.note_refused_job(scheduler, &reason);
                        // A failure with the reason in it would leave the stock client waiting for ever.
                        tester.session.decline(request)
                    }
                },
                TryEvent::Watches => Ok(()),
            }
            .map_err(|error| error.to_string())?;
        }
        while let Some(bytes) = tester.session.poll_send() {
            send(stream, &bytes).await?;
        }
        tokio::select! {
            read = stream.read(&mut buffer) => {
                let count = read.map_err(|error| error.to_string())?;
                if count == 0 {
                    return Ok(());
                }
                tester
                    .session
                    .feed(&buffer[..count])
                    .map_err(|error| error.to_string())?;
            }
            told = news(tried.as_mut(), &mut tester.session) => told?,
        }
    }
}

/// The builders that may be tried.
fn names(plan: &Plan, scheduler: &str) -> Vec<String> {
    let definition = plan.schedulers.get(scheduler);
    definition.map_or_else(Vec::new, |definition| definition.builders.clone())
}

/// Hands the job over. Answers what to watch, and the names of the builders in the order of their places.
async fn start(master: &Master, tester: &Tester, job: SentJob) -> Result<(Tried, Vec<String>), String> {
    let job = read(tester, job)?;
    // From before it begins, so that nothing of it is missed.
    let feed = master.subscribe();
    let reply = master
        .submit(Input::Try(Box::new(job)))
        .await
        .map_err(|error| error.to_string())?;
    let requests = match reply {
        Reply::Buildset { requests, .. } => requests,
        // What a pipeline does is not seen from here.
        _ => BTreeMap::new(),
    };
    let called = builder_names(master, requests.keys().copied().collect()).await?;
    let mut places = BTreeMap::new();
    let mut builders = Vec::new();
    for (builder, request) in requests {
        places.insert(request, builders.len());
        builders.push(
            called
                .get(&builder)
                .cloned()
                .unwrap_or_else(|| builder.to_string()),
        );
    }
    let tried = Tried {
        feed,
        requests: places,
        running: BTreeMap::new(),
    };
    Ok((tried, builders))
}

/// What was sent, as every other way of trying says it.
fn read(tester: &Tester, job: SentJob) -> Result<TryJob, String> {
    let patch = match job.patch {
        None => None,
        Some((level, body)) => Some(TryPatch {
            level,
            subdir: String::new(),
            body: String::from_utf8(body.into())
                .map_err(|_| "the patch is not UTF-8, and no other text can be kept".to_owned())?,
        }),
    };
    let mut properties = BTreeMap::new();
    for (name, value) in job.properties {
        let value =
            json(&value, DEPTH_MAX).ok_or_else(|| format!("the property `{name}` has a value of no use"))?;
        properties.insert(name, value);
    }
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    Ok(TryJob {
        scheduler: tester.scheduler.clone(),
        id: String::new(),
        branch: filled(job.branch),
        revision: filled(job.revision),
        patch: patch.filter(|patch| !patch.body.is_empty()),
        repository: job.repository,
        project: job.project,
        codebase: String::new(),
        who: filled(job.who).unwrap_or_else(|| tester.user.clone()),
        comment: job.comment.unwrap_or_default(),
        builders: job.builders,
        properties,
    })
}

async fn builder_names(master: &Master, ids: Vec<BuilderId>) -> Result<BTreeMap<BuilderId, String>, String> {
    let query = Query {
        scope: vec![Filter {
            field: "builderid".into(),
            op: Op::In,
            values: ids.into_iter().map(|id| FilterValue::from(id.0)).collect(),
        }],
        fields: Some(vec!["builderid".into(), "name".into()]),
        ..Query::default()
    };
    let page = master
        .read(move |reader| reader.query(Resource::Builders, &query))
        .await
        .map_err(|error| error.to_string())?;
    let named = page.items.iter().filter_map(|item| {
        let id = item.get("builderid")?.as_u64()?;
        Some((BuilderId(id), item.get("name")?.as_str()?.to_owned()))
    });
    Ok(named.collect())
}

/// Waits for something that there is to tell, and tells it. For ever if nothing was tried.
///
/// Cancel safe: it waits for the feed alone.
async fn news(tried: Option<&mut Tried>, session: &mut TrySession) -> Result<(), String> {
    let Some(tried) = tried else {
        return std::future::pending().await;
    };
    let events = tried.feed.next().await.map_err(|error| error.to_string())?;
    for sequenced in events {
        tried.tell(&sequenced.event, session)?;
    }
    Ok(())
}

impl Tried {
    fn tell(&mut self, event: &Event, session: &mut TrySession) -> Result<(), String> {
        let told = match event {
            Event::BuildStarted { build, .. } => match self.requests.get(&build.request) {
                Some(place) => {
                    self.running.insert(build.id, (build.request, None));
                    session.build_started(*place, build.id.0)
                }
                None => Ok(()),
            },
            Event::StepStarted { step, .. } => match self.running.get_mut(&step.build) {
                Some((_, running)) => {
                    *running = Some((step.id, step.name.clone()));
                    session.step_started(step.build.0, &step.name)
                }
                None => Ok(()),
            },
            Event::StepFinished { build, results, .. } => {
                let step = self.running.get_mut(build).and_then(|(_, step)| step.take());
                match step {
                    Some((_, name)) => session.step_finished(build.0, &name, code(*results)),
                    None => Ok(()),
                }
            }
            Event::BuildFinished {
                build,
                results,
                state_string,
                ..
            } => {
                let Some((request, _)) = self.running.remove(build) else {
                    return Ok(());
                };
                if *results != Results::Retry {
                    self.requests.remove(&request);
                }
                session.build_finished(build.0, code(*results), state_string)
            }
            // Without a build, or without another one: who waits has to hear of an end.
            Event::RequestCompleted { request, results, .. } => match self.requests.remove(request) {
                Some(place) => {
                    let number = NO_BUILD + request.0;
                    session.build_started(place, number).and_then(|()| {
                        session.build_finished(number, code(*results), "it ended before a build began")
                    })
                }
                None => Ok(()),
            },
            _ => Ok(()),
        };
        told.map_err(|error| error.to_string())
    }
}

fn code(results: Results) -> i64 {
    results.code().into()
}
