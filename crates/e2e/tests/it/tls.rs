//! Encrypted connections: stock workers, our workers of both kinds, and the commands for masters elsewhere.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::{
    fleet::{Fleet, free_port, program, token, word, worker_sections},
    stock_workers::stock,
};

/// A certificate or key of those that are there for tests.
pub(crate) fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tls/tests/certificates")
        .join(name)
}

/// The keys of a listener that is `name`, with a copy of the files in the fleet's folder.
fn identity(fleet: &Fleet, name: &str) -> String {
    fs::copy(certificate(&format!("{name}.pem")), fleet.path("listener.pem")).expect("the directory is ours");
    fs::copy(certificate("server.key"), fleet.path("listener.key")).expect("the directory is ours");
    "certificate = \"listener.pem\"\nkey = \"listener.key\"\n".to_owned()
}

/// A builder for each of these workers, which a force scheduler of its name sets off.
fn builders(workers: &[&str]) -> String {
    let mut toml = worker_sections(workers, 1);
    for name in workers {
        toml += &format!(
            "[[builder]]\nname = \"{name}\"\nworkers = [\"{name}\"]\n[[builder.step]]\nname = \"it\"\ntype = \"shell\"\n\
             command = \"head -c 3000000 /dev/zero | tr '\\\\0' x; echo done by {name}\"\n\
             [[scheduler]]\nname = \"{name}\"\ntype = \"force\"\nbuilders = [\"{name}\"]\n"
        );
    }
    toml
}

fn log(fleet: &Fleet, name: &str) -> String {
    fs::read_to_string(fleet.path(name)).unwrap_or_default()
}

async fn until_said(fleet: &Fleet, file: &str, text: &str) {
    fleet
        .until(&format!("{file} says `{text}`"), async |fleet| {
            log(fleet, file).contains(text)
        })
        .await;
}

/// The folder of a stock worker, which knows where the master is from `options`.
fn create_stock(fleet: &Fleet, name: &str, options: &[&str], master: &str) {
    let mut command = Command::new(stock("buildbot-worker"));
    command.arg("create-worker").args(options).arg(fleet.path(name));
    let output = command.args([master, name, &token(name)]).output();
    let output = output.expect("the program can be started");
    assert!(output.status.success(), "{output:?}");
}

fn start_stock(fleet: &mut Fleet, name: &str, roots: Option<&Path>) {
    let mut command = Command::new(stock("twistd"));
    command
        .args(["--nodaemon", "--no_save", "--pidfile=", "--python=buildbot.tac"])
        .current_dir(fleet.path(name))
        .stdin(Stdio::null());
    if let Some(roots) = roots {
        command.env("SSL_CERT_FILE", roots);
    }
    fleet.spawn_worker_as(name, command);
}

/// Starts our worker on a folder of a stock one.
fn start_ours(fleet: &mut Fleet, name: &str, options: &[&str], roots: Option<&Path>) {
    let mut command = Command::new(program("ironmaster-worker"));
    command.arg("buildbot").arg(fleet.path(name)).args(options);
    if let Some(roots) = roots {
        command.env("SSL_CERT_FILE", roots);
    }
    fleet.spawn_worker_as(name, command);
}

async fn builds(fleet: &Fleet, names: &[&str]) {
    for name in names {
        let request = fleet.force(name, json!({})).await.expect("the master answers");
        assert_eq!(
            fleet.completed(request).await["results"],
            0,
            "{name}: {}",
            fleet.evidence()
        );
        let build = fleet.builds_of(request).await.remove(0);
        let output = fleet
            .output(build["buildid"].as_u64().expect("an id"), "it")
            .await;
        assert!(output.trim_end().ends_with(&format!("done by {name}")), "{name}");
    }
}

/// The port for Perspective Broker with TLS: stock workers, and ours in their place, as their folders say. Who comes without, or trusts
/// somebody else, is closed and told of, and nobody else notices. Who knows no encryption has a port beside it.
#[tokio::test(flavor = "multi_thread")]
async fn perspective_broker_is_encrypted() {
    const GOOD: [&str; 5] = [
        "stock-string",
        "stock-use",
        "our-string",
        "our-use",
        "stock-plain",
    ];
    let mut fleet = Fleet::new("", "");
    let (port, plain_port) = (free_port(), free_port());
    let identity = identity(&fleet, "server");
    let all = [&GOOD[..], &["stranger"]].concat();
    fleet.configure(
        "",
        &format!(
            "[pb]\nlisten = \"127.0.0.1:{port}\"\nplain_listen = \"127.0.0.1:{plain_port}\"\n{identity}{}",
            builders(&all)
        ),
    );
    fleet.start_master().await;

    let roots = fleet.path("roots");
    fs::create_dir(&roots).expect("the directory is ours");
    fs::copy(certificate("authority.pem"), roots.join("authority.pem")).expect("the directory is ours");
    let authority = certificate("authority.pem");
    let string = format!(
        "--connection-string=tls:host=localhost:port={port}:trustRoots={}",
        word(&roots)
    );
    let at = format!("localhost:{port}");
    for name in ["stock-string", "our-string"] {
        // The string counts more than the address, which has to be there.
        create_stock(&fleet, name, &[&string], "nowhere");
    }
    for name in ["stock-use", "our-use", "stranger"] {
        create_stock(&fleet, name, &["--use-tls"], &at);
    }
    create_stock(&fleet, "stock-plain", &[], &format!("127.0.0.1:{plain_port}"));
    start_stock(&mut fleet, "stock-plain", None);
    start_stock(&mut fleet, "stock-string", None);
    start_stock(&mut fleet, "stock-use", Some(&authority));
    start_ours(&mut fleet, "our-string", &[], None);
    start_ours(&mut fleet, "our-use", &[], Some(&authority));
    fleet.workers_connected(&GOOD).await;

    // Bytes that are no handshake.
    let mut plain = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    plain
        .write_all(b"PB, as it was spoken of old\n")
        .expect("it is taken");
    let mut answer = Vec::new();
    // Closed, perhaps with a reset.
    let _ = plain.read_to_end(&mut answer);
    until_said(&fleet, "master.log", "what it sends is not TLS").await;
    // One that trusts somebody else.
    let other = certificate("selfsigned.pem");
    start_ours(&mut fleet, "stranger", &["--ca-file", word(&other)], None);
    until_said(&fleet, "stranger.log", "not signed by any of those in").await;

    builds(&fleet, &GOOD).await;
    assert!(fleet.stop_master().await.success(), "{}", fleet.evidence());
}

