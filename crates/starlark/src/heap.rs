//! Values and where they live. What has been made stays until the end of the evaluation: nothing is collected, so
//! nothing is freed in deep recursion, cycles are harmless, and the bytes that were ever asked for are a bound that
//! is the same in every run.

use std::{ops::Range, sync::Arc};

use crate::{
    Limits, Span,
    ast::{Def, ParameterKind},
    dict::{Dict, Key},
    error::{Error, ErrorKind, Result},
    eval::range_len,
};

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(Arc<str>),
    /// A function of the language or of the host, by its index.
    Builtin(u32),
    /// Everything else: see [`Heap::get`].
    Object(Id),
}

/// An object of a heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u32);

impl Id {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A value with the place where the file gives it.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The value.
    pub value: Value,
    /// Its place.
    pub span: Span,
}

/// What a value refers to.
#[derive(Clone, Debug)]
pub enum Object {
    /// A list.
    List {
        /// Its items.
        items: Vec<Slot>,
        /// Loops that go over it now: it cannot change then.
        iterating: u32,
    },
    /// A tuple.
    Tuple(Arc<[Slot]>),
    /// A dict.
    Dict(Dict),
    /// A `struct`, or what a function of the host has made.
    Record(Arc<Record>),
    /// Numbers from the first up to but without the second, by steps of the third.
    Range(i64, i64, i64),
    /// A function of a file.
    #[doc(hidden)]
    Function(Function),
    /// A method of a value.
    #[doc(hidden)]
    Method(Value, Arc<str>),
    /// Variables that functions inside refer to.
    #[doc(hidden)]
    Variables {
        #[doc(hidden)]
        slots: Vec<Option<Value>>,
        #[doc(hidden)]
        outer: Option<Id>,
    },
}

/// Named values that do not change.
#[derive(Clone, Debug)]
pub struct Record {
    /// What it is: `struct`, or as the host says.
    pub kind: Arc<str>,
    /// Where it was made.
    pub span: Span,
    /// The calls that led there, innermost first.
    pub trace: Vec<Span>,
    /// Each name with its place and value.
    pub fields: Vec<(Arc<str>, Span, Slot)>,
}

impl Record {
    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&Slot> {
        self.fields
            .iter()
            .find(|(field, _, _)| **field == *name)
            .map(|(_, _, slot)| slot)
    }
}

#[derive(Clone, Debug)]
pub struct Function {
    pub(crate) def: Arc<Def>,
    pub(crate) module: usize,
    pub(crate) defaults: Arc<[Option<Value>]>,
    pub(crate) outer: Option<Id>,
}

/// How many arguments without a name a function can be called with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arity {
    /// As many it needs.
    pub least: usize,
    /// As many it takes; none if there is no bound.
    pub most: Option<usize>,
    /// Parameters that must be given by name.
    pub named: Vec<Arc<str>>,
}

impl Arity {
    /// Whether a call with so many, and with nothing by name, gives all parameters their values.
    pub fn takes(&self, count: usize) -> bool {
        self.named.is_empty() && self.least <= count && self.most.is_none_or(|most| count <= most)
    }
}

impl Function {
    /// How it can be called.
    pub fn arity(&self) -> Arity {
        let mut arity = Arity {
            least: 0,
            most: Some(0),
            named: Vec::new(),
        };
        for (at, parameter) in self.def.parameters.iter().enumerate() {
            let needed = self.defaults.get(at).is_none_or(Option::is_none);
            match parameter.kind {
                ParameterKind::Normal(_) => {
                    arity.least += usize::from(needed);
                    arity.most = arity.most.map(|most| most + 1);
                }
                ParameterKind::Named(_) if needed => arity.named.push(Arc::clone(&parameter.name)),
                ParameterKind::Named(_) | ParameterKind::RestNamed => {}
                ParameterKind::Rest => arity.most = None,
            }
        }
        arity
    }
}

