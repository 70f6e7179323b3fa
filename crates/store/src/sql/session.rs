//! A connection as the reading code sees it.

use std::{borrow::Cow, fmt};

use crate::{error::StoreError, resource::FieldKind};

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// A connection, at one moment of the database as long as it is held for a query of several statements.
pub(crate) trait Session {
    fn dialect(&self) -> Dialect;

    /// Runs a query (parameters are written `?1`, `?2` …) and hands over its rows one by one.
    fn each(
        &mut self,
        sql: &str,
        params: &[Param],
        take: &mut dyn FnMut(&dyn Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>;
}

/// A row of an answer.
pub(crate) trait Row {
    /// What is in the column with that number, from 0.
    fn cell(&self, column: usize) -> Result<Cell<'_>, StoreError>;

    /// What the column is called.
    fn name(&self, column: usize) -> &str;
}

/// A stored value; booleans are 0 and 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    Int(i64),
    Text(Text<'a>),
    Bytes(&'a [u8]),
    /// Something that no column of ours holds; the name of its type.
    Other(&'a str),
}

/// Stored text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Text<'a> {
    /// As it is; not always UTF-8.
    Plain(&'a [u8]),
    /// As PostgreSQL has to keep it (see [`crate::postgres::escape`]).
    Escaped(&'a str),
}

/// A value for a statement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Param {
    Null,
    Int(i64),
    Text(String),
    Ints(Vec<i64>),
    Texts(Vec<String>),
}

impl Cell<'_> {
    pub(crate) fn kind(&self) -> &str {
        match self {
            Cell::Null => "null",
            Cell::Int(_) => "a number",
            Cell::Text(_) => "text",
            Cell::Bytes(_) => "bytes",
            Cell::Other(kind) => kind,
        }
    }

    /// A number that has to be there.
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Cell::Int(value) => Some(*value),
            _ => None,
        }
    }
}

impl<'a> Text<'a> {
    /// As text for people and programs.
    pub(crate) fn text(self) -> Result<Cow<'a, str>, std::str::Utf8Error> {
        match self {
            Text::Plain(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed),
            Text::Escaped(text) => Ok(Cow::Owned(crate::postgres::escape::text_back(text))),
        }
    }

    /// As text, whatever it is.
    pub(crate) fn lossy(self) -> String {
        match self {
            Text::Plain(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Text::Escaped(text) => crate::postgres::escape::text_back(text),
        }
    }

    /// As text of a JSON value.
    pub(crate) fn json(self) -> Cow<'a, [u8]> {
        match self {
            Text::Plain(bytes) => Cow::Borrowed(bytes),
            Text::Escaped(text) => Cow::Owned(crate::postgres::escape::json_back(text).into_bytes()),
        }
    }
}

impl Param {
    pub(crate) fn ids(ids: impl IntoIterator<Item = u64>) -> Self {
        Self::Ints(ids.into_iter().map(u64::cast_signed).collect())
    }
}

impl From<i64> for Param {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Param {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl Dialect {
    /// How a parameter is written so that its type is known wherever it stands.
    pub(crate) fn place(self, number: usize, param: &Param) -> String {
        match (self, param) {
            (Dialect::Sqlite, _) => format!("?{number}"),
            (Dialect::Postgres, Param::Null | Param::Int(_)) => format!("?{number}::bigint"),
            (Dialect::Postgres, Param::Text(_)) => format!("?{number}::text"),
            (Dialect::Postgres, Param::Ints(_)) => format!("?{number}::bigint[]"),
            (Dialect::Postgres, Param::Texts(_)) => format!("?{number}::text[]"),
        }
    }

    /// The condition that an expression is among the members of a list that was bound at `place`.
    pub(crate) fn among(self, sql: &str, place: &str) -> String {
        match self {
            Dialect::Sqlite => format!("{sql} in (select value from json_each({place}))"),
            Dialect::Postgres => format!("{sql} = any({place})"),
        }
    }

    /// Its opposite.
    pub(crate) fn not_among(self, sql: &str, place: &str) -> String {
        match self {
            Dialect::Sqlite => format!("{sql} not in (select value from json_each({place}))"),
            Dialect::Postgres => format!("{sql} <> all({place})"),
        }
    }

    /// The condition that a text has another one in it; case counts.
    pub(crate) fn has(self, sql: &str, needle: &str) -> String {
        match self {
            Dialect::Sqlite => format!("instr({sql}, {needle}) > 0"),
            Dialect::Postgres => format!("strpos({sql}, {needle}) > 0"),
        }
    }

