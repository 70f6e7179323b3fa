//! The query string of a GET (section 3 of `docs/reference/rest-api-v2.md`), checked against the resource type.
//!
//! Deliberately stricter than Buildbot in one place: an operator that does not exist, or does not take
//! several values, is refused instead of ignored, because an ignored filter answers a question nobody asked.

use std::borrow::Cow;

use ironmaster_store::{Filter, FilterValue, Op, Order, Query};
use percent_encoding::percent_decode_str;

use crate::{
    error::ApiError,
    types::{Field, FieldKind, ResourceType},
};

/// What kind of endpoint the query is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Filters, order and pages are allowed.
    Collection,
    /// Only `field` and `property` have an effect; filters are refused.
    Single,
}

/// Splits a query string into decoded pairs. `+` is a space; bytes that are not UTF-8 become U+FFFD.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

fn decode(text: &str) -> Cow<'_, str> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned());
    }
    percent_decode_str(text).decode_utf8_lossy()
}

/// Reads a query string.
pub fn parse(query: &str, of: &'static ResourceType, shape: Shape) -> Result<Query, ApiError> {
    let mut parsed = Query::default();
    let mut selected: Vec<String> = Vec::new();
    let mut offset = None;
    // Repeated filter parameters are one filter with several values.
    let mut filters: Vec<(Cow<'_, str>, Vec<Cow<'_, str>>)> = Vec::new();
    for (name, value) in pairs(query) {
        match &*name {
            "limit" if parsed.limit.is_none() => parsed.limit = Some(page_number("limit", &value, shape)?),
            "offset" if offset.is_none() => offset = Some(page_number("offset", &value, shape)?),
            "limit" | "offset" => {}
            "order" => {
                let (name, descending) = value
                    .strip_prefix('-')
                    .map_or((&*value, false), |name| (name, true));
                let field = known_field(of, name)?;
                if shape == Shape::Collection {
                    orderable(field)?;
                    parsed.order.push(Order {
                        field: field.name.to_owned(),
                        descending,
                    });
                }
            }
            "field" => {
                let field = known_field(of, &value)?;
                if !selected.iter().any(|known| known == field.name) {
                    selected.push(field.name.to_owned());
                }
            }
            "property" => parsed.properties.push(value.into_owned()),
            _ => match filters.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => filters.push((name, vec![value])),
            },
        }
    }
    parsed.offset = offset.unwrap_or(0);
    for (name, values) in filters {
        let filter = filter(of, &name, &values)?;
        if shape == Shape::Single {
            return Err(bad("this is not a collection"));
        }
        parsed.filters.push(filter);
    }
    if !selected.is_empty() {
        if !parsed.order.iter().all(|order| selected.contains(&order.field)) {
            return Err(bad("cannot order on un-selected fields"));
        }
        if !parsed
            .filters
            .iter()
            .all(|filter| selected.contains(&filter.field))
        {
            return Err(bad("cannot filter on un-selected fields"));
        }
        parsed.fields = Some(selected);
    }
    Ok(parsed)
}

fn filter(of: &ResourceType, name: &str, values: &[Cow<'_, str>]) -> Result<Filter, ApiError> {
    let unrecognized = || bad(format!("unrecognized query parameter '{name}'"));
    let (field, operator) = if let Some(field) = of.field(name) {
        (field, "eq")
    } else {
        let (field, operator) = name.rsplit_once("__").ok_or_else(unrecognized)?;
        (of.field(field).ok_or_else(unrecognized)?, operator)
    };
    let operator = match operator {
        "eq" | "in" => Op::Eq,
        "ne" | "notin" => Op::Ne,
        "lt" => Op::Lt,
        "le" => Op::Le,
        "gt" => Op::Gt,
        "ge" => Op::Ge,
        "contains" => Op::Contains,
        _ => return Err(unrecognized()),
    };
    if values.len() > 1 && matches!(operator, Op::Lt | Op::Le | Op::Gt | Op::Ge) {
        return Err(bad(format!("query parameter '{name}' takes one value")));
    }
    let kind = match (field.kind, operator) {
        (FieldKind::List(element), Op::Contains) => *element,
        (FieldKind::List(_), _) => {
            return Err(bad(format!(
                "list field '{}' can only be filtered with 'contains'",
                field.name
            )));
        }
        (FieldKind::String | FieldKind::Identifier, Op::Contains) => FieldKind::String,
        (_, Op::Contains) => {
            return Err(bad(format!(
                "field '{}' cannot be filtered with 'contains'",
                field.name
            )));
        }
        (kind, _) => kind,
    };
    let values = values
        .iter()
        .map(|value| scalar(field, kind, value))
        .collect::<Result<_, _>>()?;
    Ok(Filter {
        field: field.name.to_owned(),
        op: operator,
        values,
    })
}

fn scalar(field: &Field, kind: FieldKind, text: &str) -> Result<FilterValue, ApiError> {
    let invalid = || bad(format!("invalid filter value for {}", field.name));
    match kind {
        FieldKind::Integer | FieldKind::DateTime => {
            text.trim().parse().map(FilterValue::Int).map_err(|_| invalid())
        }
        FieldKind::String => Ok(FilterValue::Text(text.to_owned())),
        FieldKind::Identifier if is_identifier(text) => Ok(FilterValue::Text(text.to_owned())),
        FieldKind::Boolean => match text.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Ok(FilterValue::Bool(true)),
            "off" | "false" | "no" | "0" => Ok(FilterValue::Bool(false)),
            _ => Err(invalid()),
        },
        FieldKind::Identifier => Err(invalid()),
        FieldKind::List(_)
        | FieldKind::Entity(_)
        | FieldKind::Json
        | FieldKind::Properties
        | FieldKind::Binary => Err(bad(format!("field '{}' cannot be filtered", field.name))),
    }
}

