//! `ironmaster try`: has a master build what is not committed yet, and may wait for the result.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use serde_json::{Map, Value, json};

use crate::{
    client::CallError,
    failure::Failure,
    patch::{self, Local},
    remote::{At, Remote, escaped},
};

/// Between two looks at what the builds do.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A master may be away for so many looks, for example to be started anew.
const AWAY_MAX: u32 = 300;
/// Lines of a failed step's log that are shown.
const TAIL_LINES: u64 = 40;

#[derive(clap::Args)]
pub(crate) struct Try {
    #[command(flatten)]
    at: At,
    /// The try scheduler
    #[arg(long, value_name = "NAME", default_value = "try")]
    scheduler: String,
    /// Build with this builder only; may be given several times
    #[arg(short, long = "builder", value_name = "NAME")]
    builders: Vec<String>,
    /// A property of the builds; may be given several times
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = pair)]
    properties: Vec<(String, String)>,
    /// Who wants it; without it the name that you log in with
    #[arg(short, long)]
    who: Option<String>,
    /// What for
    #[arg(short = 'C', long)]
    comment: Option<String>,
    /// A patch from a file (`-`: standard input) in place of the difference of the working copy
    #[arg(long, value_name = "FILE")]
    diff: Option<PathBuf>,
    /// Leading path elements to strip from names in that file
    #[arg(short, long, value_name = "N", requires = "diff")]
    patchlevel: Option<u32>,
    /// The revision that the patch is meant for; without it the newest one that others have, too
    #[arg(long, value_name = "REVISION")]
    baserev: Option<String>,
    /// The branch that it belongs to; without it the working copy's (with git its upstream branch)
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// The repository; without it that of the working copy (with git that of the upstream branch)
    #[arg(long, value_name = "URL")]
    repository: Option<String>,
    /// The code base, where the scheduler has several and the repository does not say which
    #[arg(long, value_name = "NAME")]
    codebase: Option<String>,
    /// Waits for the builds: tells what they do, and exits with 1 if they fail
    #[arg(long)]
    wait: bool,
    /// Prints what would be sent, and sends nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// `name=value`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it must be NAME=VALUE".into()),
    }
}

pub(crate) fn run(wanted: &Try) -> Result<(), Failure> {
    let remote = Remote::new(&wanted.at)?;
    let local = match &wanted.diff {
        Some(file) => patch::from_file(file, wanted.patchlevel)?,
        None => patch::from_working_copy(Path::new("."), wanted.baserev.as_deref())?,
    };
    if let (1.., Some((system, add))) = (local.untracked, local.system) {
        eprintln!(
            "note: {} files that {system} does not know are not part of the patch (`{add}` makes them so)",
            local.untracked
        );
    }
    let params = params(wanted, local);
    if wanted.dry_run {
        println!("{params:#}");
        return Ok(());
    }
    let path = format!("tryschedulers/{}", escaped(&wanted.scheduler));
    let result = remote
        .call(&path, "try", &params)
        .map_err(|error| remote.failure(error))?;
    let watch = if let Some(run) = result["runid"].as_u64() {
        println!("run {run} has begun: {}", remote.page(&format!("runs/{run}")));
        Watch::Run(run)
    } else {
        let requests: Vec<u64> = result[1]
            .as_object()
            .into_iter()
            .flat_map(Map::values)
            .filter_map(Value::as_u64)
            .collect();
        for request in &requests {
            println!(
                "request {request}: {}",
                remote.page(&format!("buildrequests/{request}"))
            );
        }
        Watch::Requests(requests)
    };
    if wanted.wait { watch.wait(&remote) } else { Ok(()) }
}

fn params(wanted: &Try, local: Local) -> Value {
    let mut params = json!({
        "patch": local.patch,
        "patch_level": local.level,
        "builderNames": wanted.builders,
        "properties": wanted.properties.iter().cloned().collect::<BTreeMap<_, _>>(),
    });
    for (name, value) in [
        ("branch", wanted.branch.clone().or(local.branch)),
        ("revision", local.revision.or_else(|| wanted.baserev.clone())),
        ("repository", wanted.repository.clone().or(local.repository)),
        ("codebase", wanted.codebase.clone()),
        ("who", wanted.who.clone()),
        ("comment", wanted.comment.clone()),
    ] {
        if let Some(value) = value {
            params[name] = value.into();
        }
    }
    params
}

/// What is waited for.
enum Watch {
    Requests(Vec<u64>),
    Run(u64),
}

impl Watch {
    /// Tells what happens, until all is over.
    fn wait(&self, remote: &Remote) -> Result<(), Failure> {
        let mut told = BTreeMap::new();
        let mut away = 0;
        loop {
            match self.look(remote, &mut told) {
                Ok(None) => away = 0,
                Ok(Some(true)) => return Ok(()),
                Ok(Some(false)) => {
                    return Err(Failure::Failed {
                        message: "what was tried does not succeed".into(),
                        hint: None,
                    });
                }
                Err(CallError::Refused(error)) => return Err(remote.failure(CallError::Refused(error))),
                Err(error) if away >= AWAY_MAX => return Err(remote.failure(error)),
                Err(_) => {
                    if away == 0 {
                        eprintln!("the master does not answer; waiting for it");
                    }
                    away += 1;
                }
            }
            sleep(LOOK_INTERVAL);
        }
    }

