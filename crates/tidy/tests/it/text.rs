//! Text files: links that lead somewhere, nothing that belongs to one machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
};

use crate::support::{File, files, report, root};

fn is_markdown(file: &File) -> bool {
    Path::new(&file.path)
        .extension()
        .is_some_and(|extension| extension == "md")
}

/// The lines of a Markdown file that are prose, with their numbers: fenced blocks are left out.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        let shown = !fenced && !fence;
        fenced ^= fence;
        shown.then_some((index + 1, line))
    })
}

/// A line with its `code` cut out.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

/// The targets of `[text](target)`, `![text](target)` and `[name]: target`.
fn links(line: &str) -> Vec<String> {
    let line = without_code(line);
    let mut links: Vec<String> = line
        .split("](")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(')')?.0.split(' ').next()?.to_owned()))
        .collect();
    if let Some((name, target)) = line.split_once("]: ")
        && name.starts_with('[')
    {
        links.push(target.split(' ').next().unwrap_or_default().to_owned());
    }
    links
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c if c.is_alphanumeric() => Some(c),
            _ => None,
        })
        .collect()
}

/// `a/b/../c` is `a/c`; none if it leads out of the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !normal.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(normal)
}

#[test]
fn links_lead_somewhere() {
    let files: Vec<File> = files().into_iter().filter(is_markdown).collect();
    let anchors: BTreeMap<PathBuf, BTreeSet<String>> = files
        .iter()
        .map(|file| {
            let headings = prose(&file.text).filter(|(_, line)| line.starts_with('#'));
            let anchors = headings.map(|(_, line)| anchor(line)).collect();
            (PathBuf::from(&file.path), anchors)
        })
        .collect();
    let root = root();
    let mut findings = Vec::new();
    for file in &files {
        for (number, line) in prose(&file.text) {
            for link in links(line) {
                if link.contains("://") || link.starts_with("mailto:") {
                    continue;
                }
                let (path, fragment) = link.split_once('#').unwrap_or((&link, ""));
                let from = Path::new(&file.path);
                let target = match path {
                    "" => Some(from.to_owned()),
                    path => normal(&from.parent().expect("a folder").join(path)),
                };
                let place = format!("{}:{number}: {link}", file.path);
                match target {
                    None => findings.push(format!("{place} leads out of the repository")),
                    Some(target) if !root.join(&target).exists() => {
                        findings.push(format!("{place}: there is no such file"));
                    }
                    Some(target) if !fragment.is_empty() => {
                        let known = anchors.get(&target).is_some_and(|known| known.contains(fragment));
                        if !known {
                            findings.push(format!("{place}: there is no such heading"));
                        }
                    }
                    Some(_) => {}
                }
            }
        }
    }
    report(&findings, "repair the links");
}

#[test]
fn pages_have_no_invisible_characters_at_line_ends() {
    let mut findings = Vec::new();
    for file in files().iter().filter(|file| is_markdown(file)) {
        for (index, line) in file.text.lines().enumerate() {
            if line.ends_with([' ', '\t', '\r']) || line.contains('\t') {
                findings.push(format!("{}:{}", file.path, index + 1));
            }
        }
        if !file.text.ends_with('\n') || file.text.ends_with("\n\n") {
            findings.push(format!("{}: must end with one line break", file.path));
        }
    }
    report(&findings, "no tabs, no blanks at the end of a line");
}

#[test]
fn nothing_points_to_somebodys_machine() {
    // Folders in which checkouts live; put together here, so that this file does not find itself.
    let folders = ["/wo|rk/", "/ho|me/", "/ro|ot/", "/Us|ers/"].map(|folder| folder.replace('|', ""));
    let mut findings = Vec::new();
    // Recorded traffic stays as it was.
    for file in files().iter().filter(|file| !file.path.contains("/captures/")) {
        for (index, line) in file.text.lines().enumerate() {
            for folder in &folders {
                let found = line.match_indices(folder.as_str()).any(|(at, _)| {
                    // `/srv/home/` is another folder.
                    line[..at]
                        .chars()
                        .next_back()
                        .is_none_or(|before| !before.is_alphanumeric() && !"./_-)}".contains(before))
                });
                if found {
                    findings.push(format!("{}:{}: {folder}", file.path, index + 1));
                }
            }
        }
    }
    report(
        &findings,
        "the project names no path outside its checkout; examples use /srv, /var or /etc",
    );
}

#[test]
fn what_is_a_link() {
    assert_eq!(
        links("see [a](b.md) and ![c](d.png \"title\")"),
        ["b.md", "d.png"]
    );
    assert_eq!(links("`[a](b)` is code"), [""; 0]);
    assert_eq!(links("[a]: b/c.md"), ["b/c.md"]);
    assert_eq!(anchor("## What is `it`, then?"), "what-is-it-then");
    assert_eq!(normal(Path::new("docs/../README.md")), Some("README.md".into()));
    assert_eq!(normal(Path::new("docs/../../x")), None);
}
