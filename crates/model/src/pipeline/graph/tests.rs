//! Matrices, needs and cycles, case by case.

use serde_json::json;

use super::*;
use crate::pipeline::{AxisDef, ConditionDef};

fn job(name: &str, needs: &[&str]) -> JobDef {
    JobDef {
        name: name.into(),
        work: JobWork::Build { builder: "b".into() },
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        ..JobDef::default()
    }
}

fn matrix(name: &str, needs: &[&str], axes: &[(&str, &[Value])]) -> JobDef {
    JobDef {
        matrix: axes
            .iter()
            .map(|(name, values)| AxisDef {
                name: (*name).to_owned(),
                values: values.to_vec(),
            })
            .collect(),
        ..job(name, needs)
    }
}

fn names(jobs: &[JobDef]) -> Vec<(String, Vec<u32>)> {
    plan(jobs, &[])
        .unwrap()
        .jobs
        .into_iter()
        .map(|job| (job.name, job.needs))
        .collect()
}

fn errors(jobs: &[JobDef]) -> Vec<String> {
    plan(jobs, &[])
        .unwrap_err()
        .into_iter()
        .map(|error| error.to_string())
        .collect()
}

#[test]
fn matrices_are_multiplied_out() {
    let (linux, mac) = (json!("linux"), json!("mac"));
    let os = ("os", &[linux.clone(), mac.clone()][..]);
    let py = ("py", &[json!(3.11), json!(3.12)][..]);
    for (jobs, expected) in [
        (vec![job("a", &[])], vec![("a", vec![])]),
        (
            vec![matrix("t", &[], &[os, py])],
            vec![
                ("t (linux, 3.11)", vec![]),
                ("t (linux, 3.12)", vec![]),
                ("t (mac, 3.11)", vec![]),
                ("t (mac, 3.12)", vec![]),
            ],
        ),
        // The name of a matrix means all of it, and that of one job only that.
        (
            vec![
                matrix("t", &[], &[os]),
                job("all", &["t"]),
                job("one", &["t (mac)"]),
            ],
            vec![
                ("t (linux)", vec![]),
                ("t (mac)", vec![]),
                ("all", vec![0, 1]),
                ("one", vec![1]),
            ],
        ),
        // From one matrix to the next, each to its like.
        (
            vec![
                matrix("b-%(matrix:os)s", &[], &[os]),
                matrix("t-%(matrix:os)s", &["b-%(matrix:os)s"], &[os]),
            ],
            vec![
                ("b-linux", vec![]),
                ("b-mac", vec![]),
                ("t-linux", vec![0]),
                ("t-mac", vec![1]),
            ],
        ),
        (
            vec![JobDef {
                matrix_exclude: vec![
                    [("os".to_owned(), mac.clone()), ("py".to_owned(), json!(3.11))].into(),
                    // Says nothing, and excludes nothing.
                    BTreeMap::new(),
                ],
                ..matrix("t", &[], &[os, py])
            }],
            vec![
                ("t (linux, 3.11)", vec![]),
                ("t (linux, 3.12)", vec![]),
                ("t (mac, 3.12)", vec![]),
            ],
        ),
        // The same from the other side.
        (
            vec![
                JobDef {
                    needed_by: vec!["z".into()],
                    ..job("a", &[])
                },
                job("z", &[]),
            ],
            vec![("a", vec![]), ("z", vec![0])],
        ),
    ] {
        let expected: Vec<(String, Vec<u32>)> = expected
            .into_iter()
            .map(|(name, needs)| (name.to_owned(), needs))
            .collect();
        assert_eq!(names(&jobs), expected);
    }
    let filled = JobDef {
        work: JobWork::Build {
            builder: "build on %(matrix:os)s".into(),
        },
        properties: [
            ("cc".to_owned(), json!("%(matrix:os)s-cc")),
            ("n".to_owned(), json!(1)),
        ]
        .into(),
        ..matrix("t", &[], &[os])
    };
    let planned = plan(&[filled], &[]).unwrap();
    let last = &planned.jobs[1];
    assert_eq!(
        last.definition.work,
        JobWork::Build {
            builder: "build on mac".into()
        }
    );
    assert_eq!(last.definition.properties["cc"], json!("mac-cc"));
    assert_eq!(last.matrix["os"], mac);
    assert_eq!((last.group.as_str(), last.name.as_str()), ("t", "t (mac)"));
}

