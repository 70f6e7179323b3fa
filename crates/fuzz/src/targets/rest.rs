//! Addresses that a client asks for.

use ironmaster_api::{
    error::ApiError,
    query::{self, Shape},
    registry::{self, Kind, Operation, registry},
    rest,
    select::{Item, select},
    types::ResourceType,
};
use ironmaster_store::{Query, Reader};
use serde_json::json;

use super::query::with_reader;

/// A path below `/api/v2` with its query: `builders/x/builds?complete=false&order=-number`. It is read and asked as GET does.
/// An address may be wrong, or lead to nothing, but the master is never at fault.
pub(crate) fn get(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (path, query) = text.split_once('?').unwrap_or((&text, ""));
    let path = registry::split(path);
    let Some(found) = registry().get(&path) else {
        // Its path may be of a control.
        for action in ["stop", "force"] {
            if let Ok(found) = registry().action(&path, action) {
                assert_eq!(found.method.kind, Kind::Control(action));
            }
        }
        return;
    };
    for (name, value) in query::pairs(query) {
        assert!(name.len() + value.len() <= 3 * query.len(), "nothing is made up");
    }
    let shape = if found.method.kind == Kind::Collection {
        Shape::Collection
    } else {
        Shape::Single
    };
    let parsed = match query::parse(query, found.method.resource, shape) {
        Ok(parsed) => parsed,
        Err(error) => {
            assert!(error.status().is_client_error(), "{error:?}");
            return;
        }
    };
    let item = example(found.method.resource);
    let (page, total) = select(vec![item.clone(), item], &parsed);
    assert!(page.len() as u64 <= total);
    if let Operation::Rows(resource) = found.method.operation {
        with_reader(|reader| {
            let asked = rest::locate(reader, resource, &found.captures)
                .and_then(|scope| rows(reader, resource, &Query { scope, ..parsed }));
            if let Err(error) = asked {
                assert!(error.status().is_client_error(), "{text}: {error:?}");
            }
        });
    }
}

fn rows(reader: &Reader, resource: ironmaster_store::Resource, query: &Query) -> Result<(), ApiError> {
    match reader.query(resource, query) {
        Ok(_) => Ok(()),
        Err(ironmaster_store::QueryError::Store(error)) => {
            panic!("the database refuses {query:?}: {error:?}")
        }
        Err(refused) => Err(ApiError::BadRequest(refused.to_string())),
    }
}

/// An item of a type, with values of several kinds.
fn example(of: &ResourceType) -> Item {
    let values = [json!(7), json!("a"), json!(null), json!(["a", 1]), json!(true)];
    of.fields
        .iter()
        .zip(values.iter().cycle())
        .map(|(field, value)| (field.name.to_owned(), value.clone()))
        .collect()
}
