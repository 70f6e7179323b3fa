//! Changes and time.

use ironmaster_engine::NewChange;
use std::sync::Arc;

use ironmaster_model::{
    ChangeFilter, Duration, NightlyDef, Plan, RunState, SchedulerKind, Timestamp, Zone, calendar,
};

use super::{Fact, Model, Timer, Worker};

impl Model {
    pub(super) fn change(&mut self, change: &NewChange, now: i64, out: &mut Vec<Fact>) {
        let stamp = (
            change.branch.clone(),
            change.revision.clone(),
            change.codebase.clone(),
        );
        self.stamps_of_changes.push(stamp);
        self.files_of_changes.push(change.files.clone());
        let id = self.stamps_of_changes.len() as u64;
        for at in 0..self.schedulers.len() {
            let scheduler = &self.schedulers[at];
            if !scheduler.active || !scheduler.enabled {
                continue;
            }
            let (filter, tree_stable, key) = match &self.plan.schedulers[&scheduler.name].kind {
                SchedulerKind::SingleBranch { filter, tree_stable } => (filter, *tree_stable, String::new()),
                SchedulerKind::AnyBranch { filter, tree_stable } => {
                    (filter, *tree_stable, format!("{:?}", change.branch))
                }
                SchedulerKind::Periodic {
                    changes: Some(filter),
                    ..
                }
                | SchedulerKind::Nightly(NightlyDef {
                    changes: Some(filter),
                    ..
                }) => {
                    let important = heard(filter, change);
                    let scheduler = &mut self.schedulers[at];
                    scheduler.kept.extend(important.map(|_| id));
                    scheduler.changed |= important == Some(true);
                    continue;
                }
                _ => continue,
            };
            let Some(important) = heard(filter, change) else {
                continue;
            };
            let timers = &mut self.schedulers[at].timers;
            if !timers.iter().any(|timer| timer.key == key) {
                timers.push(Timer {
                    key: key.clone(),
                    changes: Vec::new(),
                    fire_at: None,
                });
                timers.sort_by(|a, b| a.key.cmp(&b.key));
            }
            let timer = timers.iter_mut().find(|timer| timer.key == key).unwrap();
            timer.changes.push(id);
            if important {
                timer.fire_at = Some(now + tree_stable.map_or(0, |time| time.0));
                if tree_stable.is_none() {
                    self.fire(at, &key, now, out);
                }
            }
        }
    }

    pub(super) fn fire(&mut self, at: usize, key: &str, now: i64, out: &mut Vec<Fact>) {
        let timers = &mut self.schedulers[at].timers;
        let index = timers.iter().position(|timer| timer.key == key).unwrap();
        let timer = timers.remove(index);
        let definition = self.plan.schedulers[&self.schedulers[at].name].clone();
        let stamp = self.stamps_of_changes[*timer.changes.last().unwrap() as usize - 1].clone();
        let files = self.files(&timer.changes);
        self.launch(&definition, &stamp, &timer.changes, files, now, out);
    }

