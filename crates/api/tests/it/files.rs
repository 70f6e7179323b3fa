//! `/files/`: what builds have uploaded.

use std::fs;

use ironmaster_api::Reading;
use reqwest::{Method, Response};

use crate::support::{READER, Site};

async fn ask(site: &Site, method: Method, path: &str) -> Response {
    site.request(method, path).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_served_whole_and_in_parts_and_run_no_scripts() {
    let site = Site::start().await;
    let folder = site.dir.path().join("files/nightly");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("a b.html"), "<script>alert(1)</script>").unwrap();

    let page = ask(&site, Method::GET, "/files/nightly/a%20b.html").await;
    assert_eq!(page.status(), 200);
    let header = |name: &str| page.headers()[name].to_str().unwrap().to_owned();
    assert!(header("content-type").starts_with("text/html"));
    assert!(header("content-security-policy").starts_with("sandbox; default-src 'none'"));
    assert_eq!(header("x-content-type-options"), "nosniff");
    let modified = header("last-modified");
    assert_eq!(page.text().await.unwrap(), "<script>alert(1)</script>");

    let head = ask(&site, Method::HEAD, "/files/nightly/a%20b.html").await;
    assert_eq!(head.headers()["content-length"], "25");
    let part = site
        .request(Method::GET, "/files/nightly/a%20b.html")
        .header("Range", "bytes=8-15")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (part.status().as_u16(), part.text().await.unwrap().as_str()),
        (206, "alert(1)")
    );
    let same = site
        .request(Method::GET, "/files/nightly/a%20b.html")
        .header("If-Modified-Since", modified)
        .send()
        .await
        .unwrap();
    assert_eq!(same.status(), 304);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_is_served() {
    let site = Site::start().await;
    let folder = site.dir.path().join("files");
    fs::create_dir_all(folder.join(".incoming")).unwrap();
    fs::create_dir_all(folder.join("folder")).unwrap();
    fs::write(folder.join(".incoming/1.0.0"), "half").unwrap();
    fs::write(site.dir.path().join("secret"), "x").unwrap();
    for path in [
        "/files/none",
        "/files/folder",
        "/files/folder/",
        "/files/.incoming/1.0.0",
        "/files/%2e%2e%2fsecret",
        "/files/..%2fsecret",
        "/files/%2Fetc/passwd",
        "/files/a%00b",
    ] {
        let answer = ask(&site, Method::GET, path).await;
        assert_eq!(answer.status(), 404, "{path}");
        let text = answer.text().await.unwrap();
        assert!(text.contains("there is no file"), "{path}: {text}");
    }
    assert_eq!(ask(&site, Method::POST, "/files/none").await.status(), 405);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_read_gets_files() {
    let site = Site::start_with(|settings| settings.reading = Reading::LoggedIn).await;
    fs::create_dir_all(site.dir.path().join("files")).unwrap();
    fs::write(site.dir.path().join("files/f"), "text").unwrap();
    assert_eq!(ask(&site, Method::GET, "/files/f").await.status(), 403);
    let known = site
        .request(Method::GET, "/files/f")
        .bearer_auth(READER)
        .send()
        .await
        .unwrap();
    assert_eq!(known.text().await.unwrap(), "text");
    site.stop().await;
}
