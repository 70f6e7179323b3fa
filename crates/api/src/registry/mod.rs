//! The registry: every method of the API, once. REST and JSON-RPC dispatch into it, event topics, `application.spec`
//! and `GET /api/methods` derive from it.
//!
//! To add a method: add its entry to `methods.rs`, teach [`rest`](crate::rest) or [`control`](crate::control) its
//! operation, and call it in a test. `tests/it/coverage.rs` fails as long as one of these is missing.

mod methods;
mod path;
mod spec;
mod topics;

use std::{collections::HashMap, sync::OnceLock};

pub use path::{Captures, Pattern, split};
pub use spec::{application_spec, describe};
pub use topics::{TOPICS, Topic};

use ironmaster_store::Resource;

use crate::{auth::Role, types::ResourceType};

/// A method.
#[derive(Debug)]
pub struct Method {
    /// Unique: `builds.list`, `builds.stop`.
    pub name: &'static str,
    /// What it does, for the reference.
    pub docs: &'static str,
    /// What it answers.
    pub kind: Kind,
    /// The type of its items; for controls that of what they act on.
    pub resource: &'static ResourceType,
    /// Paths below `/api/v2`.
    pub paths: &'static [&'static str],
    /// Who may call it.
    pub permission: Permission,
    /// Parameters of a control.
    pub params: &'static [Param],
    /// What calling it twice does.
    pub idempotency: Idempotency,
    /// What carries it out.
    pub operation: Operation,
}

/// What a method answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// GET: a list of items with filters, order and pages.
    Collection,
    /// GET: one item.
    Single,
    /// GET: bytes.
    Raw,
    /// POST: an action by JSON-RPC; the word is its `method`.
    Control(&'static str),
}

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Whoever may read: everybody, or who is logged in (a setting).
    Read,
    /// Administrators.
    Control,
}

/// What calling a method twice does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotency {
    /// It changes nothing.
    Safe,
    /// The second call finds done what it asks for.
    Natural,
    /// It acts again, unless both calls carry the same `Idempotency-Key`.
    ByKey,
}

/// A parameter of a control.
#[derive(Debug)]
pub struct Param {
    /// Its key in `params`.
    pub name: &'static str,
    /// Its JSON type.
    pub kind: ParamKind,
    /// Whether it must be there.
    pub required: bool,
    /// What it means.
    pub docs: &'static str,
}

/// The JSON type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// true or false.
    Boolean,
    /// A list of texts.
    Strings,
}

/// What carries a method out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reads items from the database.
    Rows(Resource),
    /// The type has no items in this version: collections are empty, single items are not found.
    Nothing,
    /// The root links.
    RootLinks,
    /// The specification itself.
    Spec,
    /// Force schedulers, from the configuration.
    ForceSchedulers,
    /// Try schedulers, from the configuration.
    TrySchedulers,
    /// What a request waits for, as the engine sees it now.
    Waiting,
    /// The jobs of a pipeline, from the configuration.
    PipelineDefinition,
    /// What a job of a pipeline waits for, as the engine sees it now.
    JobWaiting,
    /// The properties of what the path names, as one object.
    Properties,
    /// The properties of what the path names, as a list.
    PropertyList,
    /// Lines of a log.
    LogContents,
    /// A log's bytes; the flag says whether a browser shows them rather than saves them.
    LogRaw {
        /// Without `Content-Disposition`.
        inline: bool,
    },
    /// What this master says of itself.
    ThisMaster,
    /// Configurations that came into force.
    Configurations,
    /// `reload`.
    Reload,
    /// `shutdown`.
    Shutdown,
    /// `cancel_shutdown`.
    CancelShutdown,
    /// `force`.
    Force,
    /// `try`.
    Try,
    /// `stop` of a build.
    StopBuild,
    /// `rebuild`.
    Rebuild,
    /// `cancel`.
    CancelRequest,
    /// `set_priority`.
    SetPriority,
    /// `pause`.
    PauseWorker,
    /// `unpause`.
    UnpauseWorker,
    /// `stop` of a worker.
    StopWorker,
    /// `kill`.
    KillWorker,
    /// `enable`.
    EnableScheduler,
    /// `start` of a pipeline.
    StartRun,
    /// `stop` of a run.
    StopRun,
    /// `retry` of a run.
    RetryRun,
    /// `retry` of a job.
    RetryJob,
    /// `approve`.
    ApproveJob,
    /// `reject`.
    RejectJob,
}

/// A method that a path led to.
#[derive(Debug)]
pub struct Found {
    /// The method.
    pub method: &'static Method,
    /// What the path says.
    pub captures: Captures,
}

/// All methods with an index of their paths.
#[derive(Debug)]
pub struct Registry {
    index: HashMap<(usize, &'static str), Vec<(Pattern, &'static Method)>>,
}

/// The registry.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let mut index: HashMap<_, Vec<_>> = HashMap::new();
        for method in methods::METHODS {
            for path in method.paths {
                let pattern = Pattern::new(path);
                index
                    .entry(pattern.index_key())
                    .or_default()
                    .push((pattern, method));
            }
        }
        Registry { index }
    })
}

impl Registry {
    /// Every method, in the order of the reference.
    pub fn methods(&self) -> &'static [Method] {
        methods::METHODS
    }

    /// The GET method at a path.
    pub fn get(&self, path: &[String]) -> Option<Found> {
        self.at(path)
            .find(|found| !matches!(found.method.kind, Kind::Control(_)))
    }

    /// The action at a path. `Err` says whether the path exists at all.
    pub fn action(&self, path: &[String], action: &str) -> Result<Found, bool> {
        let mut exists = false;
        for found in self.at(path) {
            exists = true;
            if found.method.kind == Kind::Control(static_action(action).unwrap_or("")) {
                return Ok(found);
            }
        }
        Err(exists)
    }

    fn at<'a>(&'a self, path: &'a [String]) -> impl Iterator<Item = Found> + 'a {
        let first = path.first().map_or("", String::as_str);
        // The same index, seen as one whose keys live as long as the path.
        let index: &HashMap<(usize, &str), _> = &self.index;
        index
            .get(&(path.len(), first))
            .into_iter()
            .flatten()
            .filter_map(|(pattern, method)| pattern.captures(path).map(|captures| Found { method, captures }))
    }
}

