//! For tests: the questions of pages and programs that must stay fast however long history is.

use crate::{
    query::{Filter, Op, Order, Query},
    resource::Resource,
};

/// Tables that only grow.
pub(crate) const HISTORY: &[&str] = &[
    "builds",
    "buildrequests",
    "buildsets",
    "buildset_sourcestamps",
    "buildset_changes",
    "sourcestamps",
    "changes",
    "steps",
    "logs",
    "events",
    "effects",
];

/// One of them.
pub(crate) struct Hot {
    pub(crate) resource: Resource,
    scope: Vec<Filter>,
    filters: Vec<Filter>,
    order: Vec<Order>,
    /// Whether it reads its rows in order, and so stops at the limit.
    pub(crate) in_order: bool,
}

impl Hot {
    /// As a page asks it.
    pub(crate) fn query(&self) -> Query {
        Query {
            scope: self.scope.clone(),
            filters: self.filters.clone(),
            order: self.order.clone(),
            limit: Some(50),
            properties: vec!["*".into()],
            ..Query::default()
        }
    }
}

/// All of them.
pub(crate) fn hot() -> Vec<Hot> {
    let eq = |field: &str, value: u64| vec![Filter::eq(field, value)];
    let none = Vec::new;
    let down = |field: &str| vec![Order::descending(field)];
    let page = |resource, scope, order| Hot {
        resource,
        scope,
        filters: Vec::new(),
        order,
        in_order: true,
    };
    let few = |resource, scope| Hot {
        resource,
        scope,
        filters: Vec::new(),
        order: Vec::new(),
        in_order: false,
    };
    let with = |filters: Vec<Filter>, hot: Hot| Hot { filters, ..hot };
    vec![
        page(Resource::Builds, none(), vec![]),
        page(Resource::Builds, none(), down("buildid")),
        page(Resource::Builds, none(), down("started_at")),
        page(Resource::Builds, none(), down("complete_at")),
        with(
            vec![Filter::eq("complete", true)],
            page(Resource::Builds, none(), down("buildid")),
        ),
        with(vec![Filter::eq("complete", false)], few(Resource::Builds, none())),
        with(
            vec![Filter::eq("complete", false)],
            few(Resource::Builds, eq("builderid", 1)),
        ),
        with(
            vec![Filter {
                field: "started_at".into(),
                op: Op::Ge,
                values: vec![1_700_000_000_u64.into()],
            }],
            page(Resource::Builds, none(), down("started_at")),
        ),
        with(
            vec![Filter {
                field: "builderid".into(),
                op: Op::In,
                values: vec![1_u64.into(), 2_u64.into()],
            }],
            few(Resource::Builds, none()),
        ),
        page(Resource::Builds, eq("builderid", 1), vec![]),
        page(Resource::Builds, eq("builderid", 1), down("buildid")),
        page(Resource::Builds, eq("builderid", 1), down("number")),
        few(Resource::Builds, eq("buildid", 1)),
        few(
            Resource::Builds,
            vec![Filter::eq("builderid", 1_u64), Filter::eq("number", 1_u64)],
        ),
        few(Resource::Builds, eq("buildrequestid", 1)),
        page(Resource::Builds, eq("workerid", 1), down("buildid")),
        few(Resource::Builds, eq("bsid", 1)),
        few(Resource::Builds, eq("changeid", 1)),
        few(Resource::Builds, eq("parent_buildid", 1)),
        few(Resource::Builds, eq("jobid", 1)),
        page(Resource::BuildRequests, none(), down("buildrequestid")),
        page(Resource::BuildRequests, none(), down("submitted_at")),
        with(
            vec![Filter::eq("complete", false)],
            few(Resource::BuildRequests, none()),
        ),
        with(
            vec![Filter::eq("claimed", false), Filter::eq("complete", false)],
            few(Resource::BuildRequests, eq("builderid", 1)),
        ),
        few(Resource::BuildRequests, eq("buildsetid", 1)),
        page(
            Resource::BuildRequests,
            eq("builderid", 1),
            down("buildrequestid"),
        ),
        page(Resource::Buildsets, none(), down("bsid")),
        with(
            vec![Filter::eq("complete", false)],
            few(Resource::Buildsets, none()),
        ),
        few(Resource::Buildsets, eq("bsid", 1)),
        page(Resource::SourceStamps, none(), vec![]),
        few(Resource::SourceStamps, eq("bsid", 1)),
        page(Resource::Changes, none(), vec![]),
        page(Resource::Changes, none(), down("changeid")),
        page(Resource::Changes, none(), down("when_timestamp")),
        few(Resource::Changes, eq("buildid", 1)),
        few(Resource::Changes, eq("ssid", 1)),
        few(Resource::Steps, eq("buildid", 1)),
        few(Resource::Steps, eq("stepid", 1)),
        few(
            Resource::Steps,
            vec![Filter::eq("buildid", 1_u64), Filter::eq("name", "compile")],
        ),
        few(Resource::Logs, eq("stepid", 1)),
        few(Resource::Logs, eq("buildid", 1)),
        few(Resource::Logs, eq("logid", 1)),
        few(Resource::BuildProperties, eq("buildid", 1)),
        few(Resource::BuildsetProperties, eq("buildrequestid", 1)),
        few(Resource::BuildPropertyList, eq("buildid", 1)),
        few(Resource::BuildsetPropertyList, eq("bsid", 1)),
        few(Resource::ChangePropertyList, eq("changeid", 1)),
    ]
}
