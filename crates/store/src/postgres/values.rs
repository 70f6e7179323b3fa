//! Values on their way to and from PostgreSQL.

use std::{borrow::Cow, error::Error};

use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, private::BytesMut, to_sql_checked};

use super::escape;
use crate::{
    error::StoreError,
    sql::{Cell, Param, Row, Text},
};

type Failure = Box<dyn Error + Sync + Send>;

/// A value, or the values of a column for many rows.
#[derive(Debug)]
pub(super) enum Bound<'a> {
    Int(i64),
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
    Ints(Vec<Option<i64>>),
    Bools(Vec<Option<bool>>),
    Texts(Vec<Option<Cow<'a, str>>>),
    Blobs(Vec<Option<&'a [u8]>>),
}

impl ToSql for Bound<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match self {
            Bound::Int(value) => value.to_sql_checked(ty, out),
            Bound::Text(value) => value.to_sql_checked(ty, out),
            Bound::Bytes(value) => value.to_sql_checked(ty, out),
            Bound::Ints(values) => values.to_sql_checked(ty, out),
            Bound::Bools(values) => values.to_sql_checked(ty, out),
            Bound::Texts(values) => values.to_sql_checked(ty, out),
            Bound::Blobs(values) => values.to_sql_checked(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        // Each variant looks for itself.
        true
    }

    to_sql_checked!();
}

impl ToSql for Param {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match self {
            Param::Null => Ok(IsNull::Yes),
            Param::Int(value) => value.to_sql_checked(ty, out),
            Param::Text(text) => escape::text(Cow::Borrowed(text)).to_sql_checked(ty, out),
            Param::Ints(values) => values.to_sql_checked(ty, out),
            Param::Texts(texts) => {
                let texts: Vec<_> = texts
                    .iter()
                    .map(|text| escape::text(Cow::Borrowed(text)))
                    .collect();
                texts.to_sql_checked(ty, out)
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl Row for tokio_postgres::Row {
    fn cell(&self, column: usize) -> Result<Cell<'_>, StoreError> {
        self.try_get(column).map_err(|source| StoreError::Database {
            action: "be read",
            source: source.into(),
        })
    }

    fn name(&self, column: usize) -> &str {
        self.columns().get(column).map_or("?", |column| column.name())
    }
}

impl<'a> FromSql<'a> for Cell<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        Ok(match *ty {
            Type::INT8 => Cell::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Cell::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Cell::Int(i16::from_sql(ty, raw)?.into()),
            Type::BOOL => Cell::Int(bool::from_sql(ty, raw)?.into()),
            Type::BYTEA => Cell::Bytes(raw),
            Type::TEXT | Type::VARCHAR | Type::NAME | Type::JSON => {
                let text = std::str::from_utf8(raw)?;
                Cell::Text(if escape::is_escaped(text) {
                    Text::Escaped(text)
                } else {
                    Text::Plain(raw)
                })
            }
            _ => Cell::Other("a value of another type"),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failure> {
        Ok(Cell::Null)
    }

    accepts!(
        INT8, INT4, INT2, BOOL, BYTEA, TEXT, VARCHAR, NAME, JSON, JSONB, FLOAT4, FLOAT8, NUMERIC, UNKNOWN
    );
}
