//! Reading through a SQLite connection.

use rusqlite::{
    Connection, ToSql,
    types::{ToSqlOutput, ValueRef},
};

use super::error::reading;
use crate::{
    error::StoreError,
    sql::{Cell, Dialect, Param, Row, Session, Text},
};

/// A connection for as long as somebody reads through it.
pub(crate) struct Through<'a>(pub(crate) &'a Connection);

impl Session for Through<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn each(
        &mut self,
        sql: &str,
        params: &[Param],
        take: &mut dyn FnMut(&dyn Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut statement = self.0.prepare_cached(sql).map_err(reading)?;
        for (number, param) in (1..).zip(params) {
            statement.raw_bind_parameter(number, param).map_err(reading)?;
        }
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(reading)? {
            take(row)?;
        }
        Ok(())
    }
}

impl Row for rusqlite::Row<'_> {
    fn cell(&self, column: usize) -> Result<Cell<'_>, StoreError> {
        Ok(match self.get_ref(column).map_err(reading)? {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(value) => Cell::Int(value),
            ValueRef::Text(text) => Cell::Text(Text::Plain(text)),
            ValueRef::Blob(bytes) => Cell::Bytes(bytes),
            ValueRef::Real(_) => Cell::Other("a fraction"),
        })
    }

    fn name(&self, column: usize) -> &str {
        self.as_ref().column_name(column).unwrap_or("?")
    }
}

impl ToSql for Param {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        // A list is one value: text of a JSON list.
        let list = |text: serde_json::Result<String>| {
            let text = text.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
            Ok(ToSqlOutput::Owned(text.into()))
        };
        match self {
            Param::Null => Ok(ToSqlOutput::Borrowed(ValueRef::Null)),
            Param::Int(value) => Ok(ToSqlOutput::Borrowed(ValueRef::Integer(*value))),
            Param::Text(text) => Ok(ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))),
            Param::Ints(values) => list(serde_json::to_string(values)),
            Param::Texts(values) => list(serde_json::to_string(values)),
        }
    }
}