    pub(super) fn tick(&mut self, now: i64, out: &mut Vec<Fact>) {
        loop {
            // The earliest deadline of all: schedulers before workers, runs, jobs.
            let mut first: Option<(i64, u8, usize)> = None;
            let mut consider = |due: (i64, u8, usize)| {
                if due.0 <= now && first.is_none_or(|first| due < first) {
                    first = Some(due);
                }
            };
            for (at, scheduler) in self.schedulers.iter().enumerate() {
                if !scheduler.active || !scheduler.enabled {
                    continue;
                }
                for timer in &scheduler.timers {
                    if let Some(fire_at) = timer.fire_at {
                        consider((fire_at, 0, at));
                    }
                }
                if let Some(next) = scheduler.next_fire {
                    consider((next, 0, at));
                }
            }
            if let Some(master) = &self.master {
                for (at, worker) in self.workers.iter().enumerate() {
                    let open = self
                        .builds
                        .iter()
                        .any(|build| build.worker == at as u64 + 1 && !build.machine_gone);
                    if worker.instance.is_some() && !worker.connected && open {
                        consider((worker.gone_at.max(master.since) + master.lease, 1, at));
                    }
                }
            }
            for (at, worker) in self.workers.iter().enumerate() {
                if let Some(due) = worker.turns_at {
                    consider((due, 2, at));
                }
            }
            for run in &self.runs {
                if let Some(due) = run.due() {
                    consider((due, 3, run.id as usize));
                }
                for job in &run.jobs {
                    if let Some(due) = job.due() {
                        consider((due, 4, job.id as usize));
                    }
                }
            }
            match first {
                None => return,
                Some((_, 4, id)) => self.job_due(id as u64, now, out),
                Some((_, 2, at)) => {
                    let plan = Arc::clone(&self.plan);
                    self.workers[at].look_at_the_clock(&plan, now);
                }
                Some((_, 3, id)) => {
                    let at = self.at(id as u64).unwrap();
                    if self.runs[at].state == RunState::Defining {
                        self.bad_jobs(id as u64);
                    } else {
                        self.stop_run(id as u64, "timeout", now, out);
                    }
                }
                Some((_, 1, at)) => self.lose(at as u64 + 1, None, now, out),
                Some((_, _, at)) => {
                    let due: Vec<String> = self.schedulers[at]
                        .timers
                        .iter()
                        .filter(|timer| timer.fire_at.is_some_and(|at| at <= now))
                        .map(|timer| timer.key.clone())
                        .collect();
                    for key in due {
                        self.fire(at, &key, now, out);
                    }
                    let definition = self.plan.schedulers[&self.schedulers[at].name].clone();
                    let Some(due) = self.schedulers[at].next_fire.filter(|due| *due <= now) else {
                        continue;
                    };
                    let (source, changes, forced) = match &definition.kind {
                        SchedulerKind::Periodic {
                            interval,
                            source,
                            changes,
                        } => {
                            self.schedulers[at].next_fire = Some(now + interval.0);
                            (source, changes, false)
                        }
                        SchedulerKind::Nightly(nightly) => {
                            let name = &definition.name;
                            self.schedulers[at].next_fire = Some(next_nightly(name, nightly, now));
                            let forced = nightly
                                .force_at
                                .as_ref()
                                .is_some_and(|cron| next_due(name, nightly, cron, due - 1) == due);
                            (&nightly.source, &nightly.changes, forced)
                        }
                        _ => continue,
                    };
                    let mut kept = Vec::new();
                    if changes.is_some() {
                        if !self.schedulers[at].changed && !forced {
                            continue;
                        }
                        kept = std::mem::take(&mut self.schedulers[at].kept);
                        self.schedulers[at].changed = false;
                    }
                    let stamp = match kept.last() {
                        Some(newest) => self.stamps_of_changes[*newest as usize - 1].clone(),
                        None => (source.branch.clone(), None, String::new()),
                    };
                    let files = if kept.is_empty() { None } else { self.files(&kept) };
                    self.launch(&definition, &stamp, &kept, files, now, out);
                }
            }
        }
    }
}

impl Worker {
    /// Whether it has time off now, and the first minute at which that is not so any more.
    pub(super) fn look_at_the_clock(&mut self, plan: &Plan, now: i64) {
        const MINUTE: i64 = 60_000_000;
        let definition = plan.workers.get(&self.name);
        let windows = definition.map_or(&[][..], |definition| &definition.downtime);
        let zone = match definition.map(|definition| definition.time_zone.as_str()) {
            None | Some("") => Zone::utc(),
            Some(name) => Zone::named(name).unwrap(),
        };
        let covered = |at: i64| {
            windows.iter().any(|window| {
                let mut begin = Timestamp(at - window.lasts.0 - MINUTE);
                loop {
                    begin = window.begins.next(&zone, begin).unwrap();
                    if begin.0 > at {
                        return false;
                    }
                    if at < begin.0 + window.lasts.0 {
                        return true;
                    }
                }
            })
        };
        self.down = covered(now);
        self.turns_at = (!windows.is_empty()).then(|| {
            let mut minute = now - now % MINUTE + MINUTE;
            while covered(minute) == self.down {
                minute += MINUTE;
            }
            minute
        });
    }
}

/// When a nightly one fires next: every due time from long enough ago on is looked at, put off as it is.
pub(super) fn next_nightly(name: &str, nightly: &NightlyDef, now: i64) -> i64 {
    let plain = next_due(name, nightly, &nightly.cron, now);
    match &nightly.force_at {
        Some(cron) => plain.min(next_due(name, nightly, cron, now)),
        None => plain,
    }
}

fn next_due(name: &str, nightly: &NightlyDef, cron: &calendar::Cron, now: i64) -> i64 {
    let zone = Zone::named(&nightly.zone).unwrap();
    let mut at = Timestamp(now - Duration::from_secs(1000).0);
    loop {
        at = cron.next(&zone, at).unwrap();
        let fires = at + calendar::jitter(name, at, nightly.jitter);
        if fires.0 > now {
            return fires.0;
        }
    }
}

/// Whether a scheduler hears a change, and whether it is important; only the patterns that the plans here use.
fn heard(filter: &ChangeFilter, change: &NewChange) -> Option<bool> {
    let branch = change.branch.as_deref();
    let passes = filter.branches.is_empty()
        || filter
            .branches
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => branch.is_some_and(|branch| branch.starts_with(start)),
                None => branch == Some(pattern),
            });
    let unimportant = !filter.unimportant_files.is_empty()
        && !change.files.is_empty()
        && change.files.iter().all(|file| file.starts_with("docs/"));
    passes.then_some(!unimportant)
}
