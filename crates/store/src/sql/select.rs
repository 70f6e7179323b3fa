//! Answers queries for REST resources.

use serde_json::{Map, Value};

use super::{
    attach::{Attached, attach},
    condition::{Conditions, Term, where_all},
    counts::{Counts, Known},
    session::{Cell, Dialect, Param, Row, Session, one, renumber},
};
use crate::{
    error::{QueryError, StoreError},
    query::{Page, Query},
    resource::{Descriptor, Field, FieldKind, Resource, Source, Unasked},
};

/// Answers `query`; the session is at one moment of the database.
pub(crate) fn query(
    session: &mut dyn Session,
    counts: &Counts,
    resource: Resource,
    query: &Query,
) -> Result<Page, QueryError> {
    let dialect = session.dialect();
    let plan = Plan::new(dialect, resource, query)?;
    let descriptor = resource.descriptor();
    let Some(from) = descriptor.from(dialect) else {
        return Ok(Page::default());
    };
    if descriptor.fields.is_empty() {
        return properties_object(session, from, &plan).map_err(QueryError::from);
    }
    let items = plan.items(session, from, &query.properties)?;
    let total = plan.total(session, counts, from, query, items.len() as u64)?;
    Ok(Page { items, total })
}

/// A query as SQL.
struct Plan {
    dialect: Dialect,
    resource: Resource,
    descriptor: &'static Descriptor,
    conditions: Conditions,
    order: String,
    page: String,
    /// Parameters of `page`, after those of the conditions.
    page_params: Vec<Param>,
    fields: Vec<&'static Field>,
}

