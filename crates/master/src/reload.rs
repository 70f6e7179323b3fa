//! Configurations come into force, at the start and whenever somebody asks for it: all or nothing. Each that did is
//! remembered, with when, by whom, and what was in its files.

use std::{fmt, sync::Arc};

use ironmaster_model::{JobDef, Plan, Timestamp};
use ironmaster_store::{Reader, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Master, SubmitError,
    committer::{chain, clock},
};

/// The key under which the history of configurations is kept.
const HISTORY: &str = "configurations";
/// Entries of the history that are kept.
const HISTORY_MAX: usize = 200;
/// Files of a configuration are kept if they have no more bytes than this together.
const CONTENTS_BYTES_MAX: usize = 64 << 10;

/// Where a master has its configuration from. The program brings one; this room knows no files.
pub trait ConfigSource: Send + Sync + fmt::Debug {
    /// Reads and checks the configuration. May block.
    fn load(&self) -> Result<NewConfig, Findings>;

    /// Reads the jobs of a pipeline from the text of a file in its repository, within limits. May block.
    fn repository_jobs(
        &self,
        _plan: &Plan,
        _pipeline: &str,
        file: &str,
        _text: &str,
        _trusted: bool,
    ) -> Result<Vec<JobDef>, Findings> {
        Err(Findings {
            text: format!("this master cannot read `{file}`"),
            list: Vec::new(),
        })
    }
}

/// A configuration that can come into force.
#[derive(Clone, Debug, Default)]
pub struct NewConfig {
    /// What decisions depend on.
    pub plan: Arc<Plan>,
    /// Its files.
    pub files: Vec<ConfigFile>,
    /// What probably is not meant so.
    pub warnings: Findings,
    /// Keys whose values count from the next start of the master on, because they differ from those that it was
    /// started with.
    pub next_start: Vec<String>,
}

/// What was found in a configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// For people: with places and carets.
    pub text: String,
    /// For programs: a list of objects.
    pub list: Vec<Value>,
}

/// A file of a configuration, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFile {
    /// Its name, relative to the configuration's directory.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// Who brings a configuration into force, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Who.
    pub by: String,
    /// By what: `start`, `signal`, `api`, `cli`.
    pub via: String,
}

impl Origin {
    /// Somebody, by some way.
    pub fn new(by: impl Into<String>, via: impl Into<String>) -> Self {
        Self {
            by: by.into(),
            via: via.into(),
        }
    }
}

/// A configuration that came into force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRecord {
    /// Its identity, which builds name, too.
    pub digest: String,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// By what: see [`Origin`].
    pub via: String,
    /// Names of its files.
    pub files: Vec<String>,
}

/// What a reload has done.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// Identity of the configuration in force.
    pub digest: String,
    /// Whether it differs from the one before.
    pub changed: bool,
    /// What probably is not meant so.
    pub warnings: Findings,
    /// Keys whose new values count from the next start on.
    pub next_start: Vec<String>,
}

/// Why the configuration in force stays.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The new one is wrong.
    #[error("the configuration has errors; the one in force stays")]
    Wrong(Findings),
    /// There is nothing to read it from.
    #[error("this master was started without a file to read its configuration from")]
    NoSource,
    /// It could not be made durable.
    #[error("the configuration was not reloaded")]
    Submit(#[from] SubmitError),
}

impl Master {
    /// Reads the configuration again and brings it into force; a wrong one changes nothing. Running builds go on under
    /// the one that they started with, and what is queued is matched by name.
    pub async fn reload(&self, origin: Origin) -> Result<Reloaded, ReloadError> {
        let source = self.config_source().ok_or(ReloadError::NoSource)?;
        // One after another: what was read later comes into force later.
        let _turn = self.reloading().lock().await;
        let loaded = tokio::task::spawn_blocking(move || source.load()).await;
        let new = match loaded {
            Ok(loaded) => loaded.map_err(ReloadError::Wrong)?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let before = self.plan().digest.clone();
        let digest = new.plan.digest.clone();
        self.bring_into_force(new.plan, &new.files, origin).await?;
        let changed = before != digest;
        tracing::info!(digest, changed, "the configuration was reloaded");
        for key in &new.next_start {
            tracing::warn!("the new value of {key} counts from the next start on");
        }
        Ok(Reloaded {
            digest,
            changed,
            warnings: new.warnings,
            next_start: new.next_start,
        })
    }

    /// Brings a plan into force and notes that in the history, in one commit.
    pub(crate) async fn bring_into_force(
        &self,
        plan: Arc<Plan>,
        files: &[ConfigFile],
        origin: Origin,
    ) -> Result<(), SubmitError> {
        let unreadable = |error: StoreError| SubmitError::Unavailable {
            reason: chain(&error),
        };
        let mut history = self.read(read_history).await.map_err(unreadable)?;
        if history.last().is_some_and(|last| last.digest == plan.digest) {
            return self.configure(plan, None).await;
        }
        // Before the commit that names it; if that fails, it is text that nobody asks for.
        let kept: usize = files.iter().map(|file| file.text.len()).sum();
        if kept > 0 && kept <= CONTENTS_BYTES_MAX {
            self.set_meta(&contents_key(&plan.digest), &text(&files)).await?;
        }
        history.push(ConfigRecord {
            digest: plan.digest.clone(),
            at: clock(),
            by: origin.by,
            via: origin.via,
            files: files.iter().map(|file| file.name.clone()).collect(),
        });
        let surplus = history.len().saturating_sub(HISTORY_MAX);
        let dropped: Vec<ConfigRecord> = history.drain(..surplus).collect();
        self.configure(plan, Some((HISTORY.to_owned(), text(&history))))
            .await?;
        for old in dropped {
            if history.iter().all(|entry| entry.digest != old.digest) {
                self.set_meta(&contents_key(&old.digest), "").await?;
            }
        }
        Ok(())
    }

    /// The configurations that came into force, oldest first; the last one is in force. The oldest are forgotten.
    pub async fn configurations(&self) -> Result<Vec<ConfigRecord>, StoreError> {
        self.read(read_history).await
    }

    /// The files of a configuration of the history, without secrets; none if they were too large to be kept.
    pub async fn configuration_files(&self, digest: &str) -> Result<Option<Vec<ConfigFile>>, StoreError> {
        let key = contents_key(digest);
        let kept = self.read(move |reader| reader.meta(&key)).await?;
        Ok(kept.and_then(|text| serde_json::from_str(&text).ok()))
    }
}

fn read_history(reader: &Reader) -> Result<Vec<ConfigRecord>, StoreError> {
    let kept = reader.meta(HISTORY)?;
    // One that cannot be read is begun anew: nothing depends on it.
    Ok(kept
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default())
}

fn contents_key(digest: &str) -> String {
    format!("configuration:{digest}")
}

fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("it has text keys only")
}
