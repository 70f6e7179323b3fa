//! `ironmaster explain`: why something does not run, in the words of the function that decides it.

use std::path::Path;

use serde_json::Value;

use crate::{Subject, client::Client, failure::Failure};

pub(crate) fn run(config: &Path, what: Subject, id: u64) -> Result<(), Failure> {
    let client = Client::of(config)?;
    let item = |path: &str, plural: &str| {
        client
            .get(path)
            // Of what does not wait the list is empty.
            .map(|mut answer| answer[plural].get_mut(0).map(Value::take).unwrap_or_default())
            .map_err(|error| client.failure(error))
    };
    match what {
        Subject::Build => {
            let build = item(&format!("builds/{id}"), "builds")?;
            if build["complete"] == true {
                println!(
                    "build {id} is over: {}",
                    build["state_string"].as_str().unwrap_or_default()
                );
                return Ok(());
            }
            println!(
                "build {id} runs: {}",
                build["state_string"].as_str().unwrap_or_default()
            );
            let steps = client
                .get(&format!("builds/{id}/steps"))
                .map_err(|error| client.failure(error))?;
            let steps = steps["steps"].as_array().into_iter().flatten();
            for step in steps.filter(|step| step["complete"] == false) {
                println!(
                    "step {}: {}",
                    step["name"].as_str().unwrap_or_default(),
                    step["state_string"].as_str().unwrap_or_default()
                );
            }
        }
        Subject::Change => change(&client, id)?,
        Subject::Job => {
            let job = item(&format!("jobs/{id}"), "jobs")?;
            let name = format!(
                "job {id} ({}) of run {}",
                job["name"].as_str().unwrap_or("?"),
                job["runid"]
            );
            let state = job["state"].as_str().unwrap_or_default().replace('_', " ");
            if job["complete"] == true {
                let why = job["why"].as_str().filter(|why| !why.is_empty());
                println!(
                    "{name} is over: {state}{}",
                    why.map(|why| format!(": {why}")).unwrap_or_default()
                );
                return Ok(());
            }
            let waiting = item(&format!("jobs/{id}/waiting"), "waiting")?;
            match waiting["why"].as_str() {
                Some(why) => println!("{name} waits: {why}"),
                None => println!("{name}: {state}"),
            }
            if let Some(request) = job["buildrequestid"].as_u64() {
                println!(
                    "its request: `ironmaster explain {} request {request}`",
                    config.display()
                );
            }
        }
        Subject::Request => {
            let request = item(&format!("buildrequests/{id}"), "buildrequests")?;
            let builder = item(&format!("builders/{}", request["builderid"]), "builders")?;
            let builder = builder["name"].as_str().unwrap_or("?").to_owned();
            if request["complete"] == true {
                println!("request {id} of builder {builder} is over{}", cause(&request));
                return Ok(());
            }
            let waiting = item(&format!("buildrequests/{id}/waiting"), "waiting")?;
            match waiting["why"].as_str() {
                Some(why) => {
                    println!("request {id} of builder {builder} waits: {why}");
                    if let Some(remedy) = waiting["remedy"].as_str().filter(|remedy| !remedy.is_empty()) {
                        println!("what would help: {remedy}");
                    }
                }
                None => println!("request {id} of builder {builder} is being built"),
            }
        }
    }
    Ok(())
}

/// What became of a change: the runs and the builds that it led to, and why jobs of its repository could not be used.
fn change(client: &Client, id: u64) -> Result<(), Failure> {
    let list = |path: &str, plural: &str| -> Result<Vec<Value>, Failure> {
        let mut answer = client.get(path).map_err(|error| client.failure(error))?;
        Ok(match answer[plural].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        })
    };
    // One that is not there is told so.
    list(&format!("changes/{id}"), "changes")?;
    let runs = list(&format!("changes/{id}/runs"), "runs")?;
    for run in &runs {
        let text = |key: &str| run[key].as_str().unwrap_or_default();
        let why = match run["why"].as_str() {
            Some(why) => format!(": {why}"),
            None => String::new(),
        };
        println!(
            "run {} of pipeline {} is {}{why}",
            run["runid"],
            text("pipeline"),
            text("state")
        );
        if let Some(problem) = run["source"]["problem"]["text"]
            .as_str()
            .filter(|text| !text.is_empty())
        {
            println!("{problem}");
        }
    }
    let builds = list(&format!("changes/{id}/builds"), "builds")?;
    for build in &builds {
        println!(
            "build {}: {}",
            build["buildid"],
            build["state_string"].as_str().unwrap_or_default()
        );
    }
    if runs.is_empty() && builds.is_empty() {
        println!("change {id} has led to no run of a pipeline, and to no build yet");
    }
    Ok(())
}

fn cause(item: &Value) -> String {
    match &item["cause"] {
        Value::Null => String::new(),
        cause => format!(": {cause}"),
    }
}
