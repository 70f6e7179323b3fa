//! The databases that a fleet may run on, and a PostgreSQL server that goes away for a while.

use serde_json::json;
use tokio_postgres::{Config, NoTls};

use crate::{
    fleet::{Fleet, free_port},
    proxy::{Mode, Proxy},
    witness::{built_exactly_once, configuration, witness},
};

/// Which database a fleet gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// Where the tests' server is; nextest starts one (`.config/nextest.toml`).
const SERVER: &str = "IRONMASTER_TEST_POSTGRES";
/// How the master is told the password.
pub(crate) const PASSWORD: &str = "IRONMASTER_E2E_DATABASE_PASSWORD";

/// A database of its own on the tests' server.
pub(crate) struct Postgres {
    config: Config,
    name: String,
}

impl Postgres {
    pub(crate) fn new(name: &str) -> Self {
        let url = std::env::var(SERVER).unwrap_or_else(|_| {
            panic!(
                "{SERVER} is not set: these tests need a PostgreSQL server. `cargo nextest run` starts one by itself; \
                 with `cargo test`, start one before: eval \"$(scripts/postgres.sh start)\""
            )
        });
        let postgres = Self {
            config: url.parse().expect("the script writes an address"),
            name: name.to_owned(),
        };
        postgres.run(&format!("create database {name}"));
        postgres
    }

    fn run(&self, sql: &str) {
        let (config, sql) = (self.config.clone(), sql.to_owned());
        // A fleet is made and dropped in async code, which must not block on other such code of its own thread.
        let done = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let (client, connection) = config.connect(NoTls).await?;
                tokio::spawn(connection);
                client.batch_execute(&sql).await
            })
        });
        done.join().expect("no panic").expect("the tests' server works");
    }

    pub(crate) fn drop_database(&self) {
        self.run(&format!("drop database {} with (force)", self.name));
    }

    pub(crate) fn port(&self) -> u16 {
        self.config.get_ports()[0]
    }

    pub(crate) fn password(&self) -> String {
        let password = self.config.get_password().expect("the script gives one");
        String::from_utf8(password.to_vec()).expect("the script's are hexadecimal")
    }

    /// Lines of `[master]`; `port` may be that of a proxy.
    pub(crate) fn settings(&self, port: u16) -> String {
        let user = self.config.get_user().expect("the script gives one");
        format!(
            "database = \"postgres://{user}@127.0.0.1:{port}/{}\"\ndatabase_password_env = \"{PASSWORD}\"\n",
            self.name
        )
    }
}

async fn fleet_behind_proxy() -> (Fleet, Proxy) {
    let mut fleet = Fleet::on(Kind::Postgres, "", "");
    let proxy = Proxy::to(fleet.postgres().port()).await;
    fleet.database_at(proxy.port);
    let toml = configuration(fleet.path("ci.toml").parent().expect("a directory"), &["w1"], 4);
    fleet.configure("", &toml);
    fleet.start_master().await;
    fleet.spawn_worker("w1");
    fleet.workers_connected(&["w1"]).await;
    (fleet, proxy)
}

/// Nothing can be changed while the database is away, and whoever tries is told; commands run on, and all goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_is_only_a_pause() {
    let (mut fleet, proxy) = fleet_behind_proxy().await;
    let mut accepted = Vec::new();
    for round in 0..3 {
        let tag = format!("away{round}");
        let request = fleet
            .force("force-steps", json!({"tag": tag}))
            .await
            .expect("the master answers");
        accepted.push((tag.clone(), request));
        fleet
            .until("a command has begun", async |fleet| {
                witness(fleet, &tag, "one").contains("begin")
            })
            .await;
        proxy.set(Mode::Cut);
        // What was under way when the connection was cut may still be accepted.
        let mut n = 0;
        fleet
            .until("nothing can be changed", async |fleet| {
                n += 1;
                let params = json!({"tag": format!("small{round}{n}")});
                let path = "/api/v2/forceschedulers/force-small";
                let Some((status, answer)) = fleet.call(path, "force", params).await else {
                    return false;
                };
                if status != 200 {
                    assert_eq!(status, 503, "{answer}");
                    assert!(answer.to_string().contains("database"), "{answer}");
                }
                status != 200
            })
            .await;
        assert!(fleet.text("/healthz").await.contains("database"));
        // The command does not wait for it.
        fleet
            .until("the command has ended", async |fleet| {
                witness(fleet, &tag, "one").contains("end")
            })
            .await;
        proxy.set(Mode::Open);
        fleet
            .until("the master goes on by itself", async |fleet| {
                fleet.get("/healthz").await.is_some()
            })
            .await;
    }
    for (tag, request) in &accepted {
        built_exactly_once(&fleet, "steps", tag, *request).await;
    }
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
}

/// A second master on the same database, with a state directory of its own, is refused and says why, without the password.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_master_is_refused() {
    let mut fleet = Fleet::on(Kind::Postgres, "", "");
    fleet.start_master().await;
    let other = std::fs::read_to_string(fleet.path("ci.toml"))
        .expect("it was written")
        .replace("state_dir = \"state\"", "state_dir = \"other\"")
        .replace(
            &format!("127.0.0.1:{}\"", fleet.port()),
            &format!("127.0.0.1:{}\"", free_port()),
        );
    std::fs::write(fleet.path("other.toml"), other).expect("the directory is ours");
    for command in [["start", "other.toml"], ["fsck", "other.toml"]] {
        let output = fleet
            .ironmaster(&command)
            .output()
            .expect("the program can be started");
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("in use by another master"), "{text}");
        assert!(!text.contains(&fleet.postgres().password()), "{text}");
    }
    assert!(fleet.stop_master().await.success());
    fleet.fsck();
}
