//! What only Starlark has: functions, loops, other files, and their limits.

use std::{fs, os::unix::fs::symlink, path::Path};

use ironmaster_config::{Loaded, Report, check, load};
use serde_json::json;

use crate::catalogue::catalogue;

fn read(text: &str) -> (Option<Loaded>, Report) {
    check("ironmaster.star", text, Path::new("/nonexistent"), &catalogue())
}

#[track_caller]
pub(crate) fn loaded(text: &str) -> Loaded {
    let (loaded, report) = read(text);
    loaded.unwrap_or_else(|| panic!("{report}"))
}

/// `file:line:column code` of each finding, with the lines of related places.
fn places(report: &Report) -> Vec<String> {
    report
        .findings
        .iter()
        .map(|finding| {
            let place = finding.place.as_ref().expect("a place");
            let file = Path::new(&place.file).file_name().unwrap().to_str().unwrap();
            let mut line = format!("{file}:{}:{} {}", place.line, place.column, finding.code);
            for related in &finding.related {
                line += &format!(" < {}", related.place.line);
            }
            line
        })
        .collect()
}

#[test]
fn functions_and_loops_make_definitions() {
    let plan = loaded(
        r#"
TOKEN = "hunter2-0123456789"

def tested(name, compiler, flags = [], timeout = None):
    return builder(
        name,
        workers = ["label:" + compiler],
        env = {"CC": compiler},
        steps = [
            git("https://example.org/zlib.git"),
            shell("./configure", halt_on_failure = True),
            shell(["make"] + flags + ["check"], timeout = timeout),
        ],
    )

machines = [worker("w%d" % n, token = TOKEN, slots = n, labels = ["gcc", "clang"]) for n in range(1, 4)]
names = [tested("zlib-" + cc, cc) for cc in ["gcc", "clang"]] + [tested("slow", "gcc", flags = ["-j1"], timeout = 90)]
meta = struct(os = "debian", cpus = [1, 2.5, True])
builder("all", workers = machines, steps = [step("shell", command = "true")], properties = {"meta": meta, "t": (1,)})
scheduler("on-commit", type = "any_branch", builders = names, tree_stable = "1m" if len(names) > 2 else None)
scheduler("force", type = "force", builders = ["*"], fields = [field(n, type = "string") for n in ["a", "b"]])
"#,
    )
    .plan;
    assert_eq!(plan.workers.len(), 3);
    assert_eq!(plan.workers["w3"].slots, 3);
    assert_eq!(
        plan.builders.keys().collect::<Vec<_>>(),
        ["all", "slow", "zlib-clang", "zlib-gcc"]
    );
    assert_eq!(plan.builders["slow"].steps[2].params["timeout"], json!(90));
    assert_eq!(
        plan.builders["slow"].steps[2].params["command"],
        json!(["make", "-j1", "check"])
    );
    assert!(
        !plan.builders["zlib-gcc"].steps[2].params.contains_key("timeout"),
        "None is left out"
    );
    assert_eq!(plan.workers_of(&plan.builders["all"]).len(), 3);
    assert_eq!(
        plan.builders["all"].properties["meta"],
        json!({"os": "debian", "cpus": [1, 2.5, true]})
    );
    assert_eq!(
        plan.schedulers["on-commit"].builders,
        ["zlib-gcc", "zlib-clang", "slow"]
    );
}

const MAIN: &str = r#"load("lib/steps.star", "tested", "NAMES")
worker("w", token = "hunter2-0123456789")
scheduler("all", type = "force", builders = [tested(n) for n in NAMES])
"#;
const STEPS: &str = r#"load("names.star", "NAMES")
def tested(name):
    return builder(name, workers = ["w"], steps = [shell("make")])
"#;

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

