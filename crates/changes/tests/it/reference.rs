//! `docs/configuration.md` says what the code does. `UPDATE_EXPECT=1` writes its generated part anew.

use std::{fs, path::PathBuf};

use ironmaster_config::{check, reference};
use ironmaster_model::Catalogue;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn catalogue() -> Catalogue {
    Catalogue {
        steps: ironmaster_steps::step_kinds(),
        change_sources: ironmaster_changes::change_source_kinds(),
    }
}

#[test]
fn the_reference_is_current() {
    let path = root().join("docs/configuration.md");
    let page = fs::read_to_string(&path).unwrap();
    let current = reference::replaced(&page, &reference::markdown(&catalogue())).unwrap();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &current).unwrap();
    }
    let page = fs::read_to_string(&path).unwrap();
    assert!(
        page == current,
        "docs/configuration.md is not current: run this test with UPDATE_EXPECT=1"
    );
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

/// The complete configurations in the pages for users and in `examples/` have no mistakes.
#[test]
fn the_examples_for_users_are_accepted() {
    let workdir = tempfile::tempdir().unwrap();
    for file in ["linux-1.token", "hook.token", "worker.token"] {
        fs::write(workdir.path().join(file), "0123456789abcdef0123456789abcdef").unwrap();
    }
    let mut found = 0;
    for page in ["docs/configuration.md", "docs/change-sources.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        for (number, block) in text.split("```toml\n").skip(1).enumerate() {
            let block = block.split("```").next().unwrap();
            let (loaded, report) = check(page, block, workdir.path(), &catalogue());
            assert!(loaded.is_some(), "{page}, example {}:\n{report}", number + 1);
            found += 1;
        }
    }
    assert!(found >= 3, "{found}");
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = fs::read_to_string(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            let (loaded, report) = check(name, &text, workdir.path(), &catalogue());
            assert!(loaded.is_some(), "{report}");
            let warned = report
                .findings
                .iter()
                .find(|finding| finding.code != "token_readable");
            assert!(warned.is_none(), "{report}");
        }
    }
}
