//! Pipelines whose jobs stand in a file of the repository that they build: what the configuration allows them, and where a
//! run has its jobs from.
//!
//! The configuration keeps everything that is a matter of trust: which repository, which file, which builders, how much.
//! The file can arrange what it is granted, and no more.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{JobDef, JobWork, PipelineDef, graph};
use crate::{Duration, Plan, Timestamp};

/// Properties that the master sets itself, so that a file cannot.
const OWN_PROPERTIES: &[&str] = &[
    "basedir",
    "branch",
    "builddir",
    "builderid",
    "buildername",
    "buildnumber",
    "codebase",
    "got_revision",
    "owner",
    "owners",
    "pipeline",
    "pipeline_job",
    "pipeline_run",
    "project",
    "reason",
    "repository",
    "revision",
    "scheduler",
    "workername",
];

/// Where the jobs of a pipeline stand, and what they may use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InRepositoryDef {
    /// The file, from the top of the repository. One that ends in `.star` is Starlark, any other TOML.
    pub file: String,
    /// The repository that it is read from, and no other, whatever a change says.
    pub repository: String,
    /// The code base whose source stamp says the revision.
    pub codebase: String,
    /// Globs of branches of this repository that are trusted.
    pub trusted_branches: Vec<String>,
    /// What every run may use.
    pub granted: Grants,
    /// What trusted runs may use beside that.
    pub granted_trusted: Grants,
    /// The most jobs that a run may have, those that are added while it runs included.
    pub jobs_max: u32,
    /// How long it is tried to read the file.
    pub patience: Duration,
}

/// What jobs may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// Names of builders.
    pub builders: BTreeSet<String>,
    /// Names of pipelines.
    pub pipelines: BTreeSet<String>,
}

impl InRepositoryDef {
    /// The builders that a run may use.
    pub fn builders(&self, trusted: bool) -> BTreeSet<&str> {
        Self::both(&self.granted.builders, &self.granted_trusted.builders, trusted)
    }

    /// The pipelines that a run may start.
    pub fn pipelines(&self, trusted: bool) -> BTreeSet<&str> {
        Self::both(&self.granted.pipelines, &self.granted_trusted.pipelines, trusted)
    }

    fn both<'a>(all: &'a BTreeSet<String>, more: &'a BTreeSet<String>, trusted: bool) -> BTreeSet<&'a str> {
        let more = more.iter().filter(|_| trusted);
        all.iter().chain(more).map(String::as_str).collect()
    }

    /// Why a run cannot have these jobs beside as many as it has, if it cannot: a sentence each. This decides; whoever reads
    /// the file says the same with places. `taken` are names of properties that are not for a file to set.
    pub fn refuse(
        &self,
        jobs: &[JobDef],
        there: usize,
        trusted: bool,
        taken: &BTreeSet<&str>,
    ) -> Vec<String> {
        // Needs may be jobs that are there already, so the graph is not looked at here.
        let mut wrong = BTreeSet::new();
        let mut count = there;
        for job in jobs {
            let (instances, work) = works(job);
            count += instances;
            for work in work {
                if let Some(what) = self.refuse_work(&work, trusted) {
                    wrong.insert(format!("job `{}`: {what}", job.name));
                }
            }
            if job.priority.is_some() {
                wrong.insert(format!(
                    "job `{}`: its priority is for the configuration to say",
                    job.name
                ));
            }
            for name in property_names(job).filter(|name| taken.contains(name)) {
                wrong.insert(format!("job `{}`: {}", job.name, taken_name(name)));
            }
        }
        if count == 0 {
            wrong.insert("there are no jobs".to_owned());
        }
        if count > self.jobs_max as usize {
            wrong.insert(self.too_many(count));
        }
        wrong.into_iter().collect()
    }

    /// That there are more jobs than may be.
    pub fn too_many(&self, jobs: usize) -> String {
        format!("there are {jobs} jobs, and the project grants {}", self.jobs_max)
    }

