//! What definitions a configuration leads to.

use std::path::Path;

use ironmaster_config::{Loaded, LogLevel, Reading, check};
use ironmaster_model::{
    CollapseRule, Duration, FixedSource, ForceFieldKind, GroupLayout, SchedulerKind, WorkerSelector,
};
use serde_json::json;

use crate::catalogue::catalogue;

fn loaded(text: &str) -> Loaded {
    let (loaded, report) = check("test.toml", text, Path::new("/base"), &catalogue());
    loaded.unwrap_or_else(|| panic!("{report}"))
}

const FULL: &str = include_str!("../samples/valid/full.toml");

#[test]
fn an_empty_file_has_all_defaults() {
    let settings = loaded("").settings;
    assert_eq!(settings.title, "Ironmaster");
    assert_eq!(settings.url, "http://127.0.0.1:8010/");
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8010");
    assert_eq!(settings.state_dir, Path::new("/base/state"));
    assert_eq!(settings.reading, Reading::Open);
    assert_eq!(settings.lease, Duration::from_secs(600));
    assert_eq!(settings.heartbeat, Duration::from_secs(10));
    assert_eq!(settings.dead_after, Duration::from_secs(30));
    assert_eq!(settings.limits.request_bytes_max, 10 * 1024 * 1024);
    assert!(settings.change_hook.enabled);
    assert_eq!(settings.change_hook.token_sha256, None);
}

#[test]
fn settings_are_read() {
    let settings = loaded(FULL).settings;
    assert_eq!(settings.title, "zlib builds");
    assert_eq!(settings.url, "https://ci.example.org/zlib/");
    assert_eq!(settings.listen.port(), 9010);
    assert_eq!(settings.state_dir, Path::new("/var/lib/ironmaster"));
    assert_eq!(settings.reading, Reading::Login);
    assert_eq!(settings.log_level, LogLevel::Debug);
    assert_eq!(settings.lease, Duration::from_secs(1800));
    assert_eq!(settings.limits.request_bytes_max, 1 << 20);
    assert!(settings.change_hook.token_sha256.is_some());
    assert_eq!(
        settings.allowed_origins,
        ["https://status.example.org", "https://*.example.net"]
    );
    assert!(settings.behind_proxy);
    assert_eq!(settings.limits.feed_events, 5000);
}

#[test]
fn what_counts_from_the_next_start_on_is_named() {
    let settings = loaded(FULL).settings;
    assert!(settings.differences(&settings).is_empty());
    let other = loaded(&FULL.replace("9010", "9011").replace("feed_events = 5000", "")).settings;
    assert_eq!(settings.differences(&other), ["`listen` in [master]", "[limits]"]);
}

#[test]
fn the_state_directory_is_found_in_a_wrong_configuration() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let find = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("the directory is ours");
        ironmaster_config::state_dir(&path, &catalogue())
    };
    let wrong = "[master]\nstate_dir = \"there\"\n[[builder]]\nnome = 3\n";
    assert_eq!(
        find("a.toml", wrong).expect("it is readable"),
        dir.path().join("there")
    );
    assert_eq!(
        find("b.toml", "").expect("it is readable"),
        dir.path().join("state")
    );
    let star = "master(state_dir = \"there\")\nbuilder(nome = 3)\n";
    assert_eq!(
        find("c.star", star).expect("it is readable"),
        dir.path().join("there")
    );
    let broken = find("d.toml", "[master\n").expect_err("it is not TOML");
    assert!(broken.has_errors());
}

#[test]
fn connections_are_probed_often_enough_to_notice_their_death() {
    for (text, heartbeat, dead_after) in [
        ("", 10_000, 30_000),
        ("dead_after = \"3m\"", 60_000, 180_000),
        ("dead_after = \"600ms\"\nheartbeat = \"200ms\"", 200, 600),
        ("heartbeat = 12", 12_000, 30_000),
    ] {
        let settings = loaded(&format!("[master]\n{text}")).settings;
        assert_eq!(settings.heartbeat, Duration::from_millis(heartbeat), "{text}");
        assert_eq!(settings.dead_after, Duration::from_millis(dead_after), "{text}");
    }
}

