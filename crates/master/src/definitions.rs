//! Reads the files in which the jobs of runs stand, each in its repository at the revision that is built.
//!
//! What is to be read is a state of the runs, so there is nothing to be remembered here: after a start, a reload or a lost
//! commit the State says what is still asked. Fetching and evaluating happen far from the committer; what they come to goes in as
//! an input, and what may come of that is decided there. A repository is read by one task at a time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use ironmaster_changes::{FileRead, FileRequest, read_file};
use ironmaster_engine::{Found, Input, Question, is_trusted};
use ironmaster_model::{Plan, RunId, RunProblem};
use serde_json::Value;
use tokio::{
    sync::Notify,
    task::{Id, JoinSet},
    time::Instant,
};

use crate::{
    ConfigSource, Findings, SubmitError,
    committer::{Committer, chain},
    crash,
};

/// Repositories that are read at once.
const READS_MAX: usize = 4;
/// The largest file, in bytes.
const FILE_BYTES_MAX: usize = 256 << 10;
/// How long it takes until something is tried again, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// The longest text of what is wrong that is kept, in bytes.
const TEXT_BYTES_MAX: usize = 32 << 10;
/// The most findings that are kept for programs.
const FINDINGS_MAX: usize = 50;

/// What the reading needs.
#[derive(Debug)]
pub(crate) struct Definitions {
    pub(crate) committer: Committer,
    /// Who can evaluate a file.
    pub(crate) config: Option<Arc<dyn ConfigSource>>,
    /// Where mirrors are kept.
    pub(crate) dir: PathBuf,
    /// Told when there may be something to read.
    pub(crate) wake: Arc<Notify>,
}

/// When something is tried again.
#[derive(Clone, Copy, Debug)]
struct Again {
    at: Instant,
    after: Duration,
}

impl Again {
    /// Later and later.
    fn next(before: Option<Again>) -> Self {
        let after = before.map_or(BACKOFF.0, |before| (before.after * 2).min(BACKOFF.1));
        Self {
            at: Instant::now() + after,
            after,
        }
    }
}

/// What waits for its next try.
#[derive(Debug, Default)]
struct Waits {
    /// Repositories that could not be reached.
    repositories: BTreeMap<String, Again>,
    /// Runs whose revision is not there yet, or whose answer was not taken.
    runs: BTreeMap<RunId, Again>,
}

/// What a read came to.
enum Done {
    Answered,
    NotReached,
    NotYet,
}