/// All objects of an evaluation, and the count of what it has cost.
#[derive(Debug)]
pub struct Heap {
    /// Objects of an evaluation that has ended; they do not change any more.
    shared: Arc<Vec<Object>>,
    objects: Vec<Object>,
    /// Objects of files that were loaded.
    frozen: Vec<Range<u32>>,
    limits: Limits,
    bytes: usize,
    ticks: u64,
}

impl Heap {
    pub(crate) fn new(limits: Limits, shared: Arc<Vec<Object>>) -> Self {
        Self {
            shared,
            objects: Vec::new(),
            frozen: Vec::new(),
            limits,
            bytes: 0,
            ticks: 0,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn into_objects(self) -> Vec<Object> {
        self.objects
    }

    /// What it has done so far: ticks, and bytes that were ever asked for.
    pub fn cost(&self) -> (u64, usize) {
        (self.ticks, self.bytes)
    }

    /// Counts work. The error is the end of the evaluation.
    pub fn tick(&mut self, ticks: u64) -> Result<()> {
        self.ticks = self.ticks.saturating_add(ticks);
        if self.ticks > self.limits.ticks {
            let message = format!("this takes more than {} steps to evaluate", self.limits.ticks);
            return Err(
                Error::new(ErrorKind::Ticks, message).help("is there a loop that goes on for too long?")
            );
        }
        Ok(())
    }

    /// Counts memory, before it is taken. The error is the end of the evaluation.
    pub fn charge(&mut self, bytes: usize) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.limits.heap_bytes {
            let message = format!("this takes more than {} bytes of memory", self.limits.heap_bytes);
            return Err(Error::new(ErrorKind::Heap, message).help("is something repeated too often?"));
        }
        Ok(())
    }

    /// Counts `count` items of a list, before they are made.
    pub(crate) fn charge_slots(&mut self, count: usize) -> Result<()> {
        self.charge(count.saturating_mul(size_of::<Slot>()))?;
        self.tick(count as u64)
    }

    /// Counts a text of so many bytes, before it is made.
    pub(crate) fn charge_text(&mut self, bytes: usize) -> Result<()> {
        self.charge(bytes.saturating_add(32))?;
        self.tick(1 + bytes as u64 / 64)
    }

    /// Makes an object.
    pub fn alloc(&mut self, object: Object) -> Result<Value> {
        self.charge(size_of::<Object>())?;
        let id = self.shared.len() + self.objects.len();
        let Ok(id) = u32::try_from(id) else {
            return Err(Error::new(ErrorKind::Heap, "there are too many objects"));
        };
        self.objects.push(object);
        Ok(Value::Object(Id(id)))
    }

    /// Makes a list of values that stand in no file.
    pub fn list_of(&mut self, values: Vec<Value>) -> Result<Value> {
        self.list_at(values, Span::default())
    }

    /// Makes a list of values that all have the same place.
    pub fn list_at(&mut self, values: Vec<Value>, span: Span) -> Result<Value> {
        self.charge_slots(values.len())?;
        let items = values.into_iter().map(|value| Slot { value, span }).collect();
        self.list(items)
    }

    /// Makes a dict of names that stand in no file.
    pub fn dict_of(&mut self, entries: Vec<(&str, Value)>) -> Result<Value> {
        self.dict_at(entries, Span::default())
    }

    /// Makes a dict of names that all have the same place, with their values.
    pub fn dict_at(&mut self, entries: Vec<(&str, Value)>, span: Span) -> Result<Value> {
        let mut dict = Dict::default();
        for (name, value) in entries {
            let key = self.text(name)?;
            let hashed = Key::of(&key, self)?;
            self.charge(Dict::ENTRY_BYTES)?;
            dict.insert(hashed, Slot { value: key, span }, Slot { value, span });
        }
        self.alloc(Object::Dict(dict))
    }

    /// Makes a `struct` of names that stand in no file.
    pub fn struct_of(&mut self, fields: Vec<(&str, Value)>) -> Result<Value> {
        let span = Span::default();
        self.charge_slots(2 * fields.len())?;
        let fields = fields
            .into_iter()
            .map(|(name, value)| (Arc::from(name), span, Slot { value, span }))
            .collect();
        self.alloc(Object::Record(Arc::new(Record {
            kind: "struct".into(),
            span,
            trace: Vec::new(),
            fields,
        })))
    }

    /// Makes a list; its items must be charged already.
    pub(crate) fn list(&mut self, items: Vec<Slot>) -> Result<Value> {
        self.alloc(Object::List { items, iterating: 0 })
    }

    /// Makes a tuple; its items must be charged already.
    pub(crate) fn tuple(&mut self, items: Vec<Slot>) -> Result<Value> {
        self.alloc(Object::Tuple(items.into()))
    }

    /// Makes a text.
    pub fn text(&mut self, text: &str) -> Result<Value> {
        self.charge_text(text.len())?;
        Ok(Value::Text(text.into()))
    }

    /// What an id stands for.
    pub fn get(&self, id: Id) -> &Object {
        let at = id.0 as usize;
        match at.checked_sub(self.shared.len()) {
            Some(own) => &self.objects[own],
            None => &self.shared[at],
        }
    }

    /// An object that is about to change, unless it is of a file that was loaded.
    pub(crate) fn change(&mut self, id: Id) -> Result<&mut Object> {
        let frozen = self.frozen.iter().any(|range| range.contains(&id.0));
        match (id.0 as usize).checked_sub(self.shared.len()) {
            Some(own) if !frozen => Ok(&mut self.objects[own]),
            _ => Err(Error::failed(
                "this value comes from a file that was loaded, and cannot change any more",
            )
            .help("make a copy: `list(x)` or `dict(x)`")),
        }
    }

    /// Changes how many loops go over an object; also of those that cannot change.
    pub(crate) fn iterating(&mut self, id: Id, begins: bool) {
        let Some(own) = (id.0 as usize).checked_sub(self.shared.len()) else {
            return;
        };
        let count = match self.objects.get_mut(own) {
            Some(Object::List { iterating, .. }) => iterating,
            Some(Object::Dict(dict)) => &mut dict.iterating,
            _ => return,
        };
        *count = if begins {
            count.saturating_add(1)
        } else {
            count.saturating_sub(1)
        };
    }

    /// The variables of a frame that functions inside refer to.
    pub(crate) fn variables(&mut self, id: Id) -> Option<&mut Vec<Option<Value>>> {
        let own = (id.0 as usize).checked_sub(self.shared.len())?;
        match self.objects.get_mut(own) {
            Some(Object::Variables { slots, .. }) => Some(slots),
            _ => None,
        }
    }

    /// Where the next object will be.
    pub(crate) fn mark(&self) -> u32 {
        (self.shared.len() + self.objects.len()) as u32
    }

    /// Nothing that was made since the mark changes any more.
    pub(crate) fn freeze(&mut self, mark: u32) {
        let end = self.mark();
        self.frozen.retain(|range| range.start < mark);
        self.frozen.push(mark..end);
    }

    /// Whether a value counts as true.
    pub fn truth(&self, value: &Value) -> bool {
        match value {
            Value::None => false,
            Value::Bool(bool) => *bool,
            Value::Int(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::Builtin(_) => true,
            Value::Object(id) => match self.get(*id) {
                Object::List { items, .. } => !items.is_empty(),
                Object::Tuple(items) => !items.is_empty(),
                Object::Dict(dict) => dict.len() > 0,
                Object::Range(from, to, step) => range_len(*from, *to, *step) > 0,
                _ => true,
            },
        }
    }

    /// What a value is, for people.
    pub fn type_name(&self, value: &Value) -> String {
        match value {
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Text(_) => "string",
            Value::Builtin(_) => "function",
            Value::Object(id) => match self.get(*id) {
                Object::List { .. } => "list",
                Object::Tuple(_) => "tuple",
                Object::Dict(_) => "dict",
                Object::Record(record) => return record.kind.to_string(),
                Object::Range(..) => "range",
                Object::Function(_) | Object::Method(..) | Object::Variables { .. } => "function",
            },
        }
        .to_owned()
    }
}
