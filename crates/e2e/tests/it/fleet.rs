//! A master and workers as processes, in a directory of their own.

use std::{
    fs,
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::database::{self, Kind, Postgres};

/// How long anything may take before a test gives up. Only a broken program gets there, also on a slow
/// machine that does something else as well.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);
const POLL: Duration = Duration::from_millis(20);

/// A configuration with its processes. Ends them when dropped.
pub(crate) struct Fleet {
    dir: tempfile::TempDir,
    port: u16,
    /// With the port at which the master finds it.
    postgres: Option<(Postgres, u16)>,
    pub(crate) http: reqwest::Client,
    pub(crate) master: Option<Child>,
    pub(crate) workers: Vec<(String, Child)>,
}

/// Where cargo puts the programs: beside the directory of this test's own executable.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let path = test.ancestors().nth(2).expect("target/debug/deps").join(name);
    assert!(
        path.is_file(),
        "{} is missing; `cargo build` first (`make test` does)",
        path.display()
    );
    path
}

/// A port that no other test gets as long as this process lives, whether its program runs or not: below those that the
/// kernel gives to whoever asks for any, and held by a name that ends with the process.
pub(crate) fn free_port() -> u16 {
    static HELD: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    let first = std::process::id() % 10_000;
    for offset in 0..10_000 {
        let port = u16::try_from(10_000 + (first + offset) % 10_000).expect("it is below 20000");
        let name = SocketAddr::from_abstract_name(format!("ironmaster-port-{port}"))
            .expect("it has no more bytes than a name may have");
        let Ok(held) = UnixListener::bind_addr(&name) else {
            continue;
        };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            HELD.lock().unwrap_or_else(PoisonError::into_inner).push(held);
            return port;
        }
    }
    panic!("all ports from 10000 to 19999 are taken");
}

impl Fleet {
    /// `toml` is the configuration without `[master]`; `settings` are further lines of `[master]`.
    pub(crate) fn new(settings: &str, toml: &str) -> Self {
        Self::on(Kind::Sqlite, settings, toml)
    }

    /// The same on a database of this kind.
    pub(crate) fn on(database: Kind, settings: &str, toml: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("ironmaster-e2e-")
            .tempdir()
            .expect("a temporary directory");
        let port = free_port();
        let postgres = (database == Kind::Postgres).then(|| {
            let postgres = Postgres::new(&format!("e2e_{}_{port}", std::process::id()));
            let at = postgres.port();
            (postgres, at)
        });
        let fleet = Self {
            dir,
            port,
            postgres,
            http: client(),
            master: None,
            workers: Vec::new(),
        };
        fleet.configure(settings, toml);
        fleet
    }

    pub(crate) fn configure(&self, settings: &str, toml: &str) {
        let port = self.port;
        let database = self
            .postgres
            .as_ref()
            .map(|(postgres, at)| postgres.settings(*at))
            .unwrap_or_default();
        let text = format!(
            "[master]\nlisten = \"127.0.0.1:{port}\"\nurl = \"http://127.0.0.1:{port}/\"\nstate_dir = \"state\"\n{database}{settings}\n{toml}"
        );
        fs::write(self.path("ci.toml"), text).expect("the directory is ours");
    }

    pub(crate) fn postgres(&self) -> &Postgres {
        &self.postgres.as_ref().expect("it runs on PostgreSQL").0
    }

    /// The next configuration finds the database at this port.
    pub(crate) fn database_at(&mut self, port: u16) {
        self.postgres.as_mut().expect("it runs on PostgreSQL").1 = port;
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A command for the master's program; its messages go to `master.log`.
    pub(crate) fn ironmaster(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("ironmaster"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        if let Some((postgres, _)) = &self.postgres {
            command.env(database::PASSWORD, postgres.password());
        }
        command
    }

    fn log_to(&self, command: &mut Command, name: &str) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path(name))
            .expect("the directory is ours");
        command
            .stdout(log.try_clone().expect("a handle more"))
            .stderr(log);
    }

    /// Starts the master; with `crash_at` it dies at that point (see `IRONMASTER_CRASH_AT`).
    pub(crate) fn spawn_master(&mut self, crash_at: Option<&str>) {
        assert!(self.master.is_none(), "the master runs already");
        let mut command = self.ironmaster(&["start", "ci.toml"]);
        if let Some(point) = crash_at {
            command.env("IRONMASTER_CRASH_AT", point);
        }
        self.log_to(&mut command, "master.log");
        self.master = Some(command.spawn().expect("the program can be started"));
    }

    /// Starts the master by a command that becomes it.
    pub(crate) fn spawn_master_as(&mut self, mut command: Command) {
        command.stdin(Stdio::null());
        self.log_to(&mut command, "master.log");
        self.master = Some(command.spawn().expect("the program can be started"));
    }

