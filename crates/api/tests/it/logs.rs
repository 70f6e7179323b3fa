//! Log contents and downloads.

use crate::support::Site;

#[tokio::test(flavor = "multi_thread")]
async fn contents_and_raw_are_as_documented() {
    let site = Site::start().await;
    let _worker = site.worker().await;
    let mut events = site.listen(&["builds/*/finished"]).await;
    site.force("quick").await;
    events.until("builds/1/finished").await;

    let all = site.item("logs/1/contents").await;
    let lines: Vec<&str> = all["content"].as_str().unwrap().lines().collect();
    let hello = lines.iter().position(|line| *line == "ohello").unwrap();
    assert_eq!(lines[hello + 1], "owörld");
    assert_eq!(site.item("logs/1").await["num_lines"], lines.len());
    let range = site
        .item(&format!("logs/1/contents?offset={hello}&limit=1"))
        .await;
    assert_eq!(
        (range["content"].as_str(), range["firstline"].as_u64()),
        (Some("ohello\n"), Some(hello as u64))
    );
    let beyond = site.item("logs/1/contents?offset=1000").await;
    assert_eq!(beyond["content"], "");
    for query in ["offset=-1", "limit=0"] {
        assert_eq!(
            site.get(&format!("logs/1/contents?{query}")).await.0,
            404,
            "{query}"
        );
    }
    assert_eq!(site.get("logs/1/contents?limit=x").await.0, 400);
    assert_eq!(site.get("logs/99/contents").await.0, 404);

    let raw = site
        .http
        .get(site.url("/api/v2/builds/1/steps/0/logs/stdio/raw"))
        .send()
        .await
        .unwrap();
    assert_eq!(raw.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(
        raw.headers()["content-disposition"],
        "attachment; filename=quick_build_1_step_step-0_log_stdio"
    );
    let text = raw.text().await.unwrap();
    assert!(
        text.starts_with("Builder: quick\nBuild number: 1\nWorker name: w1\n"),
        "{text}"
    );
    assert!(text.contains("\nhello\nwörld\n"), "{text}");
    let inline = site
        .http
        .get(site.url("/api/v2/logs/1/raw_inline"))
        .send()
        .await
        .unwrap();
    assert!(!inline.headers().contains_key("content-disposition"));
    assert!(
        inline.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("sandbox")
    );
    assert_eq!(inline.text().await.unwrap(), text);

    let part = site
        .http
        .get(site.url("/api/v2/logs/1/raw"))
        .header("Range", "bytes=9-60")
        .send()
        .await
        .unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(
        part.headers()["content-range"],
        format!("bytes 9-60/{}", text.len())
    );
    assert_eq!(part.text().await.unwrap(), text[9..61]);
    let beyond = site
        .http
        .get(site.url("/api/v2/logs/1/raw"))
        .header("Range", "bytes=100000-")
        .send()
        .await
        .unwrap();
    assert_eq!(beyond.status(), 416);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_logs_arrive_whole() {
    let site = Site::start().await;
    let _worker = site.worker().await;
    let mut events = site.listen(&["builds/*/finished"]).await;
    site.force("large").await;
    events.until("builds/1/finished").await;
    let content = site.item("logs/1/contents").await["content"]
        .as_str()
        .unwrap()
        .to_owned();
    let raw = site
        .http
        .get(site.url("/api/v2/logs/1/raw"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    for (text, letter) in [(content, "o"), (raw, "")] {
        let numbers = text
            .lines()
            .filter_map(|line| line.strip_prefix(&format!("{letter}line ")));
        assert!(
            numbers
                .map(|number| number.parse::<u32>().unwrap())
                .eq(0..100_000)
        );
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_steps_log_can_be_read() {
    let site = Site::start().await;
    let _worker = site.worker().await;
    let mut events = site.listen(&["logs/*/append", "builds/*/finished"]).await;
    site.force("slow").await;
    loop {
        let log = events.until("logs/1/append").await;
        let lines = log["num_lines"].as_u64().unwrap();
        let now = site.item("logs/1").await;
        assert!(
            now["num_lines"].as_u64().unwrap() >= lines,
            "a GET knows what a hint said"
        );
        assert_eq!(now["complete"], false);
        let content = site.item("logs/1/contents").await["content"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(content.lines().count() as u64 >= lines);
        if content.contains("oholding\n") {
            break;
        }
    }
    let (status, answer) = site
        .call("builds/1", "stop", serde_json::json!({ "reason": "enough" }))
        .await;
    assert_eq!((status, &answer["result"]), (200, &serde_json::Value::Null));
    let build = events.until("builds/1/finished").await;
    assert_eq!(build["results"], 6);
    site.stop().await;
}
