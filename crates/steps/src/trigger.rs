//! `trigger`: has other builders build, through triggerable schedulers, and may wait for them.

use async_trait::async_trait;
use ironmaster_model::{
    Cause, FieldKind, FieldSpec, KindSpec, NewSourceStamp, Properties, Results, StepDef, StepFlags, Wanted,
};
use serde_json::{Map, Value};

use crate::{
    Step, StepContext, StepEnd, StepEnvironment, StepError, TriggerRequest, params::Params, shell::first_log,
};

/// Source of the properties that a trigger hands on.
const SOURCE: &str = "Trigger";

/// The kind's description.
pub(crate) fn kind() -> KindSpec {
    let field = |name, kind, default, doc, example| FieldSpec {
        name,
        kind,
        required: false,
        default,
        doc,
        example,
    };
    KindSpec {
        name: "trigger",
        doc: "Triggers schedulers of type `triggerable`, and may wait for their builds. While it waits, the build's slot is free for others \
              and its directory stays as it is. Its result is the worst of those that it waited for.",
        fields: vec![
            FieldSpec {
                name: "schedulers",
                kind: FieldKind::Triggerables,
                required: true,
                default: None,
                doc: "Names of the schedulers, each of type `triggerable`.",
                example: "[\"tests\", \"docs\"]",
            },
            field(
                "wait",
                FieldKind::Bool,
                Some("false"),
                "Whether the step ends only when all of their builds are over. If it is stopped, they are.",
                "true",
            ),
            field(
                "unimportant",
                FieldKind::StringList,
                None,
                "Those of the schedulers whose results do not count.",
                "[\"docs\"]",
            ),
            field(
                "update_sourcestamp",
                FieldKind::Bool,
                Some("true"),
                "Whether they build the revision that this build has checked out (its property `got_revision`), even if it \
                 was asked for the newest.",
                "false",
            ),
            field(
                "always_use_latest",
                FieldKind::Bool,
                Some("false"),
                "Whether they build the newest of what their own scheduler says, whatever this build builds.",
                "true",
            ),
            field(
                "set_properties",
                FieldKind::Table,
                Some("{}"),
                "Properties of their builds; texts may hold `%(prop:name)s`.",
                "{ parent = \"%(prop:buildnumber)s\" }",
            ),
            field(
                "copy_properties",
                FieldKind::StringList,
                None,
                "Names of this build's properties that theirs get too, where it has them.",
                "[\"version\"]",
            ),
            field(
                "relationship",
                FieldKind::String,
                Some("\"Triggered from\""),
                "How their builds are related to this one, for people.",
                "\"Tests of\"",
            ),
        ],
        logs: &["stdio"],
        flags: StepFlags::default(),
        check: Some(check),
    }
}

