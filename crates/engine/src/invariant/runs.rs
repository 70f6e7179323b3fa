//! Builds and their steps: at most one attempt lives, in a slot of its own, and only its running step speaks.

use std::collections::BTreeSet;

use ironmaster_model::{
    BuildId, BuildRecord, Counter, EffectRecord, LogId, LogRecord, LogSave, Results, StepId, StepRecord,
    Waits, WorkerId,
};

use super::{Build, Checker, Phase, Step};

impl Checker {
    pub(super) fn build_started(&mut self, build: &BuildRecord, chosen: bool) {
        self.fresh(Counter::Build, build.id.0);
        self.check_worker(build);
        self.check_chosen(build, chosen);
        if !chosen {
            self.check_order(build);
        }
        self.leave_queue(build.request);
        match self.requests.get_mut(&build.request) {
            Some(request) => {
                let (before, attempts) = (request.phase, request.attempts);
                request.phase = Phase::Claimed(build.id);
                request.attempts = build.attempt;
                if before != Phase::Queued {
                    self.violate(
                        "at most one attempt lives",
                        format!(
                            "build {} started, its request {} was {before:?}",
                            build.id, build.request
                        ),
                    );
                }
                if build.attempt != attempts + 1 {
                    self.violate(
                        "attempts are counted",
                        format!("build {} is attempt {} after {attempts}", build.id, build.attempt),
                    );
                }
            }
            None => self.unknown(format!("request {} of build {}", build.request, build.id)),
        }
        let builder = self.builders.entry(build.builder).or_default();
        builder.running += 1;
        let (running, name, before) = (builder.running, builder.name.clone(), builder.number);
        builder.number = build.number;
        if build.number <= before {
            self.violate(
                "build numbers grow",
                format!("build {} has number {} after {before}", build.id, build.number),
            );
        }
        if let Some(plan) = self.plans.get(&build.config)
            && let Some(definition) = plan.builders.get(&name)
        {
            let max = definition.builds_max;
            if max.is_some_and(|max| running > max) {
                self.violate(
                    "a builder's limit holds",
                    format!("build {} of \"{name}\" is number {running} at once", build.id),
                );
            }
        }
        self.builds.insert(
            build.id,
            Build {
                builder: build.builder,
                request: build.request,
                worker: build.worker,
                instance: build.instance.clone(),
                slot: build.slot,
                attempt: build.attempt,
                config: build.config.clone(),
                stopped: false,
                lost: false,
                waits: None,
                step: None,
                steps: 0,
                done: Vec::new(),
            },
        );
        self.build_takes_locks(build.id);
    }

    /// It was to end: at once, or when nothing runs on it.
    pub(super) fn worker_dismissed(&mut self, id: WorkerId, instance: &str) {
        let Some(worker) = self.workers.get(&id).cloned() else {
            self.unknown(format!("worker {id}, which is told to end"));
            return;
        };
        let willing = worker.killed || (worker.graceful && worker.used.is_empty());
        if worker.known && (!willing || worker.instance.as_deref() != Some(instance)) {
            self.violate(
                "workers are told to end when they are to, and not before",
                format!("process {instance} of {worker:?}"),
            );
        }
    }

    /// It is away.
    pub(super) fn worker_missing(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else {
            self.unknown(format!("worker {id}, which is missing"));
            return;
        };
        if worker.instance.is_some() || (worker.known && !worker.active) {
            let what = format!("{worker:?}");
            self.violate("only workers that are wanted and away are missing", what);
        }
    }