    /// The members of a list of texts that was bound at `place`, as `needle.value`.
    pub(crate) fn members(self, place: &str) -> String {
        match self {
            Dialect::Sqlite => format!("json_each({place}) as needle"),
            Dialect::Postgres => format!("unnest({place}) as needle(value)"),
        }
    }

    /// No limit, as a parameter.
    pub(crate) fn no_limit(self) -> Param {
        match self {
            Dialect::Sqlite => Param::Int(-1),
            Dialect::Postgres => Param::Null,
        }
    }

    /// A key of an order; null is lowest.
    pub(crate) fn key(self, sql: &str, nullable: bool, descending: bool) -> String {
        let direction = if descending { " desc" } else { "" };
        let nulls = match (self, nullable, descending) {
            (Dialect::Sqlite, ..) | (_, false, _) => "",
            (Dialect::Postgres, true, false) => " nulls first",
            (Dialect::Postgres, true, true) => " nulls last",
        };
        format!("{sql}{direction}{nulls}")
    }
}

/// The first row of an answer.
pub(crate) fn one<T>(
    session: &mut dyn Session,
    sql: &str,
    params: &[Param],
    take: impl Fn(&dyn Row) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut found = None;
    session.each(sql, params, &mut |row| {
        if found.is_none() {
            found = Some(take(row)?);
        }
        Ok(())
    })?;
    Ok(found)
}

impl dyn Row + '_ {
    /// A number in a column that always has one.
    pub(crate) fn int(&self, column: usize) -> Result<i64, StoreError> {
        let cell = self.cell(column)?;
        cell.int().ok_or_else(|| self.unfit(column, "a number", &cell))
    }

    /// A number that may be missing.
    pub(crate) fn opt_int(&self, column: usize) -> Result<Option<i64>, StoreError> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Int(value) => Ok(Some(value)),
            cell => Err(self.unfit(column, "a number", &cell)),
        }
    }

    /// Text in a column that always has some.
    pub(crate) fn text(&self, column: usize) -> Result<String, StoreError> {
        let cell = self.cell(column)?;
        match &cell {
            Cell::Text(text) => text
                .text()
                .map(Cow::into_owned)
                .map_err(|_| self.unfit(column, "UTF-8", &cell)),
            _ => Err(self.unfit(column, "text", &cell)),
        }
    }

    fn unfit(&self, column: usize, wanted: &str, cell: &Cell<'_>) -> StoreError {
        StoreError::Malformed {
            table: "an answer",
            row: "?".into(),
            what: format!(
                "column {}: {wanted} is expected, not {}",
                self.name(column),
                cell.kind()
            ),
        }
    }
}

impl fmt::Debug for dyn Row + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Row")
    }
}

/// The same statement with parameters numbered without gaps: parts of a query leave out what only other parts need.
pub(super) fn renumber(sql: &str, params: &[Param]) -> (String, Vec<Param>) {
    let mut text = String::with_capacity(sql.len());
    let mut used: Vec<usize> = Vec::new();
    let mut rest = sql;
    while let Some(at) = rest.find('?') {
        let digits = rest[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = rest[at + 1..at + 1 + digits].parse().unwrap_or(0);
        text.push_str(&rest[..=at]);
        let place = used.iter().position(|known| *known == number).unwrap_or_else(|| {
            used.push(number);
            used.len() - 1
        });
        text.push_str(&(place + 1).to_string());
        rest = &rest[at + 1 + digits..];
    }
    text.push_str(rest);
    let params = used
        .iter()
        .filter_map(|number| params.get(number.wrapping_sub(1)).cloned());
    (text, params.collect())
}

/// What a bound value is compared as.
pub(super) fn fits(kind: FieldKind, param: &Param) -> bool {
    matches!(
        (kind, param),
        (FieldKind::Int, Param::Int(_)) | (FieldKind::Text | FieldKind::Identifier, Param::Text(_))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_without_gaps() {
        let params = [Param::Int(1), Param::Int(2), Param::Int(3)];
        for (sql, expected, values) in [
            ("a = ?2 and b = ?3", "a = ?1 and b = ?2", vec![2, 3]),
            (
                "a = ?3 or c = ?1::bigint or b = ?3",
                "a = ?1 or c = ?2::bigint or b = ?1",
                vec![3, 1],
            ),
            ("nothing", "nothing", vec![]),
        ] {
            let (text, bound) = renumber(sql, &params);
            assert_eq!(text, expected);
            assert_eq!(bound, values.into_iter().map(Param::Int).collect::<Vec<_>>());
        }
    }
}