#[test]
fn files_are_loaded_relative_to_the_one_that_names_them() {
    let dir = project(&[
        (
            "ironmaster.star",
            &MAIN.replace(
                "\"tested\", \"NAMES\")",
                "\"tested\")\nload(\"./lib/names.star\", \"NAMES\")",
            ),
        ),
        ("lib/steps.star", STEPS),
        ("lib/names.star", "load('../top.star', 'x')\nNAMES = ['a', x]"),
        ("top.star", "x = 'b'"),
    ]);
    let path = dir.path().join("ironmaster.star");
    let first = load(&path, &catalogue()).unwrap();
    assert_eq!(first.plan.builders.len(), 2);
    assert_eq!(load(&path, &catalogue()).unwrap().plan.digest, first.plan.digest);
    // Every file takes part in the configuration's identity, and where it all is does not.
    fs::write(dir.path().join("top.star"), "x = 'b' # note").unwrap();
    let second = load(&path, &catalogue()).unwrap();
    assert_ne!(second.plan.digest, first.plan.digest);
    let copy = project(&[]);
    for file in ["ironmaster.star", "top.star", "lib/steps.star", "lib/names.star"] {
        let to = copy.path().join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(dir.path().join(file), to).unwrap();
    }
    let moved = load(&copy.path().join("ironmaster.star"), &catalogue()).unwrap();
    assert_eq!(moved.plan.digest, second.plan.digest);
}

#[test]
fn mistakes_in_loaded_files_are_shown_with_the_way_there() {
    let dir = project(&[
        ("ironmaster.star", MAIN),
        (
            "lib/steps.star",
            "NAMES = ['a']\ndef tested(name):\n    return builder(name, workers = ['v'], stps = [])\n",
        ),
    ]);
    let report = load(&dir.path().join("ironmaster.star"), &catalogue()).unwrap_err();
    assert_eq!(
        places(&report),
        [
            "steps.star:3:37 unknown_worker < 3",
            "steps.star:3:43 unknown_key < 3"
        ]
    );
    let text = report.render(false);
    assert!(
        text.contains("did you mean `steps`?") && text.contains("called from here"),
        "{text}"
    );
}

#[test]
fn data_files_are_values_and_part_of_the_configuration() {
    let main = r#"
load("lib/machines.star", "machines")
data = read_yaml("builders.yaml")
for machine in machines:
    worker(machine["name"], token = machine["token"], labels = machine["labels"])
for name in data["builders"]:
    builder(name, workers = ["label:" + data["label"]], steps = [shell("make")])
for row in read_csv("branches.csv"):
    scheduler(row["name"], type = "single_branch", branch = row["branch"], builders = ["*"])
limits(**read_toml("limits.toml"))
"#;
    let files = |yaml: &str| {
        project(&[
            ("ironmaster.star", main),
            ("lib/machines.star", "machines = read_json(\"machines.json\")\n"),
            (
                "lib/machines.json",
                r#"[{"name": "w1", "token": "hunter2-0123456789", "labels": ["x"]}]"#,
            ),
            ("builders.yaml", yaml),
            ("branches.csv", "name,branch\nstable,release\n"),
            ("limits.toml", "request_size = \"2MiB\"\n"),
        ])
    };
    let read = |dir: &tempfile::TempDir| {
        load(&dir.path().join("ironmaster.star"), &catalogue()).unwrap_or_else(|report| panic!("{report}"))
    };
    let dir = files("label: x\nbuilders: [one, two]\n");
    let loaded = read(&dir);
    assert_eq!(loaded.plan.builders.keys().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(loaded.settings.limits.request_bytes_max, 2 << 20);
    let names: Vec<&str> = loaded.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "ironmaster.star",
            "lib/machines.star",
            "lib/machines.json",
            "builders.yaml",
            "branches.csv",
            "limits.toml"
        ]
    );
    assert!(loaded.files.iter().all(|file| !file.text.contains("hunter2")));
    // Whatever of a file changes makes another configuration of it.
    let other = read(&files("label: x\nbuilders: [one, two] # and no more\n"));
    assert_ne!(loaded.plan.digest, other.plan.digest);
    assert_eq!(
        loaded.plan.digest,
        read(&files("label: x\nbuilders: [one, two]\n")).plan.digest
    );
}

