//! What readers ask, with REST v2's parameters in parsed form.

use serde_json::{Map, Value};

/// Asks for a page of a resource. Evaluated in this order: scope and filters, order, offset and limit, fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// What the URL's path says, on any field or [scope](crate::Resource::scopes) of the resource.
    pub scope: Vec<Filter>,
    /// All of these must hold.
    pub filters: Vec<Filter>,
    /// Most significant first; null sorts lowest. Empty = the resource's default order.
    pub order: Vec<Order>,
    /// Keys of the items; none = all.
    pub fields: Option<Vec<String>>,
    /// Items left out at the beginning.
    pub offset: u64,
    /// Most items returned; none = all.
    pub limit: Option<u64>,
    /// Properties shown of builds and build requests, by name; `*` = all.
    pub properties: Vec<String>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// The field (or scope).
    pub field: String,
    /// How it is compared.
    pub op: Op,
    /// With what; at least one value. With several, `Eq` and `In` mean any of them, `Ne` and `NotIn` none of them,
    /// `Contains` any of them; other operators take one.
    pub values: Vec<FilterValue>,
}

/// How a field is compared. A null field equals nothing and is neither less nor greater than anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Equal to a value.
    Eq,
    /// Not equal to any value; null passes.
    Ne,
    /// Less than the value.
    Lt,
    /// Less than or equal to the value.
    Le,
    /// Greater than the value.
    Gt,
    /// Greater than or equal to the value.
    Ge,
    /// Text that has the value in it (case counts), or a list that has it as a member.
    Contains,
    /// Like `Eq`.
    In,
    /// Like `Ne`.
    NotIn,
}

/// A value to compare with, of the type that [`Field::filter_kind`](crate::Field::filter_kind) names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterValue {
    /// For `Int`, and for `Date` in whole seconds.
    Int(i64),
    /// For `Bool`.
    Bool(bool),
    /// For `Text` and `Identifier`.
    Text(String),
}

/// One key of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The field.
    pub field: String,
    /// Greatest first.
    pub descending: bool,
}

/// A page of a resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The items, each with the keys asked for.
    pub items: Vec<Map<String, Value>>,
    /// How many items there are in all, before offset and limit.
    pub total: u64,
}

impl Query {
    /// Everything with this value in a field or scope.
    pub fn of(field: impl Into<String>, value: impl Into<FilterValue>) -> Self {
        Self {
            scope: vec![Filter::eq(field, value)],
            ..Self::default()
        }
    }
}

impl Filter {
    /// The field has this value.
    pub fn eq(field: impl Into<String>, value: impl Into<FilterValue>) -> Self {
        Self {
            field: field.into(),
            op: Op::Eq,
            values: vec![value.into()],
        }
    }
}

impl Order {
    /// Smallest first.
    pub fn ascending(field: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            descending: false,
        }
    }

    /// Greatest first.
    pub fn descending(field: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            descending: true,
        }
    }
}

impl From<i64> for FilterValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u64> for FilterValue {
    /// Ids are below 2^53; what is larger matches nothing.
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<bool> for FilterValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for FilterValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for FilterValue {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}
