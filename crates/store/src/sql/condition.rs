//! Filters as SQL. Names and expressions come from the descriptors only; every value is a parameter.

use super::session::{Dialect, Param, fits};
use crate::{
    error::QueryError,
    query::{Filter, FilterValue, Op},
    resource::{Field, FieldKind, Resource, Source},
};

/// The conditions of a query, with their parameters.
#[derive(Debug)]
pub(super) struct Conditions {
    pub(super) dialect: Dialect,
    pub(super) terms: Vec<Term>,
    pub(super) params: Vec<Param>,
}

/// One condition; all must hold.
#[derive(Debug)]
pub(super) struct Term {
    pub(super) sql: String,
    /// Whether a row that satisfies it does so for good.
    pub(super) fixed: bool,
    /// The opposite, where few rows satisfy that one and an index leads to them.
    pub(super) opposite: Option<String>,
}

/// Conditions of one query. SQLite's expressions have a limited depth; nobody asks for so many.
const TERMS_MAX: usize = 200;
/// Values of one condition that become terms of their own; where they can be passed as a list there may be any number.
const VALUES_MAX: usize = 200;

/// A condition that always or never holds.
const ALWAYS: &str = "true";
const NEVER: &str = "false";

impl Conditions {
    /// What scope and filters demand.
    pub(super) fn new(
        dialect: Dialect,
        resource: Resource,
        scope: &[Filter],
        filters: &[Filter],
    ) -> Result<Self, QueryError> {
        let mut conditions = Self {
            dialect,
            terms: Vec::new(),
            params: Vec::new(),
        };
        if let Some(filter) = scope.iter().chain(filters).nth(TERMS_MAX) {
            return Err(invalid(filter, "there are too many filters"));
        }
        for filter in scope {
            if let Some(scope) = resource.scope(&filter.field) {
                let (Op::Eq, [FilterValue::Int(id)]) = (filter.op, filter.values.as_slice()) else {
                    return Err(invalid(filter, "it is compared with one id"));
                };
                let place = conditions.bind(*id);
                conditions.terms.push(Term {
                    sql: scope.sql(dialect).replace("{}", &place),
                    fixed: scope.fixed,
                    opposite: None,
                });
            } else {
                conditions.filter(resource, filter)?;
            }
        }
        for filter in filters {
            conditions.filter(resource, filter)?;
        }
        Ok(conditions)
    }

    /// ` where …`, or nothing.
    pub(super) fn sql(&self) -> String {
        where_all(self.terms.iter().map(|term| term.sql.as_str()))
    }

    pub(super) fn bind(&mut self, value: impl Into<Param>) -> String {
        let value = value.into();
        let place = self.dialect.place(self.params.len() + 1, &value);
        self.params.push(value);
        place
    }

    fn filter(&mut self, resource: Resource, filter: &Filter) -> Result<(), QueryError> {
        let field = resource
            .field(&filter.field)
            .ok_or_else(|| QueryError::NoSuchField {
                field: filter.field.clone(),
            })?;
        let Some(kind) = field.filter_kind().filter(|_| field.allows(filter.op)) else {
            return Err(invalid(filter, "this operator does not apply to this field"));
        };
        if filter.values.is_empty() {
            return Err(invalid(filter, "there is no value"));
        }
        let many = !matches!(filter.op, Op::Lt | Op::Le | Op::Gt | Op::Ge);
        if filter.values.len() > 1 && !many {
            return Err(invalid(filter, "this operator takes one value"));
        }
        let (sql, opposite) = match (field.source(self.dialect), kind) {
            (Source::Present(column), _) => self.presence(filter, column)?,
            (Source::Scalar(sql), FieldKind::Bool) => (Self::boolean(filter, sql)?, None),
            (Source::Scalar(sql), FieldKind::Date) => (self.date(filter, field, sql)?, None),
            (Source::Scalar(sql), _) => (self.scalar(filter, field, kind, sql)?, None),
            (
                Source::List { contains, .. }
                | Source::Attached {
                    contains: Some(contains),
                    ..
                },
                _,
            ) => (self.member(filter, kind, contains)?, None),
            _ => return Err(invalid(filter, "this field cannot be filtered")),
        };
        self.terms.push(Term {
            sql,
            fixed: field.fixed,
            opposite,
        });
        Ok(())
    }

