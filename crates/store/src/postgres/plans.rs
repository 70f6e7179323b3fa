//! Looks at PostgreSQL's plans for the statements that must stay fast however long history is: on tables that are filled and
//! counted, as its planner chooses by what it knows of them. Statements are those that were really run, with their values.

use ironmaster_model::{BuildId, ChangeId, LogId, Plan, SchedulerState, StepId, WorkerInfo};
use tokio_postgres::types::ToSql;

use super::{
    PostgresAddress,
    link::{Link, Through},
    migrate,
};
use crate::{
    error::StoreError,
    sql::{
        Counts, Dialect, Param, Row, Session,
        hot::{HISTORY, hot},
        load, read, select,
    },
};

/// Builds in the history; all other tables follow from it.
const BUILDS: i64 = 6000;
/// The last of them are still running.
const ACTIVE: i64 = 12;

/// A database of its own on the tests' server.
struct Filled {
    name: String,
    server: PostgresAddress,
    address: PostgresAddress,
    /// There until it is dropped.
    link: Option<Link>,
}

impl Filled {
    fn new(name: &str) -> Self {
        let server = std::env::var("IRONMASTER_TEST_POSTGRES").expect(
            "a server for tests: `cargo nextest run` starts one; with `cargo test`, eval \"$(scripts/postgres.sh start)\" before",
        );
        let name = format!("plans_{name}_{}", std::process::id());
        let (base, _) = server.rsplit_once('/').unwrap();
        let address = PostgresAddress::new(&format!("{base}/{name}"), None).unwrap();
        let server = PostgresAddress::new(&server, None).unwrap();
        Link::open(&server)
            .unwrap()
            .batch(&format!("create database {name}"))
            .unwrap();
        let mut link = Link::open(&address).unwrap();
        migrate::migrate(&mut link, &address, migrate::MIGRATIONS).unwrap();
        link.batch(&history()).unwrap();
        link.batch("vacuum analyze").unwrap();
        Self {
            name,
            server,
            address,
            link: Some(link),
        }
    }

    fn link(&mut self) -> &mut Link {
        self.link.as_mut().unwrap()
    }

    /// What the server is asked by somebody who reads.
    fn asked(&mut self, read: impl FnOnce(&mut dyn Session)) -> Vec<(String, Vec<Param>)> {
        let address = self.address.clone();
        let mut recording = Recording {
            inner: Through {
                link: self.link(),
                address: &address,
            },
            asked: Vec::new(),
        };
        read(&mut recording);
        recording.asked
    }

    fn plan(&mut self, sql: &str, params: &[Param]) -> Vec<Node> {
        let link = self.link();
        let statement = link
            .prepare(&format!("explain (costs off) {sql}"))
            .unwrap_or_else(|error| panic!("{error:?}\n{sql}"));
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param as _).collect();
        let rows = link.wait(link.client.query(&statement, &params)).unwrap();
        nodes(rows.iter().map(|row| row.get::<_, &str>(0)))
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        drop(self.link.take());
        // The server goes away with the tests; a database that stays until then is no failure.
        if let Ok(link) = Link::open(&self.server) {
            let _ = link.batch(&format!("drop database {} with (force)", self.name));
        }
    }
}

/// A connection that notes what goes over it.
struct Recording<'a> {
    inner: Through<'a>,
    asked: Vec<(String, Vec<Param>)>,
}

impl Session for Recording<'_> {
    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    fn each(
        &mut self,
        sql: &str,
        params: &[Param],
        take: &mut dyn FnMut(&dyn Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.asked.push((sql.to_owned(), params.to_vec()));
        self.inner.each(sql, params, take)
    }
}

/// A step of a plan.
#[derive(Debug)]
struct Node {
    /// As the server writes it: `Index Scan using builds_pkey on builds t`.
    text: String,
    /// Whether it reads only a part of the index that a condition leads to.
    led: bool,
}

