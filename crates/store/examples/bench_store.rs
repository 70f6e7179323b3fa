//! Prints what commits and queries cost:
//! `cargo run --release -p ironmaster-store --example bench_store [BUILDS] [--postgres URL]`.
//!
//! With `--postgres` the same is done on a server, in databases that are made and removed again. (`POSTGRES_SYNC=on
//! scripts/postgres.sh run` starts one; without that it has no `fsync`, and no figure is to be written down.)
//!
//! The history has the shape of a busy installation: 10 builders; each build with a request, a set, a source stamp of its
//! own, 5 properties and 3 steps. Queries are asked of a short history (1000 builds) and of a long one.

use std::{
    error::Error,
    path::Path,
    time::{Duration, Instant},
};

use ironmaster_store::{
    Batch, Database, OpenOptions, Order, PostgresAddress, Query, Reader, Resource, Store, open,
};

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../tests/it/history/mod.rs"]
mod history;

use history::{Commit, History};

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let mut builds: u64 = 100_000;
    let mut server = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--postgres" {
            server = Some(arguments.next().ok_or("--postgres needs an address")?);
        } else {
            builds = argument.parse()?;
        }
    }
    let place = Place {
        directory: tempfile::tempdir()?,
        server,
    };
    println!("commits (each one sync), builds with 1 step, no properties");
    for size in [1, 8, 64] {
        let database = place.database(&format!("commits{size}"))?;
        commits(&database, size)?;
        place.remove(&format!("commits{size}"))?;
    }
    let mut rates = Vec::new();
    for (number, builds) in [1000, builds].into_iter().enumerate() {
        let database = place.database(&format!("history{number}"))?;
        rates.push(history_of(&database, builds)?);
        place.remove(&format!("history{number}"))?;
    }
    println!("rate with history over rate without:");
    let (without, with) = (&rates[0], &rates[1]);
    for ((name, before), (_, after)) in without.iter().zip(with) {
        println!("  {name:44} {:.2}", after / before);
    }
    Ok(())
}

/// Where databases are made.
struct Place {
    directory: tempfile::TempDir,
    server: Option<String>,
}

impl Place {
    fn database(&self, name: &str) -> Result<Database, Failure> {
        let Some(server) = &self.server else {
            return Ok(Database::Sqlite(self.directory.path().join(format!("{name}.db"))));
        };
        sql(server, &format!("create database bench_{name}"))?;
        let (base, _) = server.rsplit_once('/').ok_or("the address names no database")?;
        let address = PostgresAddress::new(&format!("{base}/bench_{name}"), None)?;
        Ok(Database::Postgres(Box::new(address)))
    }

    fn remove(&self, name: &str) -> Result<(), Failure> {
        if let Some(server) = &self.server {
            sql(server, &format!("drop database bench_{name} with (force)"))?;
        }
        Ok(())
    }
}

fn sql(server: &str, statement: &str) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(server, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        client.batch_execute(statement).await?;
        Ok(())
    })
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

fn merge(history: &mut History, builds: usize, properties: usize, steps: u32) -> Commit {
    let mut all = history.trivial_build(properties, steps);
    for _ in 1..builds {
        let next = history.trivial_build(properties, steps);
        all.events.extend(next.events);
        all.counters = next.counters;
    }
    all
}

