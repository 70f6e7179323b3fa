//! REST items made from records in the obvious way, and queries answered by looking at every one of them.

use std::cmp::Ordering;

use ironmaster_model::{Cause, Downtime, Properties, RequestPhase, Results, SourceStampRecord, Timestamp};
use ironmaster_store::{Field, FieldKind, Filter, FilterValue, Op, Page, Query, Resource};
use serde_json::{Map, Value, json};

use crate::world::World;

pub(crate) type Item = Map<String, Value>;

/// All items of a resource in its default order, with dates in microseconds, all properties, and scopes as lists under
/// their names with `@` before.
pub(crate) fn items(world: &World, resource: Resource) -> Vec<Item> {
    let rows: Vec<Value> = match resource {
        Resource::Builders => world
            .builders
            .values()
            .map(|builder| {
                let masters = running(world, builder.active);
                let workers: Vec<u64> = world
                    .workers
                    .values()
                    .filter(|worker| worker.active && worker.builders.contains(&builder.id))
                    .map(|worker| worker.id.0)
                    .collect();
                json!({
                    "builderid": builder.id, "name": builder.name, "masterids": masters,
                    "description": builder.description, "description_format": null,
                    "description_html": null, "projectid": builder.project, "tags": builder.tags,
                    "@masterid": masters, "@workerid": workers,
                })
            })
            .collect(),
        Resource::Builds => world
            .builds
            .values()
            .map(|build| {
                let buildset = &world.buildsets[&world.requests[&build.request].buildset];
                let changes = changes_of(world, buildset);
                json!({
                    "buildid": build.id, "number": build.number, "builderid": build.builder,
                    "buildrequestid": build.request, "workerid": build.worker, "masterid": build.master,
                    "started_at": build.started_at.0, "complete": build.complete_at.is_some(),
                    "complete_at": micros(build.complete_at), "locks_duration_s": waited(world, build.id),
                    "results": build.results, "state_string": build.state_string,
                    "properties": build.properties, "attempt": build.attempt, "cause": build.cause,
                    "config": build.config,
                    "@bsid": [buildset.id], "@changeid": changes,
                    "@parent_buildid": buildset.parent_build.iter().collect::<Vec<_>>(),
                    "@jobid": buildset.job.iter().collect::<Vec<_>>(),
                })
            })
            .collect(),
        Resource::BuildRequests => world
            .requests
            .values()
            .map(|request| {
                let claim = world.claims.get(&request.id);
                let (at, results, cause): (Option<Timestamp>, Option<Results>, Option<Cause>) =
                    match &request.phase {
                        RequestPhase::Complete { at, results, cause } => {
                            (Some(*at), Some(*results), cause.clone())
                        }
                        _ => (None, None, None),
                    };
                json!({
                    "buildrequestid": request.id, "buildsetid": request.buildset,
                    "builderid": request.builder, "priority": request.priority,
                    "claimed": claim.is_some(), "claimed_at": claim.map(|claim| claim.0.0),
                    "claimed_by_masterid": claim.map(|claim| claim.1), "complete": at.is_some(),
                    "complete_at": micros(at),
                    "results": results.map_or(-1, |results| i64::from(results.code())),
                    "submitted_at": request.submitted_at.0, "waited_for": request.waited_for,
                    "properties": world.buildsets[&request.buildset].properties,
                    "attempts": request.attempts, "cause": cause,
                })
            })
            .collect(),
        Resource::Buildsets => world
            .buildsets
            .values()
            .map(|set| {
                let stamps: Vec<Value> = set
                    .sourcestamps
                    .iter()
                    .map(|id| shown_stamp(&world.stamps[id]))
                    .collect();
                json!({
                    "bsid": set.id, "complete": set.complete_at.is_some(),
                    "complete_at": micros(set.complete_at), "external_idstring": set.external_id,
                    "parent_buildid": set.parent_build, "parent_relationship": set.parent_relationship,
                    "reason": set.reason, "rebuilt_buildid": set.rebuilt_build, "results": set.results,
                    "sourcestamps": stamps, "submitted_at": set.submitted_at.0,
                    "jobid": set.job,
                })
            })
            .collect(),
        Resource::SourceStamps => world
            .stamps
            .values()
            .map(|stamp| {
                let mut item = stamp_item(stamp);
                let sets: Vec<u64> = world
                    .buildsets
                    .values()
                    .filter(|set| set.sourcestamps.contains(&stamp.id))
                    .map(|set| set.id.0)
                    .collect();
                item["@bsid"] = json!(sets);
                item
            })
            .collect(),
        Resource::Changes => world
            .changes
            .values()
            .rev()
            .map(|change| {
                let builds: Vec<u64> = world
                    .builds
                    .values()
                    .filter(|build| {
                        let set = &world.buildsets[&world.requests[&build.request].buildset];
                        changes_of(world, set).contains(&change.id.0)
                    })
                    .map(|build| build.id.0)
                    .collect();
                json!({
                    "changeid": change.id, "author": change.author, "committer": change.committer,
                    "branch": change.branch, "category": change.category, "codebase": change.codebase,
                    "comments": change.comments, "files": change.files,
                    "parent_changeids": change.parent.iter().collect::<Vec<_>>(),
                    "project": change.project, "properties": change.properties,
                    "repository": change.repository, "revision": change.revision,
                    "revlink": change.revlink,
                    "sourcestamp": shown_stamp(&world.stamps[&change.sourcestamp]),
                    "when_timestamp": change.when.0, "@buildid": builds, "@ssid": [change.sourcestamp],
                })
            })
            .collect(),
        Resource::Steps => world
            .steps
            .values()
            .map(|step| {
                json!({
                    "stepid": step.id, "number": step.number, "name": step.name, "buildid": step.build,
                    "started_at": step.started_at.0,
                    "locks_acquired_at": micros(step.locks_acquired_at),
                    "complete": step.complete_at.is_some(), "complete_at": micros(step.complete_at),
                    "results": step.results, "state_string": step.state_string, "urls": step.urls,
                    "hidden": step.hidden, "cause": step.cause,
                })
            })
            .collect(),
        Resource::Logs => world
            .logs
            .values()
            .map(|(log, _)| {
                json!({
                    "logid": log.id, "name": log.name, "slug": log.slug, "stepid": log.step,
                    "complete": log.complete, "num_lines": log.num_lines, "type": log.kind,
                    "raw_bytes": log.raw_bytes, "@buildid": [log.build],
                })
            })
            .collect(),
        Resource::Workers => world
            .workers
            .values()
            .map(|worker| {
                let connected = worker
                    .connection
                    .as_ref()
                    .is_some_and(|connection| connection.connected);
                let configured: Vec<Value> = running(world, worker.active)
                    .iter()
                    .flat_map(|master| {
                        worker
                            .builders
                            .iter()
                            .map(move |builder| json!({"masterid": master, "builderid": builder}))
                    })
                    .collect();
                let info = if worker.connection.is_some() {
                    json!({
                        "admin": worker.info.admin, "host": worker.info.host,
                        "access_uri": worker.info.access_uri, "version": worker.info.version,
                    })
                } else {
                    json!({})
                };
                let on: Vec<Value> = running(world, connected)
                    .iter()
                    .map(|master| json!({"masterid": master}))
                    .collect();
                let (from, until) = match worker.downtime {
                    Some(Downtime::From(at)) => (Some(at.0), None),
                    Some(Downtime::Until(at)) => (None, Some(at.0)),
                    None => (None, None),
                };
                json!({
                    "workerid": worker.id, "name": worker.name, "connected_to": on,
                    "downtime_from": from, "downtime_until": until,
                    "configured_on": configured, "workerinfo": info, "paused": worker.paused,
                    "pause_reason": worker.pause_reason, "graceful": worker.graceful,
                    "facts": worker.info.facts, "killed": worker.killed, "slots": worker.slots,
                    "missing": worker.missing,
                    "disconnected_at": worker.disconnected_at.map(|at| at.0),
                    "@builderid": if worker.active { worker.builders.clone() } else { Vec::new() },
                    "@masterid": running(world, worker.active || connected),
                })
            })
            .collect(),
        Resource::Masters => world
            .masters
            .values()
            .map(|master| {
                let builders: Vec<u64> = world
                    .builders
                    .values()
                    .filter(|builder| builder.active && master.active)
                    .map(|builder| builder.id.0)
                    .collect();
                json!({
                    "masterid": master.id, "name": master.name, "active": master.active,
                    "last_active": master.last_active.0, "@builderid": builders,
                })
            })
            .collect(),
        Resource::Schedulers => world
            .schedulers
            .values()
            .map(|scheduler| {
                json!({
                    "schedulerid": scheduler.id, "name": scheduler.name, "enabled": scheduler.enabled,
                    "master": master(world, scheduler.active),
                    "@masterid": running(world, scheduler.active),
                })
            })
            .collect(),
        Resource::ChangeSources => world
            .change_sources
            .values()
            .map(|source| {
                json!({
                    "changesourceid": source.id, "name": source.name,
                    "master": master(world, source.active), "@masterid": running(world, source.active),
                })
            })
            .collect(),
        Resource::Projects => world
            .projects
            .values()
            .map(|project| {
                json!({
                    "projectid": project.id, "name": project.name, "slug": project.name, "active": project.active,
                    "description": project.description, "description_format": null, "description_html": null,
                })
            })
            .collect(),
        Resource::Codebases => world
            .codebases
            .values()
            .map(|codebase| {
                json!({
                    "codebaseid": codebase.id, "name": codebase.name, "slug": codebase.name,
                    "projectid": codebase.project,
                })
            })
            .collect(),
        Resource::Pipelines => world
            .pipelines
            .values()
            .map(|pipeline| {
                json!({
                    "pipelineid": pipeline.id, "name": pipeline.name, "project": pipeline.project,
                    "description": pipeline.description, "active": pipeline.active,
                })
            })
            .collect(),
        Resource::Runs => world
            .runs
            .values()
            .map(|run| {
                let stamps: Vec<Value> = run
                    .sourcestamps
                    .iter()
                    .map(|id| shown_stamp(&world.stamps[id]))
                    .collect();
                let progress = &run.progress;
                json!({
                    "runid": run.id, "pipelineid": run.pipeline,
                    "pipeline": world.pipelines[&run.pipeline].name, "state": progress.state,
                    "complete": progress.complete_at.is_some(), "results": progress.results,
                    "why": progress.why, "reason": run.reason, "scheduler": run.scheduler,
                    "priority": run.priority, "created_at": run.created_at.0,
                    "started_at": micros(progress.started_at), "complete_at": micros(progress.complete_at),
                    "stopped_by": progress.stop.as_ref().map(|(by, _)| by), "parent_jobid": run.parent,
                    "retried_runid": run.retried, "changes": run.changes, "properties": run.properties,
                    "sourcestamps": stamps, "trusted": run.trusted, "source": run.source, "@changeid": run.changes,
                })
            })
            .collect(),
        Resource::Jobs => world
            .jobs
            .values()
            .map(|job| {
                let progress = &job.progress;
                let build = world
                    .builds
                    .values()
                    .filter(|build| Some(build.request) == progress.request)
                    .map(|build| build.id)
                    .max();
                json!({
                    "jobid": job.id, "runid": job.run, "number": job.number, "name": job.name,
                    "group": job.group, "matrix": job.matrix, "needs": job.needs, "state": progress.state,
                    "complete": progress.complete_at.is_some(), "results": progress.results,
                    "cause": progress.cause, "why": progress.why, "attempts": progress.attempts,
                    "buildsetid": progress.buildset, "buildrequestid": progress.request, "buildid": build,
                    "child_runid": progress.child, "approved_by": progress.approved_by,
                    "queued_at": micros(progress.queued_at), "started_at": micros(progress.started_at),
                    "complete_at": micros(progress.complete_at), "outputs": progress.outputs,
                    "definition": job.definition, "@pipelineid": [world.runs[&job.run].pipeline],
                })
            })
            .collect(),
        Resource::BuildPropertyList => world
            .builds
            .values()
            .flat_map(|build| listed("@buildid", build.id.0, &build.properties))
            .collect(),
        Resource::BuildsetPropertyList => world
            .buildsets
            .values()
            .flat_map(|set| listed("@bsid", set.id.0, &set.properties))
            .collect(),
        Resource::ChangePropertyList => world
            .changes
            .values()
            .flat_map(|change| listed("@changeid", change.id.0, &change.properties))
            .collect(),
        _ => Vec::new(),
    };
    rows.into_iter()
        .map(|row| match row {
            Value::Object(item) => item,
            other => panic!("{other} is no item"),
        })
        .collect()
}

