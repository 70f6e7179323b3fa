//! The functions of the language.

use std::{cmp::Ordering, sync::Arc};

use crate::{
    Record, Span,
    call::Arguments,
    dict::{Dict, float_as_int},
    error::{Error, ErrorKind, Result, similar},
    heap::{Object, Slot, Value},
    machine::Machine,
    methods,
};

/// Their names.
pub(crate) const NAMES: &[&str] = &[
    "abs",
    "all",
    "any",
    "bool",
    "dict",
    "dir",
    "enumerate",
    "fail",
    "float",
    "getattr",
    "hasattr",
    "int",
    "len",
    "list",
    "max",
    "min",
    "print",
    "range",
    "repr",
    "reversed",
    "sorted",
    "str",
    "struct",
    "tuple",
    "type",
    "zip",
];

/// What a function was given, against what it takes.
pub(crate) struct Given {
    function: String,
    arguments: Arguments,
    pub(crate) span: Span,
}

impl Given {
    pub(crate) fn new(function: &str, arguments: Arguments, span: Span) -> Self {
        Self {
            function: function.to_owned(),
            arguments,
            span,
        }
    }

    /// At least `min` and at most `names.len()` values, by position or by these names.
    pub(crate) fn values<const N: usize>(self, min: usize, names: [&str; N]) -> Result<[Option<Slot>; N]> {
        let mut values = [const { None }; N];
        let function = &self.function;
        for (at, slot) in self.arguments.positional.into_iter().enumerate() {
            let Some(place) = values.get_mut(at) else {
                let takes = if N == 1 {
                    "1 argument".to_owned()
                } else {
                    format!("{N} arguments")
                };
                let message = format!("`{function}` takes {takes}; this is one more");
                return Err(Error::failed(message).at(slot.span));
            };
            *place = Some(slot);
        }
        for argument in self.arguments.named {
            let Some(at) = names.iter().position(|name| *name == &*argument.name) else {
                let message = format!("`{function}` has no parameter `{}`", argument.name);
                let mut error = Error::failed(message).at(argument.name_span);
                error.help = similar(&argument.name, names.into_iter());
                return Err(error);
            };
            if values[at].is_some() {
                let message = format!("`{}` is given twice", argument.name);
                return Err(Error::failed(message).at(argument.name_span));
            }
            values[at] = Some(argument.slot);
        }
        for (value, name) in values.iter().zip(names).take(min) {
            if value.is_none() {
                return Err(Error::failed(format!("`{function}` needs `{name}`")).at(self.span));
            }
        }
        Ok(values)
    }

    /// One value that must be there.
    pub(crate) fn one(self, name: &str) -> Result<Slot> {
        let span = self.span;
        let [value] = self.values(1, [name])?;
        Ok(value.unwrap_or(Slot {
            value: Value::None,
            span,
        }))
    }
}