fn commits(database: &Database, size: usize) -> Result<(), Failure> {
    let (mut store, _reader) = open(database, OpenOptions::default())?;
    let mut history = History::new(1);
    let rounds = (3000 / size).clamp(50, 1000);
    let made: Vec<Commit> = (0..rounds).map(|_| merge(&mut history, size, 0, 1)).collect();
    let events: usize = made.iter().map(|commit| commit.events.len()).sum();
    let (wall, used) = (Instant::now(), cpu());
    let mut took = Vec::new();
    for (id, commit) in (1..).zip(&made) {
        let wall = Instant::now();
        store.commit(&Batch {
            id,
            events: &commit.events,
            counters: &commit.counters,
            meta: &[],
        })?;
        took.push(wall.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    let (wall, used) = (wall.elapsed(), cpu().saturating_sub(used));
    let builds = (rounds * size) as f64;
    println!(
        "  {size:3} builds a commit: {:7.0} commits/s {:8.0} events/s {:8.1} µs wall {:6.1} µs cpu a build ({:.1} events)",
        rounds as f64 / wall.as_secs_f64(),
        events as f64 / wall.as_secs_f64(),
        wall.as_secs_f64() * 1e6 / builds,
        used.as_secs_f64() * 1e6 / builds,
        events as f64 / builds,
    );
    println!(
        "      a commit: median {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        took[took.len() - 1]
    );
    Ok(())
}

fn history_of(database: &Database, builds: u64) -> Result<Vec<(&'static str, f64)>, Failure> {
    let (mut store, reader) = open(database, OpenOptions::default())?;
    let mut history = History::new(1);
    let wall = Instant::now();
    let first = history.grow_builders(10);
    store.commit(&Batch {
        id: 1,
        events: &first.events,
        counters: &first.counters,
        meta: &[],
    })?;
    for id in 0..builds.div_ceil(100) {
        let commit = merge(&mut history, 100, 5, 3);
        store.commit(&Batch {
            id: id + 2,
            events: &commit.events,
            counters: &commit.counters,
            meta: &[],
        })?;
    }
    println!(
        "history of {builds} builds: made in {:.1} s",
        wall.elapsed().as_secs_f64()
    );
    if let Database::Sqlite(path) = database {
        sizes(path)?;
    }
    let wall = Instant::now();
    let snapshot = store.load()?;
    println!(
        "  start-up: load {:.2} ms ({} builders)",
        wall.elapsed().as_secs_f64() * 1e3,
        snapshot.builders.len()
    );
    drop((store, reader));
    let wall = Instant::now();
    let (mut store, reader) = open(database, OpenOptions::default())?;
    let opened = wall.elapsed();
    store.load()?;
    println!(
        "  start-up: open {:.2} ms, load {:.2} ms (new connection)",
        opened.as_secs_f64() * 1e3,
        wall.elapsed().saturating_sub(opened).as_secs_f64() * 1e3
    );
    let queries = [
        ("1 builders", Resource::Builders, Query::default()),
        (
            "2 newest 100 builds",
            Resource::Builds,
            Query {
                order: vec![Order::descending("buildid")],
                limit: Some(100),
                ..Query::default()
            },
        ),
        (
            "3 newest 50 of a builder, all properties",
            Resource::Builds,
            Query {
                order: vec![Order::descending("number")],
                limit: Some(50),
                properties: vec!["*".into()],
                ..Query::of("builderid", 3_u64)
            },
        ),
        ("4 one build", Resource::Builds, Query::of("buildid", builds / 2)),
    ];
    let mut rates = vec![("0 commits of one build", on_top(&mut *store, &mut history)?)];
    for (name, resource, query) in queries {
        let wall = Instant::now();
        reader.query(resource, &query)?;
        let cold = wall.elapsed();
        let (one, used) = rate(&reader, 1, resource, &query)?;
        let (eight, _) = rate(&reader, 8, resource, &query)?;
        println!(
            "  {name:44} first {:8.1} µs; 1 thread {one:8.0}/s, {used:6.1} µs cpu; 8 threads {eight:8.0}/s",
            cold.as_secs_f64() * 1e6,
        );
        rates.push((name, eight));
    }
    Ok(rates)
}

/// Commits of one build each, on top of what there is; a second.
fn on_top(store: &mut dyn Store, history: &mut History) -> Result<f64, Failure> {
    const COMMITS: u64 = 1000;
    let made: Vec<Commit> = (0..COMMITS).map(|_| history.trivial_build(5, 3)).collect();
    let (wall, used) = (Instant::now(), cpu());
    let mut took = Vec::new();
    for (id, commit) in (1..).zip(&made) {
        let wall = Instant::now();
        store.commit(&Batch {
            id,
            events: &commit.events,
            counters: &commit.counters,
            meta: &[],
        })?;
        took.push(wall.elapsed().as_secs_f64() * 1e3);
    }
    let (wall, used) = (wall.elapsed(), cpu().saturating_sub(used));
    took.sort_by(f64::total_cmp);
    println!(
        "  commits of one build on top of it: {:.2} ms each, {:.0} µs cpu; median {:.2} ms, longest {:.2} ms",
        wall.as_secs_f64() * 1e3 / COMMITS as f64,
        used.as_secs_f64() * 1e6 / COMMITS as f64,
        took[took.len() / 2],
        took[took.len() - 1]
    );
    Ok(COMMITS as f64 / wall.as_secs_f64())
}

/// What takes how much room.
fn sizes(path: &Path) -> Result<(), Failure> {
    let connection = rusqlite::Connection::open(path)?;
    let mut statement = connection
        .prepare("select name, sum(pgsize) / 1e6 from dbstat where aggregate = true group by 1 order by 2 desc limit 12")?;
    let rows = statement.query_map([], |row| {
        Ok(format!(
            "{} {:.1}",
            row.get::<_, String>(0)?,
            row.get::<_, f64>(1)?
        ))
    })?;
    let rows: Vec<String> = rows.collect::<Result<_, _>>()?;
    println!("  MB: {}", rows.join(", "));
    Ok(())
}

/// Queries a second, and what one costs in µs of CPU.
fn rate(reader: &Reader, threads: usize, resource: Resource, query: &Query) -> Result<(f64, f64), Failure> {
    let wall = Instant::now();
    let done: Result<Vec<(u64, Duration)>, _> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut done = 0;
                    let used = cpu();
                    while wall.elapsed() < Duration::from_millis(1500) {
                        for _ in 0..10 {
                            std::hint::black_box(reader.query(resource, query)?);
                        }
                        done += 10;
                    }
                    Ok::<_, ironmaster_store::QueryError>((done, cpu().saturating_sub(used)))
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or(Ok((0, Duration::ZERO))))
            .collect()
    });
    let wall = wall.elapsed().as_secs_f64();
    let (done, used) = done?.into_iter().fold((0, Duration::ZERO), |(done, used), one| {
        (done + one.0, used + one.1)
    });
    Ok((done as f64 / wall, used.as_secs_f64() * 1e6 / done as f64))
}