fn micros(at: Option<Timestamp>) -> Option<i64> {
    at.map(|at| at.0)
}

fn running(world: &World, wanted: bool) -> Vec<u64> {
    world
        .masters
        .values()
        .filter(|master| wanted && master.active)
        .map(|master| master.id.0)
        .collect()
}

fn master(world: &World, wanted: bool) -> Value {
    let found = world.masters.values().find(|master| wanted && master.active);
    found.map_or(Value::Null, |master| {
        json!({
            "masterid": master.id, "name": master.name, "active": master.active,
            "last_active": master.last_active.as_secs(),
        })
    })
}

fn stamp_item(record: &SourceStampRecord) -> Value {
    let stamp = &record.stamp;
    let patch = stamp.patch.as_ref().map(|patch| {
        json!({
            "patchid": record.id, "level": patch.level, "subdir": patch.subdir, "author": patch.author,
            "comment": patch.comment, "body": patch.body,
        })
    });
    json!({
        "ssid": record.id, "branch": stamp.branch, "revision": stamp.revision, "project": stamp.project,
        "repository": stamp.repository, "codebase": stamp.codebase, "created_at": record.created_at.0,
        "patch": patch,
    })
}

fn shown_stamp(record: &SourceStampRecord) -> Value {
    let mut item = stamp_item(record);
    item["created_at"] = record.created_at.as_secs().into();
    item
}

