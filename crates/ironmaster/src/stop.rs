//! `ironmaster stop`.

use std::{path::Path, thread::sleep, time::Duration};

use serde_json::{Value, json};

use crate::{
    client::{CallError, Client},
    failure::Failure,
};

/// Between two looks whether the master has gone, and what it waits for.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Builds that are named.
const SHOWN_MAX: usize = 10;

pub(crate) fn run(config: &Path, wait: bool, now: bool, cancel: bool) -> Result<(), Failure> {
    let client = Client::of(config)?;
    if cancel {
        client
            .call("master", "cancel_shutdown", &json!({}))
            .map_err(|error| client.failure(error))?;
        println!("the master goes on");
        return Ok(());
    }
    client
        .call("master", "shutdown", &json!({ "wait": wait, "now": now }))
        .map_err(|error| client.failure(error))?;
    let mut said = String::new();
    loop {
        let status = match client.get("master") {
            Ok(mut status) => status["master"][0].take(),
            Err(CallError::NotRunning) => break,
            // It may be too busy stopping; that it has gone is what counts.
            Err(CallError::Refused(_)) => Value::Null,
            Err(CallError::Failed(failure)) => return Err(failure),
        };
        if wait {
            if status["condition"] == "serving" {
                return Err(Failure::Failed {
                    message: "somebody has cancelled the stop; the master goes on".into(),
                    hint: None,
                });
            }
            let waits_for = waits_for(&status);
            if !waits_for.is_empty() && said != waits_for {
                println!("{waits_for}");
                said = waits_for;
            }
        }
        sleep(LOOK_INTERVAL);
    }
    println!("the master has stopped");
    Ok(())
}

/// Which builds a master waits for.
fn waits_for(status: &Value) -> String {
    let running = status["running"].as_array().map_or(&[][..], Vec::as_slice);
    if running.is_empty() {
        return String::new();
    }
    let mut named: Vec<String> = running
        .iter()
        .take(SHOWN_MAX)
        .map(|build| {
            format!(
                "{} #{} on {}",
                build["builder"].as_str().unwrap_or("?"),
                build["number"],
                build["worker"].as_str().unwrap_or("?")
            )
        })
        .collect();
    if running.len() > SHOWN_MAX {
        named.push(format!("{} more", running.len() - SHOWN_MAX));
    }
    format!("waiting for {}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_named() {
        let build = |number: u64| json!({ "builder": "zlib", "number": number, "worker": "w1" });
        assert_eq!(waits_for(&json!({ "running": [] })), "");
        assert_eq!(
            waits_for(&json!({ "running": [build(3), build(4)] })),
            "waiting for zlib #3 on w1, zlib #4 on w1"
        );
        let many: Vec<Value> = (1..=12).map(build).collect();
        assert!(waits_for(&json!({ "running": many })).ends_with("zlib #10 on w1, 2 more"));
    }
}
