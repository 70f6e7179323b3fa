//! Reading a step's parameters. Types were checked by the configuration; texts are interpolated here, once
//! the build's properties are known.

use std::{collections::BTreeMap, time::Duration};

use ironmaster_model::{
    StepDef,
    interpolate::{Scope, Template},
    wrong_path,
};
use ironmaster_wire::LogFile;
use serde_json::Value;

use crate::{StepContext, StepEnvironment};

/// A parameter that makes no sense for this build.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parameter \"{name}\": {reason}")]
pub struct ParamError {
    /// Which.
    pub name: String,
    /// What is wrong, for people.
    pub reason: String,
}

/// A step's parameters.
#[derive(Clone, Debug)]
pub(crate) struct Params(serde_json::Map<String, Value>);

/// A program to run: text for the shell, or argv.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Shell(String),
    Argv(Vec<String>),
}

impl Params {
    pub(crate) fn of(definition: &StepDef) -> Self {
        Self(definition.params.clone())
    }

    pub(crate) fn bool(&self, name: &str, default: bool) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(default)
    }

    pub(crate) fn integer(&self, name: &str, default: i64) -> i64 {
        self.0.get(name).and_then(Value::as_i64).unwrap_or(default)
    }

    pub(crate) fn duration(&self, name: &str) -> Option<Duration> {
        let secs = self.0.get(name)?.as_f64()?;
        (secs > 0.0 && secs.is_finite()).then(|| Duration::from_secs_f64(secs))
    }

    pub(crate) fn word(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// Text with its `%(…)s` replaced.
    pub(crate) fn text(&self, name: &str, env: &StepEnvironment) -> Result<Option<String>, ParamError> {
        self.0
            .get(name)
            .and_then(Value::as_str)
            .map(|text| interpolate(name, text, env))
            .transpose()
    }

    /// A list of texts with their `%(…)s` replaced.
    pub(crate) fn texts(&self, name: &str, env: &StepEnvironment) -> Result<Vec<String>, ParamError> {
        let items = self.0.get(name).and_then(Value::as_array);
        items
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(|text| interpolate(name, text, env))
            .collect()
    }

    /// Log files, with their paths as they were given.
    pub(crate) fn log_files(&self, name: &str, env: &StepEnvironment) -> Result<Vec<LogFile>, ParamError> {
        let files = self.0.get(name).and_then(Value::as_object);
        files
            .into_iter()
            .flatten()
            .map(|(log, file)| {
                let path = file.get("path").and_then(Value::as_str).unwrap_or_default();
                Ok(LogFile {
                    name: log.clone(),
                    path: below(name, interpolate(name, path, env)?)?,
                    follow: file.get("follow").and_then(Value::as_bool).unwrap_or(false),
                })
            })
            .collect()
    }

    /// A table; texts in it have their `%(…)s` replaced.
    pub(crate) fn table(
        &self,
        name: &str,
        env: &StepEnvironment,
    ) -> Result<serde_json::Map<String, Value>, ParamError> {
        let members = self.0.get(name).and_then(Value::as_object);
        members
            .into_iter()
            .flatten()
            .map(|(key, value)| {
                let value = match value {
                    Value::String(text) => Value::String(interpolate(name, text, env)?),
                    other => other.clone(),
                };
                Ok((key.clone(), value))
            })
            .collect()
    }

    pub(crate) fn command(&self, name: &str, env: &StepEnvironment) -> Result<Command, ParamError> {
        match self.0.get(name) {
            Some(Value::String(text)) => Ok(Command::Shell(interpolate(name, text, env)?)),
            Some(Value::Array(items)) => Ok(Command::Argv(
                items
                    .iter()
                    .filter_map(Value::as_str)
                    .map(|item| interpolate(name, item, env))
                    .collect::<Result<_, _>>()?,
            )),
            _ => Err(ParamError {
                name: name.into(),
                reason: "is missing".into(),
            }),
        }
    }

    /// The builder's environment with the step's own on top.
    pub(crate) fn env(&self, env: &StepEnvironment) -> Result<BTreeMap<String, Option<String>>, ParamError> {
        let mut merged = BTreeMap::new();
        for (name, value) in &env.env {
            let value = value
                .as_deref()
                .map(|text| interpolate("env", text, env))
                .transpose()?;
            merged.insert(name.clone(), value);
        }
        if let Some(Value::Object(own)) = self.0.get("env") {
            for (name, value) in own {
                let value = value
                    .as_str()
                    .map(|text| interpolate("env", text, env))
                    .transpose()?;
                merged.insert(name.clone(), value);
            }
        }
        Ok(merged)
    }

    /// A path on the worker, from one that the parameter `name` gave and that is seen from `workdir`.
    pub(crate) fn on_worker(
        &self,
        ctx: &StepContext<'_>,
        name: &str,
        path: &str,
    ) -> Result<String, ParamError> {
        let workdir = self.text("workdir", ctx.environment())?;
        let workdir = below("workdir", workdir.unwrap_or_else(|| "build".to_owned()))?;
        let path = below(name, path.to_owned())?;
        let parts = workdir.split('/').chain(path.split('/'));
        let parts: Vec<&str> = parts.filter(|part| !matches!(*part, "" | ".")).collect();
        Ok(ctx.path(&parts.join("/")))
    }

    /// Permission bits, written in octal.
    pub(crate) fn mode(&self, default: u32) -> u32 {
        self.word("mode").and_then(octal).unwrap_or(default)
    }

    pub(crate) fn integers(&self, name: &str) -> Vec<i32> {
        let Some(Value::Array(items)) = self.0.get(name) else {
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|item| match item {
                Value::String(text) => text.parse().ok(),
                other => other.as_i64().and_then(|code| i32::try_from(code).ok()),
            })
            .collect()
    }
}