    fn check_worker(&mut self, build: &BuildRecord) {
        let Some(worker) = self.workers.get_mut(&build.worker) else {
            self.unknown(format!("worker {} of build {}", build.worker, build.id));
            return;
        };
        let other = worker.used.insert(build.slot, build.id);
        let worker = worker.clone();
        if let Some(other) = other {
            self.violate(
                "a slot has one build",
                format!("build {} took slot {} from build {other}", build.id, build.slot),
            );
        }
        let slots = self
            .plan
            .as_ref()
            .and_then(|plan| plan.workers.get(&worker.name))
            .map(|definition| definition.slots);
        if slots.is_some_and(|slots| worker.used.len() - worker.parked.len() > slots as usize) {
            self.violate(
                "slots are not exceeded",
                format!(
                    "build {} in slot {} of worker \"{}\"",
                    build.id, build.slot, worker.name
                ),
            );
        }
        let ready = worker.active
            && !worker.paused
            && !worker.graceful
            && !worker.down
            && worker.instance.as_ref() == Some(&build.instance)
            && worker.builders.contains(&build.builder);
        if worker.known && !ready {
            self.violate(
                "builds start on workers that are there and willing",
                format!("build {} of builder {} on {worker:?}", build.id, build.builder),
            );
        }
        if !self.masters.is_empty() && !self.masters.get(&build.master).copied().unwrap_or(false) {
            self.violate(
                "a running master starts builds",
                format!("build {} started", build.id),
            );
        }
    }

    pub(super) fn live(&mut self, build: BuildId, what: &str) {
        if !self.builds.contains_key(&build) {
            self.unknown(format!("{what} of build {build}"));
        }
    }

    pub(super) fn running_step(&mut self, build: BuildId, step: StepId, what: &str) {
        match self.step(build).filter(|running| running.id == step) {
            None => self.unknown(format!("{what} of step {step} of build {build}")),
            Some(running) if !running.runs => {
                self.violate(
                    "a step runs when it has its locks",
                    format!("{what} of step {step} of build {build}"),
                );
            }
            Some(_) => {}
        }
    }

    fn step(&mut self, build: BuildId) -> Option<&mut Step> {
        self.builds.get_mut(&build)?.step.as_mut()
    }

    pub(super) fn stop_requested(&mut self, id: BuildId) {
        match self.builds.get_mut(&id) {
            Some(build) if build.stopped => self.violate("a build is stopped once", format!("build {id}")),
            Some(build) => build.stopped = true,
            None => self.unknown(format!("build {id} to be stopped")),
        }
    }

    pub(super) fn build_lost(&mut self, id: BuildId) {
        match self.builds.get_mut(&id) {
            Some(build) if build.lost => self.violate("a build is lost once", format!("build {id}")),
            Some(build) => build.lost = true,
            None => self.unknown(format!("build {id} was lost")),
        }
    }

    /// A build gives its slot back, or learns that something it waits for is over.
    pub(super) fn build_waits(&mut self, id: BuildId, waits: &Waits) {
        let open: BTreeSet<_> = waits.open().collect();
        for over in waits.over.keys() {
            if self.buildsets.contains_key(over) {
                self.violate(
                    "a build hears of an end when it has happened",
                    format!("build {id} was told that buildset {over} is over"),
                );
            }
        }
        let Some(build) = self.builds.get_mut(&id) else {
            self.unknown(format!("build {id} waits"));
            return;
        };
        let (builder, worker, slot) = (build.builder, build.worker, build.slot);
        let idle = build.step.is_none();
        let before = build.waits.replace(open.clone());
        if idle {
            self.violate("only a running step waits", format!("build {id}"));
        }
        match before {
            None => {
                if let Some(builder) = self.builders.get_mut(&builder) {
                    builder.running = builder.running.saturating_sub(1);
                }
                if let Some(worker) = self.workers.get_mut(&worker) {
                    worker.parked.insert(slot);
                }
                self.give_up_locks(id);
            }
            Some(before) if !open.is_subset(&before) || open == before => self.violate(
                "what a build waits for becomes less",
                format!("build {id} waited for {before:?} and waits for {open:?}"),
            ),
            Some(_) => {}
        }
    }

