//! Answers queries for REST resources.

use rusqlite::{
    Connection, Row, params_from_iter,
    types::{Value as SqlValue, ValueRef},
};
use serde_json::{Map, Value};

use super::{
    attach::{Attached, attach},
    condition::{Conditions, Term, where_all},
    counts::Known,
    error::reading,
    pool::Pool,
};
use crate::{
    error::{QueryError, StoreError},
    query::{Page, Query},
    resource::{Descriptor, Field, FieldKind, Resource, Source, Unasked},
};

/// Answers `query` from one moment of the database.
pub(crate) fn query(pool: &Pool, resource: Resource, query: &Query) -> Result<Page, QueryError> {
    let plan = Plan::new(resource, query)?;
    let descriptor = resource.descriptor();
    let Some(from) = descriptor.from else {
        return Ok(Page::default());
    };
    let connection = pool.read()?;
    if descriptor.fields.is_empty() {
        return properties_object(&connection, from, &plan).map_err(QueryError::from);
    }
    let items = plan.items(&connection, from, &query.properties)?;
    let total = plan.total(&connection, pool, from, query, items.len() as u64)?;
    Ok(Page { items, total })
}

/// A query as SQL.
struct Plan {
    resource: Resource,
    descriptor: &'static Descriptor,
    conditions: Conditions,
    order: String,
    page: String,
    /// Parameters of `page`, after those of the conditions.
    page_params: Vec<SqlValue>,
    fields: Vec<&'static Field>,
}

impl Plan {
    fn new(resource: Resource, query: &Query) -> Result<Self, QueryError> {
        let descriptor = resource.descriptor();
        let conditions = Conditions::new(resource, &query.scope, &query.filters)?;
        let fields = match &query.fields {
            None => descriptor.fields.iter().collect(),
            Some(names) => descriptor
                .fields
                .iter()
                .filter(|field| names.iter().any(|name| name == field.name))
                .collect(),
        };
        if let Some(names) = &query.fields {
            for name in names {
                named(resource, name)?;
            }
        }
        let mut plan = Self {
            resource,
            descriptor,
            conditions,
            order: String::new(),
            page: String::new(),
            page_params: Vec::new(),
            fields,
        };
        plan.order(query)?;
        plan.page(query);
        Ok(plan)
    }

    fn order(&mut self, query: &Query) -> Result<(), QueryError> {
        let mut keys: Vec<(String, bool)> = Vec::new();
        let mut unique = false;
        let mut descending = self.descriptor.newest_first && query.order.is_empty();
        for order in &query.order {
            let field = named(self.resource, &order.field)?;
            let sql = match field.source {
                Source::Scalar(sql) if field.orderable() => sql.to_owned(),
                Source::Present(sql) => format!("({sql} is not null)"),
                _ => {
                    return Err(QueryError::CannotOrder {
                        field: order.field.clone(),
                    });
                }
            };
            descending = order.descending;
            // A key that is named again adds nothing.
            if keys.iter().any(|(known, _)| *known == sql) {
                continue;
            }
            // The same everywhere: a number here would be taken for the number of a column.
            if sql == "null" || sql.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            unique |= sql == self.descriptor.key;
            keys.push((sql, order.descending));
        }
        // Equal rows keep one order from page to page; its direction is that of the last key, for the index's sake.
        if !unique {
            keys.push((self.descriptor.key.to_owned(), descending));
        }
        let keys: Vec<_> = keys
            .into_iter()
            .map(|(sql, descending)| if descending { format!("{sql} desc") } else { sql })
            .collect();
        self.order = format!(" order by {}", keys.join(", "));
        Ok(())
    }

    fn page(&mut self, query: &Query) {
        if query.limit.is_none() && query.offset == 0 {
            return;
        }
        let clamp = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let next = self.conditions.params.len() + 1;
        self.page = format!(" limit ?{next} offset ?{}", next + 1);
        // SQLite takes a negative limit for none.
        self.page_params = vec![
            SqlValue::Integer(query.limit.map_or(-1, clamp)),
            SqlValue::Integer(clamp(query.offset)),
        ];
    }

    fn sql(&self, from: &str) -> String {
        let columns: Vec<_> = self.fields.iter().map(|field| expression(field)).collect();
        // Without any field wanted there still are items.
        let columns = if columns.is_empty() {
            "1".into()
        } else {
            columns.join(", ")
        };
        format!(
            "select {columns} from {from}{}{}{}",
            self.conditions.sql(),
            self.order,
            self.page
        )
    }

    fn items(
        &self,
        connection: &Connection,
        from: &str,
        properties: &[String],
    ) -> Result<Vec<Map<String, Value>>, StoreError> {
        let mut statement = connection.prepare_cached(&self.sql(from)).map_err(reading)?;
        let params = self.conditions.params.iter().chain(&self.page_params);
        let mut rows = statement.query(params_from_iter(params)).map_err(reading)?;
        let mut items = Vec::new();
        let mut attached = Attached::new(&self.fields);
        while let Some(row) = rows.next().map_err(reading)? {
            items.push(item(self.resource, &self.fields, row, properties, &mut attached)?);
        }
        attach(connection, attached, &mut items)?;
        Ok(items)
    }