/// The action's name as a constant, if any method has it.
fn static_action(action: &str) -> Option<&'static str> {
    methods::METHODS.iter().find_map(|method| match method.kind {
        Kind::Control(name) if name == action => Some(name),
        _ => None,
    })
}

impl Permission {
    /// The role that is needed.
    pub fn role(self) -> Role {
        match self {
            Permission::Read => Role::Reader,
            Permission::Control => Role::Admin,
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Permission::Read => "read",
            Permission::Control => "control",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn get(path: &str) -> Option<&'static str> {
        registry().get(&split(path)).map(|found| found.method.name)
    }

    #[test]
    fn paths_lead_to_methods() {
        for (path, name) in [
            ("builds", Some("builds.list")),
            ("builds/7", Some("builds.get")),
            ("builders/7/builds", Some("builds.list")),
            ("builders/some%20name/builds/3", Some("builds.get")),
            (
                "builders/1/builds/3/steps/compile/logs/stdio/raw_inline",
                Some("logs.raw_inline"),
            ),
            ("buildrequests/3/properties", Some("properties.get")),
            ("projects/x", Some("projects.get")),
            ("", Some("rootlinks.list")),
            ("application.spec", Some("specs.list")),
            ("nosuch", None),
            ("builds/", None),
            ("builds/x", None),
        ] {
            assert_eq!(get(path), name, "{path}");
        }
    }

    #[test]
    fn actions_are_found_at_single_items_only() {
        let action = |path, name| {
            registry()
                .action(&split(path), name)
                .map(|found| found.method.name)
        };
        assert_eq!(action("builds/7", "stop"), Ok("builds.stop"));
        assert_eq!(action("builders/x/builds/7", "stop"), Ok("builds.stop"));
        assert_eq!(action("builds/7", "nope"), Err(true));
        assert_eq!(action("builds", "stop"), Err(true));
        assert_eq!(action("nosuch", "stop"), Err(false));
        assert_eq!(action("masters/1", "stop"), Err(true));
    }

    #[test]
    fn the_registry_is_complete_and_unambiguous() {
        let mut names = BTreeSet::new();
        let mut paths = BTreeSet::new();
        for method in registry().methods() {
            assert!(names.insert(method.name), "{} is there twice", method.name);
            assert!(
                method.docs.len() > 8 && method.docs.ends_with('.'),
                "{} needs docs",
                method.name
            );
            assert!(!method.paths.is_empty(), "{} needs a path", method.name);
            let control = matches!(method.kind, Kind::Control(_));
            assert!(
                !control || method.permission == Permission::Control,
                "{}",
                method.name
            );
            assert_eq!(
                control,
                method.idempotency != Idempotency::Safe,
                "{}",
                method.name
            );
            for path in method.paths {
                assert!(
                    paths.insert((
                        format!("{:?}", method.kind)
                            .replace("Collection", "get")
                            .replace("Single", "get"),
                        *path
                    )),
                    "{path} is there twice"
                );
            }
        }
    }

    #[test]
    fn buildbots_paths_are_all_there() {
        let known: BTreeSet<&str> = registry()
            .methods()
            .iter()
            .flat_map(|method| method.paths.iter().copied())
            .collect();
        let capture: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/captures/application-spec.json")).unwrap();
        for spec in capture["body"]["specs"].as_array().unwrap() {
            let path = spec["path"].as_str().unwrap().replace("/:", "/n:");
            assert!(
                known.iter().any(|known| shape(known) == shape(&path)),
                "{path} is missing"
            );
        }
    }

    /// Names of captures do not matter, their kinds do.
    fn shape(path: &str) -> String {
        path.split('/')
            .map(|element| element.split_once(':').map_or(element, |(kind, _)| kind))
            .collect::<Vec<_>>()
            .join("/")
    }

    #[test]
    fn specifications_agree_with_buildbots() {
        let capture: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/captures/application-spec.json")).unwrap();
        for theirs in capture["body"]["specs"].as_array().unwrap() {
            let name = theirs["type"].as_str().unwrap();
            // A committer may be missing, and names of builders are any text: deliberate differences.
            if matches!(name, "change" | "forcescheduler") {
                continue;
            }
            let ours = crate::types::ALL.iter().find(|of| of.name == name).unwrap();
            let mut spec = ours.type_spec();
            if let Some(fields) = spec.get_mut("fields").and_then(serde_json::Value::as_array_mut) {
                fields.retain(|field| !ours.field(field["name"].as_str().unwrap()).unwrap().extra);
            }
            assert_eq!(theirs["type_spec"], spec, "{name}");
        }
    }

    #[test]
    fn types_and_tables_have_the_same_fields() {
        for method in registry().methods() {
            let Operation::Rows(resource) = method.operation else {
                continue;
            };
            let ours: BTreeSet<_> = method
                .resource
                .fields
                .iter()
                .map(|field| (field.name, field.extra))
                .collect();
            let theirs: BTreeSet<_> = resource
                .fields()
                .iter()
                .map(|field| (field.name, field.extra))
                .collect();
            assert_eq!(ours, theirs, "{}", method.name);
            assert_eq!(method.resource.plural, resource.plural());
        }
    }
}
