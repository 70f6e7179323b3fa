//! Queries over items that are not in the database: what the configuration or this crate itself says, and lists
//! inside one row. Small by nature, so they are filtered in memory.

use std::cmp::Ordering;

use ironmaster_store::{Filter, FilterValue, Op, Query};
use serde_json::{Map, Value};

/// One item as REST shows it.
pub type Item = Map<String, Value>;

/// The page that the query asks for, and how many items match in all.
pub fn select(mut items: Vec<Item>, query: &Query) -> (Vec<Item>, u64) {
    items.retain(|item| query.filters.iter().all(|filter| holds(filter, item)));
    if !query.order.is_empty() {
        items.sort_by(|a, b| {
            query
                .order
                .iter()
                .map(|order| {
                    let ordering = compare(a.get(order.field.as_str()), b.get(order.field.as_str()));
                    if order.descending {
                        ordering.reverse()
                    } else {
                        ordering
                    }
                })
                .find(|ordering| ordering.is_ne())
                .unwrap_or(Ordering::Equal)
        });
    }
    let total = items.len() as u64;
    let skip = usize::try_from(query.offset).unwrap_or(usize::MAX);
    let take = query
        .limit
        .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut page: Vec<Item> = items.into_iter().skip(skip).take(take).collect();
    for item in &mut page {
        project(item, query);
    }
    (page, total)
}

/// Leaves only the selected fields.
pub fn project(item: &mut Item, query: &Query) {
    if let Some(fields) = &query.fields {
        item.retain(|name, _| fields.contains(name));
    }
}

fn holds(filter: &Filter, item: &Item) -> bool {
    let value = item.get(filter.field.as_str()).unwrap_or(&Value::Null);
    let any = |matches: &dyn Fn(&FilterValue) -> bool| filter.values.iter().any(matches);
    match filter.op {
        Op::Eq | Op::In => any(&|wanted| equals(value, wanted)),
        Op::Ne | Op::NotIn => !any(&|wanted| equals(value, wanted)),
        Op::Lt => any(&|wanted| order(value, wanted) == Some(Ordering::Less)),
        Op::Le => any(&|wanted| order(value, wanted).is_some_and(Ordering::is_le)),
        Op::Gt => any(&|wanted| order(value, wanted) == Some(Ordering::Greater)),
        Op::Ge => any(&|wanted| order(value, wanted).is_some_and(Ordering::is_ge)),
        Op::Contains => any(&|wanted| match (value, wanted) {
            (Value::Array(elements), wanted) => elements.iter().any(|element| equals(element, wanted)),
            (Value::String(text), FilterValue::Text(part)) => text.contains(part.as_str()),
            _ => false,
        }),
    }
}

fn equals(value: &Value, wanted: &FilterValue) -> bool {
    order(value, wanted) == Some(Ordering::Equal)
}

/// None where there is no order: null, or different types.
fn order(value: &Value, wanted: &FilterValue) -> Option<Ordering> {
    match (value, wanted) {
        (Value::Number(number), FilterValue::Int(wanted)) => number.as_i64().map(|number| number.cmp(wanted)),
        (Value::String(text), FilterValue::Text(wanted)) => Some(text.as_str().cmp(wanted)),
        (Value::Bool(flag), FilterValue::Bool(wanted)) => Some(flag.cmp(wanted)),
        _ => None,
    }
}

/// Null sorts lowest.
fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a.unwrap_or(&Value::Null), b.unwrap_or(&Value::Null)) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Number(a), Value::Number(b)) => a.as_i64().cmp(&b.as_i64()),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        query::{Shape, parse},
        types,
    };

    fn names(query: &str) -> (Vec<String>, u64) {
        let items = json!([
            {"projectid": 1, "name": "b", "description": null, "active": true},
            {"projectid": 2, "name": "a", "description": "some text", "active": false},
            {"projectid": 3, "name": "c", "description": "other", "active": true},
        ]);
        let items = items
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item.as_object().unwrap().clone())
            .collect();
        let query = parse(query, &types::PROJECT, Shape::Collection).unwrap();
        let (page, total) = select(items, &query);
        (
            page.iter()
                .map(|item| item["name"].as_str().unwrap().to_owned())
                .collect(),
            total,
        )
    }

    #[test]
    fn filter_then_sort_then_page() {
        for (query, expected, total) in [
            ("", "bac", 3),
            ("order=name", "abc", 3),
            ("order=-name&limit=1&offset=1", "b", 3),
            ("order=description", "bca", 3),
            ("active=true&order=-projectid", "cb", 2),
            ("projectid__in=1&projectid__in=2", "ba", 2),
            ("projectid__ne=1", "ac", 2),
            ("projectid__ge=2", "ac", 2),
            ("description__contains=o", "ac", 2),
            ("description__ne=other", "ba", 2),
            ("description__lt=z", "ac", 2),
            ("offset=7", "", 3),
            ("limit=0", "", 3),
            ("field=name", "bac", 3),
        ] {
            assert_eq!(
                names(query),
                (expected.chars().map(String::from).collect(), total),
                "{query}"
            );
        }
    }
}
