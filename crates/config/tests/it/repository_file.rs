//! Files of repositories with jobs in them: what is said of those in `samples/repository`, each with its report in
//! `NAME.expected`. `UPDATE_EXPECT=1` writes those anew.

use std::{fs, path::Path};

use ironmaster_config::{REPOSITORY_FILE_BYTES_MAX, check, repository_jobs};
use ironmaster_model::{JobDef, PipelineDef, Plan};

use crate::catalogue::catalogue;

const CONFIGURATION: &str = r#"
[master]

[[worker]]
name = "linux-1"
token = "0123456789abcdef0123-hunter2"
properties = { host = "linux-1.example.org" }

[[builder]]
name = "compile"
tags = ["public"]
workers = ["linux-1"]
step = [{ type = "shell", command = "make" }]

[[builder]]
name = "check on linux"
tags = ["public"]
workers = ["linux-1"]
priority_property = "urgency"
step = [{ type = "shell", command = "make check" }]

[[builder]]
name = "check on macos"
tags = ["public"]
workers = ["linux-1"]
step = [{ type = "shell", command = "make check" }]

[[builder]]
name = "publish"
workers = ["linux-1"]
step = [{ type = "shell", command = "make publish" }]

[[builder]]
name = "secret"
workers = ["linux-1"]
step = [{ type = "shell", command = "make secret" }]

[[pipeline]]
name = "ci"

[pipeline.in_repository]
repository = "https://git.example.org/zlib.git"
builder_tags = ["public"]
pipelines = ["documentation"]
trusted_branches = ["main"]
trusted_builders = ["publish"]
trusted_pipelines = ["deploy"]
jobs = 10

[[pipeline]]
name = "documentation"
job = [{ name = "site", builder = "secret" }]

[[pipeline]]
name = "deploy"
job = [{ name = "deploy", builder = "secret" }]

[[scheduler]]
name = "on-commit"
type = "any_branch"
pipeline = "ci"
"#;

fn plan() -> Plan {
    let (loaded, report) = check("ci.toml", CONFIGURATION, Path::new("."), &catalogue());
    loaded.unwrap_or_else(|| panic!("{report}")).plan
}

fn read(name: &str, text: &str, trusted: bool) -> (Option<Vec<JobDef>>, String) {
    let plan = plan();
    let (jobs, report) = repository_jobs(name, text, &plan, &plan.pipelines["ci"], trusted);
    assert_eq!(jobs.is_none(), report.has_errors(), "{report}");
    (jobs, report.render(false))
}

#[test]
fn findings_point_into_the_file() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/repository");
    let mut paths: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension != "expected"))
        .collect();
    paths.sort();
    let mut wrong = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let (jobs, rendered) = read(name, &text, !name.starts_with("untrusted"));
        assert_eq!(jobs.is_some(), name.starts_with("good"), "{name}:\n{rendered}");
        // Neither what the configuration keeps to itself, nor what the file should not have in it.
        for word in ["hunter2", "make secret", "`publish`, `secret`"] {
            assert!(!rendered.contains(word), "{name}:\n{rendered}");
        }
        let expected_path = dir.join(format!("{name}.expected"));
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            if rendered.is_empty() {
                let _ = fs::remove_file(&expected_path);
            } else {
                fs::write(&expected_path, &rendered).unwrap();
            }
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if rendered != expected {
            wrong.push(format!("{name}: expected\n{expected}\nfound\n{rendered}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn both_spellings_say_the_same() {
    let sample = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/repository");
        fs::read_to_string(path.join(name)).unwrap()
    };
    let (toml, _) = read("good.toml", &sample("good.toml"), true);
    let (star, _) = read("good.star", &sample("good.star"), true);
    assert_eq!(toml.unwrap(), star.unwrap());
}

#[test]
fn a_large_file_is_refused() {
    let text = "#".repeat(REPOSITORY_FILE_BYTES_MAX + 1);
    for name in ["large.toml", "large.star"] {
        let (jobs, rendered) = read(name, &text, true);
        assert!(
            jobs.is_none() && rendered.contains("larger than 256 KiB"),
            "{rendered}"
        );
    }
}

#[test]
fn a_small_file_that_comes_to_much_is_refused_before_it_does() {
    let text = format!(
        "[[job]]\nname = \"a\"\nbuilder = \"compile\"\nproperties = {{ x = \"{}\" }}\nmatrix = {{ a = {:?}, b = {:?} }}\n",
        "x".repeat(100_000),
        (0..99).collect::<Vec<_>>(),
        (0..99).collect::<Vec<_>>(),
    );
    let (jobs, rendered) = read("jobs.toml", &text, true);
    assert!(
        jobs.is_none() && rendered.contains("more than 16 MiB"),
        "{}",
        &rendered[..200]
    );
}

/// A pipeline of the configuration has its jobs there, whatever a file says.
#[test]
fn only_a_pipeline_that_allows_it_has_jobs_in_a_repository() {
    let plan = plan();
    let pipeline: &PipelineDef = &plan.pipelines["deploy"];
    let text = "[[job]]\nname = \"a\"\nbuilder = \"compile\"\n";
    let (jobs, report) = repository_jobs("jobs.toml", text, &plan, pipeline, true);
    assert!(jobs.is_none() && report.has_errors());
}