/// Whether the text matches `^[a-zA-Z_-][a-zA-Z0-9._-]*$`.
pub fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || matches!(first, b'_' | b'-'))
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn known_field(of: &ResourceType, name: &str) -> Result<&'static Field, ApiError> {
    of.field(name)
        .ok_or_else(|| bad(format!("no such field '{name}'")))
}

fn orderable(field: &Field) -> Result<(), ApiError> {
    match field.kind {
        FieldKind::List(_)
        | FieldKind::Entity(_)
        | FieldKind::Json
        | FieldKind::Properties
        | FieldKind::Binary => Err(bad(format!("cannot order by field '{}'", field.name))),
        _ => Ok(()),
    }
}

fn page_number(name: &str, text: &str, shape: Shape) -> Result<u64, ApiError> {
    let number: i64 = text.trim().parse().map_err(|_| bad(format!("invalid {name}")))?;
    match u64::try_from(number) {
        Ok(number) => Ok(number),
        Err(_) if shape == Shape::Single => Ok(0),
        Err(_) => Err(bad(format!("invalid {name}"))),
    }
}

fn bad(text: impl Into<String>) -> ApiError {
    ApiError::BadRequest(text.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types;

    fn parse(query: &str) -> Result<Query, String> {
        super::parse(query, &types::BUILD, Shape::Collection).map_err(|error| error.to_string())
    }

    #[test]
    fn refusals_have_buildbots_words() {
        for (query, text) in [
            ("nosuchfield=1", "unrecognized query parameter 'nosuchfield'"),
            ("number__bogus=1", "unrecognized query parameter 'number__bogus'"),
            ("limit=x", "invalid limit"),
            ("limit=-1", "invalid limit"),
            ("offset=1.5", "invalid offset"),
            ("order=nope", "no such field 'nope'"),
            ("order=-nope", "no such field 'nope'"),
            ("field=nope", "no such field 'nope'"),
            ("number=abc", "invalid filter value for number"),
            ("complete=perhaps", "invalid filter value for complete"),
            ("field=number&order=buildid", "cannot order on un-selected fields"),
            (
                "field=number&buildid__gt=3",
                "cannot filter on un-selected fields",
            ),
            (
                "buildid__lt=1&buildid__lt=2",
                "query parameter 'buildid__lt' takes one value",
            ),
            ("properties=x", "field 'properties' cannot be filtered"),
        ] {
            assert_eq!(parse(query).unwrap_err(), text, "{query}");
        }
        let single = super::parse("number=1", &types::BUILD, Shape::Single).unwrap_err();
        assert_eq!(single.to_string(), "this is not a collection");
        assert!(
            super::parse(
                "limit=1&order=-number&field=number&property=*",
                &types::BUILD,
                Shape::Single
            )
            .is_ok()
        );
    }

    #[test]
    fn a_query_is_read_whole() {
        let query = parse(
            "limit=5&limit=6&offset=2&order=-number&order=buildid&results=0&results=1&complete=Yes\
             &state_string__contains=a%20b+c&property=owner&property=*",
        )
        .unwrap();
        assert_eq!((query.limit, query.offset), (Some(5), 2));
        assert_eq!(query.order[0], Order::descending("number"));
        assert_eq!(query.order[1], Order::ascending("buildid"));
        assert_eq!(query.properties, ["owner", "*"]);
        let filters: Vec<_> = query
            .filters
            .iter()
            .map(|filter| (filter.field.as_str(), filter.op, filter.values.clone()))
            .collect();
        assert_eq!(
            filters,
            [
                ("results", Op::Eq, vec![FilterValue::Int(0), FilterValue::Int(1)]),
                ("complete", Op::Eq, vec![FilterValue::Bool(true)]),
                (
                    "state_string",
                    Op::Contains,
                    vec![FilterValue::Text("a b c".into())]
                ),
            ]
        );
    }

    #[test]
    fn list_fields_know_contains_only() {
        let tags = |query| super::parse(query, &types::BUILDER, Shape::Collection);
        assert_eq!(
            tags("tags__contains=x").unwrap().filters[0].values,
            [FilterValue::Text("x".into())]
        );
        assert!(tags("tags=x").is_err());
        assert!(tags("masterids__contains=1").is_ok());
        assert!(tags("masterids__contains=x").is_err());
    }

    proptest! {
        #[test]
        fn no_query_string_panics(query in "\\PC{0,80}", shape in prop_oneof![Just(Shape::Single), Just(Shape::Collection)]) {
            for of in types::ALL {
                let _ = super::parse(&query, of, shape);
            }
        }

        #[test]
        fn plausible_query_strings_do_not_panic(
            pairs in prop::collection::vec(
                ("(limit|offset|order|field|property|number|tags|complete|results)(__(eq|ne|lt|contains|in|bogus))?",
                 "(-?[0-9]{1,25}|-?number|true|%[0-9a-f]{0,2}|[a-z+]{0,4})"), 0..8)
        ) {
            let query = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
            for of in types::ALL {
                if let Ok(parsed) = super::parse(&query, of, Shape::Collection) {
                    prop_assert!(parsed.filters.iter().all(|filter| !filter.values.is_empty()));
                }
            }
        }
    }
}