impl Machine<'_> {
    pub(crate) fn builtin(&mut self, name: &str, arguments: Arguments, span: Span) -> Result<Value> {
        match name {
            "struct" => return self.make_struct(arguments, span),
            "dict" => return self.make_dict(arguments, span),
            "print" | "fail" => return self.tell(name, &arguments, span),
            "max" | "min" => return self.extreme(name, arguments, span),
            "range" => return self.range(arguments, span),
            "zip" => return self.zip(&arguments),
            "sorted" => return self.sorted(arguments, span),
            _ => {}
        }
        let given = Given::new(name, arguments, span);
        match name {
            "getattr" | "hasattr" => {
                let [value, attribute, default] = given.values(2, ["x", "name", "default"])?;
                let (Some(value), Some(attribute)) = (value, attribute) else {
                    return Ok(Value::None);
                };
                let Value::Text(attribute) = attribute.value else {
                    return Err(Error::failed("the name of an attribute is a text").at(attribute.span));
                };
                let found = self.attribute(&value.value, &attribute);
                match (name, found, default) {
                    ("hasattr", found, _) => Ok(Value::Bool(found.is_ok())),
                    (_, Err(_), Some(default)) => Ok(default.value),
                    (_, found, _) => found,
                }
            }
            "enumerate" => {
                let [values, start] = given.values(1, ["iterable", "start"])?;
                let first = match start {
                    None => 0,
                    Some(start) => self.whole(&start)?,
                };
                let mut pairs = Vec::new();
                for (at, slot) in self.optional_items(values)?.into_iter().enumerate() {
                    self.heap.charge_slots(3)?;
                    let number = Slot {
                        value: Value::Int(first.saturating_add(at as i64)),
                        span: slot.span,
                    };
                    let span = slot.span;
                    let value = self.heap.tuple(vec![number, slot])?;
                    pairs.push(Slot { value, span });
                }
                self.heap.list(pairs)
            }
            "list" | "tuple" => {
                let [values] = given.values(0, ["iterable"])?;
                let items = self.optional_items(values)?;
                if name == "list" {
                    self.heap.list(items)
                } else {
                    self.heap.tuple(items)
                }
            }
            "int" => {
                let [value, base] = given.values(1, ["x", "base"])?;
                let base = base.map(|base| self.whole(&base)).transpose()?;
                value.map_or(Ok(Value::Int(0)), |value| self.int(&value, base))
            }
            "bool" | "str" | "repr" | "type" | "len" | "abs" | "float" | "dir" | "any" | "all"
            | "reversed" => {
                let slot = given.one("x")?;
                self.of_one(name, &slot)
            }
            _ => Err(Error::failed(format!("there is no function `{name}`"))),
        }
    }

    fn of_one(&mut self, name: &str, slot: &Slot) -> Result<Value> {
        let value = &slot.value;
        match name {
            "bool" => Ok(Value::Bool(self.truth(value))),
            "str" => self.str(value).map(Value::Text),
            "repr" => Ok(Value::Text(self.repr(value)?.into())),
            "type" => {
                let name = self.heap.type_name(value);
                self.heap.text(&name)
            }
            "len" => Ok(Value::Int(i64::try_from(self.len(value)?).unwrap_or(i64::MAX))),
            "abs" => match value {
                Value::Int(number) if *number >= 0 => Ok(value.clone()),
                Value::Float(number) => Ok(Value::Float(number.abs())),
                _ => self.negative(value),
            },
            "float" => self.float(slot),
            "dir" => {
                let mut names = self.attributes(value);
                names.sort_unstable();
                let mut items = Vec::new();
                for name in names {
                    self.heap.charge_slots(1)?;
                    let value = self.heap.text(&name)?;
                    items.push(Slot {
                        value,
                        span: slot.span,
                    });
                }
                self.heap.list(items)
            }
            "reversed" => {
                let mut items = self.items(value, slot.span)?;
                items.reverse();
                self.heap.list(items)
            }
            // any, all
            _ => {
                let wanted = name == "any";
                let items = self.items(value, slot.span)?;
                let found = items.iter().any(|item| self.truth(&item.value) == wanted);
                Ok(Value::Bool(found == wanted))
            }
        }
    }

    fn optional_items(&mut self, values: Option<Slot>) -> Result<Vec<Slot>> {
        values.map_or(Ok(Vec::new()), |slot| self.items(&slot.value, slot.span))
    }

    pub(crate) fn whole(&self, slot: &Slot) -> Result<i64> {
        if let Value::Int(number) = slot.value {
            return Ok(number);
        }
        let found = self.heap.type_name(&slot.value);
        Err(Error::failed(format!("this must be a whole number, not a {found}")).at(slot.span))
    }

    fn int(&self, slot: &Slot, base: Option<i64>) -> Result<Value> {
        let wrong = |what: &str| Err(Error::failed(format!("{what} is no whole number")).at(slot.span));
        match &slot.value {
            Value::Text(text) => {
                let trimmed = text.trim();
                let (negative, digits) = match trimmed.strip_prefix('-') {
                    Some(digits) => (true, digits),
                    None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
                };
                let lower = digits.to_lowercase();
                let (base, digits) = match base.unwrap_or(10) {
                    16 => (16, lower.strip_prefix("0x").unwrap_or(&lower)),
                    8 => (8, lower.strip_prefix("0o").unwrap_or(&lower)),
                    2 => (2, lower.strip_prefix("0b").unwrap_or(&lower)),
                    0 => match lower.get(..2) {
                        Some("0x") => (16, &lower[2..]),
                        Some("0o") => (8, &lower[2..]),
                        Some("0b") => (2, &lower[2..]),
                        _ => (10, &*lower),
                    },
                    base @ 3..=36 => (base as u32, &*lower),
                    _ => return Err(Error::failed("a base is from 2 to 36")),
                };
                if digits.starts_with(['+', '-']) {
                    return wrong(&format!("`{}`", text.escape_debug()));
                }
                match i128::from_str_radix(digits, base) {
                    Ok(number) => match i64::try_from(if negative { -number } else { number }) {
                        Ok(number) => Ok(Value::Int(number)),
                        Err(_) => Err(Error::failed(
                            "the number is too large: whole numbers have 64 bits",
                        )),
                    },
                    Err(_) => wrong(&format!("`{}`", text.escape_debug())),
                }
            }
            _ if base.is_some() => Err(Error::failed("only a text has a base").at(slot.span)),
            Value::Int(number) => Ok(Value::Int(*number)),
            Value::Bool(bool) => Ok(Value::Int(i64::from(*bool))),
            Value::Float(number) => match float_as_int(number.trunc()) {
                Some(number) => Ok(Value::Int(number)),
                None => wrong("such a number"),
            },
            other => wrong(&format!("a {}", self.heap.type_name(other))),
        }
    }

    fn float(&self, slot: &Slot) -> Result<Value> {
        let number = match &slot.value {
            Value::Int(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            Value::Bool(bool) => Some(f64::from(u8::from(*bool))),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.map(Value::Float).ok_or_else(|| {
            let found = self.heap.type_name(&slot.value);
            Error::failed(format!("this {found} is no number")).at(slot.span)
        })
    }

    fn make_struct(&mut self, arguments: Arguments, span: Span) -> Result<Value> {
        if let Some(slot) = arguments.positional.first() {
            return Err(
                Error::failed("what is in a struct has a name: `struct(name = value)`").at(slot.span),
            );
        }
        self.heap.charge_slots(2 * arguments.named.len())?;
        let fields = arguments
            .named
            .into_iter()
            .map(|argument| (argument.name, argument.name_span, argument.slot))
            .collect();
        let record = Record {
            kind: "struct".into(),
            span,
            trace: Vec::new(),
            fields,
        };
        self.heap.alloc(Object::Record(Arc::new(record)))
    }

    fn make_dict(&mut self, arguments: Arguments, span: Span) -> Result<Value> {
        let dict = self.heap.alloc(Object::Dict(Dict::default()))?;
        let Value::Object(id) = dict else { return Ok(dict) };
        self.update_with(id, arguments, span)?;
        Ok(dict)
    }

    /// Entries as `dict` and `update` take them: a dict or pairs, then names.
    pub(crate) fn update_with(&mut self, id: crate::Id, arguments: Arguments, span: Span) -> Result<()> {
        let mut positional = arguments.positional.into_iter();
        if let Some(slot) = positional.next() {
            self.update(id, &slot.value, slot.span)?;
        }
        if let Some(extra) = positional.next() {
            return Err(
                Error::failed("this takes 1 argument without a name; this is one more").at(extra.span),
            );
        }
        for argument in arguments.named {
            let key = Slot {
                value: Value::Text(argument.name),
                span: argument.name_span,
            };
            self.set_index(&Value::Object(id), key, argument.slot)
                .map_err(|error| error.at(span))?;
        }
        Ok(())
    }

    fn tell(&mut self, name: &str, arguments: &Arguments, span: Span) -> Result<Value> {
        let mut separator: Arc<str> = " ".into();
        for argument in &arguments.named {
            match &argument.slot.value {
                Value::Text(text) if &*argument.name == "sep" => separator = Arc::clone(text),
                _ => {
                    let message = format!("`{name}` has no parameter `{}`", argument.name);
                    return Err(Error::failed(message).at(argument.name_span));
                }
            }
        }
        let mut text = String::new();
        for (at, slot) in arguments.positional.iter().enumerate() {
            let part = self.str(&slot.value)?;
            self.heap.charge_text(part.len() + separator.len())?;
            if at > 0 {
                text.push_str(&separator);
            }
            text.push_str(&part);
        }
        if name == "fail" {
            return Err(Error::new(ErrorKind::Fail, text).at(span));
        }
        self.host.print(&text, span);
        Ok(Value::None)
    }

    /// Takes the argument `name` out, if it is there.
    fn named(arguments: &mut Arguments, name: &str) -> Option<Slot> {
        let at = arguments
            .named
            .iter()
            .position(|argument| &*argument.name == name)?;
        Some(arguments.named.remove(at).slot)
    }

    fn extreme(&mut self, name: &str, mut arguments: Arguments, span: Span) -> Result<Value> {
        let key = Self::named(&mut arguments, "key");
        let items = match arguments.positional.as_slice() {
            [one] if arguments.named.is_empty() => {
                let one = one.clone();
                self.items(&one.value, one.span)?
            }
            _ => {
                if let Some(argument) = arguments.named.first() {
                    let message = format!("`{name}` has no parameter `{}`", argument.name);
                    return Err(Error::failed(message).at(argument.name_span));
                }
                arguments.positional
            }
        };
        let wanted = if name == "max" {
            Ordering::Greater
        } else {
            Ordering::Less
        };
        let mut best: Option<(Value, Value)> = None;
        for item in items {
            let weight = self.keyed(key.as_ref(), &item, span)?;
            let better = match &best {
                None => true,
                Some((_, other)) => {
                    let other = other.clone();
                    self.compare(&weight, &other)? == wanted
                }
            };
            if better {
                best = Some((item.value, weight));
            }
        }
        best.map(|(value, _)| value)
            .ok_or_else(|| Error::failed(format!("there is nothing to take the `{name}` of")))
    }

    fn keyed(&mut self, key: Option<&Slot>, item: &Slot, span: Span) -> Result<Value> {
        match key {
            Some(Slot { value, .. }) if !matches!(value, Value::None) => {
                let arguments = Arguments {
                    positional: vec![item.clone()],
                    named: Vec::new(),
                };
                let value = value.clone();
                self.call(&value, arguments, span)
            }
            _ => Ok(item.value.clone()),
        }
    }

    fn range(&mut self, arguments: Arguments, span: Span) -> Result<Value> {
        let one = arguments.positional.len() == 1;
        let given = Given::new("range", arguments, span);
        let [first, second, step] = given.values(1, ["start", "stop", "step"])?;
        let number = |slot: Option<Slot>, default: i64| slot.map_or(Ok(default), |slot| self.whole(&slot));
        let first = number(first, 0)?;
        let second = number(second, 0)?;
        let step = number(step, 1)?;
        if step == 0 {
            return Err(Error::failed("the step of a range cannot be zero"));
        }
        let (from, to) = if one { (0, first) } else { (first, second) };
        self.heap.alloc(Object::Range(from, to, step))
    }

    fn zip(&mut self, arguments: &Arguments) -> Result<Value> {
        if let Some(argument) = arguments.named.first() {
            return Err(Error::failed("`zip` has no named parameters").at(argument.name_span));
        }
        let mut columns = Vec::new();
        for slot in &arguments.positional {
            columns.push(self.items(&slot.value, slot.span)?);
        }
        let count = columns.iter().map(Vec::len).min().unwrap_or(0);
        let mut rows = Vec::new();
        for at in 0..count {
            self.heap.charge_slots(1 + columns.len())?;
            let row: Vec<Slot> = columns.iter().map(|column| column[at].clone()).collect();
            let span = row.first().map(|slot| slot.span).unwrap_or_default();
            let value = self.heap.tuple(row)?;
            rows.push(Slot { value, span });
        }
        self.heap.list(rows)
    }

    fn sorted(&mut self, mut arguments: Arguments, span: Span) -> Result<Value> {
        let key = Self::named(&mut arguments, "key");
        let reverse = Self::named(&mut arguments, "reverse");
        let reverse = reverse.is_some_and(|slot| self.truth(&slot.value));
        let slot = Given::new("sorted", arguments, span).one("iterable")?;
        let mut items = Vec::new();
        for item in self.items(&slot.value, slot.span)? {
            let weight = self.keyed(key.as_ref(), &item, span)?;
            self.heap.charge_slots(2)?;
            items.push((weight, item));
        }
        let sorted = self.merge_sort(items, reverse)?;
        let items = sorted.into_iter().map(|(_, item)| item).collect();
        self.heap.list(items)
    }

    /// Stable, and content with an order that is none: the library's sort may panic then.
    fn merge_sort(&mut self, items: Vec<(Value, Slot)>, reverse: bool) -> Result<Vec<(Value, Slot)>> {
        let mut runs: Vec<Vec<(Value, Slot)>> = items.into_iter().map(|item| vec![item]).collect();
        while runs.len() > 1 {
            let mut merged = Vec::with_capacity(runs.len().div_ceil(2));
            let mut pairs = runs.into_iter();
            while let Some(left) = pairs.next() {
                let Some(right) = pairs.next() else {
                    merged.push(left);
                    break;
                };
                self.heap.charge_slots(left.len() + right.len())?;
                let mut out = Vec::with_capacity(left.len() + right.len());
                let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
                while let (Some((a, _)), Some((b, _))) = (left.peek(), right.peek()) {
                    let order = self.compare(a, b)?;
                    let order = if reverse { order.reverse() } else { order };
                    out.extend(if order.is_gt() { right.next() } else { left.next() });
                }
                out.extend(left);
                out.extend(right);
                merged.push(out);
            }
            runs = merged;
        }
        Ok(runs.pop().unwrap_or_default())
    }

    // Attributes.

    pub(crate) fn attribute(&mut self, value: &Value, name: &Arc<str>) -> Result<Value> {
        if let Value::Object(id) = value
            && let Object::Record(record) = self.heap.get(*id)
            && let Some(slot) = record.get(name)
        {
            return Ok(slot.value.clone());
        }
        if methods::of(self.heap.type_name(value).as_str()).contains(&&**name) {
            return self.heap.alloc(Object::Method(value.clone(), Arc::clone(name)));
        }
        let mut error = Error::failed(format!("a {} has no `{name}`", self.heap.type_name(value)));
        let names = self.attributes(value);
        error.help = similar(name, names.iter().map(String::as_str));
        Err(error)
    }

    fn attributes(&self, value: &Value) -> Vec<String> {
        if let Value::Object(id) = value
            && let Object::Record(record) = self.heap.get(*id)
        {
            return record
                .fields
                .iter()
                .map(|(name, _, _)| name.to_string())
                .collect();
        }
        methods::of(self.heap.type_name(value).as_str())
            .iter()
            .map(|name| (*name).to_owned())
            .collect()
    }
}
