//! Event topics (section 11 of `docs/reference/rest-api-v2.md`).

use crate::types::{self, ResourceType};

/// Where changes of a resource are told. Each change is told once per prefix.
#[derive(Debug)]
pub struct Topic {
    /// The type whose full item is the message.
    pub resource: &'static ResourceType,
    /// Prefixes; `{field}` stands for that field of the item.
    pub prefixes: &'static [&'static str],
    /// Names that follow the prefix.
    pub events: &'static [&'static str],
}

/// Every topic.
pub static TOPICS: &[Topic] = &[
    Topic {
        resource: &types::BUILD,
        prefixes: &[
            "builds/{buildid}",
            "builders/{builderid}/builds/{number}",
            "workers/{workerid}/builds/{buildid}",
        ],
        events: &["new", "update", "finished"],
    },
    // The message has only the properties that changed.
    Topic {
        resource: &types::PROPERTIES,
        prefixes: &["builds/{buildid}/properties"],
        events: &["update"],
    },
    Topic {
        resource: &types::STEP,
        prefixes: &["builds/{buildid}/steps/{stepid}", "steps/{stepid}"],
        events: &["new", "started", "updated", "finished"],
    },
    Topic {
        resource: &types::LOG,
        prefixes: &["logs/{logid}", "steps/{stepid}/logs/{slug}"],
        events: &["new", "append", "finished"],
    },
    Topic {
        resource: &types::BUILDSET,
        prefixes: &["buildsets/{bsid}"],
        events: &["new", "complete"],
    },
    // `cancel` is told below the first prefix only; `update` (a changed priority) is our own.
    Topic {
        resource: &types::BUILDREQUEST,
        prefixes: &[
            "buildrequests/{buildrequestid}",
            "builders/{builderid}/buildrequests/{buildrequestid}",
            "buildsets/{buildsetid}/builders/{builderid}/buildrequests/{buildrequestid}",
        ],
        events: &["new", "claimed", "unclaimed", "update", "complete", "cancel"],
    },
    Topic {
        resource: &types::PIPELINE,
        prefixes: &["pipelines/{pipelineid}"],
        events: &["update"],
    },
    Topic {
        resource: &types::RUN,
        prefixes: &["runs/{runid}", "pipelines/{pipelineid}/runs/{runid}"],
        events: &["new", "update", "complete"],
    },
    Topic {
        resource: &types::JOB,
        prefixes: &["jobs/{jobid}", "runs/{runid}/jobs/{jobid}"],
        events: &["new", "update"],
    },
    Topic {
        resource: &types::CHANGE,
        prefixes: &["changes/{changeid}"],
        events: &["new"],
    },
    Topic {
        resource: &types::WORKER,
        prefixes: &["workers/{workerid}"],
        events: &["connected", "disconnected", "state_updated"],
    },
    Topic {
        resource: &types::BUILDER,
        prefixes: &["builders/{builderid}"],
        events: &["update"],
    },
    Topic {
        resource: &types::MASTER,
        prefixes: &["masters/{masterid}"],
        events: &["started", "stopped"],
    },
    Topic {
        resource: &types::SCHEDULER,
        prefixes: &["schedulers/{schedulerid}"],
        events: &["updated"],
    },
];
