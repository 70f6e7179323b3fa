//! The house: which crate may use which. `ARCHITECTURE.md` has the picture.

use serde_json::Value;

use crate::support::{packages, report, room, short, text};

/// The rooms from the ground floor up. A room may use only those below it, and of them only those it names here:
/// a new line between two rooms is drawn on purpose.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("starlark", &[]),
    ("engine", &["model"]),
    ("config", &["model", "starlark"]),
    ("wire", &[]),
    ("buildbot", &[]),
    ("store", &["model"]),
    ("logs", &[]),
    ("tls", &[]),
    ("worker", &["buildbot", "tls", "wire"]),
    ("steps", &["config", "model", "wire"]),
    ("changes", &["engine", "model"]),
    ("notify", &["model"]),
    ("latent", &["model"]),
    (
        "master",
        &[
            "buildbot", "changes", "engine", "logs", "model", "steps", "store", "tls", "wire",
        ],
    ),
    (
        "api",
        &[
            "changes", "engine", "logs", "master", "model", "store", "tls", "wire",
        ],
    ),
    (
        "ironmaster",
        &[
            "api", "changes", "config", "engine", "logs", "master", "model", "steps", "store", "tls",
        ],
    ),
];

/// Crates beside the house: tests that may look into every room, and that nobody uses.
const OUTSIDE: &[&str] = &["e2e", "fuzz", "tidy"];

/// Tests may use every room below their own, and these.
const IN_TESTS: &[(&str, &str, &str)] = &[(
    "engine",
    "engine",
    "with the planted bugs that its simulator must find",
)];

/// Rooms that decide or speak a protocol: without a runtime, what compiles does no I/O.
/// (The store is a room at the edge: it speaks to PostgreSQL.)
const PURE: &[&str] = &[
    "model", "starlark", "engine", "config", "wire", "buildbot", "logs",
];

/// What would bring I/O, a runtime or chance into them.
const RUNTIMES: &[&str] = &[
    "async-std",
    "axum",
    "futures-util",
    "getrandom",
    "hyper",
    "mio",
    "rand",
    "reqwest",
    "smol",
    "tokio",
    "tokio-util",
];

fn position(room: &str) -> Option<usize> {
    ROOMS.iter().position(|(name, _)| *name == room)
}

fn dependencies(package: &Value) -> impl Iterator<Item = (&str, bool)> {
    let all = package["dependencies"].as_array().expect("a list");
    all.iter().map(|dependency| {
        let for_tests = dependency["kind"].as_str() == Some("dev");
        (text(dependency, "name"), for_tests)
    })
}

fn is_ours(name: &str) -> bool {
    name == "ironmaster" || name.starts_with("ironmaster-")
}

#[test]
fn rooms_use_only_rooms_below_them() {
    let mut findings = Vec::new();
    for package in &packages() {
        let room = room(package);
        if OUTSIDE.contains(&room) {
            continue;
        }
        let Some(floor) = position(room) else {
            findings.push(format!("`{room}` is no room of the house: give it a floor"));
            continue;
        };
        for (dependency, for_tests) in dependencies(package) {
            if !is_ours(dependency) {
                continue;
            }
            let used = short(dependency);
            if for_tests
                && IN_TESTS
                    .iter()
                    .any(|(who, whom, _)| (*who, *whom) == (room, used))
            {
                continue;
            }
            match position(used) {
                Some(below) if below >= floor => {
                    findings.push(format!("`{room}` uses `{used}`, which is above it"));
                }
                Some(_) if !for_tests && !ROOMS[floor].1.contains(&used) => {
                    findings.push(format!("`{room}` uses `{used}`, which it does not name"));
                }
                Some(_) => {}
                None => findings.push(format!("`{room}` uses `{used}`, which is outside the house")),
            }
        }
    }
    report(
        &findings,
        "the rooms and what they may use are listed in crates/tidy/tests/it/rooms.rs and drawn in ARCHITECTURE.md",
    );
}

#[test]
fn the_list_names_only_what_is_below() {
    for (floor, (room, uses)) in ROOMS.iter().enumerate() {
        for used in *uses {
            let below = position(used).unwrap_or_else(|| panic!("`{room}` names `{used}`, which is no room"));
            assert!(below < floor, "`{room}` names `{used}`, which is not below it");
        }
    }
}

#[test]
fn pure_rooms_have_no_runtime() {
    let mut findings = Vec::new();
    for package in packages().iter().filter(|package| PURE.contains(&room(package))) {
        for (dependency, for_tests) in dependencies(package) {
            if !for_tests && RUNTIMES.contains(&dependency) {
                findings.push(format!("`{}` uses `{dependency}`", room(package)));
            }
        }
    }
    report(
        &findings,
        "these rooms do no I/O and know no runtime; their callers bring both",
    );
}