#[test]
fn data_files_that_cannot_be_read_are_errors_with_a_place() {
    let outside = project(&[("secret.json", "{}")]);
    for (call, part) in [
        ("read_json(\"none.json\")", "cannot read `none.json`"),
        (
            "read_json(\"../secret.json\")",
            "outside the configuration's directory",
        ),
        (
            "read_json(\"/etc/hostname.json\")",
            "outside the configuration's directory",
        ),
        (
            "read_json(\"link.json\")",
            "outside the configuration's directory",
        ),
        ("read_json(\"w.token\")", "does not end in `.json`"),
        ("read_yaml(\"data.json\")", "does not end in `.yaml` or `.yml`"),
        ("read_json(\"large.json\")", "larger than 1 MiB"),
        ("read_json(3)", "a path is a text, not a int"),
        ("read_json()", "takes one path"),
        ("read_json(\"data.json\", strict = True)", "no argument `strict`"),
    ] {
        let dir = project(&[
            ("ironmaster.star", &format!("# A comment.\nx = {call}\n")),
            ("data.json", "{}"),
            ("w.token", "hunter2-0123456789"),
            ("large.json", &" ".repeat((1 << 20) + 1)),
        ]);
        std::os::unix::fs::symlink(outside.path().join("secret.json"), dir.path().join("link.json")).unwrap();
        let report = load(&dir.path().join("ironmaster.star"), &catalogue()).unwrap_err();
        let text = report.render(false);
        assert!(
            text.contains(part) && text.contains("ironmaster.star:2:"),
            "{call}: {text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
    }
    // What is wrong inside is shown there.
    let dir = project(&[
        ("ironmaster.star", "x = read_yaml(\"data.yaml\")\n"),
        ("data.yaml", "a: &x 1\nb: *x\n"),
    ]);
    let report = load(&dir.path().join("ironmaster.star"), &catalogue()).unwrap_err();
    let text = report.render(false);
    assert!(
        text.contains("data.yaml:2:4") && text.contains("aliases"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_loaded_is_an_error() {
    let outside = project(&[("secret.star", "x = 1"), ("other.txt", "x")]);
    for (path, code, part) in [
        ("none.star", "load", "cannot read `none.star`"),
        ("../secret.star", "load", "outside the configuration's directory"),
        (
            "lib/../../x.star",
            "load",
            "outside the configuration's directory",
        ),
        (
            "/etc/passwd.star",
            "load",
            "outside the configuration's directory",
        ),
        ("link.star", "load", "outside the configuration's directory"),
        ("w.token", "load", "does not end in `.star`"),
        ("lib", "load", "does not end in `.star`"),
        ("dir.star", "load", "cannot read"),
        ("latin1.star", "load", "not UTF-8"),
        ("large.star", "load", "larger than 1 MiB"),
        ("ironmaster.star", "load", "in a circle"),
        ("a.star", "load", "in a circle"),
        ("same.star", "load", "in a circle"),
        ("broken.star", "syntax", "never closed"),
    ] {
        let dir = project(&[
            (
                "ironmaster.star",
                &format!("# A comment.\nload(\"{path}\", \"x\")\n"),
            ),
            ("a.star", "load('b.star', 'x')"),
            ("b.star", "load('a.star', 'x')"),
            ("w.token", "hunter2-0123456789"),
            ("broken.star", "x = ("),
            ("large.star", &"#".repeat((1 << 20) + 1)),
        ]);
        fs::create_dir(dir.path().join("dir.star")).unwrap();
        fs::write(dir.path().join("latin1.star"), b"# \xe4").unwrap();
        symlink(outside.path().join("secret.star"), dir.path().join("link.star")).unwrap();
        symlink(dir.path().join("ironmaster.star"), dir.path().join("same.star")).unwrap();
        let report = load(&dir.path().join("ironmaster.star"), &catalogue()).unwrap_err();
        let found = &report.findings[0];
        assert_eq!(found.code, code, "{path}\n{report}");
        assert!(found.message.contains(part), "{path}\n{report}");
        let place = found.place.as_ref().unwrap();
        let lines: Vec<_> = found.related.iter().map(|related| related.place.line).collect();
        assert!(place.line == 2 || lines.contains(&2), "{path}\n{report}");
        assert!(!report.render(false).contains("hunter2"), "{report}");
    }
}

/// The limits that hold for every configuration.
#[test]
fn an_evaluation_without_end_is_ended() {
    for (text, code, line) in [
        ("x = 0\nfor i in range(1000000000000):\n    x = i", "too_long", 3),
        (
            "x = \"a\"\nfor i in range(100):\n    x += x",
            "too_much_memory",
            3,
        ),
        ("x = [\"a\" * 1000 * 1000 * 1000]", "too_much_memory", 1),
        (
            "x = []\nfor i in range(40):\n    x = [x, x]\nbuilder(\"b\", workers = x)",
            "too_much_memory",
            4,
        ),
        ("\ndef f(n):\n    return f(n + 1)\n\nf(0)", "too_deep", 3),
        (
            "x = {}\nx[\"x\"] = x\nworker(\"w\", properties = x)",
            "too_deep",
            2,
        ),
    ] {
        let (loaded, report) = read(text);
        assert!(loaded.is_none());
        assert_eq!(report.findings[0].code, code, "{report}");
        assert_eq!(report.findings[0].place.as_ref().unwrap().line, line, "{report}");
    }
}

/// A traceback points into the file, at the right line also at its end.
#[test]
fn tracebacks_point_into_the_file() {
    for (text, expected) in [
        (
            "def f(x):\n    return 1 // x\n\ndef g():\n    return f(0)\n\ng()",
            "ironmaster.star:2:12 evaluation < 5 < 7",
        ),
        ("worker(\n  \"w\"", "ironmaster.star:1:7 syntax"),
        ("x = 1\n\n\ndef f():\n\n\n", "ironmaster.star:4:9 syntax"),
        ("x = 1\nfail(\"no\")", "ironmaster.star:2:1 fail"),
        ("x = 1\nx +", "ironmaster.star:2:4 syntax"),
        ("x = 1\ny = wroker(\"w\")", "ironmaster.star:2:5 unknown_name"),
    ] {
        let (_, report) = read(text);
        assert_eq!(places(&report), [expected], "{report}");
    }
}

/// A mistake in a loop is not told a thousand times.
#[test]
fn mistakes_of_a_loop_are_told_a_few_times() {
    let (_, report) = read("for n in range(1000):\n    worker(\"w%d\" % n, tokn = \"x\")\n");
    assert!(report.findings.len() < 10, "{report}");
    assert!(
        report.render(false).contains("997 more findings are left out"),
        "{report}"
    );
}

/// A token is not shown, wherever the file has it.
#[test]
fn tokens_are_masked() {
    for text in [
        "worker(\"w\", token = \"hunter2-0123456789\", slots = 0)",
        "T = \"hunter2-0123456789\"; worker(\"w\", token = T, slots = 0)",
        "T = {\"token\": \"hunter2-0123456789\"}; x = 1 // 0",
        "worker(\"w\", token = hunter2_0123456789, slots = 0)",
        "worker(\"w\", token = \"hunter2-0123456789, slots = 0)",
        "worker(\"w\", tokn = \"hunter2-0123456789\")",
        "worker(\"w\", \"hunter2-0123456789\", token = \"hunter2-0123456789\")",
        "def f(token): fail(token)\nf(token = \"hunter2-0123456789\")",
    ] {
        let (_, report) = read(text);
        let shown = report.render(false);
        assert!(report.has_errors() && !shown.contains("hunter2"), "{shown}");
        assert!(!format!("{report:?}").contains("hunter2"), "{report:?}");
    }
}

#[test]
fn what_is_printed_is_a_warning() {
    let report = loaded("print(\"one\", [2])").warnings;
    assert_eq!(report.findings[0].code, "print");
    assert_eq!(report.findings[0].message, "one [2]");
}

/// Functions that filter changes are asked while the configuration is in force.
#[test]
fn change_filters_are_asked() {
    let text = r#"
SKIP = ["wip/", "tmp/"]
def wanted(change):
    for prefix in SKIP:
        if (change.branch or "").startswith(prefix):
            return False
    return "[skip ci]" not in change.comments

worker("w", token = "hunter2-0123456789")
builder("b", workers = ["w"], steps = [shell("make")])
scheduler("named", type = "any_branch", builders = ["b"], change_filter = wanted)
scheduler("lambda", type = "single_branch", branch = "main", builders = ["b"],
    change_filter = lambda change: any([f.endswith(".rs") for f in change.files]) or change.properties.get("force"))
scheduler("fails", type = "any_branch", builders = ["b"], change_filter = lambda change: change.nothing)
scheduler("endless", type = "any_branch", builders = ["b"], change_filter = lambda change: [1 for i in range(1 << 40)])
scheduler("late", type = "any_branch", builders = ["b"], change_filter = lambda change: worker("x"))
scheduler("plain", type = "any_branch", builders = ["b"])
"#;
    let plan = loaded(text).plan;
    let callbacks = plan.callbacks.0.as_ref().expect("there are functions");
    let change = |branch: &str, comments: &str, force: bool| {
        let value =
            json!({"branch": branch, "comments": comments, "files": ["a.c"], "properties": {"force": force}});
        value.as_object().expect("an object").clone()
    };
    for (branch, comments, force, named, lambda) in [
        ("main", "fix", false, true, false),
        ("wip/x", "fix", true, false, true),
        ("main", "fix [skip ci]", false, false, false),
    ] {
        let verdicts = callbacks.change_filters(&change(branch, comments, force));
        assert_eq!(verdicts["named"], Ok(named), "{branch} {comments}");
        assert_eq!(verdicts["lambda"], Ok(lambda), "{branch} {comments}");
        assert!(!verdicts.contains_key("plain"));
        for (name, part, place) in [
            ("fails", "a struct has no `nothing`", "ironmaster.star:14:"),
            ("endless", "more than 100000 steps", "ironmaster.star:15:"),
            (
                "late",
                "can only be called while the configuration is read",
                "ironmaster.star:16:",
            ),
        ] {
            let traceback = verdicts[name].as_ref().expect_err(name);
            assert!(
                traceback.contains(part) && traceback.contains(place),
                "{traceback}"
            );
            assert!(!traceback.contains("hunter2"), "{traceback}");
        }
    }
    let filters = |name: &str| match &plan.schedulers[name].kind {
        ironmaster_model::SchedulerKind::AnyBranch { filter, .. } => filter.callback,
        _ => panic!("{name}"),
    };
    assert!(filters("named") && !filters("plain"));
}

#[test]
fn a_change_filter_is_a_function() {
    for (text, message) in [
        ("True", "must be a function such as"),
        ("\"main\"", "must be a function such as"),
        ("len", "must be a function such as"),
    ] {
        let text =
            format!("scheduler(\"s\", type = \"any_branch\", builders = [\"*\"], change_filter = {text})");
        let (_, report) = read(&text);
        assert!(report.findings[0].message.contains(message), "{report}");
    }
    let toml =
        "[[scheduler]]\nname = \"s\"\ntype = \"any_branch\"\nbuilders = [\"*\"]\nchange_filter = \"x\"\n";
    let (_, report) = check("a.toml", toml, Path::new("."), &catalogue());
    assert!(
        report.findings[0].message.contains("which TOML has not"),
        "{report}"
    );
}
