//! Bugs on purpose, for the tests that prove that the simulator finds bugs. Without the feature `planted-bugs`
//! there are none, and the checks for them compile to nothing.

/// What can be broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A slot that is taken is given away again.
    DoubleStart,
    /// A lost attempt's request is not queued again.
    LostRequeue,
    /// Requests go by age alone.
    PriorityIgnored,
    /// Merging drops the newer request too.
    CollapseDropsBoth,
    /// One attempt more than allowed.
    AttemptsOffByOne,
    /// A tree-stable timer counts from the first change instead of the last.
    TimerFiresEarly,
    /// What builds only when something has changed builds every time.
    BuildsUnchanged,
    /// Nobody notices that a worker stays away.
    LeaseForgotten,
    /// A failed step that halts does not.
    HaltIgnored,
    /// A process that was replaced keeps its builds.
    FencedKeepsBuilds,
    /// A build that waits is not told of the end.
    ChildForgotten,
    /// What a build waited for runs on when the build is over.
    ChildrenLeft,
    /// A lock is free, however many hold it.
    LockCountIgnored,
    /// Whoever comes takes a lock, and not who waits for it.
    LockLineIgnored,
    /// A step that is over keeps its locks.
    StepLockKept,
    /// A step whose build holds locks waits behind those who wait for these.
    NestedInLine,
    /// A job starts although nobody has approved it.
    ApprovalForgotten,
    /// A share of successes is rounded down.
    ShareRoundsDown,
    /// One try more than a job may have.
    RetryOffByOne,
    /// A concurrency group has no limit.
    ConcurrencyIgnored,
    /// What waits for too long goes on waiting.
    ExpiryForgotten,
    /// Projects have no shares.
    ShareIgnored,
    /// Workers take builds in their time off.
    DowntimeIgnored,
    /// A builder that asks starts builds without.
    StartsUnasked,
    /// An answer is taken for that to a later question.
    AnswerOfAnyQuestion,
    /// What somebody has chosen starts, whatever has happened since he was asked.
    AnswerUnchecked,
    /// Who says no does not hear what has changed since he was asked.
    DeafWhileAsked,
    /// What a function replaces need not be something that waits for the same.
    CollapseAnything,
    /// Jobs of a repository use what nobody grants them.
    GrantsIgnored,
}

#[cfg(feature = "planted-bugs")]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a bug into every decision of this thread, or removes it.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    pub(crate) fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "planted-bugs")]
pub use switch::plant;
#[cfg(feature = "planted-bugs")]
pub(crate) use switch::planted;

#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}
