//! Runs of pipelines through kills of the master: with a matrix, a fan-in, an approval, a second try, a pipeline in the
//! pipeline, and properties that go from job to job. Every attempt of a job runs its command exactly once.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use crate::{
    database::Kind,
    fleet::{Fleet, word, worker_sections},
    kills::{asked_for, kill_at_random},
    rng::Rng,
    witness::{git, script, witness},
};

/// Kills at random moments; `IRONMASTER_KILLS` asks for more.
const KILLS: u64 = 30;
const WORKERS: [&str; 2] = ["w1", "w2"];
const SETTINGS: &str = "heartbeat = \"1s\"\ndead_after = \"3s\"";

/// Builders for the jobs, and the pipelines `whole` and `inner`. What a command is called in its witness has the properties in
/// it that should have reached it.
fn configuration(fleet: &Fleet) -> String {
    let dir = fleet.path("ci.toml");
    let dir = dir.parent().expect("a directory");
    let script = script(dir);
    let dir = dir.display();
    let builder = |name: &str, witness: &str, more: &str| {
        format!(
            "[[builder]]\nname = \"{name}\"\nworkers = [\"label:any\"]\n\
             [[builder.step]]\ntype = \"shell\"\nname = \"run\"\nhalt_on_failure = true\n\
             command = \"sh {script} %(prop:tag)s {witness} 20\"\n{more}"
        )
    };
    let output = |name: &str| {
        format!(
            "[[builder.step]]\ntype = \"set_property\"\nproperty = \"{name}\"\ncommand = \"echo {name}-%(prop:tag)s\"\n"
        )
    };
    [
        worker_sections(&WORKERS, 2),
        builder("prepare", "prepare", &output("made")),
        builder("unit", "unit-%(prop:os)s-%(prop:n)s-%(prop:made)s", ""),
        // Fails the first time.
        builder(
            "flaky",
            "flaky",
            &format!(
                "[[builder.step]]\ntype = \"shell\"\nname = \"again\"\ncommand = \"mkdir {dir}/%(prop:tag)s.tried && exit 3; true\"\n"
            ),
        ),
        builder("find", "find", FIND),
        builder("part", "part-%(prop:n)s", ""),
        builder("ship", "ship-%(prop:made)s", &output("shipped")),
        builder("report", "report-%(prop:made)s-%(prop:shipped)s", ""),
        PIPELINES.into(),
    ]
    .concat()
}

/// Two jobs more, for which `join` waits, too.
const FIND: &str = r#"
[[builder.step]]
type = "shell"
name = "write"
command = '''printf 'jobs:\n- name: part\n  builder: part\n  matrix: {n: [1, 2]}\n  needed_by: [join]\n' > jobs.yaml'''
[[builder.step]]
type = "add_jobs"
name = "add"
file = "jobs.yaml"
"#;

const PIPELINES: &str = r#"
[[pipeline]]
name = "whole"
[[pipeline.job]]
name = "prepare"
builder = "prepare"
outputs = ["made"]
[[pipeline.job]]
name = "unit"
builder = "unit"
needs = ["prepare"]
matrix = { os = ["linux", "bsd"], n = [1, 2] }
[[pipeline.job]]
name = "flaky"
builder = "flaky"
retry = { limit = 1, on = ["exit_code"] }
[[pipeline.job]]
name = "find"
builder = "find"
[[pipeline.job]]
name = "join"
needs = ["unit", "flaky", "find"]
[[pipeline.job]]
name = "allow"
needs = ["join"]
approval = { prompt = "Ship it?" }
[[pipeline.job]]
name = "ship"
pipeline = "inner"
needs = ["prepare", "allow"]
outputs = ["shipped"]
[[pipeline.job]]
name = "report"
builder = "report"
needs = ["prepare", "ship"]

[[pipeline]]
name = "inner"
[[pipeline.job]]
name = "send"
builder = "ship"
outputs = ["shipped"]
"#;

/// Jobs of `whole`, with the number of their builds.
const JOBS: [(&str, usize); 13] = [
    ("prepare", 1),
    ("unit (linux, 1)", 1),
    ("unit (linux, 2)", 1),
    ("unit (bsd, 1)", 1),
    ("unit (bsd, 2)", 1),
    ("flaky", 2),
    ("find", 1),
    ("part (1)", 1),
    ("part (2)", 1),
    ("join", 0),
    ("allow", 0),
    ("ship", 0),
    ("report", 1),
];