#[test]
fn workers_and_builders_are_read() {
    let plan = loaded(FULL).plan;
    let worker = &plan.workers["linux-1"];
    assert_eq!(worker.slots, 4);
    assert!(worker.labels.contains("linux"));
    assert_eq!(worker.properties["os"], json!("debian12"));

    let builder = &plan.builders["zlib on linux"];
    assert_eq!(
        builder.workers,
        [
            WorkerSelector::Name("linux-1".into()),
            WorkerSelector::Label("linux".into())
        ]
    );
    assert_eq!(builder.description.as_deref(), Some("Builds and tests **zlib**."));
    assert_eq!(builder.tags, ["zlib", "linux"]);
    assert_eq!(builder.env["CC"].as_deref(), Some("clang"));
    assert_eq!(builder.env["LANG"], None);
    assert_eq!(builder.attempts_max, 5);
    assert_eq!(builder.collapse, CollapseRule::SameBranch);
    assert_eq!(builder.builds_max, Some(2));
    assert_eq!(builder.builddir, "zlib_on_linux");
    assert_eq!(builder.properties["optimise"], json!(true));

    let names: Vec<_> = builder.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["git", "configure", "shell", "shell_1"]);
    let git = &builder.steps[0];
    assert!(git.flags.halt_on_failure, "the kind's default");
    assert_eq!(git.logs, ["stdio"]);
    assert_eq!(
        serde_json::Value::Object(git.params.clone()),
        json!({"repository": "https://example.org/zlib.git", "mode": "full", "method": "fresh",
               "options": {"depth": 1, "tags": ["a", 1.5]}})
    );
    let shell = &builder.steps[2];
    assert_eq!(
        shell.params["command"],
        json!(["make", "-j%(worker:cpus)s", "check"])
    );
    assert_eq!(shell.params["timeout"], json!(1200));
    assert_eq!(shell.params["env"], json!({"A": "%(prop:a:-1)s", "B": null}));
    assert!(shell.flags.halt_on_failure && !shell.flags.flunk_on_failure && shell.flags.always_run);
    assert_eq!(builder.steps[3].params["timeout"], json!(0.5));

    // A star names every worker.
    assert_eq!(
        plan.workers_of(&plan.builders["everywhere"]),
        ["linux-1", "mac_2"].map(String::from).into()
    );
}

