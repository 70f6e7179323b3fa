//! Our worker on a stock Buildbot master, beside stock workers on the same: over both protocols it does the same.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    fleet::{PATIENCE, free_port, program},
    stock_workers::stock,
    tls::certificate,
    witness::git,
};

const POLL: Duration = Duration::from_millis(50);
/// A stock master takes its time for sixty steps on four workers, and much of it on a slow machine.
const BUILD_PATIENCE: Duration = Duration::from_mins(12);

/// A stock master and workers of both kinds, in a directory of their own. Ends them when dropped.
struct Site {
    dir: tempfile::TempDir,
    pb: u16,
    msgpack: u16,
    web: u16,
    /// The certificate and the key of the port for Perspective Broker, in the master's words; none if it is not encrypted.
    identity: Option<String>,
    http: reqwest::Client,
    master: Option<Child>,
    workers: BTreeMap<String, Child>,
}

impl Site {
    fn new() -> Self {
        let site = Self {
            dir: tempfile::Builder::new()
                .prefix("ironmaster-e2e-")
                .tempdir()
                .expect("a temporary directory"),
            pb: free_port(),
            msgpack: free_port(),
            web: free_port(),
            identity: None,
            // Each request over a connection of its own: the master closes idle ones, and is killed.
            http: reqwest::Client::builder()
                .pool_max_idle_per_host(0)
                .build()
                .expect("nothing was set that can be wrong"),
            master: None,
            workers: BTreeMap::new(),
        };
        fs::create_dir_all(site.path("source/repo")).expect("the directory is ours");
        let large: String = (0..50_000).map(|number| format!("{number}\n")).collect();
        fs::write(site.path("source/large"), large).expect("the directory is ours");
        let repository = site.path("source/repo");
        git(&repository, &["init", "--quiet"]);
        fs::write(repository.join("hello"), "hi\n").expect("the directory is ours");
        git(&repository, &["add", "--all"]);
        git(&repository, &["commit", "--quiet", "--message", "First"]);
        run(Command::new(stock("buildbot"))
            .arg("create-master")
            .arg(site.path("master")));
        fs::write(site.path("master/master.cfg"), include_str!("stock_master.cfg"))
            .expect("the directory is ours");
        site
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn start_master(&mut self) {
        let settings = format!(
            "{},{},{},{}",
            self.pb,
            self.msgpack,
            self.web,
            self.path("source").display()
        );
        let mut command = twistd();
        command
            .current_dir(self.path("master"))
            .env("E2E_MASTER", settings)
            .env("E2E_IDENTITY", self.identity.as_deref().unwrap_or_default())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // The master looks for its version control programs and plugins on the path.
        let programs = stock("twistd");
        let programs = programs.parent().expect("it is in a folder").display();
        let path = std::env::var("PATH").expect("there is one");
        command.env("PATH", format!("{programs}:{path}"));
        self.master = Some(command.spawn().expect("twistd can be started"));
    }

    /// Makes the folder of a worker as its owner would: with the program of stock Buildbot.
    fn create(&self, name: &str, password: &str) {
        let mut command = Command::new(stock("buildbot-worker"));
        command.arg("create-worker");
        let port = if name.ends_with("msgpack") {
            command.arg("--protocol=msgpack_experimental_v7");
            self.msgpack
        } else {
            self.pb
        };
        run(command
            .arg(self.path(name))
            .args([&format!("127.0.0.1:{port}"), name, password]));
        fs::write(self.path(name).join("info/host"), "A machine of old.\n").expect("the directory is ours");
    }

    fn start(&mut self, name: &str) {
        let mut command = if name.starts_with("ours") {
            let mut command = Command::new(program("ironmaster-worker"));
            command.arg("buildbot").arg(self.path(name));
            command
        } else {
            let mut command = twistd();
            command.current_dir(self.path(name));
            command
        };
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("{name}.log")))
            .expect("the directory is ours");
        command
            .env("LANG_OF_TEST", "en")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log);
        let child = command.spawn().expect("the worker can be started");
        self.workers.insert(name.to_owned(), child);
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }

    /// What a person would look at when a test fails.
    fn evidence(&self) -> String {
        let log = fs::read_to_string(self.path("master/twistd.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(40).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        let workers: Vec<String> = self.workers.keys().map(|name| self.log(name)).collect();
        format!("{}\n{}", tail.join("\n"), workers.join("\n"))
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}/api/v2/{path}", self.web);
        let answer = self.http.get(url).send().await.ok()?;
        serde_json::from_slice(&answer.bytes().await.ok()?).ok()
    }

    async fn list(&self, path: &str, key: &str) -> Vec<Value> {
        let answer = self.get(path).await.unwrap_or_default();
        answer[key].as_array().cloned().unwrap_or_default()
    }

    async fn until<T>(&self, patience: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(Instant::now() < deadline, "no {what}\n{}", self.evidence());
            tokio::time::sleep(POLL).await;
        }
    }

    async fn connected(&self, names: &[&str]) {
        self.until(PATIENCE, "connected workers", async || {
            let workers = self.list("workers", "workers").await;
            let all = names.iter().all(|name| {
                workers.iter().any(|worker| {
                    worker["name"] == **name
                        && worker["connected_to"]
                            .as_array()
                            .is_some_and(|masters| !masters.is_empty())
                })
            });
            all.then_some(())
        })
        .await;
    }

    async fn disconnected(&self, name: &str) {
        self.until(PATIENCE, "lost worker", async || {
            let workers = self.list("workers", "workers").await;
            let worker = workers.iter().find(|worker| worker["name"] == *name)?;
            worker["connected_to"].as_array()?.is_empty().then_some(())
        })
        .await;
    }

    /// Says the request's number.
    async fn force(&self, builder: &str, pidfile: &Path) -> u64 {
        let builders = self.list("builders", "builders").await;
        let id = builders
            .iter()
            .find(|found| found["name"] == builder)
            .unwrap_or_else(|| panic!("no builder {builder}\n{}", self.evidence()))["builderid"]
            .clone();
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "force",
            "params": {"builderid": id, "pidfile": pidfile.to_string_lossy()}});
        let url = format!("http://127.0.0.1:{}/api/v2/forceschedulers/force", self.web);
        let answer = self
            .http
            .post(url)
            .header("Content-Type", "application/json")
            .body(call.to_string())
            .send()
            .await
            .expect("the master answers");
        let answer: Value =
            serde_json::from_slice(&answer.bytes().await.expect("it has a body")).expect("it is JSON");
        let requests = answer["result"][1].as_object().expect("requests by builder");
        requests
            .values()
            .next()
            .and_then(Value::as_u64)
            .unwrap_or_else(|| panic!("{answer}"))
    }

    /// The builds of a request, once there are so many that are complete.
    async fn built(&self, request: u64, count: usize) -> Vec<Value> {
        self.until(BUILD_PATIENCE, "complete build", async || {
            let builds = self
                .list(
                    &format!("builds?buildrequestid={request}&complete=true"),
                    "builds",
                )
                .await;
            (builds.len() >= count).then_some(builds)
        })
        .await
    }

    /// The steps of a build: name, result and what the master says of it, with the lines of its logs.
    async fn steps(&self, build: &Value) -> Vec<Step> {
        let mut told = Vec::new();
        for step in self
            .list(&format!("builds/{}/steps", build["buildid"]), "steps")
            .await
        {
            let mut logs = BTreeMap::new();
            for log in self.list(&format!("steps/{}/logs", step["stepid"]), "logs").await {
                let chunk = self.get(&format!("logs/{}/contents", log["logid"])).await;
                let chunk = chunk.unwrap_or_default();
                let content = match &chunk["logchunks"] {
                    Value::Array(chunks) => chunks
                        .iter()
                        .filter_map(|chunk| chunk["content"].as_str())
                        .collect(),
                    chunk => chunk["content"].as_str().unwrap_or_default().to_owned(),
                };
                logs.insert(log["name"].as_str().unwrap_or_default().to_owned(), content);
            }
            told.push(Step {
                name: step["name"].as_str().unwrap_or_default().to_owned(),
                results: step["results"].clone(),
                state: step["state_string"].as_str().unwrap_or_default().to_owned(),
                logs,
            });
        }
        told
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for child in self.workers.values_mut().chain(&mut self.master) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[derive(Debug)]
struct Step {
    name: String,
    results: Value,
    state: String,
    logs: BTreeMap<String, String>,
}

impl Step {
    /// Lines of one kind (`o`, `e`, `h`), without what differs between two workers that do the same.
    fn lines(&self, log: &str, kind: char, base: &str) -> Vec<String> {
        let text = self.logs.get(log).map_or("", String::as_str);
        text.lines()
            .filter(|line| line.starts_with(kind))
            .map(|line| line.replace(base, "BASE"))
            .collect()
    }
}

fn twistd() -> Command {
    let mut command = Command::new(stock("twistd"));
    command
        .args(["--nodaemon", "--no_save", "--pidfile=", "--python=buildbot.tac"])
        .stdin(Stdio::null());
    command
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program can be started");
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// What a folder holds: names with contents, permissions or targets.
fn content(folder: &Path) -> BTreeMap<String, String> {
    let output = Command::new("sh")
        .args([
            "-c",
            "find . -mindepth 1 -printf '%P %y %m %l\\n' | sort; find . -type f -exec md5sum {} + | sort -k2",
        ])
        .current_dir(folder)
        .output()
        .expect("find is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .enumerate()
        .map(|(number, line)| (number.to_string(), line.to_owned()))
        .collect()
}

/// Steps of which each worker says in words of its own why something went wrong.
const OWN_WORDS: &[&str] = &[
    "absent",
    "download too much",
    "upload missing",
    "upload too much",
    "directory missing",
];
/// Steps whose output comes in another order, or to another length, each time.
const NEVER_THE_SAME: &[&str] = &["git", "too many"];

/// On a port `ssl:` of the master, as its documentation has it; the worker's `buildbot.tac` says how.
#[tokio::test]
async fn our_worker_serves_an_encrypted_master() {
    let mut site = Site::new();
    let [certificate, key, authority] = ["server.pem", "server.key", "authority.pem"].map(certificate);
    site.identity = Some(format!(
        "certKey={}:privateKey={}",
        certificate.display(),
        key.display()
    ));
    site.start_master();
    let roots = site.path("roots");
    fs::create_dir(&roots).expect("the directory is ours");
    fs::copy(authority, roots.join("authority.pem")).expect("the directory is ours");
    let master = format!(
        "tls:host=localhost:port={}:trustRoots={}",
        site.pb,
        roots.display()
    );
    let mut create = Command::new(stock("buildbot-worker"));
    create
        .arg("create-worker")
        .arg(format!("--connection-string={master}"));
    run(create
        .arg(site.path("ours-pb"))
        .args(["nowhere", "ours-pb", "secret of ours-pb"]));
    site.start("ours-pb");
    site.connected(&["ours-pb"]).await;
    let request = site.force("everything ours-pb", Path::new("")).await;
    let build = site.built(request, 1).await.remove(0);
    let steps = site.steps(&build).await;
    assert!(steps.len() > 50, "{steps:?}\n{}", site.evidence());
    let many = steps.iter().find(|step| step.name == "many").expect("it ran");
    let printed = |kind| many.lines("stdio", kind, "/nowhere").len();
    assert_eq!((printed('o'), printed('e')), (100_000, 20_000));
    let got = content(&site.path("master/got/everything ours-pb"));
    assert!(got.len() > 20, "{got:?}");
}

#[tokio::test]
async fn our_worker_does_what_a_stock_worker_does() {
    let mut site = Site::new();
    site.start_master();
    let names = ["ours-pb", "stock-pb", "ours-msgpack", "stock-msgpack"];
    for name in names {
        site.create(name, &format!("secret of {name}"));
        site.start(name);
    }
    site.connected(&names).await;
    let mut requests = Vec::new();
    for name in names {
        requests.push(site.force(&format!("everything {name}"), Path::new("")).await);
    }
    let mut told = BTreeMap::new();
    for (name, request) in names.iter().zip(requests) {
        let build = site.built(request, 1).await.remove(0);
        told.insert(*name, site.steps(&build).await);
    }
    for protocol in ["pb", "msgpack"] {
        let (ours, stock) = (format!("ours-{protocol}"), format!("stock-{protocol}"));
        let (our, their) = (&told[ours.as_str()], &told[stock.as_str()]);
        let names = |steps: &[Step]| -> Vec<String> { steps.iter().map(|step| step.name.clone()).collect() };
        assert_eq!(names(our), names(their), "{protocol}\n{}", site.evidence());
        assert!(our.len() > 50, "{protocol}: {our:?}");
        let (our_base, their_base) = (site.path(&ours), site.path(&stock));
        let (our_base, their_base) = (our_base.to_string_lossy(), their_base.to_string_lossy());
        for (our, their) in our.iter().zip(their) {
            let name = &our.name;
            assert_eq!(
                (&our.results, our.state.replace(&ours, "NAME")),
                (&their.results, their.state.replace(&stock, "NAME")),
                "{protocol}, {name}: {our:?}\n{their:?}"
            );
            let logs = |step: &Step| -> Vec<String> { step.logs.keys().cloned().collect() };
            assert_eq!(logs(our), logs(their), "{protocol}, {name}");
            if NEVER_THE_SAME.contains(&name.as_str()) {
                continue;
            }
            for log in our.logs.keys() {
                assert!(
                    our.lines(log, 'o', &our_base) == their.lines(log, 'o', &their_base),
                    "{protocol}, {name}, {log}: {our:?}\n{their:?}"
                );
                let (our, their) = (our.lines(log, 'e', &our_base), their.lines(log, 'e', &their_base));
                if OWN_WORDS.contains(&name.as_str()) {
                    assert_eq!(our.is_empty(), their.is_empty(), "{protocol}, {name}");
                } else {
                    assert_eq!(our, their, "{protocol}, {name}, {log}");
                }
            }
        }
        // What was uploaded, with its permissions.
        let got = |name: &str| content(&site.path(&format!("master/got/everything {name}")));
        let (our, their) = (got(&ours), got(&stock));
        assert!(our.len() > 20, "{our:?}");
        assert_eq!(our, their, "{protocol}");
        let log = &told[ours.as_str()];
        let signal = log.iter().find(|step| step.name == "signal").expect("it ran");
        assert!(
            signal
                .lines("stdio", 'h', "/nowhere")
                .iter()
                .any(|line| line.contains("signal 11")),
            "{signal:?}"
        );
    }
    let workers = site.list("workers", "workers").await;
    let info = |name: &str| {
        let worker = workers.iter().find(|worker| worker["name"] == name);
        worker
            .map(|worker| worker["workerinfo"].clone())
            .unwrap_or_default()
    };
    for name in ["ours-pb", "ours-msgpack"] {
        let info = info(name);
        assert_eq!(info["host"], "A machine of old.\n", "{info}");
        assert!(
            info["version"]
                .as_str()
                .is_some_and(|version| version.starts_with("ironmaster-worker ")),
            "{info}"
        );
    }
}

/// Waits until a command has written the number of its process.
async fn pid_in(site: &Site, path: &Path) -> i32 {
    site.until(PATIENCE, "running command", async || {
        fs::read_to_string(path).ok()?.trim().parse().ok()
    })
    .await
}

async fn gone(site: &Site, pid: i32) {
    site.until(PATIENCE, "end of the command's process", async || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
        (state.is_empty() || state.starts_with('Z')).then_some(())
    })
    .await;
}

async fn survives_kills(name: &str) {
    let mut site = Site::new();
    site.start_master();
    site.create(name, &format!("secret of {name}"));
    site.start(name);
    site.connected(&[name]).await;
    // A person stops a build.
    let pidfile = site.path("pid");
    let request = site.force(&format!("long {name}"), &pidfile).await;
    let pid = pid_in(&site, &pidfile).await;
    let mut status = Command::new(program("ironmaster-worker"));
    let told = status.arg("status").arg(site.path(name)).output();
    let told = told.expect("the program can be started");
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success(), "{told:?}");
    assert!(
        text.contains("connected to the Buildbot master at 127.0.0.1:") && text.contains("shell"),
        "{text}"
    );
    let build = site
        .until(PATIENCE, "running build", async || {
            let builds = site
                .list(&format!("builds?buildrequestid={request}"), "builds")
                .await;
            builds.first().cloned()
        })
        .await;
    let url = format!("http://127.0.0.1:{}/api/v2/builds/{}", site.web, build["buildid"]);
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "stop", "params": {"reason": "enough"}});
    site.http
        .post(url)
        .header("Content-Type", "application/json")
        .body(call.to_string())
        .send()
        .await
        .expect("the master answers");
    let builds = site.built(request, 1).await;
    assert_eq!(builds[0]["results"], 6, "{builds:?}\n{}", site.evidence());
    gone(&site, pid).await;

    // The worker is killed: nothing of it stays, the master tries the build again, and a new one takes it up.
    fs::remove_file(&pidfile).expect("it is there");
    let request = site.force(&format!("long {name}"), &pidfile).await;
    let pid = pid_in(&site, &pidfile).await;
    let mut worker = site.workers.remove(name).expect("it runs");
    worker.kill().expect("it is ours");
    worker.wait().expect("it is ours");
    gone(&site, pid).await;
    site.disconnected(name).await;
    fs::remove_file(&pidfile).expect("it is there");
    site.start(name);
    let builds = site.built(request, 1).await;
    assert_eq!(builds[0]["results"], 5, "{builds:?}\n{}", site.evidence());
    let pid = pid_in(&site, &pidfile).await;

    // The master is killed: the command ends, and the worker comes back to the next one.
    let mut master = site.master.take().expect("it runs");
    master.kill().expect("it is ours");
    master.wait().expect("it is ours");
    gone(&site, pid).await;
    fs::remove_file(&pidfile).expect("it is there");
    site.start_master();
    site.connected(&[name]).await;
    let request = site.force(&format!("quick {name}"), &pidfile).await;
    let builds = site.built(request, 1).await;
    assert_eq!(builds[0]["results"], 0, "{builds:?}\n{}", site.evidence());

    // The build that the master was amid runs again. SIGTERM is a clean end all the same.
    let pid = pid_in(&site, &pidfile).await;
    let worker = site.workers.get_mut(name).expect("it runs");
    let number = rustix::process::Pid::from_child(worker);
    rustix::process::kill_process(number, rustix::process::Signal::TERM).expect("it is ours");
    let status = worker.wait().expect("it is ours");
    assert!(status.success(), "{status}\n{}", site.evidence());
    gone(&site, pid).await;
}