async fn fleet(database: Kind) -> Fleet {
    let mut fleet = Fleet::on(database, "", "");
    fleet.configure(SETTINGS, &configuration(&fleet));
    fleet.start_master().await;
    for worker in WORKERS {
        fleet.spawn_worker(worker);
    }
    fleet.workers_connected(&WORKERS).await;
    fleet
}

/// Starts a run of `whole`; its id once that is acknowledged.
async fn start(fleet: &Fleet, tag: &str) -> Option<u64> {
    let pipelines = fleet.list("/api/v2/pipelines?name=whole", "pipelines").await;
    let pipeline = &pipelines[0]["pipelineid"];
    let params = json!({"branch": "main", "reason": "a test", "properties": {"tag": tag}});
    let (status, answer) = fleet
        .call(&format!("/api/v2/pipelines/{pipeline}"), "start", params)
        .await?;
    assert_eq!(status, 200, "start: {answer}\n{}", fleet.evidence());
    let run = answer["result"]["runid"].as_u64();
    assert!(run.is_some(), "start: {answer}");
    run
}

/// Approves whatever waits for it.
async fn approve_all(fleet: &Fleet) {
    let Some(waiting) = fleet.get("/api/v2/jobs?state=awaiting_approval").await else {
        return;
    };
    for job in waiting["jobs"].as_array().expect("a list") {
        let id = job["jobid"].as_u64().expect("a job has an id");
        if let Some((status, answer)) = fleet
            .call(&format!("/api/v2/jobs/{id}"), "approve", json!({}))
            .await
        {
            assert_eq!(status, 200, "{answer}\n{}", fleet.evidence());
        }
    }
}

async fn completed(fleet: &Fleet, run: u64) -> Value {
    let mut found = Value::Null;
    fleet
        .until(&format!("run {run} is complete"), async |fleet| {
            approve_all(fleet).await;
            if let Some(answer) = fleet.get(&format!("/api/v2/runs/{run}")).await {
                found = answer["runs"][0].clone();
            }
            found["complete"] == true
        })
        .await;
    found
}

async fn jobs_of(fleet: &Fleet, run: u64) -> BTreeMap<String, Value> {
    fleet
        .list(&format!("/api/v2/runs/{run}/jobs"), "jobs")
        .await
        .into_iter()
        .map(|job| (job["name"].as_str().expect("a job has a name").to_owned(), job))
        .collect()
}

/// Demands that a run has ended well, and that every attempt of its jobs was one build, whose command ran once.
async fn ran_exactly_once(fleet: &Fleet, tag: &str, run: u64) {
    let done = completed(fleet, run).await;
    assert_eq!(done["results"], 0, "{done}\n{}", fleet.evidence());
    let jobs = jobs_of(fleet, run).await;
    assert_eq!(jobs.len(), JOBS.len(), "{jobs:?}");
    for (name, builds) in JOBS {
        let job = &jobs[name];
        assert_eq!(job["results"], 0, "{job}\n{}", fleet.evidence());
        assert_eq!(job["attempts"], builds.max(1), "{job}\n{}", fleet.evidence());
    }
    assert_eq!(
        jobs["prepare"]["outputs"]["made"][0],
        json!(format!("made-{tag}"))
    );
    let flaky = &jobs["flaky"]["jobid"];
    let attempts = fleet
        .list(&format!("/api/v2/jobs/{flaky}/builds?order=buildid"), "builds")
        .await;
    let ends: Vec<&Value> = attempts.iter().map(|build| &build["results"]).collect();
    assert_eq!(ends, [2, 0], "{attempts:?}");
    let child = jobs["ship"]["child_runid"].as_u64().expect("it started a run");
    let inner = jobs_of(fleet, child).await;
    assert_eq!(inner["send"]["attempts"], 1, "{inner:?}");
    let (once, twice) = ("begin\nend\n", "begin\nend\nbegin\nend\n");
    for (name, expected) in [
        ("prepare".to_owned(), once),
        (format!("unit-linux-1-made-{tag}"), once),
        (format!("unit-linux-2-made-{tag}"), once),
        (format!("unit-bsd-1-made-{tag}"), once),
        (format!("unit-bsd-2-made-{tag}"), once),
        ("flaky".to_owned(), twice),
        ("find".to_owned(), once),
        ("part-1".to_owned(), once),
        ("part-2".to_owned(), once),
        (format!("ship-made-{tag}"), once),
        (format!("report-made-{tag}-shipped-{tag}"), once),
    ] {
        assert_eq!(
            witness(fleet, tag, &name),
            expected,
            "{tag} {name}: commands ran otherwise than they should\n{}",
            fleet.evidence()
        );
    }
}

