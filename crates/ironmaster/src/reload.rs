//! `ironmaster reload`.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    client::{CallError, Client},
    failure::Failure,
};

pub(crate) fn run(config: &Path) -> Result<(), Failure> {
    let client = Client::of(config)?;
    let answer = client
        .call("master", "reload", &json!({}))
        .map_err(|error| match error {
            CallError::Refused(error) if error["data"].is_array() => {
                Failure::Refused(error["message"].as_str().unwrap_or_default().to_owned())
            }
            other => client.failure(other),
        })?;
    eprint!("{}", answer["text"].as_str().unwrap_or_default());
    let digest = answer["digest"].as_str().unwrap_or_default();
    let digest = digest.get(..12).unwrap_or(digest);
    if answer["changed"] == true {
        println!("{}: in force ({digest})", config.display());
    } else {
        println!(
            "{}: in force already, nothing has changed ({digest})",
            config.display()
        );
    }
    let next_start = answer["next_start"].as_array().into_iter().flatten();
    for key in next_start.filter_map(Value::as_str) {
        println!("the new value of {key} counts from the next start of the master on");
    }
    Ok(())
}
