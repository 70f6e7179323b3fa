//! Jobs that stand in the repository that is built: good ones run, wrong ones are shown with their change, and nothing is used
//! that is not granted, whatever happens to the master meanwhile.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::{
    database::Kind,
    fleet::{Fleet, worker_sections},
    witness::git,
};

/// A repository, and a master that a hook tells of its commits.
struct Project {
    fleet: Fleet,
}

impl Project {
    async fn new(database: Kind, file: &str) -> Self {
        let mut fleet = Fleet::on(database, "", "");
        let repository = fleet.path("repository");
        fs::create_dir(&repository).expect("the directory is ours");
        git(&repository, &["init", "--quiet", "--initial-branch=main"]);
        git(&repository, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
        let sections = sections(&fleet, file);
        fleet.configure("", &sections);
        fleet.start_master().await;
        fleet.spawn_worker("w1");
        fleet.workers_connected(&["w1"]).await;
        Self { fleet }
    }

    fn repository(&self) -> PathBuf {
        self.fleet.path("repository")
    }

    fn commit(&self, file: &str, text: &str) -> String {
        let repository = self.repository();
        fs::write(repository.join(file), text).expect("the directory is ours");
        git(&repository, &["add", "--all"]);
        git(
            &repository,
            &["commit", "--quiet", "--allow-empty", "--message", "jobs"],
        );
        git(&repository, &["rev-parse", "HEAD"])
    }

    /// Tells of a revision as one of a branch; gives the change's id.
    async fn push(&self, branch: &str, revision: &str) -> u64 {
        let status = self.tell(branch, revision).await.expect("the master serves");
        assert_eq!(status, 200);
        let changes = self
            .fleet
            .list("/api/v2/changes?order=-changeid", "changes")
            .await;
        changes[0]["changeid"].as_u64().expect("a change has an id")
    }

    /// Tells of a revision; the status of the answer, if there is one.
    async fn tell(&self, branch: &str, revision: &str) -> reqwest::Result<u16> {
        let repository = self.repository().display().to_string();
        let form = [
            ("author", "Ann <ann@example.org>"),
            ("comments", "jobs"),
            ("branch", branch),
            ("revision", revision),
            ("repository", &repository),
        ];
        let answer = self
            .fleet
            .http
            .post(self.fleet.url("/change_hook/base"))
            .form(&form)
            .send()
            .await;
        answer.map(|answer| answer.status().as_u16())
    }

    /// The run of a change, once it is over.
    async fn run_of(&self, change: u64) -> Value {
        let mut found = Value::Null;
        self.fleet
            .until(&format!("the run of change {change} is over"), async |fleet| {
                let runs = fleet
                    .list(&format!("/api/v2/changes/{change}/runs"), "runs")
                    .await;
                assert!(runs.len() <= 1, "one run a change: {runs:?}");
                found = runs.into_iter().next().unwrap_or_default();
                found["complete"] == true
            })
            .await;
        found
    }

    async fn jobs_of(&self, run: &Value) -> Vec<String> {
        let jobs = self
            .fleet
            .list(
                &format!("/api/v2/runs/{}/jobs?order=number", run["runid"]),
                "jobs",
            )
            .await;
        let names = jobs
            .iter()
            .map(|job| job["name"].as_str().expect("a job has a name"));
        names.map(str::to_owned).collect()
    }

    fn explain(&self, change: u64) -> String {
        let output = self
            .fleet
            .ironmaster(&["explain", "ci.toml", "change", &change.to_string()])
            .output()
            .expect("the program can be started");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("it prints text")
    }
}

fn sections(fleet: &Fleet, file: &str) -> String {
    let builder = |name: &str, tag: &str| {
        format!(
            "[[builder]]\nname = \"{name}\"\ntags = [\"{tag}\"]\nworkers = [\"label:any\"]\n\
             [[builder.step]]\ntype = \"shell\"\ncommand = \"echo {name} %(src::revision)s\"\n"
        )
    };
    [
        worker_sections(&["w1"], 2),
        builder("compile", "public"),
        builder("check", "public"),
        builder("publish", "release"),
        builder("secret", "none"),
        format!(
            "[[pipeline]]\nname = \"ci\"\n[pipeline.in_repository]\nfile = \"{file}\"\nrepository = \"{}\"\n\
             builder_tags = [\"public\"]\ntrusted_branches = [\"main\", \"release/*\"]\ntrusted_builders = [\"publish\"]\n\
             [[scheduler]]\nname = \"on-push\"\ntype = \"any_branch\"\npipeline = \"ci\"\n\
             [[scheduler]]\nname = \"by-hand\"\ntype = \"force\"\nbuilders = [\"secret\"]\n",
            fleet.path("repository").display()
        ),
    ]
    .concat()
}

const GOOD: &str = r#"
[[job]]
name = "compile"
builder = "compile"

[[job]]
name = "check"
builder = "check"
needs = ["compile"]
matrix = { n = [1, 2] }

[[job]]
name = "publish"
builder = "publish"
needs = ["check"]
"#;

async fn jobs_of_a_repository_run_if_they_are_granted(database: Kind) {
    let project = Project::new(database, ".ironmaster.toml").await;
    let revision = project.commit(".ironmaster.toml", GOOD);
    let run = project.run_of(project.push("main", &revision).await).await;
    assert_eq!(run["results"], 0, "{run}\n{}", project.fleet.evidence());
    assert_eq!(run["trusted"], true, "{run}");
    assert_eq!(run["source"]["revision"], revision.as_str(), "{run}");
    assert_eq!(run["source"]["file"], ".ironmaster.toml", "{run}");
    assert_eq!(
        project.jobs_of(&run).await,
        ["compile", "check (1)", "check (2)", "publish"]
    );

    // The same on a branch that nobody trusts: nothing of it is built.
    let repository = project.repository();
    git(&repository, &["checkout", "--quiet", "-b", "topic"]);
    let theirs = project.commit("more", "");
    let change = project.push("topic", &theirs).await;
    let run = project.run_of(change).await;
    assert_eq!(
        (&run["results"], &run["trusted"]),
        (&json!(4), &json!(false)),
        "{run}"
    );
    let text = run["source"]["problem"]["text"].as_str().unwrap_or_default();
    assert!(
        text.contains("the builder `publish` is granted to trusted branches only")
            && text.contains(".ironmaster.toml:14:11"),
        "{text}"
    );
    let explained = project.explain(change);
    assert!(
        explained.contains("of pipeline ci is complete") && explained.contains("builder = \"publish\""),
        "{explained}"
    );
    let change = project.push("main", &theirs).await;
    let claimed = project.run_of(change).await;
    assert_eq!(
        (&claimed["results"], &claimed["trusted"]),
        (&json!(4), &json!(false)),
        "it is not on main, whatever the message says: {claimed}"
    );

    // With what everybody may use it is built, and still not trusted.
    let modest = project.commit(
        ".ironmaster.toml",
        "[[job]]\nname = \"check\"\nbuilder = \"check\"\n",
    );
    let run = project.run_of(project.push("topic", &modest).await).await;
    assert_eq!(
        (&run["results"], &run["trusted"]),
        (&json!(0), &json!(false)),
        "{run}"
    );

    // Wrong in several ways: all are told, and a builder that is not granted is as good as none.
    let wrong = project.commit(
        ".ironmaster.toml",
        "[[job]]\nname = \"a\"\nbuilder = \"secret\"\nprority = 3\n\n[[worker]]\nname = \"mine\"\n",
    );
    let change = project.push("topic", &wrong).await;
    let run = project.run_of(change).await;
    let problem = &run["source"]["problem"];
    let text = problem["text"].as_str().unwrap_or_default();
    for expected in [
        "the project grants no builder `secret`",
        "no key `prority`",
        "no section `worker`",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let told = problem["findings"].as_array().map(Vec::len);
    assert_eq!(told, Some(3), "{problem}");
    assert!(
        run["why"]
            .as_str()
            .is_some_and(|why| why.contains("(and 2 more)")),
        "{run}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_repository_run_if_they_are_granted_on_sqlite() {
    jobs_of_a_repository_run_if_they_are_granted(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_repository_run_if_they_are_granted_on_postgres() {
    jobs_of_a_repository_run_if_they_are_granted(Kind::Postgres).await;
}

/// A file without end costs a moment, and the master nothing. What cannot be read at all is told, too, and a run is tried again
/// when it can be.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_never_ends_is_stopped() {
    let project = Project::new(Kind::Sqlite, "ci.star").await;
    let endless = project.commit(
        "ci.star",
        "def forever():\n    for a in range(1000000000):\n        for b in range(1000000000):\n            pass\n\nforever()\n",
    );
    let change = project.push("main", &endless).await;
    let run = project.run_of(change).await;
    let problem = &run["source"]["problem"];
    assert_eq!(problem["findings"][0]["code"], "too_long", "{run}");

    git(&project.repository(), &["rm", "--quiet", "ci.star"]);
    let none = project.commit("other", "");
    let run = project.run_of(project.push("main", &none).await).await;
    assert!(
        run["why"]
            .as_str()
            .is_some_and(|why| why.contains("there is no file `ci.star`")),
        "{run}"
    );

    let good = project.commit(
        "ci.star",
        "[job(\"check \" + n, builder = \"check\") for n in [\"a\", \"b\"]]\n",
    );
    let run = project.run_of(project.push("main", &good).await).await;
    assert_eq!(run["results"], 0, "{run}");
    assert_eq!(project.jobs_of(&run).await, ["check a", "check b"]);
}

/// The master dies with the file read and nothing said of it, and again with the run waiting: the question is asked again, and
/// there is one run with one set of jobs.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_question_and_answer_changes_nothing() {
    let mut project = Project::new(Kind::Sqlite, ".ironmaster.toml").await;
    let revision = project.commit(".ironmaster.toml", GOOD);
    project.fleet.kill_master();
    project.fleet.spawn_master(Some("definition_read"));
    project
        .fleet
        .until("the master serves", async |fleet| {
            fleet.get("/api/v2/builders").await.is_some()
        })
        .await;
    // It may be dead before it has answered.
    let _ = project.tell("main", &revision).await;
    project.fleet.master_ended().await;
    project.fleet.spawn_master(Some("definition_read"));
    project.fleet.master_ended().await;
    project.fleet.start_master().await;
    let changes = project.fleet.list("/api/v2/changes", "changes").await;
    assert_eq!(changes.len(), 1, "{changes:?}");
    let change = changes[0]["changeid"].as_u64().expect("a change has an id");
    let run = project.run_of(change).await;
    assert_eq!(run["results"], 0, "{run}\n{}", project.fleet.evidence());
    assert_eq!(project.jobs_of(&run).await.len(), 4);
    let builds = project.fleet.list("/api/v2/builds", "builds").await;
    assert_eq!(builds.len(), 4, "{builds:?}");
}

/// A repository that is away is waited for, which the run says.
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_away_is_waited_for() {
    let project = Project::new(Kind::Sqlite, ".ironmaster.toml").await;
    let revision = project.commit(".ironmaster.toml", GOOD);
    let away = project.fleet.path("away");
    fs::rename(project.repository(), &away).expect("the directory is ours");
    let change = project.push("main", &revision).await;
    project
        .fleet
        .until("the run says what it waits for", async |fleet| {
            let runs = fleet
                .list(&format!("/api/v2/changes/{change}/runs"), "runs")
                .await;
            let why = runs.first().and_then(|run| run["why"].as_str());
            why.is_some_and(|why| why.contains("cannot be read yet") && why.contains("trying again"))
        })
        .await;
    fs::rename(&away, project.repository()).expect("the directory is ours");
    let run = project.run_of(change).await;
    assert_eq!(run["results"], 0, "{run}");
}

/// An author sees the same before the push.
#[test]
fn a_file_is_checked_before_it_is_pushed() {
    let fleet = Fleet::new("", "");
    fleet.configure("", &sections(&fleet, ".ironmaster.toml"));
    fs::write(fleet.path("jobs.toml"), GOOD).expect("the directory is ours");
    let check = |more: &[&str]| {
        let args: Vec<&str> = ["check", "ci.toml", "--in-repository", "jobs.toml"]
            .iter()
            .chain(more)
            .copied()
            .collect();
        let output = fleet
            .ironmaster(&args)
            .output()
            .expect("the program can be started");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8(text).expect("it prints text"),
        )
    };
    let (code, said) = check(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("jobs.toml: good for trusted branches"), "{said}");
    let (code, said) = check(&["--untrusted", "--pipeline", "ci"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("jobs.toml:14:11"), "{said}");
    let (code, said) = check(&["--pipeline", "co"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("there is `ci`"), "{said}");
}
