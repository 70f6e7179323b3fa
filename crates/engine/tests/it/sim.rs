//! The simulator: one seed drives the engine through hundreds of inputs with every fault that it must bear, beside
//! a reference model, a naive row store and the checker of invariants. At last all faults are healed, and everything
//! must end.
//!
//! `IRONMASTER_SIM_SEEDS=n` sets how many seeds are run, `IRONMASTER_SIM_SEED=n` runs one and shows its inputs.

mod facts;
mod inputs;
mod model;
mod plans;
mod rng;
mod rows;
mod world;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
};

use ironmaster_engine::{
    invariant::Checker,
    planted::{Bug, plant},
};
use ironmaster_model::Sequenced;

/// Seeds in the normal test run.
const SEEDS: u64 = 1000;

/// Runs one seed; on failure says what broke, after which inputs.
fn run(seed: u64, without_model: bool) -> Result<world::Tally, String> {
    let mut world = world::World::new(seed);
    world.without_model = without_model;
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    let problem = match outcome {
        Ok(Ok(())) => return Ok(world.tally),
        Ok(Err(problem)) => problem,
        Err(panic) => panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "a panic".into()),
    };
    Err(format!(
        "seed {seed}: {problem}\n\nthe last inputs:\n{}\nreplay with:\n  IRONMASTER_SIM_SEED={seed} cargo test -p \
         ironmaster-engine --test it sim::every_seed -- --nocapture\n",
        world.last_inputs()
    ))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_seed_keeps_every_promise() {
    if let Some(seed) = number("IRONMASTER_SIM_SEED") {
        match run(seed, false) {
            Ok(tally) => println!("seed {seed} is fine: {tally:?}"),
            Err(problem) => panic!("{problem}"),
        }
        return;
    }
    let seeds = number("IRONMASTER_SIM_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let (tally, failures) = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut tally = world::Tally::default();
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds {
                            return (tally, None);
                        }
                        match run(seed, false) {
                            Ok(one) => tally.add(&one),
                            Err(problem) => {
                                next.store(seeds, Ordering::Relaxed);
                                return (tally, Some(problem));
                            }
                        }
                    }
                })
            })
            .collect();
        let mut all = world::Tally::default();
        let mut failures = Vec::new();
        for handle in handles {
            let (tally, failure) = handle.join().expect("a thread of the simulator ends");
            all.add(&tally);
            failures.extend(failure);
        }
        (all, failures)
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    println!("{seeds} seeds: {tally:?}");
    println!("simulator: {seeds} histories checked");
    assert!(
        tally.inputs >= 200 * seeds,
        "every seed has at least 200 inputs: {tally:?}"
    );
    // A simulator that never meets a case proves nothing about it.
    if seeds >= 100 {
        for (what, count) in tally.cases() {
            assert!(count > 0, "no seed met the case: {what}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_events() {
    for seed in 0..3 {
        let feed = |seed| {
            let mut world = world::World::new(seed);
            world.keep_feed = true;
            world.run().expect("the seed is fine");
            world.feed
        };
        assert_eq!(feed(seed), feed(seed));
    }
}

/// What `ironmaster fsck` reads: the feed as it is stored, with digests in place of plans, and without the beginning
/// that retention removed. The checker must not cry wolf.
#[test]
fn a_stored_feed_without_its_beginning_passes_the_checker() {
    for seed in 0..4 {
        let mut world = world::World::new(seed);
        world.keep_feed = true;
        world.run().expect("the seed is fine");
        let stored: Vec<Sequenced> = world
            .feed
            .iter()
            .map(|event| serde_json::to_string(event).expect("an event is JSON"))
            .map(|text| serde_json::from_str(&text).expect("JSON is an event"))
            .collect();
        for cut in (0..stored.len()).step_by(stored.len() / 25 + 1) {
            let mut checker = Checker::new();
            for event in &stored[cut..] {
                checker.observe(event);
            }
            let violations = checker.finish(true);
            assert_eq!(violations, [], "seed {seed}, from event {cut} on");
        }
        // And it does when an event is missing.
        let mut checker = Checker::new();
        for event in stored.iter().filter(|event| event.seq != stored.len() as u64 / 2) {
            checker.observe(event);
        }
        assert_eq!(
            checker.violations()[0].rule,
            "the feed has no gaps and no repetitions"
        );
    }
}

/// Each planted bug is found within this many seeds.
const FOUND_WITHIN: u64 = 100;

fn is_found(bug: Bug, without_model: bool) {
    // The thread is this test's own, and so is the bug.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            plant(Some(bug));
            let found = (0..FOUND_WITHIN).find_map(|seed| run(seed, without_model).err());
            plant(None);
            let problem =
                found.unwrap_or_else(|| panic!("{bug:?} was not found within {FOUND_WITHIN} seeds"));
            println!("{bug:?}: {}", problem.lines().next().unwrap_or_default());
        });
    });
}

