//! Commands that leave witnesses: each says in a file of its own that it began and that it ended, and fails if another
//! run of the same is under way. So "exactly once" is what the commands say, not what the master believes.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::fleet::{Fleet, word, worker_sections};

/// Lines of the large log; it goes to a file, the small one travels in the commit.
pub(crate) const LINES: usize = 4000;

/// All builders.
pub(crate) const BUILDERS: [&str; 4] = ["small", "large", "steps", "clone"];

/// The builders, and a force scheduler for each, over these workers.
pub(crate) fn configuration(dir: &Path, workers: &[&str], slots: u32) -> String {
    let script = script(dir);
    let repository = dir.join("repository");
    fs::create_dir(&repository).expect("the directory is ours");
    git(&repository, &["init", "--quiet"]);
    git(
        &repository,
        &["commit", "--quiet", "--allow-empty", "--message", "First"],
    );
    let mut toml = worker_sections(workers, slots);
    for (builder, steps) in [
        ("small", vec![("run", format!("sh {script} %(prop:tag)s run 20"))]),
        (
            "large",
            vec![("run", format!("sh {script} %(prop:tag)s run {LINES}"))],
        ),
        (
            "steps",
            vec![
                ("one", format!("sh {script} %(prop:tag)s one 5")),
                ("two", format!("sh {script} %(prop:tag)s two {LINES}")),
                ("three", format!("sh {script} %(prop:tag)s three 5")),
            ],
        ),
        ("clone", vec![("run", format!("sh {script} %(prop:tag)s run 20"))]),
    ] {
        toml += &format!("[[builder]]\nname = \"{builder}\"\nworkers = [\"label:any\"]\n");
        if builder == "clone" {
            // A step of many commands: a checkout.
            toml += &format!(
                "[[builder.step]]\ntype = \"git\"\nrepository = \"{}\"\n",
                word(&repository)
            );
        }
        for (name, command) in steps {
            toml += &format!(
                "[[builder.step]]\ntype = \"shell\"\nname = \"{name}\"\ncommand = \"{command}\"\nhalt_on_failure = true\n"
            );
        }
        toml += &format!(
            "[[scheduler]]\nname = \"force-{builder}\"\ntype = \"force\"\nbuilders = [\"{builder}\"]\n\
             [[scheduler.field]]\nname = \"tag\"\ntype = \"string\"\n"
        );
    }
    toml
}

/// Writes the script of the witnesses; returns its path. Its arguments are a tag, the step and a number of lines.
pub(crate) fn script(dir: &Path) -> String {
    let script = dir.join("witness.sh");
    fs::write(&script, SCRIPT.replace("@DIR@", word(dir))).expect("the directory is ours");
    word(&script).to_owned()
}

/// Writes numbered lines in bursts, so that a kill can hit at any place of a log.
const SCRIPT: &str = r#"
tag=$1 step=$2 lines=$3
exec 9>>"@DIR@/$tag.$step.lock"
flock --nonblock 9 || { echo overlap >> "@DIR@/$tag.$step.witness"; exit 1; }
echo begin >> "@DIR@/$tag.$step.witness"
i=0
while [ $i -lt $lines ]; do
    i=$((i + 1))
    echo "$tag $step $i"
    [ $((i % 400)) -ne 5 ] || sleep 0.05
done
echo end >> "@DIR@/$tag.$step.witness"
"#;

/// What the script prints.
pub(crate) fn expected(tag: &str, step: &str, lines: usize) -> String {
    (1..=lines).map(|i| format!("{tag} {step} {i}\n")).collect()
}

/// Steps of a builder, with the lines each prints.
pub(crate) fn steps_of(builder: &str) -> &'static [(&'static str, usize)] {
    match builder {
        "small" | "clone" => &[("run", 20)],
        "large" => &[("run", LINES)],
        "steps" => &[("one", 5), ("two", LINES), ("three", 5)],
        other => unreachable!("no builder {other}"),
    }
}

/// What the commands of a tag's step wrote down.
pub(crate) fn witness(fleet: &Fleet, tag: &str, step: &str) -> String {
    fs::read_to_string(fleet.path(&format!("{tag}.{step}.witness"))).unwrap_or_default()
}

/// Demands that an accepted request was built exactly once, by one build, successfully, with every byte of its logs.
pub(crate) async fn built_exactly_once(fleet: &Fleet, builder: &str, tag: &str, request: u64) {
    let done = fleet.completed(request).await;
    assert_eq!(
        done["results"],
        0,
        "request {request} ({tag}): {done}\n{}",
        fleet.evidence()
    );
    let builds = fleet.builds_of(request).await;
    assert_eq!(
        builds.len(),
        1,
        "request {request} ({tag}) had several builds: {builds:?}\n{}",
        fleet.evidence()
    );
    assert_eq!(builds[0]["results"], 0, "{:?}", builds[0]);
    let build = builds[0]["buildid"].as_u64().expect("a build has an id");
    let recorded = fleet
        .list(&format!("/api/v2/builds/{build}/steps"), "steps")
        .await;
    let steps = steps_of(builder);
    assert_eq!(
        recorded.len(),
        steps.len() + usize::from(builder == "clone"),
        "{recorded:?}"
    );
    for (step, lines) in steps {
        assert_eq!(
            witness(fleet, tag, step),
            "begin\nend\n",
            "{tag} {step}: commands ran otherwise than once"
        );
        let output = fleet.output(build, step).await;
        assert!(
            output == expected(tag, step, *lines),
            "{tag} {step}: the log differs\n{}",
            difference(&output, tag, step, *lines)
        );
    }
    assert!(recorded.iter().all(|step: &Value| step["complete"] == true));
}

fn difference(output: &str, tag: &str, step: &str, lines: usize) -> String {
    let expected = expected(tag, step, lines);
    let at = output
        .lines()
        .zip(expected.lines())
        .position(|(left, right)| left != right);
    format!(
        "{} lines, {} expected; first difference: {:?}",
        output.lines().count(),
        lines,
        at.map(|at| (at, output.lines().nth(at), expected.lines().nth(at)))
    )
}

/// Runs git, which must succeed; returns what it prints.
pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@example.org",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(args)
        .current_dir(dir)
        .output()
        .expect("git is installed");
    assert!(
        output.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .expect("plain output")
        .trim()
        .to_owned()
}