fn changes_of(world: &World, set: &ironmaster_model::BuildsetRecord) -> Vec<u64> {
    world
        .changes
        .values()
        .filter(|change| set.changes.contains(&change.id) || set.sourcestamps.contains(&change.sourcestamp))
        .map(|change| change.id.0)
        .collect()
}

fn listed(scope: &str, id: u64, properties: &Properties) -> Vec<Value> {
    properties
        .0
        .iter()
        .map(|(name, property)| {
            json!({"name": name, "source": property.source, "value": property.value.to_string(), scope: [id]})
        })
        .collect()
}

/// Answers a query by looking at every item.
pub(crate) fn evaluate(items: &[Item], resource: Resource, query: &Query) -> Page {
    let mut found: Vec<Item> = items
        .iter()
        .filter(|item| {
            query.scope.iter().all(|filter| in_scope(resource, item, filter))
                && query.filters.iter().all(|filter| {
                    let field = resource.field(&filter.field).expect("tests know the fields");
                    passes(field, &item[field.name], filter)
                })
        })
        .cloned()
        .collect();
    if !query.order.is_empty() && !found.is_empty() {
        let key = resource
            .fields()
            .iter()
            .find(|field| is_key(resource, field))
            .unwrap();
        let last = query.order.last().is_some_and(|order| order.descending);
        found.sort_by(|left, right| {
            let mut ordering = Ordering::Equal;
            for order in &query.order {
                let by = compare(&left[&order.field], &right[&order.field]);
                ordering = ordering.then(if order.descending { by.reverse() } else { by });
            }
            let by = compare(&left[key.name], &right[key.name]);
            ordering.then(if last { by.reverse() } else { by })
        });
    }
    let total = found.len() as u64;
    let limit = query.limit.map_or(usize::MAX, |limit| limit as usize);
    let items = found
        .into_iter()
        .skip(query.offset as usize)
        .take(limit)
        .map(|item| shown(resource, item, query))
        .collect();
    Page { items, total }
}

