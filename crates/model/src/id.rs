//! Typed ids. Each is a positive integer below 2^53 (so that JSON clients can hold it), taken from a
//! counter per type that only grows: an id is never reused, not even after its row was removed.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $counter:ident, $table:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
            #[serde(transparent)]
            pub struct $name(pub u64);

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, "{}", self.0)
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, concat!(stringify!($name), "({})"), self.0)
                }
            }

            impl FromStr for $name {
                type Err = std::num::ParseIntError;
                fn from_str(s: &str) -> Result<Self, Self::Err> {
                    s.parse().map(Self)
                }
            }
        )*

        /// Names one of the counters that ids are taken from.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Counter {
            $(
                #[doc = concat!("Counts [`", stringify!($name), "`].")]
                $counter,
            )*
        }

        impl Counter {
            /// Every counter, in declaration order.
            pub const ALL: &[Counter] = &[$(Counter::$counter),*];

            /// The name under which the counter is stored (that of the table it numbers).
            pub fn name(self) -> &'static str {
                match self { $(Counter::$counter => $table,)* }
            }

            /// The counter with that stored name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($table => Some(Counter::$counter),)* _ => None }
            }
        }
    };
}

ids! {
    /// One running installation that shares a database with others.
    MasterId, Master, "masters";
    /// A named job: what to run, and where it may run.
    BuilderId, Builder, "builders";
    /// A machine (or a slot-carrying process on one) that runs commands.
    WorkerId, Worker, "workers";
    /// Turns changes, time or people's wishes into buildsets.
    SchedulerId, Scheduler, "schedulers";
    /// Where changes come from.
    ChangeSourceId, ChangeSource, "changesources";
    /// A commit that somebody told us about.
    ChangeId, Change, "changes";
    /// A point in a codebase that a build is made from.
    SourceStampId, SourceStamp, "sourcestamps";
    /// One decision to build, over one or more builders.
    BuildsetId, Buildset, "buildsets";
    /// The wish that one builder builds one buildset.
    BuildRequestId, BuildRequest, "buildrequests";
    /// One attempt at a build request.
    BuildId, Build, "builds";
    /// One step of a build.
    StepId, Step, "steps";
    /// One log of a step.
    LogId, Log, "logs";
    /// What builders and code bases belong to.
    ProjectId, Project, "projects";
    /// A repository under a name of its own.
    CodebaseId, Codebase, "codebases";
    /// Several jobs as one thing.
    PipelineId, Pipeline, "pipelines";
    /// One run of a pipeline.
    RunId, Run, "runs";
    /// One job of a run.
    JobId, Job, "jobs";
}