    /// Why a job cannot do that, if it is not granted.
    pub fn refuse_work(&self, work: &JobWork, trusted: bool) -> Option<String> {
        match work {
            JobWork::Build { builder } if !self.builders(trusted).contains(builder.as_str()) => {
                Some(self.not_granted_name("builder", builder, trusted))
            }
            JobWork::Pipeline { pipeline, .. } if !self.pipelines(trusted).contains(pipeline.as_str()) => {
                Some(self.not_granted_name("pipeline", pipeline, trusted))
            }
            _ => None,
        }
    }

    /// That a builder or a pipeline is not granted. Whether there is one of that name is nobody's business.
    pub fn not_granted_name(&self, what: &str, name: &str, trusted: bool) -> String {
        let more = match what {
            "builder" => &self.granted_trusted.builders,
            _ => &self.granted_trusted.pipelines,
        };
        if !trusted && more.contains(name) {
            format!("the {what} `{name}` is granted to trusted branches only")
        } else {
            format!("the project grants no {what} `{name}`")
        }
    }
}

/// Names of properties that a file cannot set: the master's own, and those of the pipeline, of its builders and of workers.
/// What the configuration says of a builder is not for a file to say otherwise.
pub fn taken<'a>(plan: &'a Plan, pipeline: &'a PipelineDef) -> BTreeSet<&'a str> {
    let mut taken: BTreeSet<&str> = OWN_PROPERTIES.iter().copied().collect();
    taken.extend(pipeline.properties.keys().map(String::as_str));
    let workers = plan.workers.values();
    taken.extend(workers.flat_map(|worker| worker.properties.keys().map(String::as_str)));
    let granted = pipeline.in_repository.iter().flat_map(|def| def.builders(true));
    for builder in granted.filter_map(|name| plan.builders.get(name)) {
        taken.extend(builder.properties.keys().map(String::as_str));
        taken.extend(builder.priority_property.as_deref());
    }
    taken
}

/// That a file cannot set a property.
pub fn taken_name(name: &str) -> String {
    format!("the property `{name}` is not for the file to set, because the configuration or the master does")
}

/// Names of the properties that a job gives to builds.
pub fn property_names(job: &JobDef) -> impl Iterator<Item = &str> {
    let axes = job.matrix.iter().map(|axis| &axis.name);
    let names = job.properties.keys().chain(axes).chain(&job.outputs);
    names.map(String::as_str)
}

/// How many jobs a definition is, and what they do; none if that cannot be said, which [`graph::plan`] reports.
fn works(job: &JobDef) -> (usize, Vec<JobWork>) {
    let alone = JobDef {
        needs: Vec::new(),
        needed_by: Vec::new(),
        when: None,
        unless: None,
        ..job.clone()
    };
    let planned = graph::plan(&[alone], &[]).map_or_else(|_| Vec::new(), |planned| planned.jobs);
    let count = planned.len();
    (
        count,
        planned
            .into_iter()
            .map(|job| job.definition.work.clone())
            .collect(),
    )
}

/// Where a run has its jobs from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSource {
    /// The file.
    pub file: String,
    /// The repository.
    pub repository: String,
    /// The branch that the revision is said to be on.
    pub branch: Option<String>,
    /// The revision that is asked for; once the file was read, the one that it was read at.
    pub revision: Option<String>,
    /// Whether the run is trusted if the repository says that the branch has the revision.
    pub may_be_trusted: bool,
    /// Since when it is tried to read it.
    pub asked_at: Timestamp,
    /// Why the jobs cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<RunProblem>,
}

/// Why the jobs of a run cannot be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunProblem {
    /// In one line.
    pub summary: String,
    /// All of it, in lines, with places in the file; empty if there is no more to say.
    #[serde(default)]
    pub text: String,
    /// The same for programs: a list of objects.
    #[serde(default)]
    pub findings: Vec<Value>,
}