    /// Starts the master and waits until it serves.
    pub(crate) async fn start_master(&mut self) {
        self.spawn_master(None);
        self.until("the master serves", async |fleet| {
            fleet.get("/api/v2/builders").await.is_some()
        })
        .await;
    }

    pub(crate) fn spawn_worker(&mut self, name: &str) {
        let url = format!("ws://127.0.0.1:{}/worker", self.port);
        self.spawn_worker_at(name, &url);
    }

    pub(crate) fn spawn_worker_at(&mut self, name: &str, url: &str) {
        let mut command = Command::new(program("ironmaster-worker"));
        command
            .args([
                "--master",
                url,
                "--name",
                name,
                "--token",
                &token(name),
                // Masters here are killed every moment, after which a worker would be patient.
                "--backoff-max",
                "500",
                "--basedir",
            ])
            .arg(self.path(name));
        self.spawn_worker_as(name, command);
    }

    /// Starts a worker by a command that becomes it.
    pub(crate) fn spawn_worker_as(&mut self, name: &str, mut command: Command) {
        command.stdin(Stdio::null());
        self.log_to(&mut command, &format!("{name}.log"));
        let child = command.spawn().expect("the program can be started");
        self.workers.push((name.to_owned(), child));
    }

    /// Kills the master as the kernel would: no warning, no clean-up.
    pub(crate) fn kill_master(&mut self) {
        let mut master = self.master.take().expect("the master runs");
        master.kill().expect("it is our child");
        master.wait().expect("it is our child");
    }

    /// Waits until the master has ended by itself.
    pub(crate) async fn master_ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self
                .master
                .as_mut()
                .expect("the master was started")
                .try_wait()
                .expect("it is our child")
            {
                self.master = None;
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "the master did not end\n{}",
                self.evidence()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Asks the master to stop, as an init system would, and waits for it.
    pub(crate) async fn stop_master(&mut self) -> ExitStatus {
        signal(
            self.master.as_ref().expect("the master runs").id(),
            rustix::process::Signal::TERM,
        );
        self.master_ended().await
    }

    pub(crate) fn kill_worker(&mut self, name: &str) {
        let at = self
            .workers
            .iter()
            .position(|(worker, _)| worker == name)
            .expect("the worker runs");
        let (_, mut worker) = self.workers.remove(at);
        worker.kill().expect("it is our child");
        worker.wait().expect("it is our child");
    }

    /// A GET; none if there is no answer, or not a good one.
    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        let answer = self
            .http
            .get(self.url(path))
            .header("Accept", "application/json")
            .send()
            .await
            .ok()?;
        if !answer.status().is_success() {
            return None;
        }
        answer.json().await.ok()
    }

    /// A GET that must succeed, of a list.
    pub(crate) async fn list(&self, path: &str, plural: &str) -> Vec<Value> {
        let answer = self
            .get(path)
            .await
            .unwrap_or_else(|| panic!("GET {path} failed\n{}", self.evidence()));
        answer[plural]
            .as_array()
            .unwrap_or_else(|| panic!("GET {path}: no {plural} in {answer}"))
            .clone()
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        let answer = self
            .http
            .get(self.url(path))
            .send()
            .await
            .expect("the master answers");
        answer.text().await.expect("text")
    }

    pub(crate) fn admin_token(&self) -> String {
        fs::read_to_string(self.path("state/admin.token"))
            .expect("the first start made it")
            .trim()
            .to_owned()
    }

