//! Operators and comparison.

use std::{cmp::Ordering, sync::Arc};

use crate::{
    Span,
    ast::Operator,
    dict::{Key, float_as_int},
    error::{Error, Result},
    eval::range_len,
    heap::{Object, Slot, Value},
    machine::Machine,
};

impl Machine<'_> {
    pub(crate) fn truth(&self, value: &Value) -> bool {
        self.heap.truth(value)
    }

    pub(crate) fn negative(&self, value: &Value) -> Result<Value> {
        match value {
            Value::Int(number) => number.checked_neg().map(Value::Int).ok_or_else(too_large),
            Value::Float(number) => Ok(Value::Float(-number)),
            _ => Err(self.no_sign("-", value)),
        }
    }

    pub(crate) fn no_sign(&self, sign: &str, value: &Value) -> Box<Error> {
        Error::failed(format!(
            "`{sign}` does not go with a {}",
            self.heap.type_name(value)
        ))
    }

    /// `old op= given`: a list or dict changes, everything else is replaced.
    pub(crate) fn augmented(
        &mut self,
        operator: Operator,
        old: &Value,
        given: &Value,
        span: Span,
    ) -> Result<Value> {
        if let Value::Object(id) = old {
            match (operator, self.heap.get(*id)) {
                (Operator::Add, Object::List { .. }) => {
                    self.extend(*id, given, span)?;
                    return Ok(old.clone());
                }
                (Operator::BitOr, Object::Dict(_)) => {
                    self.update(*id, given, span)?;
                    return Ok(old.clone());
                }
                _ => {}
            }
        }
        self.operate(operator, old, given)
    }

    pub(crate) fn operate(&mut self, operator: Operator, left: &Value, right: &Value) -> Result<Value> {
        match (left, right) {
            (Value::Int(a), Value::Int(b)) => integers(operator, *a, *b),
            (Value::Int(a), Value::Float(b)) => floats(operator, *a as f64, *b),
            (Value::Float(a), Value::Int(b)) => floats(operator, *a, *b as f64),
            (Value::Float(a), Value::Float(b)) => floats(operator, *a, *b),
            (Value::Text(text), _) if operator == Operator::Remainder => {
                let text = Arc::clone(text);
                self.percent(&text, right)
            }
            (Value::Text(a), Value::Text(b)) if operator == Operator::Add => {
                self.heap.charge_text(a.len() + b.len())?;
                Ok(Value::Text(format!("{a}{b}").into()))
            }
            (Value::Text(text), Value::Int(count)) | (Value::Int(count), Value::Text(text))
                if operator == Operator::Multiply =>
            {
                let count = usize::try_from(*count).unwrap_or(0);
                self.heap.charge_text(text.len().saturating_mul(count))?;
                Ok(Value::Text(text.repeat(count).into()))
            }
            (Value::Object(_), Value::Int(count)) | (Value::Int(count), Value::Object(_))
                if operator == Operator::Multiply =>
            {
                let sequence = if matches!(left, Value::Object(_)) {
                    left
                } else {
                    right
                };
                self.repeat(sequence, usize::try_from(*count).unwrap_or(0))
            }
            (Value::Object(_), Value::Object(_)) if operator == Operator::Add => self.joined(left, right),
            (Value::Object(id), Value::Object(_)) if operator == Operator::BitOr => {
                let Object::Dict(dict) = self.heap.get(*id) else {
                    return Err(self.no_operator(operator, left, right));
                };
                let entries = dict.entries().to_vec();
                let copy = self.copy_dict(&entries)?;
                if let Value::Object(id) = copy {
                    self.update(id, right, Span::default())
                        .map_err(|_| self.no_operator(operator, left, right))?;
                }
                Ok(copy)
            }
            _ => Err(self.no_operator(operator, left, right)),
        }
    }

    fn no_operator(&self, operator: Operator, left: &Value, right: &Value) -> Box<Error> {
        let error = Error::failed(format!(
            "`{}` does not go with a {} and a {}",
            operator.sign(),
            self.heap.type_name(left),
            self.heap.type_name(right)
        ));
        if operator == Operator::Add && (matches!(left, Value::Text(_)) || matches!(right, Value::Text(_))) {
            return error.help("make a text of it: `str(x)`");
        }
        error
    }

    fn joined(&mut self, left: &Value, right: &Value) -> Result<Value> {
        let (Value::Object(a), Value::Object(b)) = (left, right) else {
            return Err(self.no_operator(Operator::Add, left, right));
        };
        match (self.heap.get(*a), self.heap.get(*b)) {
            (Object::List { items: a, .. }, Object::List { items: b, .. }) => {
                let count = a.len() + b.len();
                let joined = a.iter().chain(b).cloned().collect();
                self.heap.charge_slots(count)?;
                self.heap.list(joined)
            }
            (Object::Tuple(a), Object::Tuple(b)) => {
                let count = a.len() + b.len();
                let joined = a.iter().chain(b.iter()).cloned().collect();
                self.heap.charge_slots(count)?;
                self.heap.tuple(joined)
            }
            _ => Err(self.no_operator(Operator::Add, left, right)),
        }
    }

    fn repeat(&mut self, sequence: &Value, count: usize) -> Result<Value> {
        let Value::Object(id) = sequence else {
            return Err(self.no_sign("*", sequence));
        };
        let (items, is_list) = match self.heap.get(*id) {
            Object::List { items, .. } => (items.clone(), true),
            Object::Tuple(items) => (items.to_vec(), false),
            _ => return Err(self.no_sign("*", sequence)),
        };
        self.heap.charge_slots(items.len().saturating_mul(count))?;
        let repeated = std::iter::repeat_n(&items, if items.is_empty() { 0 } else { count })
            .flatten()
            .cloned()
            .collect();
        if is_list {
            self.heap.list(repeated)
        } else {
            self.heap.tuple(repeated)
        }
    }

    pub(crate) fn equal(&mut self, left: &Value, right: &Value) -> Result<bool> {
        self.heap.tick(1)?;
        Ok(match (left, right) {
            (Value::None, Value::None) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            #[expect(clippy::float_cmp, reason = "the language compares them exactly")]
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Int(a), Value::Float(b)) | (Value::Float(b), Value::Int(a)) => {
                float_as_int(*b) == Some(*a)
            }
            (Value::Text(a), Value::Text(b)) => {
                self.heap.tick(a.len() as u64 / 64)?;
                a == b
            }
            (Value::Builtin(a), Value::Builtin(b)) => a == b,
            (Value::Object(a), Value::Object(b)) => {
                a == b || self.deeper(|machine| machine.equal_objects(*a, *b))?
            }
            _ => false,
        })
    }

    fn equal_objects(&mut self, a: crate::Id, b: crate::Id) -> Result<bool> {
        match (self.heap.get(a), self.heap.get(b)) {
            (Object::List { items: a, .. }, Object::List { items: b, .. }) => {
                let (a, b) = (a.clone(), b.clone());
                self.equal_items(&a, &b)
            }
            (Object::Tuple(a), Object::Tuple(b)) => {
                let (a, b) = (Arc::clone(a), Arc::clone(b));
                self.equal_items(&a, &b)
            }
            (Object::Range(a0, a1, a2), Object::Range(b0, b1, b2)) => {
                let (a, b) = (range_len(*a0, *a1, *a2), range_len(*b0, *b1, *b2));
                Ok(a == b && (a == 0 || a0 == b0) && (a < 2 || a2 == b2))
            }
            (Object::Dict(a), Object::Dict(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                let (a, b) = (a.entries().to_vec(), b.clone());
                self.heap.tick(2 * a.len() as u64)?;
                for entry in a {
                    let key = Key::of(&entry.key.value, &mut self.heap)?;
                    let Some(other) = b.get(&key) else {
                        return Ok(false);
                    };
                    if !self.equal(&entry.value.value, &other.value.value)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Object::Record(a), Object::Record(b)) => {
                let (a, b) = (Arc::clone(a), Arc::clone(b));
                if a.kind != b.kind || a.fields.len() != b.fields.len() {
                    return Ok(false);
                }
                for (name, _, slot) in &a.fields {
                    let Some(other) = b.get(name) else {
                        return Ok(false);
                    };
                    if !self.equal(&slot.value, &other.value)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn equal_items(&mut self, a: &[Slot], b: &[Slot]) -> Result<bool> {
        self.heap.tick(a.len() as u64)?;
        if a.len() != b.len() {
            return Ok(false);
        }
        for (a, b) in a.iter().zip(b) {
            if !self.equal(&a.value, &b.value)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) fn compare(&mut self, left: &Value, right: &Value) -> Result<Ordering> {
        self.heap.tick(1)?;
        let numbers = |a: f64, b: f64| a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
        match (left, right) {
            (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
            (Value::Int(a), Value::Int(b)) => Ok(a.cmp(b)),
            (Value::Float(a), Value::Float(b)) => Ok(numbers(*a, *b)),
            (Value::Int(a), Value::Float(b)) => Ok(numbers(*a as f64, *b)),
            (Value::Float(a), Value::Int(b)) => Ok(numbers(*a, *b as f64)),
            (Value::Text(a), Value::Text(b)) => {
                self.heap.tick(a.len().min(b.len()) as u64 / 64)?;
                Ok(a.cmp(b))
            }
            (Value::Object(a), Value::Object(b)) => {
                let (a, b) = match (self.heap.get(*a), self.heap.get(*b)) {
                    (Object::List { items: a, .. }, Object::List { items: b, .. }) => (a.clone(), b.clone()),
                    (Object::Tuple(a), Object::Tuple(b)) => (a.to_vec(), b.to_vec()),
                    _ => return Err(self.no_order(left, right)),
                };
                self.heap.tick(a.len() as u64 + b.len() as u64)?;
                for (a, b) in a.iter().zip(&b) {
                    let order = self.deeper(|machine| machine.compare(&a.value, &b.value))?;
                    if order.is_ne() {
                        return Ok(order);
                    }
                }
                Ok(a.len().cmp(&b.len()))
            }
            _ => Err(self.no_order(left, right)),
        }
    }

    fn no_order(&self, left: &Value, right: &Value) -> Box<Error> {
        Error::failed(format!(
            "a {} and a {} have no order",
            self.heap.type_name(left),
            self.heap.type_name(right)
        ))
    }

    pub(crate) fn contains(&mut self, container: &Value, item: &Value) -> Result<bool> {
        match container {
            Value::Text(text) => {
                let Value::Text(part) = item else {
                    return Err(Error::failed(format!(
                        "a text holds texts, not a {}",
                        self.heap.type_name(item)
                    )));
                };
                self.heap.tick(text.len() as u64 / 8)?;
                Ok(text.contains(&**part))
            }
            Value::Object(id) => match self.heap.get(*id) {
                Object::List { items, .. } => {
                    let items = items.clone();
                    self.any_equal(&items, item)
                }
                Object::Tuple(items) => {
                    let items = Arc::clone(items);
                    self.any_equal(&items, item)
                }
                Object::Dict(dict) => {
                    let _ = dict;
                    let key = Key::of(item, &mut self.heap)?;
                    Ok(matches!(self.heap.get(*id), Object::Dict(dict) if dict.get(&key).is_some()))
                }
                Object::Range(from, to, step) => {
                    let (from, to, step) = (*from, *to, *step);
                    let Value::Int(number) = item else {
                        return Ok(false);
                    };
                    let within = if step > 0 {
                        (from..to).contains(number)
                    } else {
                        *number <= from && *number > to
                    };
                    Ok(within && (i128::from(*number) - i128::from(from)) % i128::from(step) == 0)
                }
                _ => Err(self.holds_nothing(container)),
            },
            _ => Err(self.holds_nothing(container)),
        }
    }

    fn holds_nothing(&self, value: &Value) -> Box<Error> {
        Error::failed(format!("nothing is `in` a {}", self.heap.type_name(value)))
    }

    fn any_equal(&mut self, items: &[Slot], item: &Value) -> Result<bool> {
        self.heap.tick(items.len() as u64)?;
        for slot in items {
            if self.equal(&slot.value, item)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

pub(crate) fn changed_in_loop() -> Box<Error> {
    Error::failed("this value cannot change while a loop goes over it").help("go over a copy: `list(x)`")
}

fn too_large() -> Box<Error> {
    Error::failed("the result is too large: whole numbers have 64 bits")
}

fn integers(operator: Operator, a: i64, b: i64) -> Result<Value> {
    let zero = || Error::failed("division by zero");
    let result = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide => {
            return if b == 0 {
                Err(zero())
            } else {
                Ok(Value::Float(a as f64 / b as f64))
            };
        }
        Operator::FloorDivide | Operator::Remainder if b == 0 => return Err(zero()),
        // Rounded down, so that the remainder has the sign of the divisor.
        Operator::FloorDivide => a.checked_div(b).map(|quotient| {
            let inexact = a.wrapping_rem(b) != 0 && (a < 0) != (b < 0);
            quotient - i64::from(inexact)
        }),
        Operator::Remainder => {
            let remainder = a.wrapping_rem(b);
            let other_sign = remainder != 0 && (remainder < 0) != (b < 0);
            Some(if other_sign { remainder + b } else { remainder })
        }
        Operator::BitOr => Some(a | b),
        Operator::BitXor => Some(a ^ b),
        Operator::BitAnd => Some(a & b),
        Operator::ShiftLeft | Operator::ShiftRight if b < 0 => {
            return Err(Error::failed("a shift by a negative number"));
        }
        Operator::ShiftLeft if a == 0 => Some(0),
        Operator::ShiftLeft => u32::try_from(b)
            .ok()
            .and_then(|bits| a.checked_shl(bits).filter(|shifted| shifted >> bits == a)),
        Operator::ShiftRight => Some(a >> b.min(63)),
    };
    result.map(Value::Int).ok_or_else(too_large)
}

fn floats(operator: Operator, a: f64, b: f64) -> Result<Value> {
    let divides = matches!(
        operator,
        Operator::Divide | Operator::FloorDivide | Operator::Remainder
    );
    if divides && b == 0.0 {
        return Err(Error::failed("division by zero"));
    }
    let result = match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::FloorDivide => (a / b).floor(),
        Operator::Remainder => {
            let remainder = a % b;
            if remainder != 0.0 && (remainder < 0.0) != (b < 0.0) {
                remainder + b
            } else {
                remainder
            }
        }
        other => {
            return Err(Error::failed(format!(
                "`{}` does not go with numbers that have a fraction",
                other.sign()
            )));
        }
    };
    Ok(Value::Float(result))
}