macro_rules! planted {
    ($judge:ident, $without_model:literal: $($name:ident: $bug:ident;)*) => {
        mod $judge {
            use super::*;
            $(
                #[test]
                fn $name() {
                    is_found(Bug::$bug, $without_model);
                }
            )*
        }
    };
}

planted! { the_model_finds, false:
    a_slot_given_away_twice: DoubleStart;
    a_lost_requeue: LostRequeue;
    an_ignored_priority: PriorityIgnored;
    an_ignored_share: ShareIgnored;
    merging_that_drops_both: CollapseDropsBoth;
    one_attempt_too_many: AttemptsOffByOne;
    a_timer_that_fires_early: TimerFiresEarly;
    a_nightly_build_of_nothing_new: BuildsUnchanged;
    a_forgotten_lease: LeaseForgotten;
    an_ignored_halt: HaltIgnored;
    a_replaced_process_that_keeps_its_builds: FencedKeepsBuilds;
    an_end_that_who_waits_for_it_never_hears_of: ChildForgotten;
    children_that_nobody_waits_for_any_more: ChildrenLeft;
    a_lock_given_away_twice: LockCountIgnored;
    a_line_that_is_jumped: LockLineIgnored;
    a_step_that_keeps_its_locks: StepLockKept;
    a_nested_step_in_line: NestedInLine;
    a_job_that_nobody_has_approved: ApprovalForgotten;
    a_share_that_is_rounded_down: ShareRoundsDown;
    a_job_that_is_tried_too_often: RetryOffByOne;
    a_concurrency_group_without_limit: ConcurrencyIgnored;
    an_expiry_that_is_forgotten: ExpiryForgotten;
    a_worker_that_has_no_time_off: DowntimeIgnored;
    jobs_that_nobody_grants: GrantsIgnored;
    a_start_without_asking: StartsUnasked;
    an_answer_to_another_question: AnswerOfAnyQuestion;
    an_answer_that_nobody_looks_at: AnswerUnchecked;
    a_no_that_is_out_of_date: DeafWhileAsked;
    a_request_that_replaces_anything: CollapseAnything;
}

// The checker sees the feed alone, as `ironmaster fsck` does; when a timer or a lease should have ended is not in it.
planted! { the_checker_alone_finds, true:
    a_slot_given_away_twice: DoubleStart;
    a_lost_requeue: LostRequeue;
    an_ignored_priority: PriorityIgnored;
    an_ignored_share: ShareIgnored;
    merging_that_drops_both: CollapseDropsBoth;
    one_attempt_too_many: AttemptsOffByOne;
    an_ignored_halt: HaltIgnored;
    a_replaced_process_that_keeps_its_builds: FencedKeepsBuilds;
    a_lock_given_away_twice: LockCountIgnored;
    a_step_that_keeps_its_locks: StepLockKept;
    a_job_that_nobody_has_approved: ApprovalForgotten;
    a_share_that_is_rounded_down: ShareRoundsDown;
    a_job_that_is_tried_too_often: RetryOffByOne;
    a_concurrency_group_without_limit: ConcurrencyIgnored;
    a_worker_that_has_no_time_off: DowntimeIgnored;
    jobs_that_nobody_grants: GrantsIgnored;
    a_start_without_asking: StartsUnasked;
    an_answer_that_nobody_looks_at: AnswerUnchecked;
    a_request_that_replaces_anything: CollapseAnything;
}