    /// A build that waited has a slot again.
    pub(super) fn build_resumed(&mut self, id: BuildId, step: StepId, effect: &EffectRecord) {
        self.effects_recorded(id, step, std::slice::from_ref(effect));
        let Some(build) = self.builds.get_mut(&id) else {
            self.unknown(format!("build {id} goes on"));
            return;
        };
        let (builder, worker, slot) = (build.builder, build.worker, build.slot);
        if build.waits.take().is_none_or(|open| !open.is_empty()) && !self.partial {
            self.violate(
                "a build goes on when all that it waits for is over",
                format!("build {id}"),
            );
        }
        self.take_locks_again(id);
        if let Some(builder) = self.builders.get_mut(&builder) {
            builder.running += 1;
        }
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.parked.remove(&slot);
            let (taken, name) = (worker.used.len() - worker.parked.len(), worker.name.clone());
            let slots = self
                .plan
                .as_ref()
                .and_then(|plan| plan.workers.get(&name))
                .map(|definition| definition.slots);
            if slots.is_some_and(|slots| taken > slots as usize) {
                self.violate(
                    "slots are not exceeded",
                    format!("build {id} goes on, worker \"{name}\" has no slot for it"),
                );
            }
        }
    }

    pub(super) fn step_started(&mut self, step: &StepRecord, logs: &[LogRecord]) {
        self.fresh(Counter::Step, step.id.0);
        for log in logs {
            self.fresh(Counter::Log, log.id.0);
        }
        let Some(build) = self.builds.get_mut(&step.build) else {
            self.unknown(format!("step {} of build {}", step.id, step.build));
            return;
        };
        let expected = build.steps;
        let in_order = build.done.last().is_none_or(|(last, _)| step.definition > *last);
        let busy = build.step.is_some();
        let lost = build.lost;
        build.steps = step.number + 1;
        build.step = Some(Step {
            id: step.id,
            definition: step.definition,
            runs: step.locks_acquired_at.is_some(),
            next_ordinal: 0,
            logs: logs.iter().map(|log| (log.id, (0, 0, false))).collect(),
        });
        if busy || step.number != expected || !in_order {
            self.violate(
                "steps run one after another in order",
                format!(
                    "step {} has number {} of build {}",
                    step.id, step.number, step.build
                ),
            );
        }
        self.step_waits(step.build, step.definition, step.locks_acquired_at.is_some());
        if lost {
            self.violate(
                "a lost build does not go on",
                format!("step {} of build {}", step.id, step.build),
            );
        }
    }

    pub(super) fn log_opened(&mut self, log: &LogRecord) {
        self.fresh(Counter::Log, log.id.0);
        match self.step(log.build).filter(|step| step.id == log.step) {
            Some(step) => {
                step.logs.insert(log.id, (0, 0, false));
            }
            None => self.unknown(format!("log {} of step {}", log.id, log.step)),
        }
    }

    pub(super) fn logs_saved(&mut self, build: BuildId, saves: &[LogSave]) {
        for save in saves {
            let known = self.step(build).and_then(|step| step.logs.get_mut(&save.log));
            let Some(log) = known else {
                self.unknown(format!("log {} of build {build}", save.log));
                continue;
            };
            let (lines, bytes, complete) = *log;
            *log = (save.num_lines, save.raw_bytes, save.complete);
            if complete || save.num_lines < lines || save.raw_bytes < bytes {
                let log: LogId = save.log;
                self.violate(
                    "a log only grows until it is finished",
                    format!("log {log} of build {build}"),
                );
            }
        }
    }

    pub(super) fn effects_recorded(&mut self, build: BuildId, step: StepId, effects: &[EffectRecord]) {
        self.running_step(build, step, "effects");
        for effect in effects {
            let Some(running) = self.step(build) else { return };
            let expected = running.next_ordinal;
            running.next_ordinal = effect.ordinal + 1;
            if effect.ordinal < expected {
                self.violate(
                    "an effect is recorded once",
                    format!("effect {} of step {step} of build {build}", effect.ordinal),
                );
            }
        }
    }

    pub(super) fn step_finished(&mut self, build: BuildId, id: StepId, results: Results) {
        // One that waits for locks may be given up.
        if self.step(build).is_none_or(|running| running.id != id) {
            self.unknown(format!("the end of step {id} of build {build}"));
        }
        self.release_locks((build, true));
        if let Some(entry) = self.builds.get_mut(&build)
            && let Some(step) = entry.step.take()
        {
            entry.done.push((step.definition, results));
        }
    }

    pub(super) fn build_finished(&mut self, id: BuildId, results: Results) {
        let Some(build) = self.builds.remove(&id) else {
            self.unknown(format!("build {id} finished"));
            return;
        };
        if build.waits.is_none()
            && let Some(builder) = self.builders.get_mut(&build.builder)
        {
            builder.running = builder.running.saturating_sub(1);
        }
        if let Some(worker) = self.workers.get_mut(&build.worker) {
            worker.used.remove(&build.slot);
            worker.parked.remove(&build.slot);
        }
        self.release_locks((id, false));
        if let Some(step) = &build.step {
            let what = format!("build {id} finished while step {} ran", step.id);
            self.violate("a build ends after its steps", what);
        }
        if build.stopped != (results == Results::Cancelled)
            && !build.done.iter().any(|(_, step)| *step == Results::Cancelled)
        {
            self.violate(
                "a stopped build ends cancelled, and no other",
                format!("build {id} ended {results}"),
            );
        }
        self.check_results(id, &build, results);
        self.owed.insert(build.request, (self.seq, results));
    }

    /// Where the plan is at hand: the overall result follows from the steps, and no step was left out or run in vain.
    fn check_results(&mut self, id: BuildId, build: &Build, results: Results) {
        let name = self
            .builders
            .get(&build.builder)
            .map(|builder| builder.name.clone())
            .unwrap_or_default();
        let Some(definition) = self
            .plans
            .get(&build.config)
            .and_then(|plan| plan.builders.get(&name))
        else {
            return;
        };
        let mut expected = Results::Success;
        let mut halted = false;
        let mut gone = build.lost;
        let mut left_out = Vec::new();
        let mut in_vain = Vec::new();
        for (index, step) in definition.steps.iter().enumerate() {
            let flags = step.flags;
            match build.done.iter().find(|(done, _)| *done as usize == index) {
                None if !halted || flags.always_run => left_out.push(step.name.clone()),
                None => {}
                Some(_) if halted && !flags.always_run => in_vain.push(step.name.clone()),
                Some((_, step)) => {
                    let part = match step {
                        Results::Failure if flags.flunk_on_failure => Results::Failure,
                        Results::Failure if flags.warn_on_failure => Results::Warnings,
                        Results::Warnings if flags.flunk_on_warnings => Results::Failure,
                        Results::Warnings if flags.warn_on_warnings => Results::Warnings,
                        Results::Failure | Results::Warnings => Results::Success,
                        other => *other,
                    };
                    expected = expected.worst(part);
                    halted |= (*step == Results::Failure && flags.halt_on_failure)
                        || matches!(step, Results::Exception | Results::Retry | Results::Cancelled);
                    gone |= *step == Results::Retry;
                }
            }
        }
        let attempts_max = definition.attempts_max.max(1);
        if !left_out.is_empty() && gone {
            expected = expected.worst(Results::Retry);
        }
        if build.stopped {
            expected = Results::Cancelled;
        }
        if expected == Results::Retry && build.attempt >= attempts_max {
            expected = Results::Exception;
        }
        if results != expected {
            self.violate(
                "a build ends as its steps say",
                format!(
                    "build {id} ended {results}, its steps say {expected}: {:?}",
                    build.done
                ),
            );
        }
        if !in_vain.is_empty() {
            self.violate(
                "no step runs after the end",
                format!("build {id} ran {in_vain:?}"),
            );
        }
        if !left_out.is_empty() && !gone && !build.stopped {
            self.violate(
                "no step is left out",
                format!("build {id} ended without {left_out:?}"),
            );
        }
    }
}
