//! Lengths, indexes and slices.

use crate::{
    Span,
    dict::Key,
    error::{Error, Result},
    eval::{range_item, range_len},
    heap::{Object, Slot, Value},
    machine::Machine,
    ops::changed_in_loop,
};

impl Machine<'_> {
    /// How many items a value has.
    pub(crate) fn len(&mut self, value: &Value) -> Result<u64> {
        match value {
            Value::Text(text) => {
                self.heap.tick(text.len() as u64 / 64)?;
                Ok(text.chars().count() as u64)
            }
            Value::Object(id) => match self.heap.get(*id) {
                Object::List { items, .. } => Ok(items.len() as u64),
                Object::Tuple(items) => Ok(items.len() as u64),
                Object::Dict(dict) => Ok(dict.len() as u64),
                Object::Range(from, to, step) => Ok(range_len(*from, *to, *step)),
                _ => Err(self.no_length(value)),
            },
            _ => Err(self.no_length(value)),
        }
    }

    fn no_length(&self, value: &Value) -> Box<Error> {
        Error::failed(format!("a {} has no length", self.heap.type_name(value)))
    }

    pub(crate) fn index(&mut self, container: &Value, index: &Value) -> Result<Slot> {
        if let Value::Object(id) = container
            && let Object::Dict(_) = self.heap.get(*id)
        {
            let key = Key::of(index, &mut self.heap)?;
            if let Object::Dict(dict) = self.heap.get(*id)
                && let Some(entry) = dict.get(&key)
            {
                return Ok(entry.value.clone());
            }
            let key = self.repr(index)?;
            return Err(Error::failed(format!("the dict has no key {key}"))
                .help("`d.get(key, default)` gives a default instead"));
        }
        let len = self.len(container).map_err(|_| self.no_index(container))?;
        let at = self.position(index, len)?;
        match container {
            Value::Text(text) => {
                self.heap.tick(at as u64 / 64)?;
                let c = text.chars().nth(at).map(String::from).unwrap_or_default();
                Ok(Slot {
                    value: self.heap.text(&c)?,
                    span: Span::default(),
                })
            }
            Value::Object(id) => match self.heap.get(*id) {
                Object::List { items, .. } => items.get(at).cloned(),
                Object::Tuple(items) => items.get(at).cloned(),
                Object::Range(from, to, step) => range_item(*from, *to, *step, at).map(|number| Slot {
                    value: Value::Int(number),
                    span: Span::default(),
                }),
                _ => None,
            }
            .ok_or_else(|| self.no_index(container)),
            _ => Err(self.no_index(container)),
        }
    }

    fn no_index(&self, value: &Value) -> Box<Error> {
        Error::failed(format!(
            "a {} has no items to take by `[…]`",
            self.heap.type_name(value)
        ))
    }

    /// An index from the start; negative ones count from the end.
    fn position(&self, index: &Value, len: u64) -> Result<usize> {
        let Value::Int(index) = index else {
            return Err(Error::failed(format!(
                "an index is a whole number, not a {}",
                self.heap.type_name(index)
            )));
        };
        let from_start = if *index < 0 {
            i128::from(*index) + i128::from(len)
        } else {
            i128::from(*index)
        };
        usize::try_from(from_start)
            .ok()
            .filter(|at| (*at as u64) < len)
            .ok_or_else(|| Error::failed(format!("there is no item {index}; there are {len}")))
    }

    pub(crate) fn set_index(&mut self, container: &Value, index: Slot, slot: Slot) -> Result<()> {
        let Value::Object(id) = container else {
            return Err(self.unchangeable(container));
        };
        match self.heap.get(*id) {
            Object::List { items, .. } => {
                let at = self.position(&index.value, items.len() as u64)?;
                if let Object::List { items, .. } = self.heap.change(*id)? {
                    items[at] = slot;
                }
                Ok(())
            }
            Object::Dict(dict) => {
                if dict.iterating > 0 {
                    return Err(changed_in_loop());
                }
                let key = Key::of(&index.value, &mut self.heap)?;
                self.heap.charge(crate::Dict::ENTRY_BYTES)?;
                if let Object::Dict(dict) = self.heap.change(*id)? {
                    dict.insert(key, index, slot);
                }
                Ok(())
            }
            _ => Err(self.unchangeable(container)),
        }
    }

    fn unchangeable(&self, value: &Value) -> Box<Error> {
        Error::failed(format!(
            "the items of a {} cannot change",
            self.heap.type_name(value)
        ))
    }

    pub(crate) fn slice(&mut self, value: &Value, bounds: &[Value; 3]) -> Result<Value> {
        let len = self.len(value).map_err(|_| self.no_index(value))?;
        let len = i128::from(len);
        let bound = |machine: &Self, value: &Value| match value {
            Value::None => Ok(None),
            Value::Int(number) => Ok(Some(i128::from(*number))),
            other => Err(Error::failed(format!(
                "a bound is a whole number, not a {}",
                machine.heap.type_name(other)
            ))),
        };
        let step = bound(self, &bounds[2])?.unwrap_or(1);
        if step == 0 {
            return Err(Error::failed("the step of a slice cannot be zero"));
        }
        let clamp = |at: Option<i128>, default: i128| match at {
            None => default,
            Some(at) => {
                let at = if at < 0 { at + len } else { at };
                if step > 0 {
                    at.clamp(0, len)
                } else {
                    at.clamp(-1, len - 1)
                }
            }
        };
        let (first, last) = if step > 0 { (0, len) } else { (len - 1, -1) };
        let from = clamp(bound(self, &bounds[0])?, first);
        let to = clamp(bound(self, &bounds[1])?, last);
        let mut places = Vec::new();
        let mut at = from;
        while if step > 0 { at < to } else { at > to } {
            self.heap.charge_slots(1)?;
            places.push(usize::try_from(at).unwrap_or(0));
            at += step;
        }
        if let Value::Text(text) = value {
            self.heap.charge_text(text.len().saturating_mul(4))?;
            let chars: Vec<char> = text.chars().collect();
            let part: String = places.iter().filter_map(|at| chars.get(*at)).collect();
            return self.heap.text(&part);
        }
        let Value::Object(id) = value else {
            return Err(self.no_index(value));
        };
        match self.heap.get(*id) {
            Object::List { items, .. } => {
                let part = places.iter().filter_map(|at| items.get(*at).cloned()).collect();
                self.heap.list(part)
            }
            Object::Tuple(items) => {
                let part = places.iter().filter_map(|at| items.get(*at).cloned()).collect();
                self.heap.tuple(part)
            }
            Object::Range(from, to, step) => {
                let (from, to, step) = (*from, *to, *step);
                let part = places
                    .iter()
                    .filter_map(|at| range_item(from, to, step, *at))
                    .map(|number| Slot {
                        value: Value::Int(number),
                        span: Span::default(),
                    })
                    .collect();
                self.heap.list(part)
            }
            _ => Err(self.no_index(value)),
        }
    }
}
