//! A short run of each target, the same every time.

use ironmaster_fuzz::{Mutator, TARGETS, Until, corpus, run};

fn check(name: &str, mutations: u64) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let corpus = corpus(target).unwrap();
    assert!(!corpus.is_empty(), "it has examples");
    if let Err(crash) = run(target, &corpus, 1, Until::Count(mutations)) {
        panic!("{:?}: {:?}", crash.file, String::from_utf8_lossy(&crash.input));
    }
}

#[test]
fn banana_streams() {
    check("banana", 10_000);
}

#[test]
fn buildbot_sessions() {
    check("buildbot_session", 5000);
}

#[test]
fn change_hooks() {
    check("change_hook", 20_000);
}

#[test]
fn configurations() {
    check("config", 1500);
}

#[test]
fn git_output() {
    check("git", 10_000);
}

#[test]
fn interpolations() {
    check("interpolate", 20_000);
}

#[test]
fn log_files() {
    check("logs", 1500);
}

#[test]
fn msgpack_messages() {
    check("msgpack", 20_000);
}

#[test]
fn queries() {
    check("query", 3000);
}

#[test]
fn addresses() {
    check("rest", 10_000);
}

#[test]
fn jobs_of_repositories() {
    check("repository_toml", 1500);
    check("repository_star", 1500);
}

#[test]
fn starlark_files() {
    check("starlark", 1500);
}

#[test]
fn starlark_configurations() {
    check("starlark_config", 1000);
}

#[test]
fn files_of_stock_workers() {
    check("tac", 20_000);
}

#[test]
fn try_jobs() {
    check("try_job", 20_000);
}

/// Every target has its short run above.
#[test]
fn no_target_is_forgotten() {
    let here = include_str!("main.rs");
    for target in TARGETS {
        assert!(
            here.contains(&format!("check(\"{}\", ", target.name)),
            "{}",
            target.name
        );
    }
}

#[test]
fn verbs() {
    check("verb", 20_000);
}

#[test]
fn frames() {
    check("wire", 10_000);
}

/// That a run can fail: an input that makes a target panic is found and given back.
#[test]
fn a_panic_is_found() {
    let target = ironmaster_fuzz::Target {
        name: "planted",
        run: |input| assert!(!input.contains(&b'%'), "planted"),
    };
    let crash = run(
        &target,
        &[("example".into(), b"harmless".to_vec())],
        1,
        Until::Count(10_000),
    )
    .unwrap_err();
    assert!(crash.file.is_none() && crash.input.contains(&b'%'));
}

#[test]
fn a_seed_says_everything() {
    let inputs: &[&[u8]] = &[b"one", b"another one"];
    let (mut left, mut right) = (Mutator::new(7), Mutator::new(7));
    for _ in 0..100 {
        assert_eq!(left.next(inputs), right.next(inputs));
    }
}