#[test]
fn mistakes_are_told() {
    for (jobs, expected) in [
        (vec![job("a", &[]), job("a", &[])], vec!["there are two jobs `a`"]),
        (
            vec![job("a", &["b"])],
            vec!["`needs` names `b`, and there is no such job"],
        ),
        (
            vec![job("a", &["a"])],
            vec!["`needs` names `a`, and there is no such job"],
        ),
        (
            vec![job("a", &["b"]), job("b", &["c"]), job("c", &["b"])],
            vec!["jobs need one another: b needs c needs b"],
        ),
        (
            vec![job("a-%(matrix:x)s", &[])],
            vec!["`%(matrix:x)s` names no axis of the job's matrix"],
        ),
        (
            vec![matrix("a", &[], &[("x", &[])])],
            vec!["the matrix leaves no job"],
        ),
        (
            vec![JobDef {
                when: Some(ConditionDef {
                    results: [("b".to_owned(), Vec::new())].into(),
                    ..ConditionDef::default()
                }),
                ..job("a", &[])
            }],
            vec!["a condition is about the result of `b`, which the job does not need"],
        ),
        (
            vec![matrix(
                "a",
                &[],
                &[("x", &vec![json!(1); 200][..]), ("y", &vec![json!(1); 200][..])],
            )],
            vec!["a run has at most 10000 jobs"],
        ),
    ] {
        let found = errors(&jobs);
        // The last one has many jobs of one name, too.
        assert_eq!(found[..1], expected);
    }
    let wide = vec![json!(1); 1];
    let many: Vec<Value> = (0..1000).map(Value::from).collect();
    let found = errors(&[
        matrix("a", &[], &[("x", &many), ("y", &wide)]),
        matrix("b", &["a"], &[("x", &many)]),
    ]);
    assert!(found[0].starts_with("the jobs have more than 200000 needs"));
}

#[test]
fn jobs_are_added_before_what_needs_them_has_started() {
    let known = |settled| {
        [
            Known {
                name: "find",
                group: "find",
                needs: &[],
                settled: true,
            },
            Known {
                name: "report",
                group: "report",
                needs: &[0],
                settled,
            },
        ]
    };
    let added = [JobDef {
        needed_by: vec!["report".into()],
        ..job("part", &["find"])
    }];
    let planned = plan(&added, &known(false)).unwrap();
    assert_eq!(planned.jobs[0].needs, [0]);
    assert_eq!(planned.needs, BTreeMap::from([(1, vec![0, 2])]));
    let late = plan(&added, &known(true)).unwrap_err();
    assert!(matches!(&late[..], [GraphError::TooLate { name, .. }] if name == "report"));
    let cycle = [JobDef {
        needed_by: vec!["report".into()],
        ..job("part", &["report"])
    }];
    let found = plan(&cycle, &known(false)).unwrap_err();
    assert!(matches!(&found[..], [GraphError::Cycle { .. }]), "{found:?}");
}

#[test]
fn ten_thousand_in_a_row_need_no_stack() {
    let mut jobs: Vec<JobDef> = (1..JOBS_MAX)
        .map(|n| job(&format!("j{n}"), &[&format!("j{}", n - 1)]))
        .collect();
    jobs.push(job("j0", &[]));
    assert_eq!(plan(&jobs, &[]).unwrap().jobs.len(), JOBS_MAX);
    jobs.pop();
    jobs.push(job("j0", &[&format!("j{}", JOBS_MAX - 1)]));
    assert!(matches!(
        &plan(&jobs, &[]).unwrap_err()[..],
        [GraphError::Cycle { path, .. }] if path.len() == JOBS_MAX + 1
    ));
}
