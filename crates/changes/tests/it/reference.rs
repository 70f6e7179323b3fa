//! The reference and the schema of the configuration say what the code does. `UPDATE_EXPECT=1` writes them anew.

use std::{collections::BTreeMap, fs, path::PathBuf};

use ironmaster_config::{check, reference, repository_jobs, schema};
use ironmaster_model::Catalogue;

#[path = "../../../config/tests/it/json_schema.rs"]
mod json_schema;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn catalogue() -> Catalogue {
    Catalogue {
        steps: ironmaster_steps::step_kinds(),
        change_sources: ironmaster_changes::change_source_kinds(),
    }
}

/// What is generated from the code is committed as the code would write it.
#[test]
fn what_is_generated_is_current() {
    for (file, current) in [
        (
            "docs/configuration-reference.md",
            reference::markdown(&catalogue()),
        ),
        ("docs/ironmaster.schema.json", schema::text(&catalogue())),
    ] {
        let path = root().join(file);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&path, &current).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == current,
            "{file} is not current; to write it anew: UPDATE_EXPECT=1 cargo nextest run -p ironmaster-changes generated"
        );
    }
}

/// Every example of a field is TOML that the field accepts.
#[test]
fn the_examples_of_all_kinds_are_accepted() {
    let catalogue = catalogue();
    let workdir = tempfile::tempdir().unwrap();
    let sections = [
        (
            "builder.step",
            &catalogue.steps,
            "[[builder]]\nname = \"b\"\nworkers = []\n",
        ),
        ("change_source", &catalogue.change_sources, ""),
    ];
    for (header, kinds, before) in sections {
        let header_is_step = header == "builder.step";
        for kind in kinds {
            for field in &kind.fields {
                let header = format!("{before}[[{header}]]\nname = \"n\"\ntype = \"{}\"\n", kind.name);
                let fields = kind
                    .fields
                    .iter()
                    .filter(|other| other.required || other.name == field.name);
                let text = fields.fold(header, |text, field| {
                    text + field.name + " = " + field.example + "\n"
                });
                // Those that the examples trigger.
                let triggerable: String = ["tests", "docs"]
                    .map(|name| {
                        format!(
                            "[[scheduler]]\nname = \"{name}\"\ntype = \"triggerable\"\nbuilders = [\"*\"]\n"
                        )
                    })
                    .concat();
                let text = if header_is_step { text + &triggerable } else { text };
                let (_, report) = check("example.toml", &text, workdir.path(), &catalogue);
                // A field may need another one beside it; that is not the example's fault.
                let own = report.findings.iter().find(|finding| {
                    !matches!(finding.code, "bad_value" | "missing_key")
                        && finding.severity == ironmaster_config::Severity::Error
                });
                assert!(own.is_none(), "{text}\n{report}");
            }
        }
    }
}

/// The complete configurations in the pages for users and in `examples/` have no mistakes, and the schema accepts those
/// in TOML.
#[test]
fn the_examples_for_users_are_accepted() {
    let workdir = workdir();
    let schema = schema::schema(&catalogue());
    let mut found = 0;
    for (page, extension) in [
        ("docs/configuration.md", "toml"),
        ("docs/change-sources.md", "toml"),
        ("docs/schedulers.md", "toml"),
        ("docs/choosing.md", "toml"),
        ("docs/choosing.md", "star"),
        ("docs/pipelines.md", "toml"),
        ("docs/pipelines.md", "star"),
        ("docs/configuration.md", "star"),
        ("docs/first-hour.md", "toml"),
        ("docs/migrate/master.md", "toml"),
        ("README.md", "toml"),
    ] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let fence = if extension == "toml" {
            "```toml\n"
        } else {
            "```python\n"
        };
        for (number, block) in text.split(fence).skip(1).enumerate() {
            let block = block.split("```").next().unwrap();
            let name = format!("example.{extension}");
            let (block, files) = shown_files(block);
            for (file, text) in files {
                fs::write(workdir.path().join(file), text).unwrap();
            }
            let (loaded, report) = check(&name, &block, workdir.path(), &catalogue());
            assert!(loaded.is_some(), "{page}, example {}:\n{report}", number + 1);
            if extension == "toml" {
                assert_eq!(
                    json_schema::refusals(&schema, &json_schema::json(&block)),
                    [""; 0],
                    "{page}"
                );
            }
            found += 1;
        }
    }
    assert!(found >= 5, "{found}");
    for (name, text) in examples("toml") {
        assert_eq!(
            json_schema::refusals(&schema, &json_schema::json(&text)),
            [""; 0],
            "{name}"
        );
    }
    for (name, text) in examples("toml").into_iter().chain(examples("star")) {
        let (loaded, report) = check(&name, &text, workdir.path(), &catalogue());
        assert!(loaded.is_some(), "{report}");
        let warned = report
            .findings
            .iter()
            .find(|finding| finding.code != "token_readable");
        assert!(warned.is_none(), "{report}");
    }
}