fn nodes<'t>(lines: impl Iterator<Item = &'t str>) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for line in lines {
        let text = line.trim_start();
        if let Some(text) = text.strip_prefix("->") {
            nodes.push(Node {
                text: text.trim().to_owned(),
                led: false,
            });
        } else if nodes.is_empty() {
            nodes.push(Node {
                text: text.to_owned(),
                led: false,
            });
        } else if text.starts_with("Index Cond:") {
            nodes.last_mut().unwrap().led = true;
        }
    }
    nodes
}

impl Node {
    /// The table of history that it reads from one end to the other, if it does.
    fn reads_all_of(&self) -> Option<&str> {
        let (how, table) = self.text.split_once(" on ")?;
        let table = table.split(' ').next().unwrap_or_default();
        let all = how.contains("Seq Scan")
            // An index that holds only what is active may be read as a whole.
            || how.contains("Index") && !self.led && !self.text.contains("_active");
        // A bitmap's own line names its index; which table that is of stands in its name.
        let table = HISTORY
            .iter()
            .filter(|known| table == **known || table.starts_with(&format!("{known}_")))
            .max_by_key(|known| known.len())?;
        all.then_some(table)
    }
}

/// Statements that fill the tables as a master would have.
fn history() -> String {
    let plan = serde_json::to_string(&Plan::default()).unwrap();
    let state = serde_json::to_string(&SchedulerState::default()).unwrap();
    let info = serde_json::to_string(&WorkerInfo::default()).unwrap();
    let none = "{}";
    let first_active = BUILDS - ACTIVE + 1;
    // Every id is that of the build it belongs to; a build has three steps with a log each.
    let active = format!("n >= {first_active}");
    let at = "1700000000000000 + n * 1000000";
    let ended = format!("case when {active} then null else {at} + 500000 end");
    let results = format!("case when {active} then null else n % 3 end");
    let all = format!("from generate_series(1::bigint, {BUILDS}) as n");
    let steps = format!("from generate_series(1::bigint, {BUILDS}) as n, generate_series(0, 2) as s");
    format!(
        "begin;
        insert into masters values (1, 'm', true, 0, 0, false);
        insert into configs select lpad(n::text, 64, '0'), '{plan}' from generate_series(1, 3) as n;
        insert into builders select n, 'b' || n, null, '[]', true, {BUILDS}, null from generate_series(1, 20) as n;
        insert into workers select n, 'w' || n, true, '[]', false, null, false, 'null', false, 1, null, null, null, null, null, false, '{info}'
            from generate_series(1, 8) as n;
        insert into schedulers values (1, 's', true, true, '{state}');
        insert into changesources values (1, 'p', true);
        insert into sourcestamps (id, branch, revision, repository, project, codebase, created_at)
            select n, 'main', md5(n::text), 'r', '', '', {at} {all};
        insert into changes select n, 'a', 'a', md5(n::text), 'main', null, null, 'r', '', '', {at}, n, null, 'c', '[]', '{none}' {all};
        insert into buildsets select n, null, 'r', 's', {at}, case when n % 50 = 0 then n - 1 end, null, null,
            case when n % 50 = 1 then n / 50 end, {ended}, {results},
            '{none}' {all};
        insert into buildset_sourcestamps select n, 0, n {all};
        insert into buildset_changes select n, 0, n {all};
        insert into buildrequests select n, n, n % 20 + 1, 0, false, {at}, false, 1, n, {at}, 1, {ended}, {results}, null {all};
        insert into builds select n, n / 20 + 1, n % 20 + 1, n, 1, n % 8 + 1, 'i', 0, 1, lpad('1', 64, '0'), {at}, {ended}, {results},
            null, '', null, null, null, null, '{none}' {all};
        insert into steps select n * 3 + s, n, s, s, 'step ' || s, {at} + s, {at} + s, {ended}, {results}, null, '', '[]', false {steps};
        insert into logs select n * 3 + s, n * 3 + s, n, 'stdio', 'stdio', 's', not ({active}), 1, 1, null {steps};
        insert into effects select n * 3 + s, 0, 'exec', '', '{{}}' {steps};
        insert into events select n * 3 + s - 2, {at}, 1, '{{}}' {steps};
        update current set seq = {BUILDS} * 3, at = 1, config = lpad('2', 64, '0');
        commit"
    )
}