#[test]
fn schedulers_are_read() {
    let plan = loaded(FULL).plan;
    let SchedulerKind::SingleBranch { filter, tree_stable } = &plan.schedulers["on-commit"].kind else {
        panic!("{:?}", plan.schedulers["on-commit"]);
    };
    assert_eq!(filter.branches, ["main"]);
    assert_eq!(filter.projects, ["zlib"]);
    assert_eq!(filter.files, ["src/**", "*.c"]);
    assert_eq!(filter.unimportant_files, ["docs/**"]);
    assert_eq!(*tree_stable, Some(Duration::from_secs(30)));
    assert_eq!(plan.schedulers["on-commit"].priority, 10);

    let SchedulerKind::AnyBranch { filter, tree_stable } = &plan.schedulers["branches"].kind else {
        panic!();
    };
    assert_eq!(filter.branches, ["release/*", "feature-*"]);
    assert_eq!(*tree_stable, None, "no time is no timer");
    assert_eq!(
        plan.schedulers["branches"].builders,
        ["everywhere", "zlib on linux"]
    );

    let SchedulerKind::Periodic {
        interval,
        source,
        changes: None,
    } = &plan.schedulers["nightly"].kind
    else {
        panic!();
    };
    assert_eq!(*interval, Duration::from_secs(86_400));
    assert_eq!(source.branch.as_deref(), Some("main"));
    assert_eq!(plan.schedulers["nightly"].properties["nightly"], json!(true));

    let SchedulerKind::Nightly(nightly) = &plan.schedulers["at night"].kind else {
        panic!();
    };
    assert_eq!(nightly.cron.text(), "30 3 * * 1,fri");
    assert_eq!(
        (&*nightly.zone, nightly.jitter),
        ("Europe/Berlin", Duration::from_secs(1200))
    );
    assert_eq!(
        nightly.force_at.as_ref().map(ToString::to_string).as_deref(),
        Some("0 4 * * sun")
    );
    let changes = nightly.changes.as_ref().expect("only if changed");
    assert_eq!(changes.branches, ["main"]);
    assert_eq!(changes.repositories, ["https://example.org/zlib.git"]);
    assert_eq!(changes.important_files, ["src/**"]);
    let SchedulerKind::NightlyTriggerable(nightly) = &plan.schedulers["collected"].kind else {
        panic!();
    };
    assert_eq!(nightly.cron.text(), "0 22 * * *");
    assert_eq!(nightly.changes, None);

    let uses = &plan.schedulers["together"].codebases;
    let app = FixedSource {
        branch: Some("stable".into()),
        repository: "https://example.org/app.git".into(),
        project: "zlib".into(),
        codebase: "app".into(),
    };
    assert_eq!((&uses[0].source, &uses[0].revision), (&app, &None));
    assert_eq!(uses[1].revision.as_deref(), Some("v1.3"));
    assert_eq!(plan.builders["zlib on linux"].project.as_deref(), Some("zlib"));
    assert_eq!(plan.projects["zlib"].description.as_deref(), Some("Compression."));

    let SchedulerKind::AnyBranch { filter, .. } = &plan.schedulers["picky"].kind else {
        panic!();
    };
    let tests: Vec<_> = filter
        .tests
        .iter()
        .map(|test| {
            format!(
                "{:?} {:?} {} {:?}",
                test.attribute, test.matching, test.negated, test.values
            )
        })
        .collect();
    assert_eq!(
        tests,
        [
            r#"Author Regex true ["bot", ".*-bot"]"#,
            r#"Committer Exact false ["ann", "bob"]"#,
            r#"Property("event") Exact false ["push", "tag"]"#,
            r#"Property("draft") Exact true ["true"]"#,
            r#"Branch Glob true ["wip/**"]"#,
            r#"Repository Regex false ["https://"]"#,
        ]
    );
    assert!(filter.only_important);

    let SchedulerKind::Try(tries) = &plan.schedulers["try"].kind else {
        panic!();
    };
    assert!(tries.jobdir.as_ref().is_some_and(|dir| dir.ends_with("jobdir")));
    let password = "a-long-and-random-password";
    assert_eq!(tries.users["ann"].len(), 64, "a hash");
    assert!(!format!("{plan:?}").contains(password));

    let SchedulerKind::Force(force) = &plan.schedulers["force"].kind else {
        panic!();
    };
    assert_eq!(force.button, "Build now");
    assert_eq!(force.label, "force", "the name");
    assert_eq!(force.source.repository, "https://example.org/zlib.git");
    let kinds: Vec<_> = force
        .fields
        .iter()
        .map(|field| (&*field.name, &field.default))
        .collect();
    assert_eq!(
        kinds,
        [
            ("target", &json!("all")),
            ("jobs", &json!(4)),
            ("clean", &json!(true)),
            ("note", &json!("")),
            ("parts", &json!(["b"])),
            ("level", &json!(1)),
            ("signing", &json!(""))
        ]
    );
    assert_eq!(
        force.fields[0].kind,
        ForceFieldKind::Choice {
            choices: vec!["all".into(), "docs".into()],
            strict: true,
            multiple: false
        }
    );
    assert_eq!(force.fields[3].regex.as_deref(), Some("[a-z ]*"));
    assert!(force.patch);
    let ForceFieldKind::Group {
        fields,
        layout,
        columns,
    } = &force.fields[6].kind
    else {
        panic!();
    };
    assert_eq!((*layout, *columns), (GroupLayout::Tabs, 2));
    assert_eq!(fields[0].kind, ForceFieldKind::UserName { need_email: false });
    assert_eq!(fields[1].kind, ForceFieldKind::File { size_max: 1024 });
    let ForceFieldKind::Group { fields, .. } = &fields[2].kind else {
        panic!();
    };
    assert_eq!((&fields[0].default, fields[0].hide), (&json!([1, "y"]), true));
}

#[test]
fn change_sources_are_read() {
    let source = &loaded(FULL).plan.change_sources["zlib"];
    assert_eq!(source.kind, "git_poller");
    assert_eq!(source.params["interval"], json!(60));
    assert_eq!(source.params["branches"], json!(["main", "release/*"]));
}

/// A name that loses something on its way to a directory name keeps apart from others.
#[test]
fn directories_of_builders_are_distinct() {
    let builder = |name: &str| {
        format!(
            "[[builder]]\nname = \"{name}\"\nworkers = []\nstep = [{{ type = \"shell\", command = \"true\" }}]\n"
        )
    };
    let text = ["a.b", "a_b", "A_B", "日本", "中国"].map(builder).concat();
    let plan = loaded(&text).plan;
    let dirs: std::collections::BTreeSet<_> = plan
        .builders
        .values()
        .map(|builder| builder.builddir.to_lowercase())
        .collect();
    assert_eq!(dirs.len(), 5, "{dirs:?}");
    assert!(dirs.iter().all(|dir| dir.is_ascii()), "{dirs:?}");
}

/// It is seen in the names of the jobs.
#[test]
fn a_matrix_keeps_the_order_of_its_axes() {
    let plan = loaded(
        "[[pipeline]]\nname = \"p\"\n[[pipeline.job]]\nname = \"j\"\nmatrix = { os = [\"a\"], cc = [\"b\"], arch = [\"c\"] }\n",
    )
    .plan;
    let axes = &plan.pipelines["p"].jobs[0].matrix;
    let names: Vec<&str> = axes.iter().map(|axis| axis.name.as_str()).collect();
    assert_eq!(names, ["os", "cc", "arch"]);
}