/// The page about jobs in the repository: its configuration is right, and grants what its files use, in both spellings.
#[test]
fn the_examples_of_jobs_in_a_repository_are_accepted() {
    let text = fs::read_to_string(root().join("docs/in-repository.md")).unwrap();
    let blocks = |fence: &str| -> Vec<String> {
        let blocks = text.split(fence).skip(1);
        blocks
            .map(|block| block.split("```").next().unwrap().to_owned())
            .collect()
    };
    let toml = blocks("```toml\n");
    let workdir = workdir();
    let (loaded, report) = check("ci.toml", &toml[0], workdir.path(), &catalogue());
    let plan = loaded.unwrap_or_else(|| panic!("{report}")).plan;
    let python = blocks("```python\n");
    let files = [(".ironmaster.toml", &toml[1]), (".ironmaster.star", &python[0])];
    for (name, text) in files {
        let pipeline = &plan.pipelines["zlib"];
        let (jobs, report) = repository_jobs(name, text, &plan, pipeline, true);
        assert!(jobs.is_some_and(|jobs| jobs.len() >= 3), "{name}: {report}");
    }
    assert_eq!((toml.len(), python.len()), (2, 1), "every example is looked at");
    // What the page says of a file that is not trusted is what is said.
    let (_, report) = repository_jobs(
        ".ironmaster.toml",
        &toml[1],
        &plan,
        &plan.pipelines["zlib"],
        false,
    );
    let shown = text
        .split("```text\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    assert!(
        report.render(false).starts_with(shown.trim_end()),
        "{}\n\n{shown}",
        report.render(false)
    );
}

/// An example, and what it shows of further files: each below its name in a comment. Data is in comments, too, since it is
/// not Starlark.
fn shown_files(block: &str) -> (String, BTreeMap<String, String>) {
    let mut main = String::new();
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let mut at: Option<String> = None;
    for line in block.lines() {
        let named = line.strip_prefix("# ").filter(|name| {
            let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
            !name.contains(' ') && matches!(extension, "star" | "csv" | "json")
        });
        if let Some(name) = named {
            files.insert(name.to_owned(), String::new());
            at = Some(name.to_owned());
            continue;
        }
        let (text, line) = match &at {
            Some(name)
                if name
                    .rsplit_once('.')
                    .is_some_and(|(_, extension)| extension == "star") =>
            {
                (files.get_mut(name).unwrap(), line)
            }
            Some(name) => (files.get_mut(name).unwrap(), line.trim_start_matches("# ")),
            None => (&mut main, line),
        };
        text.push_str(line);
        text.push('\n');
    }
    (main, files)
}

/// Each example in TOML has one in Starlark beside it, which says the same.
#[test]
fn the_examples_are_equal_in_both_spellings() {
    let workdir = workdir();
    let starlark: BTreeMap<String, String> = examples("star").into_iter().collect();
    for (name, text) in examples("toml") {
        let star = name.replace(".toml", ".star");
        let (of_toml, _) = check(&name, &text, workdir.path(), &catalogue());
        let (of_star, report) = check(&star, &starlark[&star], workdir.path(), &catalogue());
        let (mut of_toml, mut of_star) = (of_toml.unwrap(), of_star.unwrap_or_else(|| panic!("{report}")));
        // The identity is that of the files.
        of_toml.plan.digest.clear();
        of_star.plan.digest.clear();
        assert_eq!(of_toml.plan, of_star.plan, "{name}");
        assert_eq!(of_toml.settings, of_star.settings, "{name}");
    }
}

/// A directory with the tokens that examples name.
fn workdir() -> tempfile::TempDir {
    let workdir = tempfile::tempdir().unwrap();
    for file in [
        "linux-1.token",
        "linux-2.token",
        "linux-3.token",
        "hook.token",
        "worker.token",
    ] {
        fs::write(workdir.path().join(file), "0123456789abcdef0123456789abcdef").unwrap();
    }
    workdir
}

fn examples(extension: &str) -> Vec<(String, String)> {
    let mut examples: Vec<_> = fs::read_dir(root().join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    examples.sort();
    assert!(!examples.is_empty());
    examples
}
