//! Files of jobs that a running job adds to its run.

use ironmaster_config::{JOBS_FILE_BYTES_MAX, read_jobs};
use ironmaster_model::{JobDef, pipeline::JobWork};
use serde_json::json;

const TOML: &str = r#"
[[job]]
name = "part"
builder = "part"
matrix = { size = ["s", "l"], n = [1, 2] }
needed_by = ["report"]
properties = { deep = { list = [1, 2.5, true, "é\n\"q\""] } }

[[job]]
name = "other"
"#;

const JSON: &str = r#"{
  "jobs": [
    {
      "name": "part", "builder": "part", "description": null,
      "matrix": {"size": ["s", "l"], "n": [1, 2]},
      "needed_by": ["report"],
      "properties": {"deep": {"list": [1, 2.5, true, "\u00e9\n\"q\""]}}
    },
    {"name": "other"}
  ]
}
"#;

const YAML: &str = r#"
# Comments are fine.
jobs:
  - name: part
    builder: part
    matrix:
      size: [s, l]
      n: [1, 2]
    needed_by: [report]
    properties:
      deep: { list: [1, 2.5, true, "é\n\"q\""] }
  - { name: other, builder: }
"#;

fn read(name: &str, text: &str) -> Vec<JobDef> {
    read_jobs(name, text).unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn the_spellings_mean_the_same() {
    let jobs = read("jobs.toml", TOML);
    assert_eq!(jobs, read("a/jobs.json", JSON));
    assert_eq!(jobs, read("jobs.yaml", YAML));
    assert_eq!(jobs, read("jobs.yml", YAML));
    assert_eq!(jobs.len(), 2);
    assert_eq!(
        jobs[0].work,
        JobWork::Build {
            builder: "part".into()
        }
    );
    let axes: Vec<&str> = jobs[0].matrix.iter().map(|axis| axis.name.as_str()).collect();
    assert_eq!(axes, ["size", "n"]);
    assert_eq!(jobs[0].needed_by, ["report"]);
    assert_eq!(
        jobs[0].properties["deep"],
        json!({"list": [1, 2.5, true, "é\n\"q\""]})
    );
    assert!(read("jobs.json", r#"{"jobs": []}"#).is_empty());
}

/// What is said of a text, and where.
fn said(name: &str, text: &str) -> String {
    match read_jobs(name, text) {
        Ok(jobs) => panic!("it can be read: {jobs:?}"),
        Err(report) => report.to_string(),
    }
}

#[test]
fn mistakes_are_named_with_their_places() {
    for (name, text, parts) in [
        (
            "jobs.json",
            "{\"jobs\": [\n  {\"name\": \"é\", \"bilder\": \"b\"}\n]}",
            ["jobs.json:2:17", "job `é` has no key `bilder`", "builder"],
        ),
        (
            "jobs.yaml",
            "jobs:\n- name: é\n  needs: report\n",
            ["jobs.yaml:3:10", "`needs` must be a list", "text"],
        ),
        (
            "jobs.toml",
            "[[job]]\nname = \"a\"\nneeds_on = \"sucess\"\n",
            ["jobs.toml:3:12", "`needs_on`", "success"],
        ),
        (
            "jobs.toml",
            "[job]\nname = \"a\"\n",
            ["jobs.toml:1:1", "must be a list of jobs", "[[job]]"],
        ),
        (
            "jobs.yaml",
            "- name: a\n",
            [
                "jobs.yaml:1:1",
                "the file must be a table with `jobs`",
                "- {name: part 1",
            ],
        ),
        (
            "jobs.json",
            "{\"job\": []}",
            ["jobs.json:1:2", "nothing but `jobs`", "did you mean `jobs`"],
        ),
        (
            "jobs.json",
            "{}",
            ["jobs.json:1:1", "the file has no `jobs`", "{\"jobs\": ["],
        ),
        (
            "jobs.json",
            "{\"jobs\": [{}]}",
            ["jobs.json:1:11", "job 1 has no `name`", "write `name ="],
        ),
        (
            "jobs.json",
            "{\"jobs\": [}",
            ["jobs.json:1:11", "this is not JSON that can be read", "value"],
        ),
        (
            "jobs.yaml",
            "jobs: &a [*a]\n",
            ["jobs.yaml:1:", "aliases", "not supported"],
        ),
        (
            "jobs.txt",
            "x",
            [
                "jobs.txt",
                "does not say what it is written in",
                "`.toml`, `.json`",
            ],
        ),
        (
            "jobs.toml",
            "[[job]]\nname = \"a\"\n[[job]]\nname = \"a\"\n",
            ["jobs.toml:4:8", "there are two jobs `a`", "1 error"],
        ),
        (
            "jobs.toml",
            "[[job]]\nname = \"a\"\nneeds = [\"b\"]\n[[job]]\nname = \"b\"\nneeds = [\"a\"]\n",
            ["jobs.toml:", "jobs need one another", "has to do without"],
        ),
    ] {
        let said = said(name, text);
        for part in parts {
            assert!(said.contains(part), "{text}: no {part:?} in\n{said}");
        }
    }
}

/// What a job needs may be in the run.
#[test]
fn needs_are_the_runs_affair() {
    let text = "[[job]]\nname = \"a\"\nneeds = [\"compile\"]\nneeded_by = [\"report\"]\nwhen = { results = { compile = \"success\" } }\n";
    assert_eq!(read("jobs.toml", text)[0].needs, ["compile"]);
}

#[test]
fn small_files_do_not_become_large_things() {
    let long = "x".repeat(100_000);
    let axis: Vec<u32> = (0..100).collect();
    let text = json!({"jobs": [{
        "name": "a", "properties": {"long": long}, "matrix": {"a": axis, "b": axis},
    }]});
    let said_of = said("jobs.json", &text.to_string());
    assert!(said_of.contains("come to more than 16 MiB"), "{said_of}");
    let said_of = said("jobs.json", &" ".repeat(JOBS_FILE_BYTES_MAX + 1));
    assert!(said_of.contains("larger than 1024 KiB"), "{said_of}");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for name in ["jobs.json", "jobs.yaml", "jobs.toml"] {
        said(name, &deep);
        said(name, &format!("jobs = {deep}"));
    }
}

/// Whatever bytes there are, they are read or reported.
#[test]
fn damaged_files_are_reported() {
    for (name, text) in [("j.toml", TOML), ("j.json", JSON), ("j.yaml", YAML)] {
        for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            for insert in ["", "\"", "{", "]", ":", "\n", "é", "\\"] {
                let damaged = format!(
                    "{}{insert}{}",
                    &text[..at],
                    text[at..].chars().skip(1).collect::<String>()
                );
                if let Err(report) = read_jobs(name, &damaged) {
                    assert!(report.has_errors());
                }
                if let Err(report) = read_jobs(name, &text[..at]) {
                    assert!(report.to_string().contains(name));
                }
            }
        }
    }
}
