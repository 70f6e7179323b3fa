//! Changes, and the requests that come of them.

use ironmaster_model::{
    BuildRequestId, BuildRequestRecord, BuilderId, BuildsetId, BuildsetRecord, Cause, ChangeId, ChangeRecord,
    Counter, Event, JobId, NewSourceStamp, Patch, Properties, RequestPhase, Results, SourceStampId,
    SourceStampRecord, Timestamp,
};
use serde_json::json;

use super::History;

impl History {
    pub(super) fn add_stamp(&mut self) -> SourceStampId {
        let id = SourceStampId(self.id(Counter::SourceStamp));
        let patch = self.chance(10).then(|| Patch {
            level: 1,
            subdir: "src".into(),
            author: "me <me@example.org>".into(),
            comment: "hello".into(),
            body: "--- a\n+++ b\n".into(),
        });
        let sourcestamp = SourceStampRecord {
            id,
            stamp: NewSourceStamp {
                branch: self.chance(80).then(|| "main".into()),
                revision: self.chance(80).then(|| format!("{:08x}", id.0 * 7919)),
                repository: "https://example.org/repo.git".into(),
                project: if self.below(2) == 0 {
                    String::new()
                } else {
                    "proj".into()
                },
                codebase: String::new(),
                patch,
            },
            created_at: self.at(),
        };
        self.emit(Event::SourceStampAdded { sourcestamp });
        id
    }

    pub(super) fn add_change(&mut self) {
        let sourcestamp = self.add_stamp();
        let id = ChangeId(self.id(Counter::Change));
        let mut properties = Properties::new();
        if self.chance(50) {
            properties.set("event", "push", "Change");
            properties.set("nest", json!({"inner": ["é", 1.5, null]}), "Change");
        }
        let authors = ["me <me@example.org>", "dev", "zoë"];
        let change = ChangeRecord {
            id,
            author: self.pick(&authors).into(),
            committer: self.chance(30).then(|| "committer".into()),
            comments: format!("change {id}\nmore of it"),
            files: ["a.c", "dir/b.c", "c\"d.h"]
                .into_iter()
                .filter(|_| self.chance(50))
                .map(str::to_owned)
                .collect(),
            revision: Some(format!("{:08x}", id.0 * 7919)),
            branch: self.chance(80).then(|| "main".into()),
            category: self.chance(30).then(|| "tag".into()),
            revlink: self.chance(50).then(|| format!("https://example.org/{id}")),
            repository: "https://example.org/repo.git".into(),
            project: "proj".into(),
            codebase: String::new(),
            when: Timestamp(self.now - self.below(10_000_000).cast_signed()),
            properties,
            sourcestamp,
            parent: self.changes.last().copied().filter(|_| self.chance(50)),
        };
        self.emit(Event::ChangeAdded { change });
        self.changes.push(id);
        match self.below(3) {
            0 => {
                let index = self.below(self.schedulers.len() as u64) as usize;
                let fire_at = Some(Timestamp(self.now + 60_000_000));
                let key = if self.chance(50) { "" } else { "main" };
                let state = &mut self.schedulers[index].state;
                let waiting = state.waiting.entry(key.into()).or_default();
                waiting.changes.push(id);
                waiting.fire_at = fire_at;
                self.scheduler_moved(index);
            }
            1 => {
                self.request_builds(vec![sourcestamp], vec![id]);
            }
            _ => {}
        }
    }

    pub(super) fn move_scheduler(&mut self) {
        let index = self.below(self.schedulers.len() as u64) as usize;
        if self.chance(50) {
            self.schedulers[index].state.waiting.clear();
        } else {
            self.schedulers[index].state.next_fire = Some(Timestamp(self.now + 3_600_000_000));
        }
        self.scheduler_moved(index);
    }

    fn scheduler_moved(&mut self, index: usize) {
        let record = &self.schedulers[index];
        let (scheduler, state) = (record.id, record.state.clone());
        self.emit(Event::SchedulerMoved { scheduler, state });
    }

    pub(super) fn add_work(&mut self) {
        let mut stamps = vec![self.add_stamp()];
        let open: Vec<SourceStampId> = self.stamps.values().copied().collect();
        if self.chance(20) && !open.is_empty() {
            stamps.push(self.pick(&open));
        }
        self.request_builds(stamps, Vec::new());
    }