    fn scalar(
        &mut self,
        filter: &Filter,
        field: &Field,
        kind: FieldKind,
        sql: &str,
    ) -> Result<String, QueryError> {
        let operator = match filter.op {
            Op::Lt => "<",
            Op::Le => "<=",
            Op::Gt => ">",
            Op::Ge => ">=",
            Op::Eq | Op::In => {
                return Ok(match filter.values.as_slice() {
                    [value] => format!("{sql} = {}", self.bind(scalar(filter, kind, value)?)),
                    values => self.among(sql, filter, kind, values)?,
                });
            }
            Op::Ne | Op::NotIn => {
                return Ok(match filter.values.as_slice() {
                    [value] => format!(
                        "{sql} is distinct from {}",
                        self.bind(scalar(filter, kind, value)?)
                    ),
                    values if field.nullable => {
                        format!(
                            "({sql} is null or {})",
                            self.not_among(sql, filter, kind, values)?
                        )
                    }
                    values => self.not_among(sql, filter, kind, values)?,
                });
            }
            Op::Contains => {
                return Ok(match filter.values.as_slice() {
                    [value] => {
                        let place = self.bind(scalar(filter, kind, value)?);
                        self.dialect.has(sql, &place)
                    }
                    values => {
                        let place = self.bind(list(filter, kind, values)?);
                        format!(
                            "exists (select 1 from {} where {})",
                            self.dialect.members(&place),
                            self.dialect.has(sql, "needle.value")
                        )
                    }
                });
            }
        };
        Ok(format!(
            "{sql} {operator} {}",
            self.bind(scalar(filter, kind, &filter.values[0])?)
        ))
    }

    /// All values as one parameter, so that their number does not change the statement.
    fn among(
        &mut self,
        sql: &str,
        filter: &Filter,
        kind: FieldKind,
        values: &[FilterValue],
    ) -> Result<String, QueryError> {
        let place = self.bind(list(filter, kind, values)?);
        Ok(self.dialect.among(sql, &place))
    }

    fn not_among(
        &mut self,
        sql: &str,
        filter: &Filter,
        kind: FieldKind,
        values: &[FilterValue],
    ) -> Result<String, QueryError> {
        let place = self.bind(list(filter, kind, values)?);
        Ok(self.dialect.not_among(sql, &place))
    }

    /// Seconds are asked for, microseconds are stored: each condition is on ranges of the column, which an index serves.
    fn date(&mut self, filter: &Filter, field: &Field, sql: &str) -> Result<String, QueryError> {
        let mut seconds = Vec::with_capacity(filter.values.len());
        for value in &filter.values {
            let FilterValue::Int(value) = value else {
                return Err(invalid(filter, "seconds since 1970 are expected"));
            };
            seconds.push(*value);
        }
        let start = |second: i64| second.saturating_mul(1_000_000);
        let end = |second: i64| second.saturating_add(1).saturating_mul(1_000_000);
        Ok(match filter.op {
            Op::Lt => format!("{sql} < {}", self.bind(start(seconds[0]))),
            Op::Ge => format!("{sql} >= {}", self.bind(start(seconds[0]))),
            Op::Le => format!("{sql} < {}", self.bind(end(seconds[0]))),
            Op::Gt => format!("{sql} >= {}", self.bind(end(seconds[0]))),
            _ if seconds.len() > VALUES_MAX => return Err(invalid(filter, "there are too many values")),
            _ => {
                let ranges: Vec<_> = seconds
                    .iter()
                    .map(|second| {
                        let (from, to) = (self.bind(start(*second)), self.bind(end(*second)));
                        format!("({sql} >= {from} and {sql} < {to})")
                    })
                    .collect();
                let any = ranges.join(" or ");
                match filter.op {
                    Op::Ne | Op::NotIn if field.nullable => format!("({sql} is null or not ({any}))"),
                    Op::Ne | Op::NotIn => format!("not ({any})"),
                    _ => format!("({any})"),
                }
            }
        })
    }