/// A command for masters elsewhere, at the fleet's own port.
fn elsewhere(fleet: &Fleet, host: &str, ca_file: Option<&Path>, arguments: &[&str]) -> Output {
    let mut command = fleet.ironmaster(arguments);
    command.args(["--master", &format!("https://{host}:{}", fleet.port())]);
    if let Some(file) = ca_file {
        command.arg("--ca-file").arg(file);
    }
    command.output().expect("the program can be started")
}

/// What the master says to commands on its own machine.
fn local(fleet: &Fleet, path: &str) -> Value {
    let mut stream = UnixStream::connect(fleet.path("state/control.sock")).expect("the master runs");
    let head = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it is heard");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (_, body) = answer.split_once("\r\n\r\n").expect("it is HTTP");
    serde_json::from_str(body).expect("it is JSON")
}

/// The port of the pages with TLS: our workers, and the commands for masters elsewhere. A certificate is renewed by a reload.
#[tokio::test(flavor = "multi_thread")]
async fn the_port_of_the_pages_is_encrypted() {
    const CHANGE: [&str; 3] = ["sendchange", "--author=ann", "--revision=abc"];
    let mut fleet = Fleet::new("", "");
    let identity = identity(&fleet, "expired");
    let toml = format!(
        "{}[[scheduler]]\nname = \"any\"\ntype = \"any_branch\"\nbuilders = [\"native\", \"stock\", \"ours\"]\n",
        builders(&["native", "stock", "ours"])
    );
    fleet.configure(&identity, &toml);
    fleet.spawn_master(None);
    until_said(&fleet, "master.log", "is ready: ").await;

    let authority = certificate("authority.pem");
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let refused = elsewhere(&fleet, "localhost", Some(&authority), &CHANGE);
    assert!(
        !refused.status.success() && said(&refused).contains("days ago; have it renewed"),
        "{}",
        said(&refused)
    );
    fs::copy(certificate("server.pem"), fleet.path("listener.pem")).expect("the directory is ours");
    let reloaded = fleet
        .ironmaster(&["reload", "ci.toml"])
        .output()
        .expect("the program can be started");
    assert!(reloaded.status.success(), "{reloaded:?}");

    let mut worker = Command::new(program("ironmaster-worker"));
    worker
        .args([
            "--master",
            &format!("wss://localhost:{}", fleet.port()),
            "--name=native",
        ])
        .args([
            "--token",
            &token("native"),
            "--ca-file",
            word(&authority),
            "--basedir",
        ])
        .arg(fleet.path("native"));
    fleet.spawn_worker_as("native", worker);
    until_said(&fleet, "native.log", "connected to wss://localhost:").await;
    // What a worker of Buildbot says over msgpack, on the same port.
    let at = format!("localhost:{}", fleet.port());
    for name in ["stock", "ours"] {
        let options = ["--use-tls", "--protocol=msgpack_experimental_v7"];
        create_stock(&fleet, name, &options, &at);
    }
    start_stock(&mut fleet, "stock", Some(&authority));
    start_ours(&mut fleet, "ours", &[], Some(&authority));

    let told = elsewhere(&fleet, "localhost", Some(&authority), &CHANGE);
    assert!(told.status.success(), "{}", said(&told));
    for (host, ca_file, why) in [
        ("localhost", None, "signed by nobody whom this machine trusts"),
        (
            "127.0.0.1",
            Some(certificate("selfsigned.pem")),
            "not signed by any of those in",
        ),
    ] {
        let refused = elsewhere(&fleet, host, ca_file.as_deref(), &CHANGE);
        let said = said(&refused);
        assert!(!refused.status.success() && said.contains(why), "{said}");
    }
    fleet
        .until("all of them have built the change", async |fleet| {
            let answer = local(fleet, "/api/v2/builds?field=results&field=complete");
            let good = json!({"results": 0, "complete": true});
            answer["builds"] == json!([good, good, good])
        })
        .await;

    // A certificate that is no use changes nothing but the warning.
    fs::copy(certificate("rsa.pem"), fleet.path("listener.pem")).expect("the directory is ours");
    let reloaded = fleet
        .ironmaster(&["reload", "ci.toml"])
        .output()
        .expect("the program can be started");
    let warned = String::from_utf8_lossy(&reloaded.stdout).into_owned() + &said(&reloaded);
    assert!(
        reloaded.status.success()
            && warned.contains("the one in force stays")
            && warned.contains("not the key"),
        "{warned}"
    );
    let told = elsewhere(&fleet, "127.0.0.1", Some(&authority), &CHANGE);
    assert!(told.status.success(), "{}", said(&told));
    let checked = fleet
        .ironmaster(&["check", "ci.toml"])
        .output()
        .expect("the program can be started");
    assert!(
        !checked.status.success() && said(&checked).contains("[master] cannot speak TLS: "),
        "{}",
        said(&checked)
    );
    assert!(fleet.stop_master().await.success(), "{}", fleet.evidence());
}
