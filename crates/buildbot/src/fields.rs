//! Reading a dictionary by the names of its entries.

use crate::Value;

/// An entry that is missing or of the wrong kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: `{field}` {problem}")]
pub struct FieldError {
    /// What was read, say `shell`.
    pub what: &'static str,
    /// The entry.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: FieldProblem,
}

/// What can be wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldProblem {
    /// It has to be there.
    #[error("is missing")]
    Missing,
    /// It is something else.
    #[error("is {got}, where {wanted} is wanted")]
    Kind {
        /// What is wanted.
        wanted: &'static str,
        /// What it is.
        got: &'static str,
    },
    /// A number that means nothing there.
    #[error("is out of range")]
    Range,
}

/// A dictionary of which the entries are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'v> {
    what: &'static str,
    value: &'v Value,
}

impl<'v> Fields<'v> {
    pub(crate) fn of(what: &'static str, value: &'v Value) -> Result<Self, FieldError> {
        match value {
            Value::Dict(_) => Ok(Self { what, value }),
            other => Err(wrong(what, "arguments", "a dictionary", other)),
        }
    }

    /// What is there and is not nothing.
    pub(crate) fn get(&self, field: &str) -> Option<&'v Value> {
        self.value.get(field).filter(|value| **value != Value::None)
    }

    /// Whether it is there, be it nothing.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.value.get(field).is_some()
    }

    pub(crate) fn error(&self, field: &'static str, problem: FieldProblem) -> FieldError {
        FieldError {
            what: self.what,
            field,
            problem,
        }
    }

    fn required(&self, field: &'static str) -> Result<&'v Value, FieldError> {
        self.get(field)
            .ok_or_else(|| self.error(field, FieldProblem::Missing))
    }

    fn read<T>(
        &self,
        field: &'static str,
        wanted: &'static str,
        read: impl FnOnce(&'v Value) -> Option<T>,
    ) -> Result<Option<T>, FieldError> {
        let Some(value) = self.get(field) else {
            return Ok(None);
        };
        read(value)
            .map(Some)
            .ok_or_else(|| wrong(self.what, field, wanted, value))
    }

    pub(crate) fn opt_text(&self, field: &'static str) -> Result<Option<String>, FieldError> {
        self.read(field, "a text", |value| value.as_text().map(Into::into))
    }

    pub(crate) fn text(&self, field: &'static str) -> Result<String, FieldError> {
        text(self.what, field, self.required(field)?)
    }

    /// One text, or several.
    pub(crate) fn texts(&self, field: &'static str) -> Result<Vec<String>, FieldError> {
        let value = self.required(field)?;
        match value.as_items() {
            Some(items) => items.iter().map(|item| text(self.what, field, item)).collect(),
            None => Ok(vec![text(self.what, field, value)?]),
        }
    }

    /// A truth value; 0 and 1 are often sent for it.
    pub(crate) fn flag(&self, field: &'static str, default: bool) -> Result<bool, FieldError> {
        let flag = self.read(field, "a truth value", |value| match value {
            Value::Bool(truth) => Some(*truth),
            Value::Int(number) => Some(*number != 0),
            _ => None,
        })?;
        Ok(flag.unwrap_or(default))
    }

    /// A time limit: nothing, nought and what is no time mean that there is none.
    pub(crate) fn seconds(&self, field: &'static str) -> Result<Option<f64>, FieldError> {
        let seconds = self.read(field, "a number", Value::as_number)?;
        Ok(seconds.filter(|seconds| seconds.is_finite() && *seconds > 0.0))
    }

    pub(crate) fn opt_number(&self, field: &'static str) -> Result<Option<f64>, FieldError> {
        self.read(field, "a number", Value::as_number)
    }

    pub(crate) fn opt_size<T: TryFrom<i128>>(&self, field: &'static str) -> Result<Option<T>, FieldError> {
        let number = self.read(field, "a whole number", |value| match value {
            Value::Int(number) => Some(*number),
            _ => None,
        })?;
        let Some(number) = number else { return Ok(None) };
        let size = T::try_from(number).map_err(|_| self.error(field, FieldProblem::Range))?;
        Ok(Some(size))
    }

    pub(crate) fn size<T: TryFrom<i128>>(&self, field: &'static str) -> Result<T, FieldError> {
        self.opt_size(field)?
            .ok_or_else(|| self.error(field, FieldProblem::Missing))
    }

    /// A dictionary with texts as keys.
    pub(crate) fn entries<T>(
        &self,
        field: &'static str,
        mut read: impl FnMut(&'v Value) -> Option<T>,
    ) -> Result<Vec<(String, T)>, FieldError> {
        let Some(value) = self.get(field) else {
            return Ok(Vec::new());
        };
        let Value::Dict(entries) = value else {
            return Err(wrong(self.what, field, "a dictionary", value));
        };
        entries
            .iter()
            .map(|(key, value)| {
                let content = read(value)
                    .ok_or_else(|| wrong(self.what, field, "a dictionary of known values", value))?;
                Ok((text(self.what, field, key)?, content))
            })
            .collect()
    }
}

pub(crate) fn text(what: &'static str, field: &'static str, value: &Value) -> Result<String, FieldError> {
    value
        .as_text()
        .map(Into::into)
        .ok_or_else(|| wrong(what, field, "a text", value))
}

pub(crate) fn wrong(
    what: &'static str,
    field: &'static str,
    wanted: &'static str,
    got: &Value,
) -> FieldError {
    let got = got.kind();
    FieldError {
        what,
        field,
        problem: FieldProblem::Kind { wanted, got },
    }
}