fn is_key(resource: Resource, field: &Field) -> bool {
    match resource {
        Resource::Builders => field.name == "builderid",
        Resource::Builds => field.name == "buildid",
        Resource::BuildRequests => field.name == "buildrequestid",
        Resource::Buildsets => field.name == "bsid",
        Resource::SourceStamps => field.name == "ssid",
        Resource::Changes => field.name == "changeid",
        Resource::Steps => field.name == "stepid",
        Resource::Logs => field.name == "logid",
        Resource::Workers => field.name == "workerid",
        Resource::Masters => field.name == "masterid",
        Resource::Schedulers => field.name == "schedulerid",
        Resource::ChangeSources => field.name == "changesourceid",
        Resource::Pipelines => field.name == "pipelineid",
        Resource::Runs => field.name == "runid",
        Resource::Jobs => field.name == "jobid",
        _ => field.name == "name",
    }
}

fn shown(resource: Resource, mut item: Item, query: &Query) -> Item {
    item.retain(|name, _| !name.starts_with('@'));
    for (name, value) in &mut item {
        let field = resource
            .field(name)
            .unwrap_or_else(|| panic!("{resource:?} has no {name}"));
        if field.kind == FieldKind::Date
            && let Some(micros) = value.as_i64()
        {
            *value = micros.div_euclid(1_000_000).into();
        }
        if name == "properties" && matches!(resource, Resource::Builds | Resource::BuildRequests) {
            if query.properties.is_empty() {
                *value = if resource == Resource::Builds {
                    json!({})
                } else {
                    Value::Null
                };
            } else if !query.properties.iter().any(|name| name == "*") {
                let all = value.as_object_mut().unwrap();
                all.retain(|name, _| query.properties.contains(name));
            }
        }
    }
    if let Some(fields) = &query.fields {
        item.retain(|name, _| fields.contains(name));
    }
    item
}

fn in_scope(resource: Resource, item: &Item, filter: &Filter) -> bool {
    if let Some(Value::Array(list)) = item.get(&format!("@{}", filter.field)) {
        let [FilterValue::Int(id)] = filter.values.as_slice() else {
            panic!("a scope is one id")
        };
        return list.contains(&json!(id));
    }
    let field = resource.field(&filter.field).unwrap();
    passes(field, &item[field.name], filter)
}