    /// A control call as administrator: status and body; none if there is no answer.
    pub(crate) async fn call(&self, path: &str, method: &str, params: Value) -> Option<(u16, Value)> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = self
            .http
            .post(self.url(path))
            .bearer_auth(self.admin_token())
            .json(&body);
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.ok()?))
    }

    /// Forces builds of a builder; the request's id once it is acknowledged.
    pub(crate) async fn force(&self, scheduler: &str, params: Value) -> Option<u64> {
        let (status, answer) = self
            .call(&format!("/api/v2/forceschedulers/{scheduler}"), "force", params)
            .await?;
        assert_eq!(status, 200, "force: {answer}\n{}", self.evidence());
        let requests = answer["result"][1]
            .as_object()
            .unwrap_or_else(|| panic!("force: {answer}"));
        requests.values().next().and_then(Value::as_u64)
    }

    /// Waits until something is true.
    pub(crate) async fn until(&self, what: &str, mut condition: impl AsyncFnMut(&Fleet) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self).await {
            assert!(
                Instant::now() < deadline,
                "waited in vain until {what}\n{}",
                self.evidence()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until the master has noticed that its only worker is gone.
    pub(crate) async fn worker_disconnected(&self) {
        self.until("the master has noticed that the worker is gone", async |fleet| {
            fleet.list("/api/v2/workers", "workers").await[0]["connected_to"] == json!([])
        })
        .await;
    }

    /// Waits until all these workers are connected.
    pub(crate) async fn workers_connected(&self, names: &[&str]) {
        self.until("the workers are connected", async |fleet| {
            let Some(answer) = fleet.get("/api/v2/workers").await else {
                return false;
            };
            names.iter().all(|name| {
                answer["workers"].as_array().is_some_and(|workers| {
                    workers
                        .iter()
                        .any(|worker| worker["name"] == *name && worker["connected_to"] != json!([]))
                })
            })
        })
        .await;
    }

    /// Waits until a request is complete; returns it.
    pub(crate) async fn completed(&self, request: u64) -> Value {
        let mut found = Value::Null;
        self.until(&format!("request {request} is complete"), async |fleet| {
            if let Some(answer) = fleet.get(&format!("/api/v2/buildrequests/{request}")).await {
                found = answer["buildrequests"][0].clone();
            }
            found["complete"] == true
        })
        .await;
        found
    }

    /// Builds of a request, by number.
    pub(crate) async fn builds_of(&self, request: u64) -> Vec<Value> {
        self.list(
            &format!("/api/v2/builds?buildrequestid={request}&order=buildid&property=*"),
            "builds",
        )
        .await
    }

    /// The lines that a step's command printed, without the master's own.
    pub(crate) async fn output(&self, build: u64, step: &str) -> String {
        let steps = self
            .list(&format!("/api/v2/builds/{build}/steps?name={step}"), "steps")
            .await;
        let step = steps[0]["stepid"].as_u64().expect("a step has an id");
        let answer = self
            .get(&format!("/api/v2/steps/{step}/logs/stdio/contents"))
            .await
            .expect("the step has a log");
        let content = answer["logchunks"][0]["content"]
            .as_str()
            .expect("a log has text")
            .to_owned();
        content
            .split_inclusive('\n')
            .filter_map(|line| line.strip_prefix(['o', 'e']))
            .collect()
    }

    /// Runs `fsck`, which must find nothing.
    pub(crate) fn fsck(&self) {
        let output = self
            .ironmaster(&["fsck", "ci.toml"])
            .output()
            .expect("the program can be started");
        assert!(
            output.status.success(),
            "fsck: {}{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.evidence()
        );
    }

    /// What the processes said, for the report of a failed test.
    pub(crate) fn evidence(&self) -> String {
        let mut text = String::new();
        let mut names: Vec<_> = fs::read_dir(self.dir.path())
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        names.sort();
        for path in names
            .iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        {
            let log = fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(40)..].join("\n");
            text.push_str(&format!("--- the end of {}\n{tail}\n", path.display()));
        }
        text
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for (_, mut worker) in self.workers.drain(..) {
            // Asked to, a worker ends what it runs; killed, it could not.
            signal(worker.id(), rustix::process::Signal::TERM);
            let deadline = Instant::now() + Duration::from_secs(10);
            while matches!(worker.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(POLL);
            }
            let _ = worker.kill();
            let _ = worker.wait();
        }
        if let Some(mut master) = self.master.take() {
            let _ = master.kill();
            let _ = master.wait();
        }
        if !std::thread::panicking()
            && let Some((postgres, _)) = &self.postgres
        {
            postgres.drop_database();
        }
        if std::thread::panicking() {
            // Kept for whoever looks into it.
            let kept =
                std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a temporary directory")).keep();
            eprintln!("the state of the failed test is kept in {}", kept.display());
        }
    }
}

/// The token of a worker in these tests.
pub(crate) fn token(worker: &str) -> String {
    format!("token-of-{worker}-in-tests")
}

/// `[[worker]]` sections.
pub(crate) fn worker_sections(names: &[&str], slots: u32) -> String {
    names
        .iter()
        .map(|name| {
            format!(
                "[[worker]]\nname = \"{name}\"\ntoken = \"{}\"\nslots = {slots}\nlabels = [\"any\"]\n",
                token(name)
            )
        })
        .collect()
}

pub(crate) fn signal(process: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(process.cast_signed()).expect("a process has an id");
    // Gone already is what some callers want.
    let _ = rustix::process::kill_process(pid, signal);
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .timeout(Duration::from_mins(1))
        .build()
        .expect("a client without TLS needs nothing")
}

/// Text of a path for a TOML string or a shell word in these tests; temporary directories have plain names.
pub(crate) fn word(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}

impl Fleet {
    /// Whether the master's process has ended (it is still to be waited for).
    pub(crate) fn master_is_gone(&self) -> bool {
        let Some(master) = &self.master else { return true };
        let stat = fs::read_to_string(format!("/proc/{}/stat", master.id())).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_none_or(|(_, rest)| rest.starts_with('Z'))
    }
}