impl Definitions {
    /// Reads whatever is asked for, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut waits = Waits::default();
        let mut busy: BTreeSet<String> = BTreeSet::new();
        let mut reads: JoinSet<Done> = JoinSet::new();
        let mut read: HashMap<Id, Question> = HashMap::new();
        loop {
            let Ok((plan, questions, next)) = self.open(&mut waits, &busy, READS_MAX - reads.len()).await
            else {
                // Nothing can be read from a State that is being mended.
                tokio::time::sleep(BACKOFF.0).await;
                continue;
            };
            for question in questions {
                busy.insert(question.repository.clone());
                let (this, plan, about) = (Arc::clone(&self), Arc::clone(&plan), question.clone());
                let task = reads.spawn(async move { this.answer(&about, plan).await });
                read.insert(task.id(), question);
            }
            let due = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.wake.notified() => {}
                () = due => {}
                Some(over) = reads.join_next_with_id() => {
                    let (id, done) = over.unwrap_or_else(|error| {
                        // Our own mistake, which must not keep others from being read.
                        tracing::error!(%error, "reading the jobs of a run has failed; trying again");
                        (error.id(), Done::NotYet)
                    });
                    if let Some(question) = read.remove(&id) {
                        busy.remove(&question.repository);
                        waits.note(question, &done);
                    }
                }
            }
        }
    }

    /// What can be read now, at most so many and of each repository one; and when there may be more.
    async fn open(
        &self,
        waits: &mut Waits,
        busy: &BTreeSet<String>,
        most: usize,
    ) -> Result<(Arc<Plan>, Vec<Question>, Option<Instant>), SubmitError> {
        let (before, busy) = (std::mem::take(waits), busy.clone());
        let (after, plan, questions, next) = self
            .committer
            .look(move |state| {
                let mut after = Waits::default();
                let mut taken: BTreeSet<String> = busy;
                let mut questions = Vec::new();
                let mut next: Option<Instant> = None;
                let now = Instant::now();
                for question in state.questions() {
                    let repository = before.repositories.get(&question.repository);
                    let run = before.runs.get(&question.run);
                    if let Some(again) = repository {
                        after.repositories.insert(question.repository.clone(), *again);
                    }
                    if let Some(again) = run {
                        after.runs.insert(question.run, *again);
                    }
                    let at = repository.into_iter().chain(run).map(|again| again.at).max();
                    if let Some(at) = at.filter(|at| *at > now) {
                        next = Some(next.map_or(at, |next| next.min(at)));
                    } else if questions.len() < most && taken.insert(question.repository.clone()) {
                        questions.push(question);
                    }
                }
                (after, Arc::clone(state.plan()), questions, next)
            })
            .await?;
        *waits = after;
        Ok((plan, questions, next))
    }

    async fn answer(&self, question: &Question, plan: Arc<Plan>) -> Done {
        let wanted = FileRequest {
            repository: question.repository.clone(),
            file: question.file.clone(),
            branch: question.branch.clone(),
            revision: question.revision.clone(),
            bytes_max: FILE_BYTES_MAX,
        };
        let (found, done) = match read_file(&self.dir, &wanted).await {
            Ok(FileRead::Text {
                revision,
                branch,
                text,
            }) => {
                let found = self.evaluate(question, plan, revision, branch, text).await;
                (found, Done::Answered)
            }
            Ok(FileRead::Wrong { revision, reason }) => {
                let at = revision
                    .as_ref()
                    .map_or_else(String::new, |at| format!(" at {at}"));
                let problem = RunProblem {
                    summary: format!("its jobs cannot be read{at}: {reason}"),
                    ..RunProblem::default()
                };
                (Found::Problem { revision, problem }, Done::Answered)
            }
            Ok(FileRead::NotYet { reason }) => (trouble(&reason), Done::NotYet),
            Err(error) => {
                let reason = chain(&error);
                tracing::warn!(
                    run = question.run.0,
                    reason,
                    "the file with the jobs of a run cannot be read; trying on"
                );
                (trouble(&reason), Done::NotReached)
            }
        };
        crash::point("definition_read");
        let input = Input::Define {
            run: question.run,
            found,
        };
        match self.committer.submit_fact(input).await {
            // Refused because nobody asks any more: it was stopped meanwhile.
            Ok(_) | Err(SubmitError::Refused(_)) => done,
            Err(_) => Done::NotYet,
        }
    }

    async fn evaluate(
        &self,
        question: &Question,
        plan: Arc<Plan>,
        revision: String,
        branch: Option<String>,
        text: String,
    ) -> Found {
        let problem = |summary: String, findings: Findings| Found::Problem {
            revision: Some(revision.clone()),
            problem: RunProblem {
                summary,
                text: cut(findings.text),
                findings: findings.list.into_iter().take(FINDINGS_MAX).collect(),
            },
        };
        let Some(config) = self.config.clone() else {
            let summary = "this master was started without anything that could read jobs".to_owned();
            return problem(summary, Findings::default());
        };
        let trusted = plan
            .pipelines
            .get(&question.pipeline)
            .and_then(|pipeline| pipeline.in_repository.as_ref())
            .is_some_and(|granted| question.may_be_trusted && is_trusted(granted, branch.as_deref()));
        let (file, pipeline) = (question.file.clone(), question.pipeline.clone());
        // It may take a moment, and is not to be believed.
        let evaluated = tokio::task::spawn_blocking(move || {
            config.repository_jobs(&plan, &pipeline, &file, &text, trusted)
        });
        match evaluated.await {
            Ok(Ok(jobs)) => Found::Jobs {
                revision,
                branch,
                jobs,
            },
            Ok(Err(findings)) => {
                let first = findings
                    .list
                    .first()
                    .and_then(|finding| finding.get("message"))
                    .and_then(Value::as_str)
                    .unwrap_or("it cannot be used");
                let more = match findings.list.len() {
                    0 | 1 => String::new(),
                    many => format!(" (and {} more)", many - 1),
                };
                let summary = format!("`{}` at {revision}: {first}{more}", question.file);
                problem(summary, findings)
            }
            Err(error) => {
                tracing::error!(run = question.run.0, %error, "evaluating the jobs of a run has failed");
                let summary = format!("`{}` at {revision} cannot be evaluated", question.file);
                problem(summary, Findings::default())
            }
        }
    }
}

impl Waits {
    fn note(&mut self, question: Question, done: &Done) {
        match done {
            Done::Answered => {
                self.repositories.remove(&question.repository);
                self.runs.remove(&question.run);
            }
            Done::NotReached => {
                let before = self.repositories.get(&question.repository).copied();
                self.repositories.insert(question.repository, Again::next(before));
            }
            Done::NotYet => {
                self.repositories.remove(&question.repository);
                let before = self.runs.get(&question.run).copied();
                self.runs.insert(question.run, Again::next(before));
            }
        }
    }
}

fn trouble(reason: &str) -> Found {
    Found::Trouble {
        reason: format!("its jobs cannot be read yet: {reason}; trying again"),
    }
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push_str("\n… and more");
    }
    text
}