async fn kills_amid_runs(database: Kind) {
    let (wanted, mut rng) = asked_for(KILLS);
    let mut fleet = fleet(database).await;
    let mut accepted = Vec::new();
    let mut kills = 0;
    while kills < wanted {
        begin_one(&fleet, &mut rng, &mut accepted).await;
        approve_all(&fleet).await;
        kills += kill_at_random(&mut fleet, &mut rng).await;
    }
    assert!(
        accepted.len() as u64 >= wanted / 2,
        "too few runs were accepted for this to mean anything"
    );
    for (tag, run) in &accepted {
        ran_exactly_once(&fleet, tag, *run).await;
    }
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
    println!("{kills} kills, {} runs", accepted.len());
    println!("kills amid runs: {kills} histories checked");
}

async fn begin_one(fleet: &Fleet, rng: &mut Rng, accepted: &mut Vec<(String, u64)>) {
    let tag = format!("t{:x}", rng.next());
    if let Some(run) = start(fleet, &tag).await {
        accepted.push((tag, run));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_survive_kills_at_random_moments() {
    kills_amid_runs(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_survive_kills_at_random_moments_on_postgresql() {
    kills_amid_runs(Kind::Postgres).await;
}

/// Dies in the moment between the commit and the step's hearing of it.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_were_added_are_not_added_again() {
    let mut fleet = fleet(Kind::Sqlite).await;
    fleet.kill_master();
    fleet.spawn_master(Some("jobs_added"));
    fleet
        .until("the master serves", async |fleet| {
            fleet.get("/api/v2/builders").await.is_some()
        })
        .await;
    // It may be dead before it has answered.
    start(&fleet, "added").await;
    assert!(!fleet.master_ended().await.success());
    fleet.start_master().await;
    let runs = fleet.list("/api/v2/runs", "runs").await;
    assert_eq!(runs.len(), 1, "{runs:?}");
    let run = runs[0]["runid"].as_u64().expect("a run has an id");
    ran_exactly_once(&fleet, "added", run).await;
    let job = &jobs_of(&fleet, run).await["find"];
    let build = job["buildid"].as_u64().expect("it was built");
    let said = fleet
        .text(&format!("/api/v2/builds/{build}/steps/add/logs/stdio/raw"))
        .await;
    assert!(said.contains("added 2 jobs: 'part'"), "{said}");
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
}

/// Jobs that make no sense, or come too late: none is added, and the step's log says what is wrong and where.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_cannot_be_added_are_refused_with_their_places() {
    let mut fleet = Fleet::new("", "");
    let toml = r#"
[[builder]]
name = "add"
workers = ["label:any"]
[[builder.step]]
type = "shell"
name = "write"
command = "printf '%(prop:text)s' > jobs.toml"
[[builder.step]]
type = "add_jobs"
name = "add"
file = "jobs.toml"
[[pipeline]]
name = "whole"
[[pipeline.job]]
name = "first"
[[pipeline.job]]
name = "add"
builder = "add"
needs = ["first"]
"#;
    fleet.configure("", &format!("{}{toml}", worker_sections(&["w1"], 1)));
    fleet.start_master().await;
    fleet.spawn_worker("w1");
    fleet.workers_connected(&["w1"]).await;
    for (text, said) in [
        (
            "[[job]]\\nname = \"a\"\\nbilder = \"add\"\\n",
            &["jobs.toml:3:1", "has no key `bilder`", "did you mean `builder`"][..],
        ),
        (
            "[[job]]\\nname = \"a\"\\nneeds = [\"b\"]\\n",
            &["job `a`", "`needs` names `b`, and there is no such job"],
        ),
        (
            "[[job]]\\nname = \"a\"\\nneeded_by = [\"first\"]\\n",
            &["`needed_by` names `first`, which does not wait any more"],
        ),
    ] {
        let params = json!({"branch": "main", "properties": {"text": text}});
        let (status, answer) = fleet
            .call("/api/v2/pipelines/1", "start", params)
            .await
            .expect("the master answers");
        assert_eq!(status, 200, "{answer}");
        let run = answer["result"]["runid"].as_u64().expect("a run");
        let done = completed(&fleet, run).await;
        assert_eq!(done["results"], 2, "{done}");
        let jobs = jobs_of(&fleet, run).await;
        assert_eq!(jobs.len(), 2, "{jobs:?}");
        let build = jobs["add"]["buildid"].as_u64().expect("it was built");
        let log = fleet
            .text(&format!("/api/v2/builds/{build}/steps/add/logs/stdio/raw"))
            .await;
        for part in said {
            assert!(log.contains(part), "no {part:?} in\n{log}");
        }
    }
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
}

/// A run that was asked to build the newest builds one revision, also when the branch moves on meanwhile, and says which.
#[tokio::test(flavor = "multi_thread")]
async fn all_jobs_of_a_run_build_one_revision() {
    let mut fleet = Fleet::new("", "");
    let repository = fleet.path("repository");
    fs::create_dir(&repository).expect("the directory is ours");
    git(&repository, &["init", "--quiet"]);
    git(
        &repository,
        &["commit", "--quiet", "--allow-empty", "--message", "First"],
    );
    let builder = |name: &str, command: &str| {
        format!(
            "[[builder]]\nname = \"{name}\"\nworkers = [\"label:any\"]\n\
             [[builder.step]]\ntype = \"git\"\nrepository = \"{0}\"\n\
             [[builder.step]]\ntype = \"shell\"\nname = \"run\"\ncommand = \"{command}\"\n",
            word(&repository)
        )
    };
    // While the first job runs, somebody commits.
    let commit = format!(
        "git -C {} -c user.name=a -c user.email=a@b commit --quiet --allow-empty --message Second",
        word(&repository)
    );
    let configuration = [
        worker_sections(&["w1"], 2),
        builder("first", &commit),
        builder("second", "git rev-parse HEAD"),
        "[[pipeline]]\nname = \"p\"\n[[pipeline.job]]\nname = \"first\"\nbuilder = \"first\"\n\
         [[pipeline.job]]\nname = \"second\"\nbuilder = \"second\"\nneeds = [\"first\"]\n"
            .into(),
    ];
    fleet.configure("", &configuration.concat());
    fleet.start_master().await;
    let params = json!({"branch": "main", "repository": word(&repository)});
    let started = fleet.call("/api/v2/pipelines/1", "start", params).await;
    let run = started.expect("the master answers").1["result"]["runid"].clone();
    assert!(explained(&fleet, 1).contains("job 1 (first) of run 1 waits: build request 1: "));
    assert_eq!(
        explained(&fleet, 2),
        "job 2 (second) of run 1 waits: it needs `first`\n"
    );
    fleet.spawn_worker("w1");
    let done = completed(&fleet, run.as_u64().expect("a run")).await;
    assert_eq!(done["results"], 0, "{done}\n{}", fleet.evidence());
    let newest = git(&repository, &["rev-parse", "HEAD"]);
    let first = git(&repository, &["rev-parse", "HEAD~1"]);
    assert_ne!(newest, first, "the branch has moved");
    assert_eq!(done["sourcestamps"][0]["revision"], first.trim(), "{done}");
    let jobs = jobs_of(&fleet, done["runid"].as_u64().expect("a run")).await;
    let build = jobs["second"]["buildid"].as_u64().expect("it was built");
    assert_eq!(fleet.output(build, "run").await.trim(), first.trim());
    assert_eq!(
        explained(&fleet, 2),
        "job 2 (second) of run 1 is over: complete\n"
    );
}

/// What `ironmaster explain` says of a job.
fn explained(fleet: &Fleet, job: u64) -> String {
    let mut command = fleet.ironmaster(&["explain", "ci.toml", "job", &job.to_string()]);
    let output = command.output().expect("the program can be started");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}
