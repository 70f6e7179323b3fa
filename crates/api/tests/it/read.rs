//! GET: envelopes, content types, queries.

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

use crate::support::{ADMIN, Site, json_of, rpc};

#[tokio::test(flavor = "multi_thread")]
async fn the_accept_header_decides_the_layout() {
    let site = Site::start().await;
    let compact = site
        .request(Method::GET, "/api/v2/builders?limit=1&field=name")
        .send()
        .await
        .unwrap();
    assert_eq!(
        compact.headers()["content-type"],
        "application/json; charset=utf-8"
    );
    let length = compact.headers()["content-length"]
        .to_str()
        .unwrap()
        .parse::<usize>()
        .unwrap();
    let text = compact.text().await.unwrap();
    assert_eq!(text, r#"{"builders":[{"name":"a/b c"}],"meta":{"total":5}}"#);
    assert_eq!(length, text.len());

    let indented = site
        .http
        .get(site.url("/api/latest/builders?limit=1&field=name"))
        .send()
        .await
        .unwrap();
    assert_eq!(indented.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(
        indented.text().await.unwrap(),
        "{\n  \"builders\": [\n    {\n      \"name\": \"a/b c\"\n    }\n  ],\n  \"meta\": {\n    \"total\": 5\n  }\n}"
    );

    let head = site
        .request(Method::HEAD, "/api/v2/builders?limit=1&field=name")
        .send()
        .await
        .unwrap();
    assert_eq!(
        head.headers()["content-length"].to_str().unwrap(),
        length.to_string()
    );
    assert_eq!(head.text().await.unwrap(), "");
    site.stop().await;
}

/// One connection, on which requests go out one after another.
struct Line(tokio::io::BufStream<tokio::net::TcpStream>);

impl Line {
    async fn open(site: &Site) -> Self {
        let stream = tokio::net::TcpStream::connect(site.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(tokio::io::BufStream::new(stream))
    }

    async fn ask(&mut self, request: &str, path: &str, body: &str) -> serde_json::Value {
        let head = format!(
            "{request} /api/v2/{path} HTTP/1.1\r\nHost: ironmaster\r\nAuthorization: Bearer {ADMIN}\r\n\
             Accept: application/json\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(head.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert_ne!(
                self.0.read_line(&mut line).await.unwrap(),
                0,
                "the connection stays open"
            );
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            } else if let Some(status) = line.strip_prefix("http/1.1 ") {
                assert!(status.starts_with("200"), "{request} {path}: {status}");
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    async fn get(&mut self, path: &str) -> serde_json::Value {
        self.ask("GET", path, "").await
    }
}

/// Answers are remembered as long as nothing changes; whoever has changed something sees it in the next answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_before_a_change_is_not_given_after_it() {
    let site = Site::start().await;
    let mut line = Line::open(&site).await;
    let requests = "buildrequests?complete=false&limit=1";
    for n in 0..20 {
        // The second is the remembered one.
        for _ in 0..2 {
            assert_eq!(line.get(requests).await["meta"]["total"], n);
        }
        let force = rpc("force", json!({ "builderid": 1 })).to_string();
        let answer = line.ask("POST", "forceschedulers/force", &force).await;
        let request = answer["result"][1]["1"].as_u64().unwrap();
        assert_eq!(line.get(requests).await["meta"]["total"], n + 1);

        // Rows that change, as well as those that come.
        let one = format!("buildrequests/{request}?field=priority");
        let priority = async |line: &mut Line| line.get(&one).await["buildrequests"][0]["priority"].clone();
        assert_eq!(priority(&mut line).await, 0);
        assert_eq!(priority(&mut line).await, 0);
        let raise = rpc("set_priority", json!({ "priority": n + 5 })).to_string();
        line.ask("POST", &format!("buildrequests/{request}"), &raise)
            .await;
        assert_eq!(priority(&mut line).await, n + 5);
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_the_documented_words() {
    let site = Site::start().await;
    for (method, path, status, error) in [
        (Method::PUT, "/api/v2/builds", 400, "invalid HTTP method"),
        (Method::GET, "/api/v2/nosuch/x", 404, "Invalid path: nosuch/x"),
        (Method::GET, "/api/v2/", 404, "Invalid path: "),
        (Method::GET, "/api/v2/builds/", 404, "Invalid path: builds/"),
        (
            Method::GET,
            "/api/v2/builders?x=1",
            400,
            "unrecognized query parameter 'x'",
        ),
        (
            Method::GET,
            "/api/v2/builders/1?name=1",
            400,
            "this is not a collection",
        ),
        (Method::GET, "/api/v2/builders?order=x", 400, "no such field 'x'"),
        (Method::GET, "/api/v2/builders?limit=x", 400, "invalid limit"),
        (
            Method::GET,
            "/api/v2/builders?builderid=x",
            400,
            "invalid filter value for builderid",
        ),
        (
            Method::GET,
            "/api/v2/builders?field=name&order=builderid",
            400,
            "cannot order on un-selected fields",
        ),
    ] {
        let response = site.request(method.clone(), path).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
        assert_eq!(
            json_of(response).await,
            json!({ "error": error }),
            "{method} {path}"
        );
    }
    let (status, body) = site.get("builds/99?field=number").await;
    assert_eq!(status, 404);
    assert!(
        body["error"]
            .as_str()
            .unwrap()
            .starts_with("not found while getting from endpoint for /builds/n:buildid,")
    );
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_filters_and_orders_work_over_http() {
    let site = Site::start().await;
    let names = async |query: &str| -> Vec<String> {
        let items = site.items(&format!("builders?{query}")).await;
        items
            .iter()
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("order=-name&limit=2").await, ["slow", "quick"]);
    assert_eq!(names("order=-name&limit=2&offset=1").await, ["quick", "large"]);
    assert_eq!(names("name=quick&name=slow&order=name").await, ["quick", "slow"]);
    assert_eq!(
        names("name__contains=a&order=name").await,
        ["a/b c", "fails", "large"]
    );
    assert_eq!(names("tags__contains=slow").await, ["slow"]);
    let (_, body) = site.get("builders?limit=2&offset=1").await;
    assert_eq!(body["meta"], json!({ "total": 5 }));
    assert_eq!(site.item("builders/a%2Fb%20c").await["name"], "a/b c");
    let (_, body) = site.get("builders/quick").await;
    assert_eq!(body["meta"], json!({}));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn items_are_found_by_every_path() {
    let site = Site::start().await;
    let _worker = site.worker().await;
    let mut events = site.listen(&["builds/*/finished"]).await;
    site.force("quick").await;
    events.until("builds/1/finished").await;
    let builder = site.item("builders/quick").await["builderid"].clone();
    let log = site.item("logs/1").await;
    for path in [
        "steps/1/logs/stdio".to_owned(),
        "builds/1/steps/0/logs/stdio".into(),
        "builds/1/steps/step-0/logs/stdio".into(),
        format!("builders/{builder}/builds/1/steps/0/logs/stdio"),
        format!("builders/{builder}/builds/1/steps/step-0/logs/stdio"),
        "builders/quick/builds/1/steps/0/logs/stdio".into(),
        "builders/quick/builds/1/steps/step-0/logs/stdio".into(),
    ] {
        assert_eq!(site.item(&path).await, log, "{path}");
    }
    let build = site.item("builds/1").await;
    for path in [
        "builders/quick/builds/1".to_owned(),
        format!("builders/{builder}/builds/1"),
    ] {
        assert_eq!(site.item(&path).await, build);
    }
    for path in [
        format!("builders/{builder}/builds"),
        "builders/quick/builds".into(),
        "buildrequests/1/builds".into(),
        "workers/1/builds".into(),
    ] {
        assert_eq!(site.items(&path).await, std::slice::from_ref(&build), "{path}");
    }
    assert_eq!(build["properties"], json!({}));
    let owner = &site.item("builds/1?property=owner&property=flavour").await["properties"];
    assert_eq!(owner["flavour"], json!(["vanilla", "Builder"]));
    assert_eq!(owner.as_object().unwrap().len(), 2);
    for (path, names) in [
        ("workers/w1", "w1"),
        ("builders/1/workers/1", "w1"),
        ("masters/1/workers/w1", "w1"),
        ("masters/1/builders/1/workers/1", "w1"),
        ("schedulers/1", "force"),
        ("masters/1/schedulers/1", "force"),
        ("forceschedulers/force", "force"),
    ] {
        assert_eq!(site.item(path).await["name"], names, "{path}");
    }
    for path in [
        "builders/none/builds",
        "builders/none%2Ehere/forceschedulers",
        "builders/quick/builds/7/steps",
        "builds/1/steps/9/logs",
        "steps/1/logs/none",
    ] {
        assert_eq!(site.get(path).await.0, 404, "{path}");
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_is_served_as_documents() {
    let site = Site::start().await;
    let specs = site.items("application.spec").await;
    assert!(
        specs
            .iter()
            .any(|spec| spec["path"] == "builds/n:buildid" && spec["plural"] == "builds")
    );
    let methods = json_of(site.request(Method::GET, "/api/methods").send().await.unwrap()).await;
    let force = methods["methods"]
        .as_array()
        .unwrap()
        .iter()
        .find(|method| method["action"] == "force")
        .unwrap()
        .clone();
    assert_eq!(force["permission"], "control");
    assert!(methods["topics"].as_array().unwrap().len() > 5);
    let root = json_of(site.request(Method::GET, "/api").send().await.unwrap()).await;
    assert_eq!(root, json!({ "api_versions": { "v2": site.url("/api/v2") } }));
    let config = json_of(site.request(Method::GET, "/config").send().await.unwrap()).await;
    assert_eq!(config["user"], json!({ "anonymous": true }));
    assert_eq!(config["auth"]["name"], "Token");
    assert_eq!(config["versions"][0][0], "Ironmaster");
    site.stop().await;
}

/// The tests' worker believes that it is 1970.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_clock_is_wrong_is_shown_so() {
    let milliseconds = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        i64::try_from(now.unwrap().as_millis()).unwrap()
    };
    let site = Site::start().await;
    let before = milliseconds();
    let worker = site.worker().await;
    let shown = site.item("workers/1").await;
    let skew = shown["facts"]["clock_skew_ms"].as_i64();
    let possible = -milliseconds()..=-before;
    assert!(skew.is_some_and(|skew| possible.contains(&skew)), "{shown}");
    worker.abort();
    site.stop().await;
}
