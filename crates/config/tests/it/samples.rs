//! The files of `samples/valid` and `samples/invalid`, each with the report that it gives in `*.expected`.
//! `UPDATE_EXPECT=1` writes those files anew; look at the difference before you commit it.

use std::{fs, path::Path};

use ironmaster_config::{Severity, check};

use crate::catalogue::catalogue;

fn run(kind: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/samples")
        .join(kind);
    let mut paths: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml" || extension == "star")
        })
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    let mut wrong = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let (loaded, report) = check(name, &text, &dir, &catalogue());
        assert_eq!(loaded.is_some(), kind == "valid", "{name}:\n{report}");
        assert_eq!(report.has_errors(), kind == "invalid", "{name}:\n{report}");
        // The tokens of the samples all hold one of these words.
        for word in ["hunter2", "sesame"] {
            assert!(!report.render(false).contains(word), "{name}:\n{report}");
        }
        assert!(!format!("{loaded:?} {report:?}").contains("hunter2"), "{name}");
        let expected_path = match path.extension().and_then(|extension| extension.to_str()) {
            Some("star") => path.with_extension("star.expected"),
            _ => path.with_extension("expected"),
        };
        let rendered = report.render(false);
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
fn valid_samples_are_accepted() {
    run("valid");
}

#[test]
fn invalid_samples_get_the_expected_reports() {
    run("invalid");
}

#[test]
fn a_report_in_colour_says_the_same() {
    let (_, report) = check("a.toml", "[mastre]\n", Path::new("."), &catalogue());
    assert_eq!(report.count(Severity::Error), 1);
    let colored = report.render(true);
    assert!(colored.contains("\u{1b}["), "{colored}");
    let mut plain = String::new();
    let mut rest = colored.as_str();
    while let Some(escape) = rest.find("\u{1b}[") {
        plain.push_str(&rest[..escape]);
        rest = rest[escape..].split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    assert_eq!(plain, report.render(false));
}