fn check(params: &Map<String, Value>) -> Vec<(String, String)> {
    let list = |name: &str| -> Vec<&str> {
        let items = params.get(name).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let schedulers = list("schedulers");
    let mut wrong = Vec::new();
    if params.contains_key("schedulers") && schedulers.is_empty() {
        wrong.push(("schedulers".to_owned(), "name one scheduler at least".to_owned()));
    }
    for name in list("unimportant") {
        if !schedulers.contains(&name) {
            wrong.push((
                "unimportant".into(),
                format!("`{name}` is not among `schedulers`"),
            ));
        }
    }
    if params.get("always_use_latest") == Some(&Value::Bool(true))
        && params.get("update_sourcestamp") == Some(&Value::Bool(true))
    {
        wrong.push((
            "always_use_latest".into(),
            "either this build's revision or the newest can be built: leave one of the two out".into(),
        ));
    }
    wrong
}

#[derive(Debug)]
pub(crate) struct Trigger {
    params: Params,
    log: String,
}

impl Trigger {
    pub(crate) fn new(definition: &StepDef) -> Self {
        Self {
            params: Params::of(definition),
            log: first_log(definition),
        }
    }

    fn request(&self, env: &StepEnvironment) -> Result<TriggerRequest, StepError> {
        let mut properties = Properties::new();
        for name in self.params.texts("copy_properties", env)? {
            if let Some(value) = env.properties.get(&name) {
                properties.set(name, value.clone(), SOURCE);
            }
        }
        for (name, value) in self.params.table("set_properties", env)? {
            properties.set(name, value, SOURCE);
        }
        let sourcestamps = if self.params.bool("always_use_latest", false) {
            Vec::new()
        } else {
            stamps(env, self.params.bool("update_sourcestamp", true))
        };
        let wanted = self
            .params
            .texts("schedulers", env)?
            .into_iter()
            .map(|scheduler| Wanted {
                scheduler,
                sourcestamps: sourcestamps.clone(),
                properties: properties.clone(),
            })
            .collect();
        Ok(TriggerRequest {
            wanted,
            waits: self.params.bool("wait", false),
            relationship: self
                .params
                .text("relationship", env)?
                .unwrap_or_else(|| "Triggered from".into()),
        })
    }
}

/// The build's own stamps; with `pinned`, those of the revision that was checked out. Of several codebases the property is an
/// object, revision by codebase.
fn stamps(env: &StepEnvironment, pinned: bool) -> Vec<NewSourceStamp> {
    let got = env.properties.get("got_revision").filter(|_| pinned);
    env.stamps
        .iter()
        .map(|stamp| {
            let revision = match got {
                Some(Value::String(revision)) if env.stamps.len() == 1 => Some(revision.clone()),
                Some(Value::Object(by_codebase)) => by_codebase
                    .get(&stamp.codebase)
                    .and_then(Value::as_str)
                    .map(str::to_owned),
                _ => None,
            };
            NewSourceStamp {
                revision: revision.or_else(|| stamp.revision.clone()),
                ..stamp.clone()
            }
        })
        .collect()
}

#[async_trait]
impl Step for Trigger {
    async fn run(&self, ctx: &mut StepContext<'_>) -> Result<StepEnd, StepError> {
        let request = self.request(ctx.environment())?;
        let names: Vec<String> = request
            .wanted
            .iter()
            .map(|wanted| format!("'{}'", wanted.scheduler))
            .collect();
        let names = names.join(", ");
        let waits = request.waits;
        let (ordinal, triggered) = ctx.trigger(request).await?;
        for one in &triggered {
            let requests: Vec<String> = one.requests.values().map(ToString::to_string).collect();
            ctx.header(
                &self.log,
                &format!(
                    "scheduler '{}': buildset {}, requests {}",
                    one.scheduler,
                    one.buildset,
                    requests.join(", ")
                ),
            )
            .await?;
            for id in &requests {
                ctx.add_url(
                    &format!("{} #{id}", one.scheduler),
                    &format!("#/buildrequests/{id}"),
                );
            }
        }
        // One that has its times is only told, and nobody waits for it.
        if !waits || triggered.is_empty() {
            return Ok(StepEnd::success(format!("triggered {names}")));
        }
        ctx.set_state(&format!("waiting for {names}")).await?;
        let results = ctx.triggered_results(ordinal).await?;
        let unimportant = self.params.texts("unimportant", ctx.environment())?;
        let mut worst = Results::Success;
        let mut bad = Vec::new();
        for one in &triggered {
            let result = results.get(&one.buildset).copied().unwrap_or(Results::Exception);
            ctx.header(
                &self.log,
                &format!(
                    "buildset {} of scheduler '{}' ended: {result}",
                    one.buildset, one.scheduler
                ),
            )
            .await?;
            if !unimportant.contains(&one.scheduler) {
                worst = worst.worst(result);
                if !matches!(result, Results::Success | Results::Skipped) {
                    bad.push(format!("'{}' {result}", one.scheduler));
                }
            }
        }
        // A retry is for attempts that lost their machine; this one has not.
        let results = match worst {
            Results::Retry => Results::Exception,
            other => other,
        };
        Ok(StepEnd {
            results,
            cause: (!bad.is_empty() && results == Results::Cancelled).then(|| Cause::Cancelled {
                by: "ironmaster".into(),
                reason: format!("what was triggered was cancelled: {}", bad.join(", ")),
            }),
            summary: if bad.is_empty() {
                format!("triggered {names}")
            } else {
                format!("triggered {names}: {}", bad.join(", "))
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use ironmaster_model::BuildsetId;
    use serde_json::json;

    use super::*;
    use crate::fake_host::FakeHost;

    fn step(params: Value) -> Trigger {
        let Value::Object(params) = params else {
            panic!("not an object");
        };
        Trigger::new(&StepDef {
            name: "trigger".into(),
            kind: "trigger".into(),
            params,
            flags: StepFlags::default(),
            logs: vec!["stdio".into()],
            locks: Vec::new(),
        })
    }

    fn host() -> FakeHost {
        let mut host = FakeHost::new("/nonexistent");
        host.environment.stamps = vec![NewSourceStamp {
            branch: Some("main".into()),
            repository: "repo".into(),
            ..NewSourceStamp::default()
        }];
        host.environment.properties.set("got_revision", "abc", "Git");
        host.environment
            .properties
            .set("version", "1.2", "SetProperty Step");
        host
    }

    async fn run(host: &mut FakeHost, params: Value) -> StepEnd {
        step(params)
            .run(&mut StepContext::new(host))
            .await
            .expect("nothing is refused")
    }

    #[tokio::test]
    async fn what_is_built_is_the_revision_that_was_checked_out() {
        let mut host = host();
        let params = json!({
            "schedulers": ["tests"],
            "copy_properties": ["version", "missing"],
            "set_properties": {"parent": "v%(prop:version)s", "jobs": 4},
        });
        let end = run(&mut host, params).await;
        assert_eq!(end, StepEnd::success("triggered 'tests'"));
        let wanted = &host.triggered[0];
        assert_eq!(wanted.sourcestamps[0].revision.as_deref(), Some("abc"));
        assert_eq!(wanted.sourcestamps[0].branch.as_deref(), Some("main"));
        assert_eq!(
            serde_json::to_value(&wanted.properties).unwrap(),
            json!({"version": ["1.2", SOURCE], "parent": ["v1.2", SOURCE], "jobs": [4, SOURCE]})
        );
        assert_eq!(host.urls[0].url, "#/buildrequests/1");
        assert_eq!(host.logs["stdio"], "scheduler 'tests': buildset 1, requests 1\n");
    }

    #[tokio::test]
    async fn the_newest_is_built_where_it_is_asked_for() {
        for (params, revisions) in [
            (
                json!({"schedulers": ["a"], "update_sourcestamp": false}),
                vec![None],
            ),
            (json!({"schedulers": ["a"], "always_use_latest": true}), vec![]),
        ] {
            let mut host = host();
            run(&mut host, params).await;
            let found: Vec<Option<String>> = host.triggered[0]
                .sourcestamps
                .iter()
                .map(|stamp| stamp.revision.clone())
                .collect();
            assert_eq!(found, revisions);
        }
    }

    #[tokio::test]
    async fn the_worst_of_what_counts_is_the_result() {
        for (first, second, unimportant, expected) in [
            (Results::Success, Results::Success, json!([]), Results::Success),
            (Results::Success, Results::Failure, json!([]), Results::Failure),
            (
                Results::Warnings,
                Results::Failure,
                json!(["b"]),
                Results::Warnings,
            ),
            (Results::Retry, Results::Success, json!([]), Results::Exception),
            (
                Results::Cancelled,
                Results::Success,
                json!([]),
                Results::Cancelled,
            ),
            (Results::Skipped, Results::Success, json!([]), Results::Success),
        ] {
            let mut host = host();
            host.results = [(BuildsetId(1), first), (BuildsetId(2), second)].into();
            let params = json!({"schedulers": ["a", "b"], "wait": true, "unimportant": unimportant});
            assert_eq!(run(&mut host, params).await.results, expected, "{first} {second}");
        }
    }

    #[test]
    fn contradictions_are_reported() {
        let problems = |params: Value| -> Vec<String> {
            let problems = check(params.as_object().expect("an object"));
            problems.into_iter().map(|(field, _)| field).collect()
        };
        assert_eq!(problems(json!({"schedulers": ["a"]})), [""; 0]);
        assert_eq!(problems(json!({"schedulers": []})), ["schedulers"]);
        assert_eq!(
            problems(json!({"schedulers": ["a"], "unimportant": ["b"]})),
            ["unimportant"]
        );
        assert_eq!(
            problems(json!({"schedulers": ["a"], "always_use_latest": true, "update_sourcestamp": true})),
            ["always_use_latest"]
        );
    }
}
