//! Turns an input and the state into events. Start reading at [`decide`](decide()).
//!
//! **Invariant:** no I/O, no clock, no randomness, no async. Time comes in with the input.
//!
//! **Invariant:** a refused input changes nothing, and says why in a typed error.
//!
//! How the caller goes about it:
//!
//! ```text
//! let mut tx = Tx::new(&mut state, now);
//! for input in inputs { replies.push(decide(&mut tx, input)); }
//! let events = tx.finish();        // commit these; only then act, and answer with the replies
//! state.next_deadline()            // submit `Input::Tick` then
//! ```
//!
//! When the commit fails, `state` has run ahead: load it anew from the rows.

mod apply;
pub mod build;
mod choice;
mod codebases;
mod deadlines;
mod decide;
pub mod filter;
mod hash;
pub mod input;
pub mod invariant;
mod judging;
mod pipeline;
pub mod planted;
mod queue;
pub mod schedulers;
mod state;
mod timed;
mod tx;
pub mod watch;

pub use choice::{Choice, Offer, Verdict, Wish};
pub use decide::{decide, force_fields, is_trusted};
pub use input::{
    ConnectedWorker, Found, Input, NewChange, Question, Refusal, Reply, RetrySource, StepOutcome, StepReport,
    Trigger, TryJob, TryPatch,
};
pub use judging::{Case, Judgement};
pub use state::{Assignment, LoadError, State};
pub use tx::Tx;
pub use watch::{Behind, LockWait, Stuck, Waiting};

use ironmaster_model::Snapshot;

/// Says where two snapshots differ, for the tests that compare them.
pub fn snapshot_difference(left: &Snapshot, right: &Snapshot) -> String {
    macro_rules! compare {
        ($($field:ident),*) => {
            $(if left.$field != right.$field {
                return format!(
                    concat!(stringify!($field), ":\n  {:?}\nis not\n  {:?}"),
                    left.$field, right.$field
                );
            })*
        };
    }
    compare!(
        now,
        seq,
        counters,
        masters,
        builders,
        workers,
        schedulers,
        change_sources,
        projects,
        codebases,
        config,
        plans,
        changes,
        buildsets,
        requests,
        sourcestamps,
        builds,
        steps,
        logs,
        pipelines,
        runs,
        jobs
    );
    "no difference".into()
}