    /// How many rows there are before offset and limit.
    fn total(
        &self,
        connection: &Connection,
        pool: &Pool,
        from: &str,
        query: &Query,
        items: u64,
    ) -> Result<u64, StoreError> {
        let short = query.limit.is_none_or(|limit| items < limit);
        if short && (items > 0 || query.offset == 0) {
            // The page reaches the end.
            return Ok(query.offset + items);
        }
        match self.counting(from) {
            Counting::All(sql) => Ok(self.count(connection, &sql, None)?.rows),
            Counting::Fixed(fixed) => self.count_fixed(connection, pool, &fixed),
            Counting::AllBut { fixed, but } => {
                let all = self.count_fixed(connection, pool, &fixed)?;
                let but = self.count(connection, &but, None)?;
                Ok(all.saturating_sub(but.rows))
            }
        }
    }

    /// How the rows are to be counted.
    fn counting(&self, from: &str) -> Counting {
        let terms = &self.conditions.terms;
        let mut changing = terms.iter().filter(|term| !term.fixed);
        let but = match (changing.next(), changing.next()) {
            (None, _) => None,
            (
                Some(Term {
                    opposite: Some(_), ..
                }),
                None,
            ) => Some(where_all(
                terms
                    .iter()
                    .map(|term| term.opposite.as_deref().unwrap_or(&term.sql)),
            )),
            _ => return Counting::All(format!("select count(*), 0 from {from}{}", self.conditions.sql())),
        };
        if self.descriptor.key != "t.id" {
            return Counting::All(format!("select count(*), 0 from {from}{}", self.conditions.sql()));
        }
        let fixed = where_all(
            terms
                .iter()
                .filter(|term| term.fixed)
                .map(|term| term.sql.as_str()),
        );
        let glue = if fixed.is_empty() { "where" } else { "and" };
        let since = self.conditions.params.len() + 1;
        let fixed = Fixed {
            // The newest id of all rows stands for that of the counted ones: finding it takes no time, and the first count
            // can go over whichever index is the narrowest.
            all: format!("select count(*), (select coalesce(max(t.id), 0) from {from}) from {from}{fixed}"),
            since: format!(
                "select count(*), (select coalesce(max(t.id), 0) from {from}) from {from}{fixed} {glue} t.id > ?{since}"
            ),
        };
        match but {
            None => Counting::Fixed(fixed),
            Some(but) => Counting::AllBut {
                fixed,
                but: format!("select count(*), 0 from {from}{but}"),
            },
        }
    }

    /// Counts the rows that satisfy the fixed conditions: those that came since they were counted last.
    fn count_fixed(&self, connection: &Connection, pool: &Pool, fixed: &Fixed) -> Result<u64, StoreError> {
        let condition = format!("{} {:?}", fixed.since, self.conditions.params);
        let known = pool.counts.get(&condition);
        let new = if known.upto == 0 {
            self.count(connection, &fixed.all, None)?
        } else {
            self.count(connection, &fixed.since, Some(known.upto))?
        };
        let known = Known {
            upto: known.upto.max(new.upto),
            rows: known.rows + new.rows,
        };
        pool.counts.set(condition, known);
        Ok(known.rows)
    }

    fn count(&self, connection: &Connection, sql: &str, since: Option<i64>) -> Result<Known, StoreError> {
        let mut statement = connection.prepare_cached(sql).map_err(reading)?;
        // A statement that leaves out a term does not know its parameters.
        let known = statement.parameter_count();
        let params = self.conditions.params.iter().cloned();
        for (number, value) in (1..).zip(params.chain(since.map(SqlValue::Integer))) {
            if number <= known {
                statement.raw_bind_parameter(number, value).map_err(reading)?;
            }
        }
        let mut rows = statement.raw_query();
        let row = rows.next().map_err(reading)?;
        let (rows, upto) = match row {
            Some(row) => (
                row.get::<_, i64>(0).map_err(reading)?,
                row.get(1).map_err(reading)?,
            ),
            None => (0, 0),
        };
        Ok(Known {
            upto,
            rows: rows.cast_unsigned(),
        })
    }
}

/// Statements that count rows.
enum Counting {
    /// All at once.
    All(String),
    /// Those that satisfy conditions which never change.
    Fixed(Fixed),
    /// The same without those few, of a long history, that satisfy the opposite of one more condition.
    AllBut { fixed: Fixed, but: String },
}

/// Counts the same rows, all of them or those with an id above the last parameter; the second column is the newest id.
struct Fixed {
    all: String,
    since: String,
}

