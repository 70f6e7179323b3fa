//! What the configuration may say about a git poller.

use globset::GlobMatcher;
use ironmaster_model::{Duration, FieldKind, FieldSpec, KindSpec, StepFlags};
use serde_json::{Map, Value};

const INTERVAL_DEFAULT: Duration = Duration::from_secs(60);
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(600);

pub(crate) fn spec() -> KindSpec {
    let field = |name, kind, default, doc, example| FieldSpec {
        name,
        kind,
        required: false,
        default,
        doc,
        example,
    };
    KindSpec {
        name: "git_poller",
        doc: "Asks a git repository for new commits every so often. The first poll only notes where the \
              branches are; each commit after that is a change. `git` must be installed on the master; it is \
              run without a terminal, so credentials come from its own configuration.",
        fields: vec![
            FieldSpec {
                required: true,
                ..field(
                    "repository",
                    FieldKind::String,
                    None,
                    "The repository, as `git clone` takes it; also what its changes say. A relative path starts \
                     at the directory that the master was started in.",
                    "\"https://git.example.org/zlib.git\"",
                )
            },
            field(
                "branches",
                FieldKind::StringList,
                None,
                "Branches to poll; globs are allowed (`*` stops at `/`, `**` does not). Without it only the \
                 repository's default branch is polled: a scheduler that is to hear of others needs `[\"**\"]`.",
                "[\"main\", \"release/*\"]",
            ),
            field(
                "interval",
                FieldKind::Duration,
                Some("\"60s\""),
                "From the end of one poll to the start of the next, at least 1 second.",
                "\"5m\"",
            ),
            field(
                "timeout",
                FieldKind::Duration,
                Some("\"10m\""),
                "How long one git command may take, at least 1 second. The first fetch of a large repository \
                 takes longest.",
                "\"30m\"",
            ),
            field(
                "project",
                FieldKind::String,
                Some("\"\""),
                "Project of its changes.",
                "\"zlib\"",
            ),
            field(
                "codebase",
                FieldKind::String,
                Some("\"\""),
                "Code base of its changes; empty is the default one.",
                "\"lib\"",
            ),
            field(
                "category",
                FieldKind::String,
                None,
                "Category of its changes, which schedulers can filter by.",
                "\"upstream\"",
            ),
            field(
                "revlink",
                FieldKind::String,
                None,
                "Where to look at a commit.",
                "\"https://git.example.org/zlib/commit/%(src::revision)s\"",
            ),
        ],
        logs: &[],
        flags: StepFlags::default(),
        check: Some(check),
    }
}

/// What the description of the fields cannot say.
fn check(params: &Map<String, Value>) -> Vec<(String, String)> {
    let mut findings = Vec::new();
    let mut wrong = |field: &str, message: String| findings.push((field.to_owned(), message));
    for name in ["interval", "timeout"] {
        if params.get(name).is_some_and(|value| seconds(value).is_none()) {
            wrong(name, format!("`{name}` must be at least 1 second"));
        }
    }
    if let Some(Value::String(repository)) = params.get("repository")
        && let Err(message) = check_repository(repository)
    {
        wrong("repository", message);
    }
    for pattern in texts(params.get("branches")) {
        if let Err(message) = glob(pattern) {
            wrong("branches", message);
        }
    }
    findings
}

fn check_repository(repository: &str) -> Result<(), String> {
    if repository.is_empty() {
        return Err("`repository` is empty".to_owned());
    }
    // Git would take it for an option.
    if repository.starts_with('-') {
        return Err("`repository` must not start with `-`".to_owned());
    }
    if repository.contains("%(") {
        return Err(
            "`repository` cannot hold `%(…)s`: there is no build yet to take a value from".to_owned(),
        );
    }
    if repository.contains(|c: char| c.is_control()) {
        return Err("`repository` holds a control character".to_owned());
    }
    Ok(())
}

/// Compiles a pattern for branches.
pub(crate) fn glob(pattern: &str) -> Result<GlobMatcher, String> {
    super::branch_glob(pattern).map_err(|error| format!("`{pattern}` is not a glob: {}", error.kind()))
}

/// The fields, with their defaults.
pub(crate) struct Fields {
    pub(crate) repository: String,
    pub(crate) branches: Vec<String>,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) project: String,
    pub(crate) codebase: String,
    pub(crate) category: Option<String>,
    pub(crate) revlink: Option<String>,
}

impl Fields {
    pub(crate) fn read(params: &Map<String, Value>) -> Result<Self, String> {
        let text = |name: &str| params.get(name).and_then(Value::as_str).map(str::to_owned);
        let repository = text("repository").ok_or("`repository` is missing")?;
        if let Some((_, message)) = check(params).into_iter().next() {
            return Err(message);
        }
        let duration = |name: &str, default| params.get(name).and_then(seconds).unwrap_or(default);
        Ok(Self {
            repository,
            branches: texts(params.get("branches")).map(str::to_owned).collect(),
            interval: duration("interval", INTERVAL_DEFAULT),
            timeout: duration("timeout", TIMEOUT_DEFAULT),
            project: text("project").unwrap_or_default(),
            codebase: text("codebase").unwrap_or_default(),
            category: text("category").filter(|category| !category.is_empty()),
            revlink: text("revlink").filter(|revlink| !revlink.is_empty()),
        })
    }
}

/// A number of seconds, at least one.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().filter(|seconds| (1.0..1e9).contains(seconds))?;
    Some(Duration((seconds * 1e6) as i64))
}

fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn params(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn defaults_hold_where_nothing_is_said() {
        let fields = Fields::read(&params(json!({"repository": "r"}))).unwrap();
        assert_eq!(fields.interval, INTERVAL_DEFAULT);
        assert_eq!(fields.timeout, TIMEOUT_DEFAULT);
        assert!(fields.branches.is_empty() && fields.category.is_none() && fields.revlink.is_none());
        let fields = Fields::read(&params(json!({"repository": "r", "interval": 1.5}))).unwrap();
        assert_eq!(fields.interval, Duration::from_millis(1500));
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (value, part) in [
            (json!({"repository": "--upload-pack=x"}), "start with `-`"),
            (json!({"repository": ""}), "empty"),
            (json!({"repository": "%(prop:x)s"}), "no build yet"),
            (json!({"repository": "a\nb"}), "control"),
            (json!({"repository": "r", "interval": 0}), "`interval`"),
            (json!({"repository": "r", "timeout": 0.5}), "`timeout`"),
            (json!({"repository": "r", "branches": ["[a"]}), "not a glob"),
        ] {
            let findings = check(&params(value.clone()));
            assert_eq!(findings.len(), 1, "{value}");
            assert!(findings[0].1.contains(part), "{value}: {findings:?}");
        }
        assert!(Fields::read(&params(json!({}))).is_err());
    }
}
