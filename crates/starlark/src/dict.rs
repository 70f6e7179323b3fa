//! Dicts: they keep the order in which keys came.

use std::{collections::HashMap, sync::Arc};

use crate::{
    Slot, Value,
    error::{Error, ErrorKind, Result},
    heap::{Heap, Object},
};

/// How deep a tuple may be nested to be a key.
const KEY_DEPTH_MAX: u32 = 50;

/// A dict.
#[derive(Clone, Debug, Default)]
pub struct Dict {
    entries: Vec<Entry>,
    index: HashMap<Key, usize>,
    /// Loops that go over it now: it cannot change then.
    pub(crate) iterating: u32,
}

/// An entry of a dict.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key, with the place where it was given.
    pub key: Slot,
    /// The value, with the place where it was given.
    pub value: Slot,
    hashed: Key,
}

/// What is compared when a key is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    None,
    Bool(bool),
    Int(i64),
    Float(u64),
    Text(Arc<str>),
    Tuple(Vec<Key>),
}

impl Key {
    pub(crate) fn of(value: &Value, heap: &mut Heap) -> Result<Key> {
        Self::nested(value, heap, 0)
    }

    fn nested(value: &Value, heap: &mut Heap, depth: u32) -> Result<Key> {
        heap.tick(1)?;
        if depth > KEY_DEPTH_MAX {
            return Err(Error::new(ErrorKind::Depth, "a key is nested too deeply"));
        }
        Ok(match value {
            Value::None => Key::None,
            Value::Bool(bool) => Key::Bool(*bool),
            Value::Int(number) => Key::Int(*number),
            // Equal numbers are the same key.
            Value::Float(number) => match float_as_int(*number) {
                Some(number) => Key::Int(number),
                None if number.is_nan() => Key::Float(f64::NAN.to_bits()),
                None => Key::Float(number.to_bits()),
            },
            Value::Text(text) => {
                heap.tick(text.len() as u64 / 64)?;
                Key::Text(Arc::clone(text))
            }
            Value::Object(id) => {
                let Object::Tuple(items) = heap.get(*id) else {
                    let message = format!("a {} cannot be a key of a dict", heap.type_name(value));
                    return Err(Error::failed(message).help("keys are texts, numbers, or tuples of them"));
                };
                let items = Arc::clone(items);
                heap.charge(items.len() * size_of::<Key>())?;
                Key::Tuple(
                    items
                        .iter()
                        .map(|item| Self::nested(&item.value, heap, depth + 1))
                        .collect::<Result<_>>()?,
                )
            }
            Value::Builtin(_) => return Err(Error::failed("a function cannot be a key of a dict")),
        })
    }
}

/// A number without a fraction, if it is one.
#[expect(clippy::float_cmp, reason = "a number is whole, or it is not")]
pub(crate) fn float_as_int(number: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (number.trunc() == number && (-LIMIT..LIMIT).contains(&number)).then_some(number as i64)
}

impl Dict {
    /// What memory an entry is taken to need.
    pub(crate) const ENTRY_BYTES: usize = size_of::<Entry>() + 2 * size_of::<Key>() + 32;

    /// Its entries, in the order in which their keys came.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Entry> {
        self.index.get(key).and_then(|at| self.entries.get(*at))
    }

    /// Sets a key; one that is there keeps its place in the order. True if it was there.
    pub(crate) fn insert(&mut self, hashed: Key, key: Slot, value: Slot) -> bool {
        if let Some(entry) = self.index.get(&hashed).and_then(|at| self.entries.get_mut(*at)) {
            entry.value = value;
            return true;
        }
        self.index.insert(hashed.clone(), self.entries.len());
        self.entries.push(Entry { key, value, hashed });
        false
    }

    pub(crate) fn remove(&mut self, key: &Key) -> Option<Entry> {
        let at = self.index.remove(key)?;
        let entry = self.entries.remove(at);
        for (moved, entry) in self.entries.iter().enumerate().skip(at) {
            self.index.insert(entry.hashed.clone(), moved);
        }
        Some(entry)
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.index.clear();
    }
}