#[track_caller]
fn only_what_is_led_to(database: &mut Filled, asked: Vec<(String, Vec<Param>)>) {
    for (sql, params) in asked {
        let plan = database.plan(&sql, &params);
        for node in &plan {
            assert_eq!(node.reads_all_of(), None, "{sql}\n{plan:#?}");
        }
    }
}

#[test]
fn a_start_up_touches_only_what_is_active() {
    let mut database = Filled::new("start");
    let asked = database.asked(|session| {
        let loaded = load::load(session).unwrap();
        assert_eq!(loaded.builds.len() as i64, ACTIVE);
        assert_eq!(loaded.logs.len() as i64, 3 * ACTIVE);
    });
    assert!(asked.len() > 10);
    only_what_is_led_to(&mut database, asked);
}

#[test]
fn hot_queries_use_indexes() {
    let mut database = Filled::new("hot");
    for hot in hot() {
        let query = hot.query();
        let counts = Counts::default();
        let ask = |session: &mut dyn Session| {
            select::query(session, &counts, hot.resource, &query).unwrap();
        };
        // The first count reads an index from end to end; no later one does.
        database.asked(ask);
        // The statement of the page itself. What belongs to its rows is asked for by their ids; tables as small as these are
        // rather hashed for that.
        let (sql, params) = database.asked(ask).swap_remove(0);
        let plan = database.plan(&sql, &params);
        // It may read an index in the page's order, as it stops at the limit: where many rows fit, PostgreSQL finds a page
        // sooner in that way than by sorting all that fit.
        let all = |node: &Node| {
            node.text == "Sort" || node.text.contains("Seq Scan") && node.reads_all_of().is_some()
        };
        let in_order = plan.first().is_some_and(|node| node.text == "Limit") && !plan.iter().any(all);
        let led = !hot.in_order && plan.iter().all(|node| node.reads_all_of().is_none());
        assert!(in_order || led, "{:?} {query:?}\n{sql}\n{plan:#?}", hot.resource);
    }
}

#[test]
fn what_the_master_reads_is_led_to() {
    let mut database = Filled::new("reads");
    let asked = database.asked(|session| {
        let newest = read::last_seq(session).unwrap().cast_signed();
        for seq in [newest - 3, 5] {
            let params = [Param::Int(seq), Param::Int(500)];
            session.each(read::EVENTS, &params, &mut |_| Ok(())).unwrap();
        }
        assert_eq!(read::effects(session, StepId(30)).unwrap().len(), 1);
        assert!(read::log(session, LogId(30)).unwrap().is_some());
        assert_eq!(read::logs_of_build(session, BuildId(10)).unwrap().len(), 3);
        assert!(read::build(session, BuildId(10)).unwrap().is_some());
        assert!(read::rebuild_source(session, BuildId(10)).unwrap().is_some());
        assert_eq!(
            read::changes(session, &[ChangeId(7), ChangeId(9)]).unwrap().len(),
            2
        );
        read::meta(session, "poller").unwrap();
        read::cursor(session, "mail").unwrap();
    });
    only_what_is_led_to(&mut database, asked);
}

/// That these tests can fail: without its index a query reads everything, and is found out.
#[test]
fn a_missing_index_is_found_out() {
    let mut database = Filled::new("missing");
    database
        .link()
        .batch("drop index logs_slug; drop index builds_started_at")
        .unwrap();
    let asked = database.asked(|session| {
        read::logs_of_build(session, BuildId(10)).unwrap();
    });
    let (sql, params) = &asked[0];
    let plan = database.plan(sql, params);
    assert!(
        plan.iter().any(|node| node.reads_all_of() == Some("logs")),
        "{plan:#?}"
    );
    let plan = database.plan("select id from builds order by started_at desc limit 50", &[]);
    assert!(plan.iter().any(|node| node.text == "Sort"), "{plan:#?}");
}
