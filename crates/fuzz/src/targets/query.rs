//! Questions to the database.

use std::cell::RefCell;

use ironmaster_store::{
    Filter, FilterValue, Op, OpenOptions, Order, Query, QueryError, Reader, Resource, SqliteStore,
};

/// An empty database that stays open.
struct Database {
    _store: SqliteStore,
    reader: Reader,
    _folder: tempfile::TempDir,
}

thread_local! {
    static DATABASE: RefCell<Option<Database>> = const { RefCell::new(None) };
}

fn open() -> Database {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, reader) =
        SqliteStore::open(folder.path().join("fuzz.db"), OpenOptions::default()).expect("a database");
    Database {
        _store: store,
        reader,
        _folder: folder,
    }
}

/// The first word is the resource, each further one a part of the question: `field:op:value,value`, `order:field`,
/// `order:-field`, `limit:n`, `offset:n`, `fields:a,b`, `property:name`. It may be refused, but never fails in the
/// database.
pub(crate) fn query(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut words = text.split_whitespace();
    let Some(resource) = words.next() else { return };
    let Some(resource) = Resource::ALL.iter().find(|known| known.plural() == resource) else {
        return;
    };
    let mut query = Query::default();
    for word in words {
        part(&mut query, *resource, word);
    }
    with_reader(|reader| match reader.query(*resource, &query) {
        Ok(page) => assert!(page.items.len() as u64 <= page.total.max(query.offset)),
        Err(QueryError::Store(error)) => panic!("the database refuses {query:?}: {error:?}"),
        Err(_) => {}
    });
}

/// Gives the thread's database to somebody who asks it.
pub(super) fn with_reader(ask: impl FnOnce(&Reader)) {
    DATABASE.with_borrow_mut(|database| ask(&database.get_or_insert_with(open).reader));
}

fn part(query: &mut Query, resource: Resource, word: &str) {
    let mut parts = word.splitn(3, ':');
    let name = parts.next().unwrap_or_default();
    let second = parts.next().unwrap_or_default();
    match (name, parts.next()) {
        ("order", _) => query.order.push(match second.strip_prefix('-') {
            Some(field) => Order::descending(field),
            None => Order::ascending(second),
        }),
        ("limit", _) => query.limit = second.parse().ok(),
        ("offset", _) => query.offset = second.parse().unwrap_or_default(),
        ("fields", _) => query.fields = Some(second.split(',').map(str::to_owned).collect()),
        ("property", _) => query.properties.push(second.to_owned()),
        (field, values) => {
            let values = values.unwrap_or_default().split(',');
            let filter = Filter {
                field: field.to_owned(),
                op: op(second),
                values: values.map(value).collect(),
            };
            if resource.field(field).is_some() {
                query.filters.push(filter);
            } else {
                query.scope.push(filter);
            }
        }
    }
}

fn op(name: &str) -> Op {
    match name {
        "ne" => Op::Ne,
        "lt" => Op::Lt,
        "le" => Op::Le,
        "gt" => Op::Gt,
        "ge" => Op::Ge,
        "contains" => Op::Contains,
        "in" => Op::In,
        "notin" => Op::NotIn,
        _ => Op::Eq,
    }
}

/// Of the type that looks right, which need not be the field's.
fn value(text: &str) -> FilterValue {
    match text {
        "true" => FilterValue::Bool(true),
        "false" => FilterValue::Bool(false),
        text => text
            .parse()
            .map_or_else(|_| FilterValue::Text(text.to_owned()), FilterValue::Int),
    }
}
