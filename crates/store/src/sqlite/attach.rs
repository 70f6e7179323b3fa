//! Fills in related rows for all items of a page at once: one query a kind, however long the page is.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, Params, types::ValueRef};
use serde_json::{Map, Value, json};

use super::{error::reading, load::json_list, select};
use crate::{
    error::StoreError,
    resource::{Attach, Field, Resource, Source},
};

type Item = Map<String, Value>;

/// Keys of related rows, noted while the page's rows are read.
pub(super) struct Attached {
    wanted: Vec<Wanted>,
}

struct Wanted {
    index: usize,
    name: &'static str,
    attach: Attach,
    /// One for each item.
    keys: Vec<Key>,
}

enum Key {
    None,
    Id(u64),
    Ids(Vec<u64>),
}

impl Attached {
    pub(super) fn new(fields: &[&'static Field]) -> Self {
        let wanted = fields
            .iter()
            .enumerate()
            .filter_map(|(index, field)| match field.source {
                Source::Attached { attach, .. } => Some(Wanted {
                    index,
                    name: field.name,
                    attach,
                    keys: Vec::new(),
                }),
                _ => None,
            })
            .collect();
        Self { wanted }
    }

    pub(super) fn note(&mut self, index: usize, stored: ValueRef<'_>) {
        let key = match stored {
            ValueRef::Integer(id) => u64::try_from(id).map_or(Key::None, Key::Id),
            ValueRef::Text(list) => serde_json::from_slice(list).map_or(Key::None, Key::Ids),
            _ => Key::None,
        };
        if let Some(wanted) = self.wanted.iter_mut().find(|wanted| wanted.index == index) {
            wanted.keys.push(key);
        }
    }
}

/// Reads the related rows and puts them into the items.
pub(super) fn attach(
    connection: &Connection,
    attached: Attached,
    items: &mut [Map<String, Value>],
) -> Result<(), StoreError> {
    if items.is_empty() {
        return Ok(());
    }
    let mut masters = None;
    for wanted in attached.wanted {
        let values: Vec<Value> = match wanted.attach {
            Attach::Stamp => {
                let stamps = stamps(connection, &wanted.keys)?;
                wanted
                    .keys
                    .iter()
                    .map(|key| match key {
                        Key::Id(id) => stamps.get(id).cloned().map_or(Value::Null, Value::Object),
                        _ => Value::Null,
                    })
                    .collect()
            }
            Attach::BuildsetStamps => {
                let mut stamps = buildset_stamps(connection, &wanted.keys)?;
                wanted
                    .keys
                    .iter()
                    .map(|key| match key {
                        Key::Id(id) => stamps.remove(id).unwrap_or_default().into(),
                        _ => Value::Array(Vec::new()),
                    })
                    .collect()
            }
            Attach::Master | Attach::MasterIds | Attach::ConnectedTo | Attach::ConfiguredOn => {
                if masters.is_none() {
                    masters = Some(running_masters(connection)?);
                }
                let masters = masters.as_deref().unwrap_or_default();
                wanted
                    .keys
                    .iter()
                    .map(|key| on_masters(wanted.attach, key, masters))
                    .collect()
            }
        };
        for (item, value) in items.iter_mut().zip(values) {
            item.insert(wanted.name.to_owned(), value);
        }
    }
    Ok(())
}

fn on_masters(attach: Attach, key: &Key, masters: &[Map<String, Value>]) -> Value {
    let ids = || masters.iter().filter_map(|master| master.get("masterid"));
    let yes = matches!(key, Key::Id(1));
    match attach {
        Attach::Master if yes => masters.first().cloned().map_or(Value::Null, Value::Object),
        Attach::MasterIds if yes => ids().cloned().collect(),
        Attach::ConnectedTo if yes => ids().map(|id| json!({ "masterid": id })).collect(),
        Attach::ConfiguredOn => {
            let Key::Ids(builders) = key else {
                return Value::Array(Vec::new());
            };
            ids()
                .flat_map(|id| {
                    builders
                        .iter()
                        .map(move |builder| json!({ "builderid": builder, "masterid": id }))
                })
                .collect()
        }
        Attach::Master => Value::Null,
        _ => Value::Array(Vec::new()),
    }
}

fn running_masters(connection: &Connection) -> Result<Vec<Map<String, Value>>, StoreError> {
    let rows = related(
        connection,
        Resource::Masters,
        "0",
        "masters as t where t.active = 1 order by t.id",
        [],
    )?;
    Ok(rows.into_iter().map(|(_, master)| master).collect())
}

fn stamps(connection: &Connection, keys: &[Key]) -> Result<BTreeMap<u64, Map<String, Value>>, StoreError> {
    let rows = related(
        connection,
        Resource::SourceStamps,
        "t.id",
        "sourcestamps as t where t.id in (select value from json_each(?1))",
        [ids(keys)],
    )?;
    Ok(rows.into_iter().collect())
}

fn buildset_stamps(connection: &Connection, keys: &[Key]) -> Result<BTreeMap<u64, Vec<Value>>, StoreError> {
    let rows = related(
        connection,
        Resource::SourceStamps,
        "x.buildset",
        "buildset_sourcestamps as x join sourcestamps as t on t.id = x.sourcestamp \
         where x.buildset in (select value from json_each(?1)) order by x.buildset, x.position",
        [ids(keys)],
    )?;
    let mut stamps: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for (buildset, stamp) in rows {
        stamps.entry(buildset).or_default().push(Value::Object(stamp));
    }
    Ok(stamps)
}

fn ids(keys: &[Key]) -> String {
    let ids: BTreeSet<u64> = keys
        .iter()
        .filter_map(|key| match key {
            Key::Id(id) => Some(*id),
            _ => None,
        })
        .collect();
    json_list(ids)
}

/// Full items of another resource (one that attaches nothing itself), each with the key that it belongs to.
fn related(
    connection: &Connection,
    resource: Resource,
    key: &str,
    from: &str,
    params: impl Params,
) -> Result<Vec<(u64, Item)>, StoreError> {
    let fields: Vec<_> = resource.fields().iter().collect();
    let columns: Vec<_> = fields.iter().map(|field| select::expression(field)).collect();
    let sql = format!("select {}, {key} from {from}", columns.join(", "));
    let mut statement = connection.prepare_cached(&sql).map_err(reading)?;
    let mut rows = statement.query(params).map_err(reading)?;
    let mut found = Vec::new();
    let mut none = Attached::new(&[]);
    while let Some(row) = rows.next().map_err(reading)? {
        let key: i64 = row.get(fields.len()).map_err(reading)?;
        let item = select::item(resource, &fields, row, &[], &mut none)?;
        found.push((key.cast_unsigned(), item));
    }
    Ok(found)
}
