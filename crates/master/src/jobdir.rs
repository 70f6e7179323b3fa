//! The job directories of try schedulers: maildirs, which are looked into every second.
//!
//! A client writes a file to `tmp` and renames it to `new`. From there it goes to `cur` once its job is accepted, or to `bad` if
//! there is something wrong with it; `bad/NAME.why` says what, as do the master's log and the API.
//!
//! A job is accepted once, whatever happens between its commit and the move: the commit also keeps the file's name, and a
//! name that is kept is only moved. It is forgotten when the move is on the disk.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs, io,
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use ironmaster_changes::{parse_try_job, try_job::JOB_BYTES_MAX};
use ironmaster_engine::{Input, Refusal, TryJob};
use ironmaster_model::{Plan, SchedulerKind};

use crate::{
    SubmitError,
    committer::chain,
    crash,
    sources::{Generation, Sources},
};

/// From one look to the next.
const INTERVAL: Duration = Duration::from_secs(1);
/// Files that one look takes at most; the rest comes with the next.
const FILES_MAX: usize = 1000;
/// Refused jobs of one scheduler that are remembered for the API; all are kept on the disk.
const REFUSED_MAX: usize = 20;

/// A job that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedJob {
    /// The file's name, now in `bad`. None: it came over Perspective Broker.
    pub file: Option<String>,
    /// Why, for people.
    pub reason: String,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// Jobs that were refused lately, by the scheduler's name.
#[derive(Debug, Default)]
pub(crate) struct Refused(Mutex<BTreeMap<String, VecDeque<RefusedJob>>>);

impl Refused {
    pub(crate) fn of(&self, scheduler: &str) -> Vec<RefusedJob> {
        let refused = self.0.lock().expect("no panic while holding the lock");
        refused
            .get(scheduler)
            .map(|jobs| jobs.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Keeps a job in mind that is refused now.
    pub(crate) fn add(&self, scheduler: &str, file: Option<&str>, reason: &str) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let job = RefusedJob {
            file: file.map(str::to_owned),
            reason: reason.to_owned(),
            at: since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX)),
        };
        let mut refused = self.0.lock().expect("no panic while holding the lock");
        let jobs = refused.entry(scheduler.to_owned()).or_default();
        jobs.push_back(job);
        if jobs.len() > REFUSED_MAX {
            jobs.pop_front();
        }
    }
}

/// The longest name of a file, in bytes, on the file systems that there are.
const NAME_BYTES_MAX: usize = 255;

/// What becomes of a job.
enum Fate {
    Accepted,
    /// There is something wrong with it.
    PutAside,
    /// Nothing can be done about it now, and why; those behind it need not wait.
    Stays(String),
    /// The scheduler is switched off: it waits, and so do those behind it.
    Later,
}

/// One scheduler's directory.
struct Jobdir {
    scheduler: String,
    dir: PathBuf,
    /// Files that were accepted and may still lie in `new`; none = not read yet.
    accepted: Option<BTreeSet<String>>,
    failing: bool,
}

/// Begins to look into the directories of a plan.
pub(crate) fn begin(sources: &Arc<Sources>, plan: &Plan, generation: &Generation) {
    let mut dirs: Vec<Jobdir> = plan
        .schedulers
        .values()
        .filter_map(|scheduler| match &scheduler.kind {
            SchedulerKind::Try(of) => Some(Jobdir {
                scheduler: scheduler.name.clone(),
                dir: of.jobdir.clone()?,
                accepted: None,
                failing: false,
            }),
            _ => None,
        })
        .collect();
    if dirs.is_empty() {
        return;
    }
    let (sources, stop) = (sources.clone(), generation.stop.clone());
    generation.spawn(&sources.tasks.clone(), async move {
        loop {
            for dir in &mut dirs {
                if stop.is_cancelled() {
                    return;
                }
                let looked = dir.look(&sources).await;
                dir.report(looked);
            }
            let waited = stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await;
            if waited.is_none() {
                return;
            }
        }
    });
}

impl Jobdir {
    fn report(&mut self, looked: Result<(), String>) {
        let scheduler = &self.scheduler;
        match looked {
            Ok(()) if std::mem::take(&mut self.failing) => {
                tracing::info!(scheduler, "its job directory can be used again");
            }
            Ok(()) => {}
            Err(reason) if !self.failing => {
                self.failing = true;
                tracing::error!(scheduler, dir = %self.dir.display(), reason, "its job directory cannot be used; trying on");
            }
            Err(reason) => tracing::debug!(scheduler, reason, "its job directory still cannot be used"),
        }
    }

    fn key(&self) -> String {
        format!("jobdir:{}", self.scheduler)
    }

    /// Takes what lies in `new`, oldest first.
    async fn look(&mut self, sources: &Sources) -> Result<(), String> {
        let mut accepted = match self.accepted.take() {
            Some(accepted) => accepted,
            None => self.read_accepted(sources).await?,
        };
        let done = self.take(sources, &mut accepted).await;
        self.accepted = Some(accepted);
        done
    }

