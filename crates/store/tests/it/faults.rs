//! Every call that SQLite makes of the file system goes wrong once, one after the other.
//!
//! A small scenario is played once to count its calls. Then it is played again for each of them and each kind of fault:
//! the call fails, the disk is full, the power is cut. What follows is what the master would do. After every restart, and
//! once more after a loss of power at the end, what was acknowledged must be there, what was not must be there
//! whole or not at all, and the scenario must go on to the same end.
//!
//! `IRONMASTER_FAULT_SEEDS` (1) is the number of histories, and of chances what survives, that are tried.

mod disk;
mod random;
mod scenario;
mod vfs;

use self::{
    disk::{Counts, Disk, Fault, Survivors},
    scenario::{Scenario, play},
};

fn seeds() -> u64 {
    std::env::var("IRONMASTER_FAULT_SEEDS").map_or(1, |seeds| seeds.parse().expect("a number"))
}

/// How much there is to go wrong in a scenario.
fn count(scenario: &Scenario) -> Counts {
    play(scenario, Disk::new(Fault::Nothing), Survivors::Nothing)
        .unwrap_or_else(|what| panic!("without any fault: {what}"))
}

/// Plays a scenario with each of the faults; panics with all that is wrong.
fn check(
    name: &str,
    scenario: impl Fn(u64) -> Scenario,
    faults: impl Fn(Counts) -> Vec<Fault>,
    survivors: &[Survivors],
) {
    let mut played = 0;
    let mut wrong = Vec::new();
    for seed in 0..seeds() {
        let scenario = scenario(seed);
        for fault in faults(count(&scenario)) {
            for survivors in survivors {
                played += 1;
                if let Err(what) = play(&scenario, Disk::new(fault), *survivors) {
                    wrong.push(format!("history {seed}, {fault:?}, {survivors:?}: {what}"));
                }
            }
        }
    }
    println!("faults: {played} histories checked (SQLite, {name})");
    assert!(played > 50, "only {played}");
    assert!(
        wrong.is_empty(),
        "{} of {played}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn errors(counts: Counts) -> Vec<Fault> {
    (1..=counts.calls).map(Fault::Error).collect()
}

fn full(counts: Counts) -> Vec<Fault> {
    (1..=counts.writes).map(Fault::Full).collect()
}

fn cuts(counts: Counts) -> Vec<Fault> {
    (1..=counts.changes).map(Fault::Cut).collect()
}

fn torn() -> Vec<Survivors> {
    let mut survivors: Vec<_> = (0..seeds()).map(|seed| Survivors::Some { seed }).collect();
    if seeds() > 1 {
        survivors.push(Survivors::Everything);
    }
    survivors
}

#[test]
fn every_call_of_a_first_start_fails_once() {
    check(
        "first start, a call fails",
        Scenario::first_start,
        errors,
        &[Survivors::Nothing],
    );
}

#[test]
fn every_call_fails_once() {
    check("a call fails", Scenario::daily_use, errors, &[Survivors::Nothing]);
}

#[test]
fn every_write_of_a_first_start_finds_the_disk_full() {
    check(
        "first start, no space",
        Scenario::first_start,
        full,
        &[Survivors::Nothing],
    );
}

#[test]
fn every_write_finds_the_disk_full() {
    check("no space", Scenario::daily_use, full, &[Survivors::Nothing]);
}

#[test]
fn the_power_fails_at_every_change_of_a_first_start() {
    let mut survivors = torn();
    survivors.push(Survivors::Nothing);
    check(
        "first start, the power fails",
        Scenario::first_start,
        cuts,
        &survivors,
    );
}

#[test]
fn the_power_fails_at_every_change() {
    check(
        "the power fails",
        Scenario::daily_use,
        cuts,
        &[Survivors::Nothing],
    );
}

#[test]
fn the_power_fails_and_some_writes_survive() {
    check("the power fails, torn writes", Scenario::daily_use, cuts, &torn());
}

/// That the tests above can fail: a disk that does not sync when it is told to loses what was acknowledged.
#[test]
fn a_lying_disk_is_found_out() {
    let scenario = Scenario::daily_use(0);
    let counts = count(&scenario);
    let cuts = || (1..=counts.changes).step_by(7);
    let lost = cuts()
        .filter(|n| play(&scenario, Disk::lying(Fault::Cut(*n)), Survivors::Nothing).is_err())
        .count();
    // Once anything is acknowledged, each cut loses it.
    assert!(lost > cuts().count() / 2, "only {lost}");
}