/// What is wrong with fields that hold paths, as far as it can be known before the build.
pub(crate) fn wrong_paths(params: &serde_json::Map<String, Value>, names: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for name in names {
        let paths = match params.get(*name) {
            Some(Value::Array(items)) => items.iter().collect(),
            Some(one) => vec![one],
            None => Vec::new(),
        };
        for path in paths.into_iter().filter_map(Value::as_str) {
            if let Some(wrong) = wrong_path(path).filter(|_| !path.contains("%(")) {
                let name = (*name).to_owned();
                found.push((name, format!("the path \"{path}\" {wrong}")));
            }
        }
    }
    found
}

/// What is wrong with the permission bits, if anything is.
pub(crate) fn wrong_mode(params: &serde_json::Map<String, Value>) -> Option<(String, String)> {
    let text = params.get("mode")?.as_str()?;
    let message = format!("\"{text}\" is not a mode; write three octal digits, such as \"644\" or \"755\"");
    octal(text).is_none().then_some(("mode".to_owned(), message))
}

/// Permission bits from text such as `644` or `0755`.
fn octal(text: &str) -> Option<u32> {
    let digits = match text.strip_prefix('0') {
        Some(rest) if rest.len() == 3 => rest,
        _ => text,
    };
    let right = digits.len() == 3 && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    right.then(|| u32::from_str_radix(digits, 8).ok()).flatten()
}

/// A path that stays below the folder from which it is seen, also with properties in it.
pub(crate) fn below(name: &str, path: String) -> Result<String, ParamError> {
    match wrong_path(&path) {
        None => Ok(path),
        Some(wrong) => Err(ParamError {
            name: name.into(),
            reason: format!("the path \"{path}\" {wrong}"),
        }),
    }
}

fn interpolate(name: &str, text: &str, env: &StepEnvironment) -> Result<String, ParamError> {
    let wrong = |reason: String| ParamError {
        name: name.into(),
        reason,
    };
    let template = Template::parse(text).map_err(|error| wrong(error.to_string()))?;
    let scope = Scope {
        properties: &env.properties,
        sourcestamps: &env.stamps,
        worker: Some((&env.worker_name, &env.worker)),
    };
    template.render(&scope).map_err(|error| wrong(error.to_string()))
}