    async fn take(&self, sources: &Sources, accepted: &mut BTreeSet<String>) -> Result<(), String> {
        let dir = self.dir.clone();
        let names = blocking(move || list(&dir))
            .await
            .map_err(|error| error.to_string())?;
        let mut moved = false;
        let mut outcome = Ok(());
        for name in &names {
            if !accepted.contains(name) {
                match self.accept(sources, name, accepted).await? {
                    Fate::Accepted => {}
                    Fate::PutAside => continue,
                    Fate::Stays(reason) => {
                        outcome = Err(reason);
                        continue;
                    }
                    Fate::Later => break,
                }
            }
            let (dir, file) = (self.dir.clone(), name.clone());
            match blocking(move || fs::rename(dir.join("new").join(&file), dir.join("cur").join(&file))).await
            {
                Ok(()) => moved = true,
                Err(error) => outcome = Err(format!("cannot move {name} from `new` to `cur`: {error}")),
            }
        }
        // Names of files that somebody else has moved away are forgotten, too.
        let gone = accepted.iter().any(|name| !names.contains(name)) && names.len() < FILES_MAX;
        if moved || gone {
            let dir = self.dir.clone();
            // After a crash of the machine a moved file must not be back while its name is forgotten.
            let left = blocking(move || {
                for part in ["cur", "new"] {
                    fs::File::open(dir.join(part))?.sync_all()?;
                }
                list(&dir)
            })
            .await
            .map_err(|error| error.to_string())?;
            accepted.retain(|name| left.contains(name));
            let (key, text) = (self.key(), text(accepted)?);
            sources
                .committer
                .write(move |store| store.set_meta(&key, &text))
                .await
                .map_err(|error| error.to_string())?
                .map_err(|error| chain(&error))?;
        }
        outcome
    }

    /// Has a job accepted. What is wrong with it stays wrong, so it is put aside then.
    async fn accept(
        &self,
        sources: &Sources,
        name: &str,
        accepted: &mut BTreeSet<String>,
    ) -> Result<Fate, String> {
        let path = self.dir.join("new").join(name);
        let reason = match blocking(move || read(&path)).await {
            // It may be moved, and there its owner finds why.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                format!("the master may not read it: {error}")
            }
            Err(error) => return Ok(Fate::Stays(format!("cannot read {name}: {error}"))),
            Ok(Err(reason)) => reason,
            Ok(Ok(mut job)) => {
                job.scheduler.clone_from(&self.scheduler);
                accepted.insert(name.to_owned());
                let meta = (self.key(), text(accepted)?);
                let input = Input::Try(Box::new(job));
                match sources.committer.submit_with(input, Some(meta)).await {
                    Ok(_) => {
                        crash::point("job_accepted");
                        tracing::info!(scheduler = self.scheduler, job = name, "accepted a job");
                        return Ok(Fate::Accepted);
                    }
                    Err(error) => {
                        accepted.remove(name);
                        match error {
                            SubmitError::Refused(Refusal::Conflict { .. }) => return Ok(Fate::Later),
                            SubmitError::Refused(refusal) => refusal.to_string(),
                            error => return Err(error.to_string()),
                        }
                    }
                }
            }
        };
        Ok(match self.put_aside(sources, name, &reason).await {
            Ok(()) => Fate::PutAside,
            Err(error) => Fate::Stays(error),
        })
    }

    /// Keeps a job that cannot be used, and says why where people look.
    async fn put_aside(&self, sources: &Sources, name: &str, reason: &str) -> Result<(), String> {
        let (dir, file, why) = (self.dir.clone(), name.to_owned(), format!("{reason}\n"));
        blocking(move || {
            let bad = dir.join("bad");
            let begin = &file[..file.floor_char_boundary(NAME_BYTES_MAX - ".why".len())];
            fs::write(bad.join(format!("{begin}.why")), why)?;
            fs::rename(dir.join("new").join(&file), bad.join(&file))
        })
        .await
        .map_err(|error| format!("cannot move {name} from `new` to `bad`: {error}"))?;
        tracing::warn!(
            scheduler = self.scheduler,
            job = name,
            reason,
            "a job is refused; it is in the folder `bad` of the job directory"
        );
        sources.refused.add(&self.scheduler, Some(name), reason);
        Ok(())
    }

    async fn read_accepted(&self, sources: &Sources) -> Result<BTreeSet<String>, String> {
        let (reader, key) = (sources.reader.clone(), self.key());
        let stored = tokio::task::spawn_blocking(move || reader.meta(&key))
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| chain(&error))?;
        match stored {
            Some(text) => serde_json::from_str(&text)
                .map_err(|error| format!("what was kept of it cannot be read: {error}")),
            None => Ok(BTreeSet::new()),
        }
    }
}

/// Makes the directory if it is not there, and lists what waits in it, oldest first.
fn list(dir: &Path) -> io::Result<Vec<String>> {
    for part in ["new", "cur", "tmp", "bad"] {
        fs::create_dir_all(dir.join(part))?;
    }
    let mut found: Vec<(SystemTime, String)> = Vec::new();
    for entry in fs::read_dir(dir.join("new"))? {
        if found.len() == FILES_MAX {
            break;
        }
        let entry = entry?;
        // Moved away meanwhile, or no plain file, or a name that cannot be shown: not a client's.
        let Ok(metadata) = entry.metadata() else { continue };
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if metadata.is_file() && !name.starts_with('.') {
            found.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), name));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, name)| name).collect())
}

/// A file's job, or what is wrong with it.
fn read(path: &Path) -> io::Result<Result<TryJob, String>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(JOB_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(parse_try_job(&bytes).map_err(|error| chain(&error)))
}

/// How accepted names are kept.
fn text(accepted: &BTreeSet<String>) -> Result<String, String> {
    serde_json::to_string(accepted).map_err(|error| error.to_string())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
