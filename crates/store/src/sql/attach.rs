//! Fills in related rows for all items of a page at once: one query a kind, however long the page is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    select,
    session::{Cell, Dialect, Param, Session},
};
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
    pub(super) fn new(dialect: Dialect, fields: &[&'static Field]) -> Self {
        let wanted = fields
            .iter()
            .enumerate()
            .filter_map(|(index, field)| match field.source(dialect) {
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

    pub(super) fn note(&mut self, index: usize, stored: &Cell<'_>) {
        let key = match stored {
            Cell::Int(id) => u64::try_from(*id).map_or(Key::None, Key::Id),
            Cell::Text(list) => serde_json::from_slice(&list.json()).map_or(Key::None, Key::Ids),
            _ => Key::None,
        };
        if let Some(wanted) = self.wanted.iter_mut().find(|wanted| wanted.index == index) {
            wanted.keys.push(key);
        }
    }
}

/// Reads the related rows and puts them into the items.
pub(super) fn attach(
    session: &mut dyn Session,
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
                let stamps = stamps(session, &wanted.keys)?;
                wanted
                    .keys
                    .iter()
                    .map(|key| match key {
                        Key::Id(id) => stamps.get(id).cloned().map_or(Value::Null, Value::Object),
                        _ => Value::Null,
                    })
                    .collect()
            }
            Attach::Stamps => {
                let stamps = stamps(session, &wanted.keys)?;
                wanted
                    .keys
                    .iter()
                    .map(|key| match key {
                        Key::Ids(ids) => ids
                            .iter()
                            .filter_map(|id| stamps.get(id).cloned().map(Value::Object))
                            .collect(),
                        _ => Value::Array(Vec::new()),
                    })
                    .collect()
            }
            Attach::BuildsetStamps => {
                let mut stamps = buildset_stamps(session, &wanted.keys)?;
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
                    masters = Some(running_masters(session)?);
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

fn running_masters(session: &mut dyn Session) -> Result<Vec<Map<String, Value>>, StoreError> {
    let rows = related(
        session,
        Resource::Masters,
        "0",
        "masters as t where t.active = true order by t.id",
        &[],
    )?;
    Ok(rows.into_iter().map(|(_, master)| master).collect())
}

fn stamps(session: &mut dyn Session, keys: &[Key]) -> Result<BTreeMap<u64, Map<String, Value>>, StoreError> {
    let among = session.dialect().among("t.id", "?1");
    let rows = related(
        session,
        Resource::SourceStamps,
        "t.id",
        &format!("sourcestamps as t where {among}"),
        &[ids(keys)],
    )?;
    Ok(rows.into_iter().collect())
}

fn buildset_stamps(session: &mut dyn Session, keys: &[Key]) -> Result<BTreeMap<u64, Vec<Value>>, StoreError> {
    let among = session.dialect().among("x.buildset", "?1");
    let rows = related(
        session,
        Resource::SourceStamps,
        "x.buildset",
        &format!(
            "buildset_sourcestamps as x join sourcestamps as t on t.id = x.sourcestamp \
             where {among} order by x.buildset, x.position"
        ),
        &[ids(keys)],
    )?;
    let mut stamps: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for (buildset, stamp) in rows {
        stamps.entry(buildset).or_default().push(Value::Object(stamp));
    }
    Ok(stamps)
}

fn ids(keys: &[Key]) -> Param {
    let ids: BTreeSet<u64> = keys
        .iter()
        .flat_map(|key| match key {
            Key::Id(id) => std::slice::from_ref(id),
            Key::Ids(ids) => ids,
            Key::None => &[],
        })
        .copied()
        .collect();
    Param::ids(ids)
}

/// Full items of another resource (one that attaches nothing itself), each with the key that it belongs to.
fn related(
    session: &mut dyn Session,
    resource: Resource,
    key: &str,
    from: &str,
    params: &[Param],
) -> Result<Vec<(u64, Item)>, StoreError> {
    let dialect = session.dialect();
    let fields: Vec<_> = resource.fields().iter().collect();
    let columns: Vec<_> = fields
        .iter()
        .map(|field| select::expression(dialect, field))
        .collect();
    let sql = format!("select {}, {key} from {from}", columns.join(", "));
    let mut found = Vec::new();
    let mut none = Attached::new(dialect, &[]);
    session.each(&sql, params, &mut |row| {
        let key = row.int(fields.len())?;
        let item = select::item(dialect, resource, &fields, row, &[], &mut none)?;
        found.push((key.cast_unsigned(), item));
        Ok(())
    })?;
    Ok(found)
}