#[tokio::test]
async fn our_worker_survives_kills_on_either_side_over_pb() {
    survives_kills("ours-pb").await;
}

#[tokio::test]
async fn our_worker_survives_kills_on_either_side_over_msgpack() {
    survives_kills("ours-msgpack").await;
}

#[tokio::test]
async fn a_wrong_password_and_a_try_with_a_patch() {
    let mut site = Site::new();
    site.start_master();
    site.create("ours-msgpack", "wrong");
    site.create("ours-pb", "wrong");
    site.start("ours-pb");
    site.start("ours-msgpack");
    for name in ["ours-pb", "ours-msgpack"] {
        let expected = format!("refuses the name or the password of worker \"{name}\"");
        site.until(PATIENCE, "word about the password", async || {
            let log = site.log(name);
            assert!(!log.contains("wrong\n"), "{log}");
            log.contains(&expected).then_some(())
        })
        .await;
    }
    // Somebody corrects it, here by the option.
    let mut worker = site.workers.remove("ours-pb").expect("it runs");
    worker.kill().expect("it is ours");
    worker.wait().expect("it is ours");
    fs::write(site.path("password"), "secret of ours-pb\n").expect("the directory is ours");
    let mut command = Command::new(program("ironmaster-worker"));
    command
        .arg("buildbot")
        .arg(site.path("ours-pb"))
        .arg("--password-file")
        .arg(site.path("password"))
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let child = command.spawn().expect("the worker can be started");
    site.workers.insert("ours-pb".into(), child);
    site.connected(&["ours-pb"]).await;
    let diff = "--- a/hello\n+++ b/hello\n@@ -1 +1 @@\n-hi\n+patched\n";
    fs::write(site.path("diff"), diff).expect("the directory is ours");
    run(Command::new(stock("buildbot"))
        .args([
            "try",
            "--connect=pb",
            "--username=ada",
            "--passwd=love",
            "--vc=git",
        ])
        .arg(format!("--master=127.0.0.1:{}", site.pb))
        .arg(format!("--diff={}", site.path("diff").display()))
        .arg(format!(
            "--repository=file://{}",
            site.path("source/repo").display()
        ))
        .args(["--patchlevel=1", "--builder=patched ours-pb", "--baserev=HEAD"])
        .current_dir(site.path("source/repo")));
    let build = site
        .until(BUILD_PATIENCE, "complete build", async || {
            let builds = site.list("builds?complete=true", "builds").await;
            builds.first().cloned()
        })
        .await;
    let steps = site.steps(&build).await;
    let there = steps.iter().find(|step| step.name == "there");
    let there = there.unwrap_or_else(|| panic!("{steps:?}\n{}", site.evidence()));
    assert_eq!(
        (build["results"].as_u64(), there.lines("stdio", 'o', "/nowhere")),
        (Some(0), vec!["opatched".to_owned()]),
        "{steps:?}"
    );
}