    fn request_builds(&mut self, stamps: Vec<SourceStampId>, changes: Vec<ChangeId>) {
        let mut builders: Vec<BuilderId> = self.builders.iter().map(|builder| builder.id).collect();
        let first = self.below(builders.len() as u64) as usize;
        builders.rotate_left(first);
        builders.truncate(1 + self.below(2) as usize);
        let mut properties = Properties::new();
        properties.set("scheduler", "force", "Scheduler");
        if self.chance(60) {
            properties.set("owner", "me <me@example.org>", "Force Build Form");
        }
        self.add_buildset(stamps, changes, properties, &builders);
    }

    pub(super) fn add_buildset(
        &mut self,
        stamps: Vec<SourceStampId>,
        changes: Vec<ChangeId>,
        properties: Properties,
        builders: &[BuilderId],
    ) -> (BuildsetId, Vec<BuildRequestId>) {
        let id = BuildsetId(self.id(Counter::Buildset));
        let parent = self.finished.last().copied().filter(|_| self.chance(30));
        self.stamps.insert(id, stamps[0]);
        let buildset = BuildsetRecord {
            id,
            external_id: self.chance(20).then(|| format!("ext {id}")),
            reason: "because".into(),
            scheduler: "force".into(),
            submitted_at: self.at(),
            sourcestamps: stamps,
            changes,
            properties,
            parent_build: parent,
            parent_relationship: parent.map(|_| "Triggered from".into()),
            rebuilt_build: self.finished.first().copied().filter(|_| self.chance(10)),
            job: self.chance(10).then_some(JobId(1)),
            complete_at: None,
            results: None,
        };
        self.emit(Event::BuildsetCreated { buildset });
        let mut requests = Vec::new();
        for builder in builders {
            let request = BuildRequestId(self.id(Counter::BuildRequest));
            let record = BuildRequestRecord {
                id: request,
                buildset: id,
                builder: *builder,
                priority: self.below(3).cast_signed() - 1,
                by_hand: self.chance(10),
                submitted_at: self.at(),
                waited_for: self.chance(20),
                attempts: 0,
                phase: RequestPhase::Queued,
            };
            self.emit(Event::RequestQueued { request: record });
            self.requests.insert(request, (*builder, 0, None, None));
            requests.push(request);
        }
        self.buildsets.push((id, requests.clone()));
        (id, requests)
    }

    pub(super) fn queued(&self) -> Vec<BuildRequestId> {
        self.requests
            .iter()
            .filter(|(_, (_, _, build, results))| build.is_none() && results.is_none())
            .map(|(id, _)| *id)
            .collect()
    }

    pub(super) fn request_changes(&mut self) {
        let queued = self.queued();
        if queued.is_empty() {
            return;
        }
        let request = self.pick(&queued);
        if self.chance(50) {
            let priority = self.below(10).cast_signed();
            let by_hand = self.chance(50);
            let since = self
                .chance(30)
                .then(|| Timestamp::from_secs(self.below(1000).cast_signed()));
            self.emit(Event::RequestPrioritised {
                request,
                priority,
                by_hand,
                since,
            });
        } else {
            self.complete_request(
                request,
                Results::Cancelled,
                Some(Cause::Cancelled {
                    by: "me".into(),
                    reason: "no need".into(),
                }),
            );
        }
    }

    pub(super) fn complete_request(
        &mut self,
        request: BuildRequestId,
        results: Results,
        cause: Option<Cause>,
    ) {
        let entry = self.requests.get_mut(&request).expect("it is there");
        entry.2 = None;
        entry.3 = Some(results);
        let builder = entry.0;
        self.emit(Event::RequestCompleted {
            request,
            builder,
            results,
            cause,
        });
        let (buildset, requests) = self
            .buildsets
            .iter()
            .find(|(_, requests)| requests.contains(&request))
            .cloned()
            .expect("every request has a buildset");
        let all: Option<Vec<Results>> = requests.iter().map(|id| self.requests[id].3).collect();
        if let Some(all) = all {
            let results = all.into_iter().fold(Results::Success, Results::worst);
            self.emit(Event::BuildsetCompleted { buildset, results });
            self.buildsets.retain(|(id, _)| *id != buildset);
            self.stamps.remove(&buildset);
        }
    }
}