    /// Tells what is new. Once all is over: whether it succeeded.
    fn look(&self, remote: &Remote, told: &mut BTreeMap<u64, String>) -> Result<Option<bool>, CallError> {
        let mut all_good = true;
        let mut all_over = true;
        match self {
            Watch::Run(run) => {
                let run = first(remote, &format!("runs/{run}"), "runs")?;
                let state = run["why"].as_str().or(run["state"].as_str());
                tell(
                    told,
                    0,
                    format!("run {}: {}", run["runid"], state.unwrap_or("runs")),
                );
                all_over = run["complete"] == true;
                all_good = good(&run["results"]);
            }
            Watch::Requests(requests) => {
                for request in requests {
                    let (over, is_good) = look_at_request(remote, *request, told)?;
                    all_over &= over;
                    all_good &= is_good;
                }
            }
        }
        Ok(all_over.then_some(all_good))
    }
}

/// Success, perhaps with warnings, or nothing to do.
fn good(results: &Value) -> bool {
    matches!(results.as_u64(), Some(0 | 1 | 3))
}

fn look_at_request(
    remote: &Remote,
    id: u64,
    told: &mut BTreeMap<u64, String>,
) -> Result<(bool, bool), CallError> {
    let request = first(remote, &format!("buildrequests/{id}"), "buildrequests")?;
    let builder = first(remote, &format!("builders/{}", request["builderid"]), "builders")?;
    let name = builder["name"].as_str().unwrap_or("?");
    let builds = remote.get(&format!("builds?buildrequestid={id}&order=-buildid&limit=1"))?;
    let build = &builds["builds"][0];
    let over = request["complete"] == true;
    let line = if build.is_null() {
        let waiting = remote.get(&format!("buildrequests/{id}/waiting"))?;
        match waiting["waiting"][0]["why"].as_str() {
            Some(why) if !over => format!("{name} waits: {why}"),
            _ => format!("{name}: no build"),
        }
    } else {
        let state = build["state_string"].as_str().unwrap_or_default();
        format!("{name} #{}: {state}", build["number"])
    };
    let is_good = good(&request["results"]);
    let first_time = over && told.get(&id).is_none_or(|before| !before.starts_with('='));
    if !over {
        tell(told, id, line);
    } else if first_time {
        println!("{line}");
        told.insert(id, "=".into());
        if !is_good && let Some(build) = build["buildid"].as_u64() {
            show_failure(remote, build)?;
        }
    }
    Ok((over, is_good))
}

/// Says a line once.
fn tell(told: &mut BTreeMap<u64, String>, of: u64, line: String) {
    if told.get(&of) != Some(&line) {
        println!("{line}");
        told.insert(of, line);
    }
}

/// The ends of the logs of the steps that failed.
fn show_failure(remote: &Remote, build: u64) -> Result<(), CallError> {
    let steps = remote.get(&format!("builds/{build}/steps"))?;
    for step in steps["steps"].as_array().into_iter().flatten() {
        if !matches!(step["results"].as_u64(), Some(2 | 4)) {
            continue;
        }
        let logs = remote.get(&format!("steps/{}/logs", step["stepid"]))?;
        for log in logs["logs"].as_array().into_iter().flatten() {
            let lines = log["num_lines"].as_u64().unwrap_or_default();
            let from = lines.saturating_sub(TAIL_LINES);
            let chunk = remote.get(&format!(
                "logs/{}/contents?offset={from}&limit={TAIL_LINES}",
                log["logid"]
            ))?;
            println!(
                "--- {} of step {}{}",
                log["name"].as_str().unwrap_or_default(),
                step["name"].as_str().unwrap_or_default(),
                if from > 0 { ", its end" } else { "" }
            );
            let content = chunk["logchunks"][0]["content"]
                .as_str()
                .or(chunk["logchunks"]["content"].as_str())
                .unwrap_or_default();
            // The first letter of a line says whether it is output, an error or the master's own.
            let has_letters = log["type"] == "s";
            for line in content.lines() {
                let mut letters = line.chars();
                if has_letters {
                    letters.next();
                }
                println!("{}", shown(letters.as_str()));
            }
        }
    }
    Ok(())
}

/// A line of a log for a terminal: what would command it is left out.
fn shown(line: &str) -> String {
    line.chars()
        .filter(|letter| *letter == '\t' || !letter.is_control())
        .collect()
}

fn first(remote: &Remote, path: &str, plural: &str) -> Result<Value, CallError> {
    Ok(remote.get(path)?[plural][0].take())
}
