//! Builds that trigger others, and wait for them.

use ironmaster_engine::Trigger;
use ironmaster_model::{Results, SchedulerKind};

use super::{Fact, Model, Wait};

impl Model {
    pub(super) fn trigger(&mut self, trigger: &Trigger, now: i64, out: &mut Vec<Fact>) -> Result<(), ()> {
        let build = self.running(trigger.build.0, trigger.step.0)?.clone();
        if let Some(wait) = &build.wait {
            return if wait.ordinal == trigger.ordinal {
                Ok(())
            } else {
                Err(())
            };
        }
        if build.machine_gone || (build.stopped && !build.definition.steps[build.step.1].flags.always_run) {
            return Err(());
        }
        for wanted in &trigger.wanted {
            let at = self.scheduler(&wanted.scheduler).ok_or(())?;
            let definition = self.plan.schedulers.get(&wanted.scheduler).ok_or(())?;
            let fit = self.schedulers[at].active
                && self.schedulers[at].enabled
                && matches!(definition.kind, SchedulerKind::Triggerable { .. })
                && !self.ids(&definition.builders).is_empty();
            if !fit {
                return Err(());
            }
        }
        let parent = self.requests.iter().find(|request| request.id == build.request);
        let inherited = parent.unwrap().changes.clone();
        let mut open = Vec::new();
        for wanted in &trigger.wanted {
            let definition = self.plan.schedulers[&wanted.scheduler].clone();
            let SchedulerKind::Triggerable { source } = &definition.kind else {
                unreachable!("looked at above");
            };
            let (stamp, changes) = match wanted.sourcestamps.first() {
                Some(stamp) => (stamp.clone(), inherited.clone()),
                None => (source.stamp(), Vec::new()),
            };
            let stamp = (stamp.branch, stamp.revision, stamp.codebase);
            let wish = wanted
                .properties
                .get("ticket")
                .map_or_else(String::new, |ticket| format!("trigger {ticket}"));
            let builders = self.ids(&definition.builders);
            self.waited_for = trigger.waits;
            let name = &definition.name;
            self.buildset(
                name,
                &builders,
                definition.priority,
                &stamp,
                &changes,
                &wish,
                now,
                out,
            );
            self.waited_for = false;
            open.push(self.buildsets);
        }
        if trigger.waits {
            self.listen_all_of(build.worker);
            self.running(trigger.build.0, trigger.step.0)?.wait = Some(Wait {
                ordinal: trigger.ordinal,
                open,
            });
        }
        Ok(())
    }

    /// Who waits for a buildset waits for less.
    pub(super) fn child_is_over(&mut self, buildset: u64) {
        for build in &mut self.builds {
            if let Some(wait) = &mut build.wait {
                wait.open.retain(|open| *open != buildset);
            }
        }
    }

    /// Nobody waits for these any more.
    pub(super) fn cancel_children(&mut self, wait: Option<&Wait>, now: i64, out: &mut Vec<Fact>) {
        for buildset in wait.map(|wait| wait.open.clone()).unwrap_or_default() {
            let children: Vec<u64> = self
                .requests
                .iter()
                .filter(|request| request.buildset == buildset)
                .map(|request| request.id)
                .collect();
            for id in children {
                let request = self.requests.iter().find(|request| request.id == id);
                match request.map(|request| (request.done, request.build)) {
                    Some((None, Some(build))) => self.stop(build, now, out).unwrap(),
                    Some((None, None)) => self.complete(id, Results::Cancelled, out),
                    _ => {}
                }
            }
        }
    }

    /// The first build that may go on: the oldest whose worker and builder have room.
    pub(super) fn resume_one(&mut self, out: &mut Vec<Fact>) -> bool {
        let mut ids: Vec<u64> = self.builds.iter().map(|build| build.id).collect();
        ids.sort_unstable();
        for id in ids {
            let build = self.builds.iter().find(|build| build.id == id).unwrap();
            if build.wait.as_ref().is_none_or(|wait| !wait.open.is_empty()) {
                continue;
            }
            let worker = &self.workers[build.worker as usize - 1].name;
            let slots = self.plan.workers.get(worker).map_or(0, |worker| worker.slots);
            let builder = &self.builders[build.builder as usize - 1].0;
            let max = self
                .plan
                .builders
                .get(builder)
                .and_then(|builder| builder.builds_max);
            let on_worker = self.count(|other| other.worker == build.worker) + self.kept(build.worker);
            let of_builder = self.count(|other| other.builder == build.builder);
            if on_worker < slots as usize
                && max.is_none_or(|max| of_builder < max as usize)
                && self.can_take_again(build)
            {
                let build = self.builds.iter_mut().find(|build| build.id == id).unwrap();
                build.wait = None;
                out.push(Fact::Resumed { build: id });
                return true;
            }
        }
        false
    }

    /// How many builds take a place, of those meant.
    pub(super) fn count(&self, meant: impl Fn(&super::Build) -> bool) -> usize {
        let places = self.builds.iter().filter(|build| build.wait.is_none());
        places.filter(|build| meant(build)).count()
    }
}
