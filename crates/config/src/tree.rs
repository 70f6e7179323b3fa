//! What a configuration says, whatever it is spelt in: tables of values with their places.

use ironmaster_starlark::Arity;

use crate::sources::Span;

/// A value.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) data: Data,
    pub(crate) span: Span,
}

#[derive(Clone, Debug)]
pub(crate) enum Data {
    Text(String),
    Bool(bool),
    /// As it is written; none if it is too large to be used.
    Integer(Option<i64>, String),
    Float(Option<f64>, String),
    Date(String),
    List(Vec<Node>),
    Table(Table),
    /// A function, which only Starlark has, and how it can be called.
    Function(ironmaster_starlark::Value, Arity),
    /// Something else, with its article.
    Other(String),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) name_span: Span,
    pub(crate) node: Node,
}

impl Table {
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

impl Node {
    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        match &self.data {
            Data::Bool(bool) => Some(*bool),
            _ => None,
        }
    }

    pub(crate) fn as_list(&self) -> Option<&[Node]> {
        match &self.data {
            Data::List(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn as_table(&self) -> Option<&Table> {
        match &self.data {
            Data::Table(table) => Some(table),
            _ => None,
        }
    }
}
