//! The methods of lists and dicts.

use std::sync::Arc;

use crate::{
    Id, Span,
    builtins::Given,
    call::Arguments,
    dict::{Dict, Entry, Key},
    error::{Error, Result},
    heap::{Object, Slot, Value},
    machine::Machine,
    ops::changed_in_loop,
    text_methods,
};

const OF_LIST: &[&str] = &["append", "clear", "extend", "index", "insert", "pop", "remove"];

const OF_DICT: &[&str] = &[
    "clear",
    "get",
    "items",
    "keys",
    "pop",
    "popitem",
    "setdefault",
    "update",
    "values",
];

/// The methods of a type.
pub(crate) fn of(type_name: &str) -> &'static [&'static str] {
    match type_name {
        "string" => text_methods::NAMES,
        "list" => OF_LIST,
        "dict" => OF_DICT,
        _ => &[],
    }
}

impl Machine<'_> {
    pub(crate) fn method(
        &mut self,
        receiver: &Value,
        name: &Arc<str>,
        arguments: Arguments,
        span: Span,
    ) -> Result<Value> {
        match receiver {
            Value::Text(text) => {
                let text = Arc::clone(text);
                self.text_method(&text, name, arguments, span)
            }
            Value::Object(id) => match self.heap.get(*id) {
                Object::List { .. } => self.list_method(*id, name, arguments, span),
                Object::Dict(_) => self.dict_method(*id, name, arguments, span),
                _ => Err(Error::failed(format!("there is no method `{name}`"))),
            },
            _ => Err(Error::failed(format!("there is no method `{name}`"))),
        }
    }

    /// The items of a list that is about to change.
    fn list_items(&mut self, id: Id) -> Result<&mut Vec<Slot>> {
        match self.heap.change(id)? {
            Object::List { items, iterating: 0 } => Ok(items),
            _ => Err(changed_in_loop()),
        }
    }

    fn changing_dict(&mut self, id: Id) -> Result<&mut Dict> {
        match self.heap.change(id)? {
            Object::Dict(dict) if dict.iterating == 0 => Ok(dict),
            _ => Err(changed_in_loop()),
        }
    }

    pub(crate) fn extend(&mut self, id: Id, given: &Value, span: Span) -> Result<()> {
        let more = self.items(given, span)?;
        self.list_items(id)?.extend(more);
        Ok(())
    }

    fn list_method(&mut self, id: Id, name: &str, arguments: Arguments, span: Span) -> Result<Value> {
        let given = Given::new(name, arguments, span);
        match name {
            "append" => {
                let slot = given.one("x")?;
                self.heap.charge_slots(1)?;
                self.list_items(id)?.push(slot);
            }
            "clear" => {
                given.values(0, [])?;
                self.list_items(id)?.clear();
            }
            "extend" => {
                let slot = given.one("x")?;
                self.extend(id, &slot.value, slot.span)?;
            }
            "insert" => {
                let [at, slot] = given.values(2, ["i", "x"])?;
                let (Some(at), Some(slot)) = (at, slot) else {
                    return Ok(Value::None);
                };
                let at = self.whole(&at)?;
                self.heap.charge_slots(1)?;
                let len = self.list_items(id)?.len();
                self.heap.tick(len as u64 / 8)?;
                let at = clamped(at, len);
                self.list_items(id)?.insert(at, slot);
            }
            "pop" => {
                let [at] = given.values(0, ["i"])?;
                let at = at.map_or(Ok(-1), |at| self.whole(&at))?;
                let items = self.list_items(id)?;
                let len = items.len();
                let from_start = if at < 0 { at.saturating_add(len as i64) } else { at };
                let at = usize::try_from(from_start)
                    .ok()
                    .filter(|at| *at < len)
                    .ok_or_else(|| Error::failed(format!("there is no item {at}; there are {len}")))?;
                let slot = items.remove(at);
                self.heap.tick((len - at) as u64 / 8)?;
                return Ok(slot.value);
            }
            "remove" | "index" => {
                let [slot, from, to] = given.values(1, ["x", "start", "end"])?;
                let Some(slot) = slot else { return Ok(Value::None) };
                let items = match self.heap.get(id) {
                    Object::List { items, .. } => items.clone(),
                    _ => Vec::new(),
                };
                self.heap.tick(items.len() as u64)?;
                let from = from.map_or(Ok(0), |at| self.whole(&at))?;
                let to = to.map_or(Ok(i64::MAX), |at| self.whole(&at))?;
                let (from, to) = (clamped(from, items.len()), clamped(to, items.len()));
                for (at, item) in items.iter().enumerate().take(to).skip(from) {
                    if self.equal(&item.value, &slot.value)? {
                        if name == "index" {
                            return Ok(Value::Int(at as i64));
                        }
                        self.list_items(id)?.remove(at);
                        return Ok(Value::None);
                    }
                }
                let repr = self.repr(&slot.value)?;
                return Err(Error::failed(format!("the list has no {repr}")));
            }
            _ => return Err(Error::failed(format!("a list has no method `{name}`"))),
        }
        Ok(Value::None)
    }

    /// A copy of a dict's entries as a dict.
    pub(crate) fn copy_dict(&mut self, entries: &[Entry]) -> Result<Value> {
        let mut dict = Dict::default();
        for entry in entries {
            self.insert(&mut dict, entry.key.clone(), entry.value.clone())?;
        }
        self.heap.alloc(Object::Dict(dict))
    }

    /// Takes over the entries of a dict, or pairs.
    pub(crate) fn update(&mut self, id: Id, given: &Value, span: Span) -> Result<()> {
        let entries: Option<Vec<(Slot, Slot)>> = match given {
            Value::Object(other) => match self.heap.get(*other) {
                Object::Dict(dict) => Some(
                    dict.entries()
                        .iter()
                        .map(|entry| (entry.key.clone(), entry.value.clone()))
                        .collect(),
                ),
                _ => None,
            },
            _ => None,
        };
        let entries = if let Some(entries) = entries {
            entries
        } else {
            let mut pairs = Vec::new();
            for item in self.items(given, span)? {
                let mut pair = self.items(&item.value, item.span)?.into_iter();
                let (Some(key), Some(value), None) = (pair.next(), pair.next(), pair.next()) else {
                    return Err(Error::failed("a dict is made of pairs").at(item.span));
                };
                pairs.push((key, value));
            }
            pairs
        };
        self.changing_dict(id)?;
        for (key, value) in entries {
            self.set_index(&Value::Object(id), key, value)?;
        }
        Ok(())
    }

    fn dict_method(&mut self, id: Id, name: &str, arguments: Arguments, span: Span) -> Result<Value> {
        if name == "update" {
            self.update_with(id, arguments, span)?;
            return Ok(Value::None);
        }
        let given = Given::new(name, arguments, span);
        match name {
            "keys" | "values" | "items" => {
                given.values(0, [])?;
                self.dict_view(id, name)
            }
            "clear" => {
                given.values(0, [])?;
                self.changing_dict(id)?.clear();
                Ok(Value::None)
            }
            "popitem" => {
                given.values(0, [])?;
                let first = match self.heap.get(id) {
                    Object::Dict(dict) => dict.entries().first().map(|entry| entry.key.value.clone()),
                    _ => None,
                };
                let Some(first) = first else {
                    return Err(Error::failed("the dict is empty"));
                };
                let entry = self.remove(id, &first)?;
                let pair = entry.map_or_else(Vec::new, |entry| vec![entry.key, entry.value]);
                self.heap.charge_slots(2)?;
                self.heap.tuple(pair)
            }
            "get" | "pop" | "setdefault" => {
                let [key, default] = given.values(1, ["key", "default"])?;
                let Some(key) = key else { return Ok(Value::None) };
                let hashed = Key::of(&key.value, &mut self.heap).map_err(|error| error.at(key.span))?;
                let found = match self.heap.get(id) {
                    Object::Dict(dict) => dict.get(&hashed).map(|entry| entry.value.value.clone()),
                    _ => None,
                };
                match (name, found, default) {
                    ("pop", Some(value), _) => {
                        self.remove(id, &key.value)?;
                        Ok(value)
                    }
                    ("pop", None, None) => {
                        let repr = self.repr(&key.value)?;
                        Err(Error::failed(format!("the dict has no key {repr}")))
                    }
                    ("setdefault", None, default) => {
                        let slot = default.unwrap_or(Slot {
                            value: Value::None,
                            span,
                        });
                        let value = slot.value.clone();
                        self.set_index(&Value::Object(id), key, slot)?;
                        Ok(value)
                    }
                    (_, Some(value), _) => Ok(value),
                    (_, None, default) => Ok(default.map_or(Value::None, |slot| slot.value)),
                }
            }
            _ => Err(Error::failed(format!("a dict has no method `{name}`"))),
        }
    }

    fn remove(&mut self, id: Id, key: &Value) -> Result<Option<Entry>> {
        let key = Key::of(key, &mut self.heap)?;
        let dict = self.changing_dict(id)?;
        let len = dict.len();
        let entry = dict.remove(&key);
        self.heap.tick(len as u64)?;
        Ok(entry)
    }

    fn dict_view(&mut self, id: Id, name: &str) -> Result<Value> {
        let entries = match self.heap.get(id) {
            Object::Dict(dict) => dict.entries().to_vec(),
            _ => Vec::new(),
        };
        self.heap.charge_slots(entries.len())?;
        let mut items = Vec::with_capacity(entries.len());
        for entry in entries {
            items.push(match name {
                "keys" => entry.key,
                "values" => entry.value,
                _ => {
                    let span = entry.value.span;
                    self.heap.charge_slots(2)?;
                    let value = self.heap.tuple(vec![entry.key, entry.value])?;
                    Slot { value, span }
                }
            });
        }
        self.heap.list(items)
    }
}

/// An index as `insert` and `index` take it.
fn clamped(at: i64, len: usize) -> usize {
    let from_start = if at < 0 { at.saturating_add(len as i64) } else { at };
    usize::try_from(from_start.max(0)).unwrap_or(usize::MAX).min(len)
}
