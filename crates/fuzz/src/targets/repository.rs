//! Files of repositories with jobs in them, which anybody can write.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use ironmaster_model::{
    BuilderDef, InRepositoryDef, PipelineDef, Plan,
    pipeline::{JOBS_MAX, graph, in_repository::Grants},
};

const JOBS: u32 = 50;

/// A project that grants two builders, and has a third.
static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    let builders = ["compile", "check", "secret"].map(|name| {
        let def = BuilderDef {
            name: name.into(),
            properties: BTreeMap::from([("host".into(), "example.org".into())]),
            ..BuilderDef::default()
        };
        (name.to_owned(), def)
    });
    let pipeline = PipelineDef {
        name: "ci".into(),
        in_repository: Some(InRepositoryDef {
            file: "jobs".into(),
            repository: "https://git.example.org/zlib.git".into(),
            granted: Grants {
                builders: ["compile", "check"].map(str::to_owned).into(),
                ..Grants::default()
            },
            jobs_max: JOBS,
            ..InRepositoryDef::default()
        }),
        ..PipelineDef::default()
    };
    Plan {
        builders: builders.into(),
        pipelines: [("ci".to_owned(), Arc::new(pipeline))].into(),
        ..Plan::default()
    }
});

pub(crate) fn toml(input: &[u8]) {
    file("jobs.toml", input);
}

pub(crate) fn starlark(input: &[u8]) {
    file("jobs.star", input);
}

/// What is accepted is within what is granted; what is refused is refused for a reason that points into the file.
fn file(name: &str, input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let pipeline = &PLAN.pipelines["ci"];
    let (jobs, report) = ironmaster_config::repository_jobs(name, &text, &PLAN, pipeline, false);
    assert_eq!(jobs.is_none(), report.has_errors(), "it is refused for a reason");
    for finding in &report.findings {
        assert!(
            !finding.message.contains("a mistake of this program"),
            "{finding:?}"
        );
        assert!(
            text.contains("secret") || !finding.message.contains("secret"),
            "nobody is told of what is not granted: {finding:?}"
        );
        if let Some(place) = &finding.place {
            assert!(text.get(place.span.clone()).is_some(), "it points into the text");
        }
    }
    let _ = report.render(false);
    if let Some(jobs) = jobs {
        let planned = graph::plan(&jobs, &[])
            .expect("jobs that are accepted can be planned")
            .jobs;
        assert!(!planned.is_empty() && planned.len() <= JOBS as usize && JOBS as usize <= JOBS_MAX);
        let granted = pipeline.in_repository.as_ref().expect("it has one");
        for job in &planned {
            assert_eq!(granted.refuse_work(&job.definition.work, false), None);
        }
    }
}
