//! The nouns of Ironmaster: ids, results, properties, definitions, records and events.
//!
//! Everything here is plain data. Start at [`event`]: an [`Event`] is a fact that has been committed,
//! and everything else in the program either leads to one or follows from one. [`definition`] holds what
//! the configuration says (a builder, a scheduler, a step), [`record`] what has happened (a change, a
//! build, a log).
//!
//! **Invariant:** no I/O, no clock, no async runtime. Maps are ordered, so that iteration is deterministic.

pub mod calendar;
pub mod callback;
pub mod catalogue;
pub mod definition;
pub mod downtime;
pub mod event;
pub mod id;
pub mod interpolate;
pub mod lock;
mod paths;
pub mod pipeline;
pub mod project;
pub mod properties;
pub mod record;
pub mod results;
pub mod snapshot;
pub mod time;
pub mod tries;
pub mod trigger;

pub use calendar::{Cron, Zone};
pub use callback::{Asks, CallbackSet, Callbacks, Opinion, Pick};
pub use catalogue::{Catalogue, FieldKind, FieldSpec, KindSpec};
pub use definition::{
    BuilderDef, ChangeAttribute, ChangeFilter, ChangeSourceDef, ChangeTest, CodebaseUse, CollapseRule,
    FixedSource, ForceDef, ForceField, ForceFieldKind, GroupLayout, Matching, NightlyDef, PbSecret, Plan,
    SchedulerDef, SchedulerKind, StepDef, StepFlags, WorkerDef, WorkerPreference, WorkerSelector,
};
pub use downtime::{Downtime, DowntimeDef};
pub use event::{Event, Sequenced};
pub use id::{
    BuildId, BuildRequestId, BuilderId, BuildsetId, ChangeId, ChangeSourceId, CodebaseId, Counter, JobId,
    LogId, MasterId, PipelineId, ProjectId, RunId, SchedulerId, SourceStampId, StepId, WorkerId,
};
pub use interpolate::{InterpolateError, Scope, Template};
pub use lock::{LockAccess, LockDef, LockScope, LockUse};
pub use paths::wrong_path;
pub use pipeline::{
    InRepositoryDef, JobDef, JobProgress, JobState, PipelineDef, PipelineJobRecord, PipelineRecord,
    PipelineRunRecord, RunProblem, RunProgress, RunSource, RunState,
};
pub use project::{CodebaseDef, ProjectDef};
pub use properties::{Properties, Property};
pub use record::{
    Asked, BuildRecord, BuildRequestRecord, BuilderRecord, BuildsetRecord, ChangeRecord, ChangeSourceRecord,
    CodebaseRecord, EffectRecord, LogContent, LogKind, LogRecord, LogSave, MasterRecord, NewSourceStamp,
    Patch, ProjectRecord, RequestPhase, SchedulerRecord, SchedulerState, SourceStampRecord, StepRecord,
    StepUrl, WaitingChanges, WorkerConnection, WorkerInfo, WorkerRecord,
};
pub use results::{Cause, Results};
pub use snapshot::Snapshot;
pub use time::{Duration, Timestamp};
pub use tries::TryDef;
pub use trigger::{TriggerOutcome, Triggered, Waits, Wanted};