fn passes(field: &Field, value: &Value, filter: &Filter) -> bool {
    let same = |wanted: &FilterValue| matches(field, value, wanted) == Some(Ordering::Equal);
    let is = |allowed: &[Ordering]| {
        matches(field, value, &filter.values[0]).is_some_and(|ordering| allowed.contains(&ordering))
    };
    match filter.op {
        Op::Eq | Op::In => filter.values.iter().any(same),
        Op::Ne | Op::NotIn => !filter.values.iter().any(same),
        Op::Lt => is(&[Ordering::Less]),
        Op::Le => is(&[Ordering::Less, Ordering::Equal]),
        Op::Gt => is(&[Ordering::Greater]),
        Op::Ge => is(&[Ordering::Greater, Ordering::Equal]),
        Op::Contains => filter.values.iter().any(|wanted| match (value, wanted) {
            (Value::String(text), FilterValue::Text(wanted)) => text.contains(wanted.as_str()),
            (Value::Array(list), FilterValue::Text(wanted)) => list.contains(&json!(wanted)),
            (Value::Array(list), FilterValue::Int(wanted)) => list.contains(&json!(wanted)),
            _ => false,
        }),
    }
}

/// How a value compares with a wanted one; none if it is null.
fn matches(field: &Field, value: &Value, wanted: &FilterValue) -> Option<Ordering> {
    match (value, wanted) {
        (Value::Number(number), FilterValue::Int(wanted)) => {
            let number = number.as_i64().unwrap();
            let number = if field.kind == FieldKind::Date {
                number.div_euclid(1_000_000)
            } else {
                number
            };
            Some(number.cmp(wanted))
        }
        (Value::Bool(value), FilterValue::Bool(wanted)) => Some(value.cmp(wanted)),
        (Value::String(text), FilterValue::Text(wanted)) => Some(text.cmp(wanted)),
        _ => None,
    }
}

fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Number(left), Value::Number(right)) => left.as_i64().cmp(&right.as_i64()),
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::String(left), Value::String(right)) => left.cmp(right),
        other => panic!("{other:?} have no order"),
    }
}

/// Values that occur in a field, and some that do not: what filters are made from.
pub(crate) fn values(items: &[Item], field: &Field) -> Vec<FilterValue> {
    let kind = field.filter_kind();
    let mut values: Vec<FilterValue> = Vec::new();
    for item in items {
        let found = match &item[field.name] {
            Value::Array(list) => list.clone(),
            other => vec![other.clone()],
        };
        for value in found {
            values.extend(match value {
                Value::Number(number) if field.kind == FieldKind::Date => {
                    let seconds = number.as_i64().unwrap().div_euclid(1_000_000);
                    vec![(seconds - 1).into(), seconds.into(), (seconds + 1).into()]
                }
                Value::Number(number) => vec![number.as_i64().unwrap().into()],
                Value::Bool(value) => vec![value.into()],
                Value::String(text) => {
                    let end = text.char_indices().nth(3).map_or(text.len(), |(at, _)| at);
                    vec![text[..end].into(), text.into()]
                }
                _ => Vec::new(),
            });
        }
    }
    values.extend(match kind {
        Some(FieldKind::Int | FieldKind::Date) => {
            vec![(-1_i64).into(), i64::MIN.into(), i64::MAX.into()]
        }
        Some(FieldKind::Bool) => vec![true.into(), false.into()],
        Some(FieldKind::Text | FieldKind::Identifier) => {
            vec!["".into(), "nowhere".into(), "%' or 1=1 --".into()]
        }
        _ => Vec::new(),
    });
    values
}

/// Ids that a scope may be asked for.
pub(crate) fn scope_ids(items: &[Item], scope: &str) -> Vec<u64> {
    let mut ids: Vec<u64> = items
        .iter()
        .filter_map(|item| item.get(&format!("@{scope}")).and_then(Value::as_array))
        .flatten()
        .filter_map(Value::as_u64)
        .collect();
    ids.push(1_000_000);
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Seconds that the steps of a build waited for their locks.
fn waited(world: &World, build: ironmaster_model::BuildId) -> i64 {
    let micros: i64 = world
        .steps
        .values()
        .filter(|step| step.build == build)
        .filter_map(|step| Some(step.locks_acquired_at.or(step.complete_at)?.0 - step.started_at.0))
        .sum();
    micros / 1_000_000
}
