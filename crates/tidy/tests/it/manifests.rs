//! Manifests: what is said once stays said once.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::support::{packages, report, room, root, text};

/// Dependencies that a crate gives a version of its own, with the reason.
const OWN_VERSIONS: &[(&str, &str, &str)] = &[(
    "worker",
    "tracing-subscriber",
    "the workspace's features would bring a regular expression engine into the smallest program",
)];

fn manifest(package: &Value) -> String {
    let path = text(package, "manifest_path");
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines of a section, without comments and empty lines.
fn section<'m>(manifest: &'m str, header: &str) -> Vec<&'m str> {
    let mut lines = manifest.lines().map(str::trim);
    lines
        .by_ref()
        .find(|line| *line == header)
        .map(|_| {
            lines
                .take_while(|line| !line.starts_with('['))
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .collect()
        })
        .unwrap_or_default()
}

#[test]
fn crates_inherit_what_the_workspace_says() {
    let mut findings = Vec::new();
    for package in &packages() {
        let manifest = manifest(package);
        let own = section(&manifest, "[package]");
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            if !own.contains(&format!("{key}.workspace = true").as_str()) {
                findings.push(format!(
                    "`{}`: `{key}.workspace = true` is missing",
                    room(package)
                ));
            }
        }
        if section(&manifest, "[lints]") != ["workspace = true"] {
            findings.push(format!(
                "`{}`: [lints] must be `workspace = true` alone",
                room(package)
            ));
        }
        if text(package, "description").is_empty() {
            findings.push(format!("`{}` has no description", room(package)));
        }
    }
    report(&findings, "versions, lints and licence are the workspace's");
}

#[test]
fn crates_are_named_after_their_folders() {
    let root = root();
    for package in &packages() {
        let folder = Path::new(text(package, "manifest_path"))
            .parent()
            .expect("a folder");
        assert_eq!(folder, root.join("crates").join(room(package)));
    }
}

#[test]
fn versions_are_written_in_one_place() {
    let mut findings = Vec::new();
    for package in &packages() {
        let room = room(package);
        let manifest = manifest(package);
        for header in ["[dependencies]", "[dev-dependencies]", "[build-dependencies]"] {
            for line in section(&manifest, header) {
                let Some((name, value)) = line.split_once('=') else {
                    continue;
                };
                let name = name.trim().trim_end_matches(".workspace");
                let own = OWN_VERSIONS
                    .iter()
                    .any(|(who, what, _)| (*who, *what) == (room, name));
                let has_version = value.trim().starts_with('"') || value.contains("version =");
                if has_version && !own {
                    findings.push(format!("`{room}`: {line}"));
                }
                if own && !has_version {
                    findings.push(format!("`{room}`: `{name}` needs no exception any more"));
                }
            }
        }
        // The long spelling would hide versions from the look above.
        findings.extend(
            manifest
                .lines()
                .filter(|line| line.starts_with("[dependencies.") || line.starts_with("[dev-dependencies."))
                .map(|line| format!("`{room}`: {line}: write it as one line")),
        );
    }
    report(
        &findings,
        "versions belong into [workspace.dependencies] of the top Cargo.toml",
    );
}

#[test]
fn the_workspace_lists_nothing_that_nobody_uses() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("there is a manifest");
    let used: BTreeSet<String> = packages()
        .iter()
        .flat_map(|package| package["dependencies"].as_array().cloned().unwrap_or_default())
        .map(|dependency| text(&dependency, "name").to_owned())
        .collect();
    let listed = section(&workspace, "[workspace.dependencies]");
    assert!(listed.len() > 10, "the list is there");
    let names: Vec<&str> = listed
        .iter()
        .filter_map(|line| Some(line.split_once('=')?.0.trim()))
        .collect();
    let findings: Vec<String> = names
        .iter()
        .filter(|name| !used.contains(**name) && !name.starts_with("ironmaster-"))
        .map(|name| format!("`{name}`"))
        .collect();
    report(
        &findings,
        "no crate uses these; take them out of [workspace.dependencies]",
    );
    let foreign: Vec<&&str> = names
        .iter()
        .filter(|name| !name.starts_with("ironmaster-"))
        .collect();
    assert!(
        foreign.is_sorted(),
        "[workspace.dependencies] is in alphabetical order"
    );
}