impl Plan {
    fn new(dialect: Dialect, resource: Resource, query: &Query) -> Result<Self, QueryError> {
        let descriptor = resource.descriptor();
        let conditions = Conditions::new(dialect, resource, &query.scope, &query.filters)?;
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
            dialect,
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
        let mut keys: Vec<(String, bool, bool)> = Vec::new();
        let mut unique = false;
        let mut descending = self.descriptor.newest_first && query.order.is_empty();
        for order in &query.order {
            let field = named(self.resource, &order.field)?;
            let sql = match field.source(self.dialect) {
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
            if keys.iter().any(|(known, ..)| *known == sql) {
                continue;
            }
            // The same everywhere: a number here would be taken for the number of a column.
            if sql == "null" || sql.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            unique |= sql == self.descriptor.key(self.dialect);
            let nullable = field.nullable && !matches!(field.source(self.dialect), Source::Present(_));
            keys.push((sql, nullable, order.descending));
        }
        // Equal rows keep one order from page to page; its direction is that of the last key, for the index's sake.
        if !unique {
            keys.push((self.descriptor.key(self.dialect).to_owned(), false, descending));
        }
        let keys: Vec<_> = keys
            .into_iter()
            .map(|(sql, nullable, descending)| self.dialect.key(&sql, nullable, descending))
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
        self.page_params = vec![
            query
                .limit
                .map_or(self.dialect.no_limit(), |limit| Param::Int(clamp(limit))),
            Param::Int(clamp(query.offset)),
        ];
    }

    fn sql(&self, from: &str) -> String {
        let columns: Vec<_> = self
            .fields
            .iter()
            .map(|field| expression(self.dialect, field))
            .collect();
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
        session: &mut dyn Session,
        from: &str,
        properties: &[String],
    ) -> Result<Vec<Map<String, Value>>, StoreError> {
        let params: Vec<Param> = self
            .conditions
            .params
            .iter()
            .chain(&self.page_params)
            .cloned()
            .collect();
        let mut items = Vec::new();
        let mut attached = Attached::new(self.dialect, &self.fields);
        session.each(&self.sql(from), &params, &mut |row| {
            items.push(item(
                self.dialect,
                self.resource,
                &self.fields,
                row,
                properties,
                &mut attached,
            )?);
            Ok(())
        })?;
        attach(session, attached, &mut items)?;
        Ok(items)
    }

    /// How many rows there are before offset and limit.
    fn total(
        &self,
        session: &mut dyn Session,
        counts: &Counts,
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
            Counting::All(sql) => Ok(self.count(session, &sql, None)?.rows),
            Counting::Fixed(fixed) => self.count_fixed(session, counts, &fixed),
            Counting::AllBut { fixed, but } => {
                let all = self.count_fixed(session, counts, &fixed)?;
                let but = self.count(session, &but, None)?;
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
        if self.descriptor.key(self.dialect) != "t.id" {
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
    fn count_fixed(
        &self,
        session: &mut dyn Session,
        counts: &Counts,
        fixed: &Fixed,
    ) -> Result<u64, StoreError> {
        let condition = format!("{} {:?}", fixed.since, self.conditions.params);
        let known = counts.get(&condition);
        let new = if known.upto == 0 {
            self.count(session, &fixed.all, None)?
        } else {
            self.count(session, &fixed.since, Some(known.upto))?
        };
        let known = Known {
            upto: known.upto.max(new.upto),
            rows: known.rows + new.rows,
        };
        counts.set(condition, known);
        Ok(known.rows)
    }

    fn count(&self, session: &mut dyn Session, sql: &str, since: Option<i64>) -> Result<Known, StoreError> {
        let mut params = self.conditions.params.clone();
        params.extend(since.map(Param::Int));
        // What leaves out a term must not be given its parameters.
        let (sql, params) = renumber(sql, &params);
        let counted = one(session, &sql, &params, |row| {
            Ok(Known {
                rows: row.int(0)?.cast_unsigned(),
                upto: row.int(1)?,
            })
        })?;
        Ok(counted.unwrap_or_default())
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
pub(crate) fn statement(dialect: Dialect, resource: Resource, query: &Query) -> String {
    let plan = Plan::new(dialect, resource, query).unwrap();
    plan.sql(resource.descriptor().from(dialect).unwrap())
}

/// The statements that count its rows.
#[cfg(test)]
pub(crate) fn counts(dialect: Dialect, resource: Resource, query: &Query) -> Vec<String> {
    let plan = Plan::new(dialect, resource, query).unwrap();
    match plan.counting(resource.descriptor().from(dialect).unwrap()) {
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
pub(super) fn expression(dialect: Dialect, field: &Field) -> &'static str {
    match field.source(dialect) {
        Source::Scalar(sql) | Source::Present(sql) | Source::Json(sql) => sql,
        Source::List { json, .. } | Source::Properties { json, .. } => json,
        Source::Attached { key, .. } => key,
    }
}

/// One row as an item. Keys of attached rows are noted; their values are filled in later.
pub(super) fn item(
    dialect: Dialect,
    resource: Resource,
    fields: &[&'static Field],
    row: &dyn Row,
    properties: &[String],
    attached: &mut Attached,
) -> Result<Map<String, Value>, StoreError> {
    let mut item = Map::new();
    for (index, field) in fields.iter().enumerate() {
        let stored = row.cell(index)?;
        let malformed = |what: String| StoreError::Malformed {
            table: resource.plural(),
            row: match row.cell(0) {
                Ok(Cell::Int(id)) => format!("with {} {id}", fields[0].name),
                _ => "?".into(),
            },
            what: format!("{}: {what}", field.name),
        };
        let value = match field.source(dialect) {
            Source::Present(_) => Value::Bool(stored != Cell::Null),
            Source::Scalar(_) => scalar(field.kind, &stored).map_err(malformed)?,
            Source::Json(_) | Source::List { .. } => json(&stored).map_err(malformed)?,
            Source::Properties { unasked, .. } => {
                shown_properties(&stored, unasked, properties).map_err(malformed)?
            }
            Source::Attached { .. } => {
                attached.note(index, &stored);
                Value::Null
            }
        };
        item.insert(field.name.to_owned(), value);
    }
    Ok(item)
}

fn scalar(kind: FieldKind, stored: &Cell<'_>) -> Result<Value, String> {
    match (kind, stored) {
        (_, Cell::Null) => Ok(Value::Null),
        (FieldKind::Int, Cell::Int(value)) => Ok((*value).into()),
        (FieldKind::Date, Cell::Int(micros)) => Ok(micros.div_euclid(1_000_000).into()),
        (FieldKind::Bool, Cell::Int(value)) => Ok(Value::Bool(*value != 0)),
        (FieldKind::Text | FieldKind::Identifier, Cell::Text(text)) => Ok(text.lossy().into()),
        (_, stored) => Err(format!("{} does not fit", stored.kind())),
    }
}

fn json(stored: &Cell<'_>) -> Result<Value, String> {
    match stored {
        Cell::Null => Ok(Value::Null),
        Cell::Text(text) => serde_json::from_slice(&text.json()).map_err(|error| error.to_string()),
        stored => Err(format!("{} is no JSON", stored.kind())),
    }
}

fn shown_properties(stored: &Cell<'_>, unasked: Unasked, names: &[String]) -> Result<Value, String> {
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
fn properties_object(session: &mut dyn Session, from: &str, plan: &Plan) -> Result<Page, StoreError> {
    let sql = format!("select t.properties from {from}{}", plan.conditions.sql());
    let mut items = Vec::new();
    session.each(
        &sql,
        &plan.conditions.params,
        &mut |row| match json(&row.cell(0)?) {
            Ok(Value::Object(properties)) => {
                items.push(properties);
                Ok(())
            }
            other => Err(StoreError::Malformed {
                table: "properties",
                row: format!("{:?}", plan.conditions.params),
                what: other.err().unwrap_or_else(|| "it is no object".into()),
            }),
        },
    )?;
    let total = items.len() as u64;
    Ok(Page { items, total })
}
