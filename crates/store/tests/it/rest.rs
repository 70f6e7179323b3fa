//! Every REST resource: its items, and every way to ask for them, against the obvious evaluation.

use std::{collections::HashMap, sync::LazyLock};

use ironmaster_store::{
    Field, FieldKind, Filter, FilterValue, Op, Order, Page, Query, QueryError, Reader, Resource,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::{
    backend::{Backend, Postgres, Sqlite},
    conformance::commit_one,
    history::{Commit, History},
    reference::{Item, evaluate, items, scope_ids, values},
    world::World,
};

/// A database with some history, shared by the tests that only read.
struct Fixture {
    world: World,
    items: HashMap<Resource, Vec<Item>>,
    reader: Reader,
    keep: Box<dyn Backend>,
}

static ON_SQLITE: LazyLock<Fixture> = LazyLock::new(|| fixture(Box::new(Sqlite::new()), 4711));
static ON_POSTGRES: LazyLock<Fixture> = LazyLock::new(|| fixture(Box::new(Postgres::new()), 4711));

fn fixture(mut backend: Box<dyn Backend>, seed: u64) -> Fixture {
    let commits = History::new(seed).commits(120);
    let world = World::of(&commits);
    let (mut store, reader) = backend.open();
    // As one commit: one sync is enough.
    let all = Commit {
        events: commits.iter().flat_map(|commit| commit.events.clone()).collect(),
        counters: world.counters.clone(),
    };
    commit_one(&mut *store, 1, &all);
    drop(store);
    Fixture {
        items: Resource::ALL
            .iter()
            .map(|resource| (*resource, items(&world, *resource)))
            .collect(),
        world,
        reader,
        keep: backend,
    }
}

fn ask(fixture: &Fixture, resource: Resource, query: &Query) -> Page {
    fixture
        .reader
        .query(resource, query)
        .unwrap_or_else(|error| panic!("{resource:?} {query:?}: {error}"))
}

fn collections() -> impl Iterator<Item = Resource> {
    Resource::ALL
        .iter()
        .copied()
        .filter(|resource| !resource.fields().is_empty())
}

fn all_items_have_all_fields_and_the_right_values(on: &Fixture) {
    for seed in [1, 2] {
        let fixture = fixture(on.keep.fresh(), seed);
        for resource in collections() {
            let query = Query {
                properties: vec!["*".into()],
                ..Query::default()
            };
            if resource.plural() == "_properties" {
                continue;
            }
            let page = ask(&fixture, resource, &query);
            assert_eq!(
                page,
                evaluate(&fixture.items[&resource], resource, &query),
                "{resource:?}"
            );
            for item in &page.items {
                let names: Vec<_> = resource.fields().iter().map(|field| field.name).collect();
                assert_eq!(item.keys().collect::<Vec<_>>(), names, "{resource:?}");
                for field in resource.fields() {
                    assert!(fits(field, &item[field.name]), "{resource:?} {}", field.name);
                }
            }
        }
    }
}

fn fits(field: &Field, value: &Value) -> bool {
    match value {
        Value::Null => field.nullable,
        Value::Bool(_) => field.kind == FieldKind::Bool,
        Value::Number(_) => matches!(field.kind, FieldKind::Int | FieldKind::Date),
        Value::String(_) => matches!(field.kind, FieldKind::Text | FieldKind::Identifier),
        Value::Array(_) => field.kind == FieldKind::List,
        Value::Object(_) => field.kind == FieldKind::Object,
    }
}

fn scopes_select_what_belongs_together(fixture: &Fixture) {
    let mut found = 0;
    for resource in collections() {
        for scope in resource.scopes() {
            // Nothing to compare with where there are no rows.
            if resource == Resource::TestResultSets || scope == "buildrequestid" {
                continue;
            }
            for id in scope_ids(&fixture.items[&resource], scope) {
                let query = Query::of(scope, id);
                let page = ask(fixture, resource, &query);
                found += page.items.len();
                assert_eq!(
                    page,
                    evaluate(&fixture.items[&resource], resource, &query),
                    "{resource:?} {scope} {id}"
                );
            }
        }
    }
    assert!(found > 500, "only {found} items were compared");
}

fn properties_are_served_as_one_object(fixture: &Fixture) {
    for build in fixture.world.builds.values() {
        let page = ask(
            fixture,
            Resource::BuildProperties,
            &Query::of("buildid", build.id.0),
        );
        assert_eq!(page.total, 1);
        assert_eq!(
            Value::Object(page.items[0].clone()),
            serde_json::to_value(&build.properties).unwrap()
        );
    }
    for request in fixture.world.requests.values() {
        let properties =
            serde_json::to_value(&fixture.world.buildsets[&request.buildset].properties).unwrap();
        for (scope, id) in [("bsid", request.buildset.0), ("buildrequestid", request.id.0)] {
            let page = ask(fixture, Resource::BuildsetProperties, &Query::of(scope, id));
            assert_eq!(Value::Object(page.items[0].clone()), properties);
        }
    }
    for change in fixture.world.changes.values() {
        let page = ask(
            fixture,
            Resource::ChangeProperties,
            &Query::of("changeid", change.id.0),
        );
        assert_eq!(
            Value::Object(page.items[0].clone()),
            serde_json::to_value(&change.properties).unwrap()
        );
    }
    let none = ask(
        fixture,
        Resource::BuildProperties,
        &Query::of("buildid", 1_000_000_u64),
    );
    assert_eq!(none, Page::default());
}

/// One of `from` by a number that proptest shrinks towards zero.
fn choose<T: Clone>(from: &[T], number: usize) -> T {
    from[number % from.len()].clone()
}

const OPS: [Op; 9] = [
    Op::Eq,
    Op::Ne,
    Op::Lt,
    Op::Le,
    Op::Gt,
    Op::Ge,
    Op::Contains,
    Op::In,
    Op::NotIn,
];

fn filter_of(items: &[Item], resource: Resource, seeds: &(usize, usize, Vec<usize>)) -> Option<Filter> {
    let fields: Vec<&Field> = resource
        .fields()
        .iter()
        .filter(|field| field.filter_kind().is_some())
        .collect();
    let field = choose(&fields, seeds.0);
    let ops: Vec<Op> = OPS.into_iter().filter(|op| field.allows(*op)).collect();
    let op = choose(&ops, seeds.1);
    let candidates: Vec<FilterValue> = values(items, field);
    let one = matches!(op, Op::Lt | Op::Le | Op::Gt | Op::Ge);
    let take = if one { 1 } else { seeds.2.len() };
    let values: Vec<_> = seeds
        .2
        .iter()
        .take(take)
        .map(|number| choose(&candidates, *number))
        .collect();
    (!values.is_empty()).then(|| Filter {
        field: field.name.into(),
        op,
        values,
    })
}

fn order_of(resource: Resource, seeds: &[(usize, bool)]) -> Vec<Order> {
    let fields: Vec<&Field> = resource
        .fields()
        .iter()
        .filter(|field| field.orderable())
        .collect();
    seeds
        .iter()
        .map(|(number, descending)| Order {
            field: choose(&fields, *number).name.into(),
            descending: *descending,
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn queries_equal_the_obvious_evaluation(
        resource in 0..100_usize,
        filters in prop::collection::vec(
            (0..100_usize, 0..100_usize, prop::collection::vec(0..10_000_usize, 1..4)), 0..3),
        order in prop::collection::vec((0..100_usize, any::<bool>()), 0..3),
        offset in prop_oneof![Just(0_u64), 0..40_u64, Just(u64::MAX)],
        limit in prop::option::of(prop_oneof![0..40_u64, Just(u64::MAX)]),
        fields in prop::option::of(prop::collection::vec(0..100_usize, 0..4)),
        properties in prop::collection::vec(0..4_usize, 0..3),
    ) {
        let fixture = &*ON_SQLITE;
        let all: Vec<Resource> = collections()
            .filter(|resource| resource.plural() != "_properties")
            .collect();
        let resource = choose(&all, resource);
        let names: Vec<String> = resource.fields().iter().map(|field| field.name.to_owned()).collect();
        let query = Query {
            scope: Vec::new(),
            filters: filters
                .iter()
                .filter_map(|seeds| filter_of(&fixture.items[&resource], resource, seeds))
                .collect(),
            order: order_of(resource, &order),
            fields: fields.map(|numbers| numbers.into_iter().map(|number| choose(&names, number)).collect()),
            offset,
            limit,
            properties: properties
                .into_iter()
                .map(|number| choose(&["workername", "b\"c", "owner", "*"], number).to_owned())
                .collect(),
        };
        let expected = evaluate(&fixture.items[&resource], resource, &query);
        prop_assert_eq!(&ask(fixture, resource, &query), &expected, "SQLite: {:?} {:?}", resource, query);
        prop_assert_eq!(&ask(&ON_POSTGRES, resource, &query), &expected, "PostgreSQL: {:?} {:?}", resource, query);
    }

    #[test]
    fn property_lists_equal_the_obvious_evaluation(
        build in 0..1000_usize,
        filters in prop::collection::vec(
            (0..100_usize, 0..100_usize, prop::collection::vec(0..10_000_usize, 1..4)), 0..3),
        order in prop::collection::vec((0..100_usize, any::<bool>()), 0..3),
        limit in prop::option::of(0..10_u64),
    ) {
        let fixture = &*ON_SQLITE;
        let resource = Resource::BuildPropertyList;
        let ids: Vec<u64> = fixture.world.builds.keys().map(|id| id.0).collect();
        let query = Query {
            filters: filters
                .iter()
                .filter_map(|seeds| filter_of(&fixture.items[&resource], resource, seeds))
                .collect(),
            order: order_of(resource, &order),
            limit,
            ..Query::of("buildid", choose(&ids, build))
        };
        let expected = evaluate(&fixture.items[&resource], resource, &query);
        prop_assert_eq!(&ask(fixture, resource, &query), &expected, "SQLite: {:?}", query);
        prop_assert_eq!(&ask(&ON_POSTGRES, resource, &query), &expected, "PostgreSQL: {:?}", query);
    }
}

/// Totals of long tables are remembered: they must follow every commit.
fn totals_are_right_after_every_commit(on: &Fixture) {
    let mut history = History::new(99);
    let mut world = World::of(&[]);
    let mut backend = on.keep.fresh();
    let (mut store, reader) = backend.open();
    let mut compared = 0;
    for id in 1..80 {
        let commit = history.commit(2);
        commit_one(&mut *store, id, &commit);
        world.commit(&commit);
        for (resource, filters) in [
            (Resource::Builds, vec![]),
            (Resource::Builds, vec![Filter::eq("builderid", 1_u64)]),
            (Resource::Builds, vec![Filter::eq("complete", true)]),
            (Resource::Builds, vec![Filter::eq("complete", false)]),
            (
                Resource::Builds,
                vec![Filter::eq("complete", true), Filter::eq("builderid", 2_u64)],
            ),
            (Resource::Builds, vec![Filter::eq("results", 0_u64)]),
            (Resource::BuildRequests, vec![Filter::eq("claimed", true)]),
            (
                Resource::BuildRequests,
                vec![Filter::eq("complete", true), Filter::eq("claimed", false)],
            ),
            (Resource::Buildsets, vec![Filter::eq("complete", true)]),
            (Resource::Changes, vec![]),
            (Resource::Steps, vec![Filter::eq("hidden", false)]),
            (Resource::Workers, vec![]),
        ] {
            let query = Query {
                filters,
                limit: Some(1),
                ..Query::default()
            };
            let page = reader.query(resource, &query).unwrap();
            assert_eq!(
                page,
                evaluate(&items(&world, resource), resource, &query),
                "{resource:?} {query:?}"
            );
            compared += page.total;
        }
    }
    assert!(compared > 1000);
    assert_eq!(store.load().unwrap().seq, world.events.len() as u64);
}

fn bad_queries_are_refused(fixture: &Fixture) {
    let reader = &fixture.reader;
    let refuse = |resource, query: &Query| reader.query(resource, query).unwrap_err();
    let unknown = refuse(Resource::Builds, &Query::of("nonsense", 1_u64));
    assert_eq!(unknown.to_string(), "no such field 'nonsense'");
    for query in [
        Query {
            order: vec![Order::ascending("id; drop table builds")],
            ..Query::default()
        },
        Query {
            fields: Some(vec!["nonsense".into()]),
            ..Query::default()
        },
    ] {
        assert!(matches!(
            refuse(Resource::Builds, &query),
            QueryError::NoSuchField { .. }
        ));
    }
    let with = |field: &str, op, values: Vec<FilterValue>| Query {
        filters: vec![Filter {
            field: field.into(),
            op,
            values,
        }],
        ..Query::default()
    };
    for query in [
        with("buildid", Op::Eq, vec!["text".into()]),
        with("buildid", Op::Eq, vec![]),
        with("buildid", Op::Lt, vec![1_u64.into(), 2_u64.into()]),
        with("buildid", Op::Contains, vec![1_u64.into()]),
        with("complete", Op::Lt, vec![true.into()]),
        with("complete", Op::Eq, vec![1_u64.into()]),
        with("started_at", Op::Eq, vec!["now".into()]),
        with("properties", Op::Eq, vec!["x".into()]),
    ] {
        let error = refuse(Resource::Builds, &query);
        assert!(
            matches!(error, QueryError::InvalidFilter { .. }),
            "{query:?}: {error}"
        );
    }
    let error = refuse(Resource::Builders, &with("tags", Op::Eq, vec!["x".into()]));
    assert_eq!(error.to_string(), "invalid filter value for tags");
    let ordered = Query {
        order: vec![Order::ascending("tags")],
        ..Query::default()
    };
    assert!(matches!(
        refuse(Resource::Builders, &ordered),
        QueryError::CannotOrder { .. }
    ));
    // Far more than anybody asks for, but whoever does is told.
    let many: Vec<FilterValue> = (0..5000_u64).map(FilterValue::from).collect();
    let ids = ask(fixture, Resource::Builds, &with("buildid", Op::In, many.clone()));
    assert_eq!(ids.items.len(), fixture.world.builds.len());
    for query in [
        with("started_at", Op::Eq, many),
        Query {
            filters: vec![Filter::eq("buildid", 1_u64); 2000],
            ..Query::default()
        },
    ] {
        let error = refuse(Resource::Builds, &query);
        assert!(matches!(error, QueryError::InvalidFilter { .. }), "{error}");
    }
    let again = Query {
        order: vec![Order::descending("number"); 5000],
        limit: Some(3),
        ..Query::default()
    };
    assert_eq!(ask(fixture, Resource::Builds, &again).items.len(), 3);
    // What has no rows yet is asked in the same way.
    let error = refuse(Resource::Branches, &Query::of("nonsense", 1_u64));
    assert!(matches!(error, QueryError::NoSuchField { .. }));
    assert_eq!(
        reader
            .query(Resource::Branches, &Query::of("branchid", 1_u64))
            .unwrap(),
        Page::default()
    );
}

macro_rules! with_fixture {
    ($module:ident $fixture:ident: $($name:ident)*) => {
        mod $module {
            $(#[test]
            fn $name() {
                super::$name(&super::$fixture);
            })*
        }
    };
}

with_fixture! { sqlite ON_SQLITE:
    all_items_have_all_fields_and_the_right_values scopes_select_what_belongs_together
    properties_are_served_as_one_object totals_are_right_after_every_commit bad_queries_are_refused
}
with_fixture! { postgres ON_POSTGRES:
    all_items_have_all_fields_and_the_right_values scopes_select_what_belongs_together
    properties_are_served_as_one_object totals_are_right_after_every_commit bad_queries_are_refused
}
