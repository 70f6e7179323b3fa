//! Runs statements and evaluates expressions.

use std::sync::Arc;

use crate::{
    Span,
    ast::{
        Binding, Clause, Comparison, Def, Expr, ExprKind, Name, ParameterKind, Postfix, PostfixKind,
        Statement, StatementKind, Target,
    },
    dict::{Dict, Key},
    error::{Error, Result},
    heap::{Function, Object, Slot, Value},
    machine::{Locals, Machine, Variables},
};

/// Where to go on.
pub(crate) enum Flow {
    Next,
    Break,
    Continue,
    Return(Value),
}

impl Machine<'_> {
    pub(crate) fn block(&mut self, variables: &mut Variables, body: &[Statement]) -> Result<Flow> {
        for statement in body {
            match self.statement(variables, statement)? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    pub(crate) fn statement(&mut self, variables: &mut Variables, statement: &Statement) -> Result<Flow> {
        self.heap.tick(1).map_err(|error| error.at(statement.span))?;
        match &statement.kind {
            StatementKind::Expression(value) => {
                self.eval(variables, value)?;
            }
            StatementKind::Assign(target, value) => {
                let span = value.span;
                let value = self.eval(variables, value)?;
                self.assign(variables, target, Slot { value, span })?;
            }
            StatementKind::Augment(..) => self.augment(variables, statement)?,
            StatementKind::If(branches, otherwise) => {
                for (condition, block) in branches {
                    let value = self.eval(variables, condition)?;
                    if self.truth(&value) {
                        return self.deeper(|machine| machine.block(variables, block));
                    }
                }
                return self.deeper(|machine| machine.block(variables, otherwise));
            }
            StatementKind::For(target, over, body) => {
                return self.deeper(|machine| machine.for_loop(variables, target, over, body));
            }
            StatementKind::Def(name, def) => {
                let value = self.make_function(variables, def)?;
                self.assign_name(variables, name, value)?;
            }
            StatementKind::Return(value) => {
                let value = match value {
                    Some(value) => self.eval(variables, value)?,
                    None => Value::None,
                };
                return Ok(Flow::Return(value));
            }
            StatementKind::Load { .. } => self.load(variables, &statement.kind)?,
            StatementKind::Break => return Ok(Flow::Break),
            StatementKind::Continue => return Ok(Flow::Continue),
            StatementKind::Pass => {}
        }
        Ok(Flow::Next)
    }

    fn for_loop(
        &mut self,
        variables: &mut Variables,
        target: &Target,
        over: &Expr,
        body: &[Statement],
    ) -> Result<Flow> {
        let span = over.span;
        let over = self.eval(variables, over)?;
        let mut result = Flow::Next;
        self.each(&over, span, |machine, item| {
            machine.assign(variables, target, item)?;
            Ok(match machine.block(variables, body)? {
                Flow::Next | Flow::Continue => true,
                Flow::Break => false,
                other @ Flow::Return(_) => {
                    result = other;
                    false
                }
            })
        })?;
        Ok(result)
    }

    /// Goes over a value, until `visit` says that it is enough. A list or dict cannot change meanwhile.
    pub(crate) fn each(
        &mut self,
        over: &Value,
        span: Span,
        mut visit: impl FnMut(&mut Self, Slot) -> Result<bool>,
    ) -> Result<()> {
        let Value::Object(id) = over else {
            return Err(self.not_iterable(over).at(span));
        };
        self.heap.iterating(*id, true);
        let mut at = 0;
        loop {
            let item = match self.heap.get(*id) {
                Object::List { items, .. } => items.get(at).cloned(),
                Object::Tuple(items) => items.get(at).cloned(),
                Object::Dict(dict) => dict.entries().get(at).map(|entry| entry.key.clone()),
                Object::Range(from, to, step) => range_item(*from, *to, *step, at).map(|number| Slot {
                    value: Value::Int(number),
                    span,
                }),
                _ => return Err(self.not_iterable(over).at(span)),
            };
            let Some(item) = item else { break };
            self.heap.tick(1).map_err(|error| error.at(span))?;
            at += 1;
            if !visit(self, item)? {
                break;
            }
        }
        self.heap.iterating(*id, false);
        Ok(())
    }

    fn not_iterable(&self, value: &Value) -> Box<Error> {
        let error = Error::failed(format!(
            "a {} has no items to go over",
            self.heap.type_name(value)
        ));
        match value {
            Value::Text(_) => {
                error.help("write `.elems()` for its characters, `.splitlines()` for its lines")
            }
            Value::Int(number) => error.help(format!("write `range({number})`")),
            _ => error,
        }
    }

    /// All items of a value, counted.
    pub(crate) fn items(&mut self, over: &Value, span: Span) -> Result<Vec<Slot>> {
        let mut items = Vec::new();
        self.each(over, span, |machine, item| {
            machine.heap.charge_slots(1)?;
            items.push(item);
            Ok(true)
        })?;
        Ok(items)
    }

    // Names.

    pub(crate) fn assign_name(&mut self, variables: &mut Variables, name: &Name, value: Value) -> Result<()> {
        let place = match name.binding {
            Binding::Local(slot) => match &mut variables.locals {
                Locals::Own(slots) => slots.get_mut(slot as usize),
                Locals::Shared(id) => self
                    .heap
                    .variables(*id)
                    .and_then(|slots| slots.get_mut(slot as usize)),
            },
            Binding::Global(slot) => self.modules[variables.module].globals.get_mut(slot as usize),
            Binding::Outer { .. } | Binding::Builtin(_) | Binding::Unresolved => None,
        };
        let Some(place) = place else {
            return Err(Error::failed(format!("`{}` cannot be assigned to", name.name)).at(name.span));
        };
        *place = Some(value);
        Ok(())
    }

    fn assign(&mut self, variables: &mut Variables, target: &Target, slot: Slot) -> Result<()> {
        match target {
            Target::Name(name) => self.assign_name(variables, name, slot.value),
            Target::Index(parts, span) => {
                let container = self.eval(variables, &parts.0)?;
                let index = self.eval(variables, &parts.1)?;
                let index = Slot {
                    value: index,
                    span: parts.1.span,
                };
                self.set_index(&container, index, slot)
                    .map_err(|error| error.at(*span))
            }
            Target::Several(targets, span) => {
                let items = self.items(&slot.value, slot.span)?;
                if items.len() != targets.len() {
                    let message = format!("{} values for {} variables", items.len(), targets.len());
                    return Err(Error::failed(message).at(*span));
                }
                for (target, item) in targets.iter().zip(items) {
                    self.deeper(|machine| machine.assign(variables, target, item))?;
                }
                Ok(())
            }
        }
    }

    fn augment(&mut self, variables: &mut Variables, statement: &Statement) -> Result<()> {
        let StatementKind::Augment(target, operator, value) = &statement.kind else {
            return Ok(());
        };
        let span = statement.span;
        match target {
            Target::Name(name) => {
                let old = self.name(variables, name)?;
                let given = self.eval(variables, value)?;
                let new = self
                    .augmented(*operator, &old, &given, value.span)
                    .map_err(|error| error.at(span))?;
                self.assign_name(variables, name, new)
            }
            Target::Index(parts, at) => {
                let container = self.eval(variables, &parts.0)?;
                let index = self.eval(variables, &parts.1)?;
                let old = self.index(&container, &index).map_err(|error| error.at(*at))?;
                let given = self.eval(variables, value)?;
                let new = self
                    .augmented(*operator, &old.value, &given, value.span)
                    .map_err(|error| error.at(span))?;
                let index = Slot {
                    value: index,
                    span: parts.1.span,
                };
                let new = Slot {
                    value: new,
                    span: value.span,
                };
                self.set_index(&container, index, new)
                    .map_err(|error| error.at(*at))
            }
            Target::Several(..) => Ok(()),
        }
    }

    fn name(&mut self, variables: &Variables, name: &Name) -> Result<Value> {
        let value = match name.binding {
            Binding::Local(slot) => match &variables.locals {
                Locals::Own(slots) => slots.get(slot as usize).cloned().flatten(),
                Locals::Shared(id) => self.variable(*id, slot),
            },
            Binding::Outer { level, slot } => {
                let mut at = variables.outer;
                for _ in 1..level {
                    at = at.and_then(|id| match self.heap.get(id) {
                        Object::Variables { outer, .. } => *outer,
                        _ => None,
                    });
                }
                at.and_then(|id| self.variable(id, slot))
            }
            Binding::Global(slot) => self.modules[variables.module]
                .globals
                .get(slot as usize)
                .cloned()
                .flatten(),
            Binding::Builtin(at) => Some(Value::Builtin(at)),
            Binding::Unresolved => None,
        };
        value.ok_or_else(|| Error::failed(format!("`{}` has no value yet", name.name)).at(name.span))
    }

    fn variable(&self, id: crate::Id, slot: u32) -> Option<Value> {
        match self.heap.get(id) {
            Object::Variables { slots, .. } => slots.get(slot as usize).cloned().flatten(),
            _ => None,
        }
    }

    fn make_function(&mut self, variables: &mut Variables, def: &Arc<Def>) -> Result<Value> {
        let mut defaults = Vec::with_capacity(def.parameters.len());
        for parameter in &def.parameters {
            let default = match &parameter.kind {
                ParameterKind::Normal(Some(default)) | ParameterKind::Named(Some(default)) => {
                    Some(self.eval(variables, default)?)
                }
                _ => None,
            };
            defaults.push(default);
        }
        self.heap.charge(defaults.len() * size_of::<Option<Value>>())?;
        let outer = match variables.locals {
            Locals::Shared(id) => Some(id),
            Locals::Own(_) => variables.outer,
        };
        self.heap.alloc(Object::Function(Function {
            def: Arc::clone(def),
            module: variables.module,
            defaults: defaults.into(),
            outer,
        }))
    }

    // Expressions.

    pub(crate) fn eval(&mut self, variables: &mut Variables, expr: &Expr) -> Result<Value> {
        self.heap.tick(1).map_err(|error| error.at(expr.span))?;
        match &expr.kind {
            ExprKind::None => Ok(Value::None),
            ExprKind::Bool(bool) => Ok(Value::Bool(*bool)),
            ExprKind::Int(number) => Ok(Value::Int(*number)),
            ExprKind::Float(number) => Ok(Value::Float(*number)),
            ExprKind::Text(text) => Ok(Value::Text(Arc::clone(text))),
            ExprKind::Name(name) => self.name(variables, name),
            _ => self
                .deeper(|machine| machine.compound(variables, expr))
                .map_err(|error| error.at(expr.span)),
        }
    }

    fn slot(&mut self, variables: &mut Variables, expr: &Expr) -> Result<Slot> {
        Ok(Slot {
            value: self.eval(variables, expr)?,
            span: expr.span,
        })
    }

    fn compound(&mut self, variables: &mut Variables, expr: &Expr) -> Result<Value> {
        match &expr.kind {
            ExprKind::List(items) => {
                let items = self.slots(variables, items)?;
                self.heap.list(items)
            }
            ExprKind::Tuple(items) => {
                let items = self.slots(variables, items)?;
                self.heap.tuple(items)
            }
            ExprKind::Dict(entries) => self.dict(variables, entries),
            ExprKind::ListComprehension(item, clauses) => {
                let mut items = Vec::new();
                self.comprehension(variables, clauses, &mut |machine, variables| {
                    let item = machine.slot(variables, item)?;
                    machine.heap.charge_slots(1)?;
                    items.push(item);
                    Ok(())
                })?;
                self.heap.list(items)
            }
            ExprKind::DictComprehension(entry, clauses) => {
                let mut dict = Dict::default();
                self.comprehension(variables, clauses, &mut |machine, variables| {
                    let key = machine.slot(variables, &entry.0)?;
                    let value = machine.slot(variables, &entry.1)?;
                    machine.insert(&mut dict, key, value).map(drop)
                })?;
                self.heap.alloc(Object::Dict(dict))
            }
            ExprKind::Lambda(def) => self.make_function(variables, def),
            ExprKind::If(parts) => {
                let condition = self.eval(variables, &parts.0)?;
                let chosen = if self.truth(&condition) {
                    &parts.1
                } else {
                    &parts.2
                };
                self.eval(variables, chosen)
            }
            ExprKind::And(parts) => self.until(variables, parts, false),
            ExprKind::Or(parts) => self.until(variables, parts, true),
            ExprKind::Not(value) => {
                let value = self.eval(variables, value)?;
                Ok(Value::Bool(!self.truth(&value)))
            }
            ExprKind::Negative(value) => {
                let value = self.eval(variables, value)?;
                self.negative(&value)
            }
            ExprKind::Positive(value) => {
                let value = self.eval(variables, value)?;
                match value {
                    Value::Int(_) | Value::Float(_) => Ok(value),
                    _ => Err(self.no_sign("+", &value)),
                }
            }
            ExprKind::Invert(value) => {
                let value = self.eval(variables, value)?;
                match value {
                    Value::Int(number) => Ok(Value::Int(!number)),
                    _ => Err(self.no_sign("~", &value)),
                }
            }
            ExprKind::Compare(comparison, parts) => {
                self.comparison(variables, *comparison, &parts.0, &parts.1)
            }
            ExprKind::Chain(first, rest) => {
                let mut value = self.eval(variables, first)?;
                for (operator, right) in rest {
                    let other = self.eval(variables, right)?;
                    let span = first.span.to(right.span);
                    value = self
                        .operate(*operator, &value, &other)
                        .map_err(|error| error.at(span))?;
                }
                Ok(value)
            }
            ExprKind::Postfix(base, chain) => {
                let mut value = self.eval(variables, base)?;
                for postfix in chain {
                    value = self
                        .postfix(variables, &value, postfix)
                        .map_err(|error| error.at(postfix.span))?;
                }
                Ok(value)
            }
            // The caller has seen to these.
            _ => Ok(Value::None),
        }
    }

    fn slots(&mut self, variables: &mut Variables, items: &[Expr]) -> Result<Vec<Slot>> {
        self.heap.charge_slots(items.len())?;
        let mut slots = Vec::with_capacity(items.len());
        for item in items {
            slots.push(self.slot(variables, item)?);
        }
        Ok(slots)
    }

    fn dict(&mut self, variables: &mut Variables, entries: &[(Expr, Expr)]) -> Result<Value> {
        let mut dict = Dict::default();
        for (key, value) in entries {
            let key = self.slot(variables, key)?;
            let value = self.slot(variables, value)?;
            let span = key.span;
            if self.insert(&mut dict, key, value)? {
                return Err(Error::failed("this key is in the dict twice").at(span));
            }
        }
        self.heap.alloc(Object::Dict(dict))
    }

    pub(crate) fn insert(&mut self, dict: &mut Dict, key: Slot, value: Slot) -> Result<bool> {
        let hashed = Key::of(&key.value, &mut self.heap).map_err(|error| error.at(key.span))?;
        self.heap.charge(Dict::ENTRY_BYTES)?;
        Ok(dict.insert(hashed, key, value))
    }

    fn comprehension(
        &mut self,
        variables: &mut Variables,
        clauses: &[Clause],
        make: &mut dyn FnMut(&mut Self, &mut Variables) -> Result<()>,
    ) -> Result<()> {
        match clauses.split_first() {
            None => make(self, variables),
            Some((Clause::If(condition), rest)) => {
                let value = self.eval(variables, condition)?;
                if self.truth(&value) {
                    self.deeper(|machine| machine.comprehension(variables, rest, make))?;
                }
                Ok(())
            }
            Some((Clause::For(target, over), rest)) => {
                let span = over.span;
                let over = self.eval(variables, over)?;
                self.deeper(|machine| {
                    machine.each(&over, span, |machine, item| {
                        machine.assign(variables, target, item)?;
                        machine.comprehension(variables, rest, make)?;
                        Ok(true)
                    })
                })
            }
        }
    }

    /// `and` and `or`: the first value with that truth, or the last.
    fn until(&mut self, variables: &mut Variables, parts: &[Expr], wanted: bool) -> Result<Value> {
        let mut value = Value::None;
        for part in parts {
            value = self.eval(variables, part)?;
            if self.truth(&value) == wanted {
                break;
            }
        }
        Ok(value)
    }

    fn comparison(
        &mut self,
        variables: &mut Variables,
        comparison: Comparison,
        left: &Expr,
        right: &Expr,
    ) -> Result<Value> {
        let left = self.eval(variables, left)?;
        let right = self.eval(variables, right)?;
        let result = match comparison {
            Comparison::Equal => self.equal(&left, &right)?,
            Comparison::NotEqual => !self.equal(&left, &right)?,
            Comparison::Less => self.compare(&left, &right)?.is_lt(),
            Comparison::LessOrEqual => self.compare(&left, &right)?.is_le(),
            Comparison::Greater => self.compare(&left, &right)?.is_gt(),
            Comparison::GreaterOrEqual => self.compare(&left, &right)?.is_ge(),
            Comparison::In => self.contains(&right, &left)?,
            Comparison::NotIn => !self.contains(&right, &left)?,
        };
        Ok(Value::Bool(result))
    }

    fn postfix(&mut self, variables: &mut Variables, value: &Value, postfix: &Postfix) -> Result<Value> {
        match &postfix.kind {
            PostfixKind::Dot(name, span) => self.attribute(value, name).map_err(|error| error.at(*span)),
            PostfixKind::Index(index) => {
                let index = self.eval(variables, index)?;
                Ok(self.index(value, &index)?.value)
            }
            PostfixKind::Slice(parts) => {
                let mut bounds = [Value::None, Value::None, Value::None];
                for (bound, part) in bounds.iter_mut().zip(parts.iter()) {
                    if let Some(part) = part {
                        *bound = self.eval(variables, part)?;
                    }
                }
                self.slice(value, &bounds)
            }
            PostfixKind::Call(arguments) => self.call_expression(variables, value, arguments, postfix.span),
        }
    }
}

/// The number at a position of a range.
pub(crate) fn range_item(from: i64, to: i64, step: i64, at: usize) -> Option<i64> {
    let number = i64::try_from(at)
        .ok()
        .and_then(|at| at.checked_mul(step))
        .and_then(|offset| from.checked_add(offset))?;
    let within = if step > 0 { number < to } else { number > to };
    within.then_some(number)
}

/// How many numbers a range has.
pub(crate) fn range_len(from: i64, to: i64, step: i64) -> u64 {
    let distance = if step > 0 {
        i128::from(to) - i128::from(from)
    } else {
        i128::from(from) - i128::from(to)
    };
    let step = i128::from(step).abs().max(1);
    u64::try_from((distance.max(0) + step - 1) / step).unwrap_or(u64::MAX)
}