    fn boolean(filter: &Filter, sql: &str) -> Result<String, QueryError> {
        let (yes, no) = wanted(filter)?;
        Ok(match (yes, no) {
            (true, true) => ALWAYS.into(),
            (true, false) => format!("{sql} = true"),
            (false, true) => format!("{sql} = false"),
            (false, false) => NEVER.into(),
        })
    }

    /// The literal `is null` is what partial indexes of active rows are recognised by.
    fn presence(&mut self, filter: &Filter, column: &str) -> Result<(String, Option<String>), QueryError> {
        let _ = &self;
        let (yes, no) = wanted(filter)?;
        Ok(match (yes, no) {
            (true, true) => (ALWAYS.into(), None),
            (true, false) => (format!("{column} is not null"), Some(format!("{column} is null"))),
            (false, true) => (format!("{column} is null"), None),
            (false, false) => (NEVER.into(), None),
        })
    }

    fn member(&mut self, filter: &Filter, kind: FieldKind, contains: &str) -> Result<String, QueryError> {
        if filter.values.len() > VALUES_MAX {
            return Err(invalid(filter, "there are too many values"));
        }
        let mut any = Vec::with_capacity(filter.values.len());
        for value in &filter.values {
            let place = self.bind(scalar(filter, kind, value)?);
            any.push(contains.replace("{}", &place));
        }
        Ok(format!("({})", any.join(" or ")))
    }
}

/// ` where a and b …`, or nothing.
pub(super) fn where_all<'a>(terms: impl Iterator<Item = &'a str>) -> String {
    let mut sql = String::new();
    for term in terms {
        sql.push_str(if sql.is_empty() { " where " } else { " and " });
        sql.push_str(term);
    }
    sql
}

/// Which of true and false pass.
fn wanted(filter: &Filter) -> Result<(bool, bool), QueryError> {
    let mut named = (false, false);
    for value in &filter.values {
        match value {
            FilterValue::Bool(true) => named.0 = true,
            FilterValue::Bool(false) => named.1 = true,
            _ => return Err(invalid(filter, "true or false is expected")),
        }
    }
    Ok(match filter.op {
        Op::Ne | Op::NotIn => (!named.0, !named.1),
        _ => named,
    })
}

fn scalar(filter: &Filter, kind: FieldKind, value: &FilterValue) -> Result<Param, QueryError> {
    let param = match value {
        FilterValue::Int(value) => Param::Int(*value),
        FilterValue::Text(value) => Param::Text(value.clone()),
        FilterValue::Bool(_) => Param::Null,
    };
    if fits(kind, &param) {
        Ok(param)
    } else {
        Err(invalid(filter, "the value has another type than the field"))
    }
}

fn list(filter: &Filter, kind: FieldKind, values: &[FilterValue]) -> Result<Param, QueryError> {
    let mut ints = Vec::new();
    let mut texts = Vec::new();
    for value in values {
        match scalar(filter, kind, value)? {
            Param::Int(value) => ints.push(value),
            Param::Text(value) => texts.push(value),
            _ => return Err(invalid(filter, "the value has another type than the field")),
        }
    }
    Ok(if texts.is_empty() {
        Param::Ints(ints)
    } else {
        Param::Texts(texts)
    })
}

fn invalid(filter: &Filter, reason: &str) -> QueryError {
    QueryError::InvalidFilter {
        field: filter.field.clone(),
        reason: reason.into(),
    }
}