/// The statement that reads a page.
#[cfg(test)]
pub(super) fn statement(resource: Resource, query: &Query) -> String {
    let plan = Plan::new(resource, query).unwrap();
    plan.sql(resource.descriptor().from.unwrap())
}

/// The statements that count its rows.
#[cfg(test)]
pub(super) fn counts(resource: Resource, query: &Query) -> Vec<String> {
    let plan = Plan::new(resource, query).unwrap();
    match plan.counting(resource.descriptor().from.unwrap()) {
        Counting::All(sql) => vec![sql],
        // The first count reads an index from end to end; no later one does.
        Counting::Fixed(fixed) => vec![fixed.since],
        Counting::AllBut { fixed, but } => vec![fixed.since, but],
    }
}

fn named(resource: Resource, name: &str) -> Result<&'static Field, QueryError> {
    resource.field(name).ok_or_else(|| QueryError::NoSuchField {
        field: name.to_owned(),
    })
}

/// What is selected for a field.
pub(super) fn expression(field: &Field) -> &'static str {
    match field.source {
        Source::Scalar(sql) | Source::Present(sql) | Source::Json(sql) => sql,
        Source::List { json, .. } | Source::Properties { json, .. } => json,
        Source::Attached { key, .. } => key,
    }
}

/// One row as an item. Keys of attached rows are noted; their values are filled in later.
pub(super) fn item(
    resource: Resource,
    fields: &[&'static Field],
    row: &Row<'_>,
    properties: &[String],
    attached: &mut Attached,
) -> Result<Map<String, Value>, StoreError> {
    let mut item = Map::new();
    for (index, field) in fields.iter().enumerate() {
        let stored = row.get_ref(index).map_err(reading)?;
        let malformed = |what: String| StoreError::Malformed {
            table: resource.plural(),
            row: match row.get_ref(0) {
                Ok(ValueRef::Integer(id)) => format!("with {} {id}", fields[0].name),
                _ => "?".into(),
            },
            what: format!("{}: {what}", field.name),
        };
        let value = match field.source {
            Source::Present(_) => Value::Bool(stored != ValueRef::Null),
            Source::Scalar(_) => scalar(field.kind, stored).map_err(malformed)?,
            Source::Json(_) | Source::List { .. } => json(stored).map_err(malformed)?,
            Source::Properties { unasked, .. } => {
                shown_properties(stored, unasked, properties).map_err(malformed)?
            }
            Source::Attached { .. } => {
                attached.note(index, stored);
                Value::Null
            }
        };
        item.insert(field.name.to_owned(), value);
    }
    Ok(item)
}

fn scalar(kind: FieldKind, stored: ValueRef<'_>) -> Result<Value, String> {
    match (kind, stored) {
        (_, ValueRef::Null) => Ok(Value::Null),
        (FieldKind::Int, ValueRef::Integer(value)) => Ok(value.into()),
        (FieldKind::Date, ValueRef::Integer(micros)) => Ok(micros.div_euclid(1_000_000).into()),
        (FieldKind::Bool, ValueRef::Integer(value)) => Ok(Value::Bool(value != 0)),
        (FieldKind::Text | FieldKind::Identifier, ValueRef::Text(text)) => {
            Ok(String::from_utf8_lossy(text).into_owned().into())
        }
        (_, stored) => Err(format!("{} does not fit", stored.data_type())),
    }
}

fn json(stored: ValueRef<'_>) -> Result<Value, String> {
    match stored {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Text(text) => serde_json::from_slice(text).map_err(|error| error.to_string()),
        stored => Err(format!("{} is no JSON", stored.data_type())),
    }
}

fn shown_properties(stored: ValueRef<'_>, unasked: Unasked, names: &[String]) -> Result<Value, String> {
    if names.is_empty() {
        return Ok(match unasked {
            Unasked::Null => Value::Null,
            Unasked::Empty => Value::Object(Map::new()),
        });
    }
    let mut value = json(stored)?;
    if let Value::Object(properties) = &mut value
        && !names.iter().any(|name| name == "*")
    {
        properties.retain(|name, _| names.contains(name));
    }
    Ok(value)
}

/// The resources that are one object of properties.
fn properties_object(connection: &Connection, from: &str, plan: &Plan) -> Result<Page, StoreError> {
    let sql = format!("select t.properties from {from}{}", plan.conditions.sql());
    let mut statement = connection.prepare_cached(&sql).map_err(reading)?;
    let mut rows = statement
        .query(params_from_iter(&plan.conditions.params))
        .map_err(reading)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next().map_err(reading)? {
        let stored = row.get_ref(0).map_err(reading)?;
        match json(stored) {
            Ok(Value::Object(properties)) => items.push(properties),
            other => {
                return Err(StoreError::Malformed {
                    table: "properties",
                    row: format!("{:?}", plan.conditions.params),
                    what: other.err().unwrap_or_else(|| "it is no object".into()),
                });
            }
        }
    }
    let total = items.len() as u64;
    Ok(Page { items, total })
}
