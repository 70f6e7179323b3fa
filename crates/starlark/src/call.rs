//! Calls.

use std::sync::Arc;

use crate::{
    Span,
    ast::{Argument, ArgumentKind, Body, Expr, ParameterKind},
    builtins,
    dict::Dict,
    error::{Error, ErrorKind, Result, similar},
    eval::Flow,
    heap::{Function, Object, Slot, Value},
    machine::{Call, Locals, Machine, NamedArgument, Variables},
};

/// Frames that a host is told of.
const TRACE_MAX: usize = 16;

/// Arguments that are evaluated.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) positional: Vec<Slot>,
    pub(crate) named: Vec<NamedArgument>,
}

impl Machine<'_> {
    pub(crate) fn call_expression(
        &mut self,
        variables: &mut Variables,
        function: &Value,
        arguments: &[Argument],
        span: Span,
    ) -> Result<Value> {
        let arguments = self.arguments(variables, arguments)?;
        self.call(function, arguments, span)
    }

    fn arguments(&mut self, variables: &mut Variables, arguments: &[Argument]) -> Result<Arguments> {
        self.heap.charge_slots(arguments.len())?;
        let mut out = Arguments::default();
        for argument in arguments {
            let span = argument.value.span;
            let value = self.eval(variables, &argument.value)?;
            match &argument.kind {
                ArgumentKind::Positional => out.positional.push(Slot { value, span }),
                ArgumentKind::Named(name, name_span) => out.named.push(NamedArgument {
                    name: Arc::clone(name),
                    name_span: *name_span,
                    slot: Slot { value, span },
                }),
                ArgumentKind::Rest => out.positional.extend(self.items(&value, span)?),
                ArgumentKind::RestNamed => self.rest_named(&mut out, &value, &argument.value)?,
            }
        }
        Ok(out)
    }

    fn rest_named(&mut self, out: &mut Arguments, value: &Value, expr: &Expr) -> Result<()> {
        let span = expr.span;
        let Value::Object(id) = value else {
            return Err(Error::failed("what follows `**` must be a dict").at(span));
        };
        let Object::Dict(dict) = self.heap.get(*id) else {
            return Err(Error::failed("what follows `**` must be a dict").at(span));
        };
        let count = dict.len();
        let entries = dict.entries().to_vec();
        self.heap.charge(count * size_of::<NamedArgument>())?;
        self.heap.tick(count as u64)?;
        for entry in entries {
            let Value::Text(name) = entry.key.value else {
                return Err(Error::failed("the keys of what follows `**` must be texts").at(span));
            };
            if out.named.iter().any(|argument| argument.name == name) {
                return Err(Error::failed(format!("`{name}` is given twice")).at(span));
            }
            out.named.push(NamedArgument {
                name,
                name_span: entry.key.span,
                slot: entry.value,
            });
        }
        Ok(())
    }

    pub(crate) fn call(&mut self, function: &Value, arguments: Arguments, span: Span) -> Result<Value> {
        match function {
            Value::Builtin(at) => self.call_builtin(*at, arguments, span),
            Value::Object(id) => match self.heap.get(*id) {
                Object::Function(function) => {
                    let function = function.clone();
                    let name = Arc::clone(&function.def.name);
                    self.deeper(|machine| machine.call_function(&function, arguments, span))
                        .map_err(|error| error.called(&name, span))
                }
                Object::Method(receiver, name) => {
                    let (receiver, name) = (receiver.clone(), Arc::clone(name));
                    self.method(&receiver, &name, arguments, span)
                        .map_err(|error| error.at(span))
                }
                _ => Err(self.not_callable(function)),
            },
            _ => Err(self.not_callable(function)),
        }
    }

    fn not_callable(&self, value: &Value) -> Box<Error> {
        Error::failed(format!("a {} cannot be called", self.heap.type_name(value)))
    }

    fn call_builtin(&mut self, at: u32, arguments: Arguments, span: Span) -> Result<Value> {
        let Some(name) = self.builtins.get(at as usize).map(Arc::clone) else {
            return Err(Error::failed("there is no such function"));
        };
        if (at as usize) < builtins::NAMES.len() {
            return self
                .builtin(&name, arguments, span)
                .map_err(|error| error.at(span));
        }
        let trace: Vec<Span> = self
            .stack
            .iter()
            .rev()
            .take(TRACE_MAX)
            .map(|(_, span)| *span)
            .collect();
        let call = Call {
            span,
            positional: &arguments.positional,
            named: &arguments.named,
            trace: &trace,
        };
        self.host
            .call(&name, &call, &mut self.heap)
            .map_err(|refusal| refusal.into_error(span))
    }

    fn call_function(&mut self, function: &Function, arguments: Arguments, span: Span) -> Result<Value> {
        let def = Arc::clone(&function.def);
        if self.stack.len() >= self.heap.limits().calls as usize {
            let message = format!(
                "functions call one another more than {} levels deep",
                self.heap.limits().calls
            );
            return Err(Error::new(ErrorKind::Depth, message)
                .at(span)
                .help("does a function call itself without an end?"));
        }
        self.heap.tick(1 + u64::from(def.locals) / 8)?;
        let locals = self.locals(def.locals, def.captured, function.outer)?;
        let mut variables = Variables {
            module: function.module,
            locals,
            outer: function.outer,
        };
        self.bind(function, arguments, &mut variables, span)?;
        self.stack.push((Arc::clone(&def.name), span));
        let result = match &def.body {
            Body::Expression(value) => self.eval(&mut variables, value).map(Flow::Return),
            Body::Block(body) => self.block(&mut variables, body),
        };
        self.stack.pop();
        match result? {
            Flow::Return(value) => Ok(value),
            Flow::Next | Flow::Break | Flow::Continue => Ok(Value::None),
        }
    }

    /// Gives parameters their values.
    fn bind(
        &mut self,
        function: &Function,
        arguments: Arguments,
        variables: &mut Variables,
        span: Span,
    ) -> Result<()> {
        let def = &function.def;
        let mut values: Vec<Option<Value>> = vec![None; def.parameters.len()];
        let mut positional = arguments.positional.into_iter();
        let mut rest_named = Vec::new();
        for (parameter, value) in def.parameters.iter().zip(&mut values) {
            match parameter.kind {
                ParameterKind::Normal(_) => *value = positional.next().map(|slot| slot.value),
                ParameterKind::Named(_) | ParameterKind::Rest | ParameterKind::RestNamed => break,
            }
        }
        let takes_rest = def
            .parameters
            .iter()
            .position(|parameter| matches!(parameter.kind, ParameterKind::Rest));
        if let Some(at) = takes_rest {
            let rest: Vec<Slot> = positional.collect();
            self.heap.charge_slots(rest.len())?;
            values[at] = Some(self.heap.tuple(rest)?);
        } else if let Some(extra) = positional.next() {
            let takes = def
                .parameters
                .iter()
                .filter(|parameter| matches!(parameter.kind, ParameterKind::Normal(_)))
                .count();
            let message = format!(
                "`{}` takes {takes} arguments without a name; this is one more",
                def.name
            );
            return Err(Error::failed(message).at(extra.span));
        }
        let takes_named = def
            .parameters
            .iter()
            .position(|parameter| matches!(parameter.kind, ParameterKind::RestNamed));
        for argument in arguments.named {
            let found = def.parameters.iter().position(|parameter| {
                parameter.name == argument.name
                    && matches!(parameter.kind, ParameterKind::Normal(_) | ParameterKind::Named(_))
            });
            match found {
                Some(at) if values[at].is_some() => {
                    let message = format!("`{}` is given twice", argument.name);
                    return Err(Error::failed(message).at(argument.name_span));
                }
                Some(at) => values[at] = Some(argument.slot.value),
                None if takes_named.is_some() => rest_named.push(argument),
                None => {
                    let message = format!("`{}` has no parameter `{}`", def.name, argument.name);
                    let mut error = Error::failed(message).at(argument.name_span);
                    error.help = similar(
                        &argument.name,
                        def.parameters.iter().map(|parameter| &*parameter.name),
                    );
                    return Err(error);
                }
            }
        }
        if let Some(at) = takes_named {
            let mut dict = Dict::default();
            for argument in rest_named {
                let key = Slot {
                    value: Value::Text(argument.name),
                    span: argument.name_span,
                };
                self.insert(&mut dict, key, argument.slot)?;
            }
            values[at] = Some(self.heap.alloc(Object::Dict(dict))?);
        }
        for (at, value) in values.iter_mut().enumerate() {
            if value.is_none() {
                *value = function.defaults.get(at).cloned().flatten();
            }
            if value.is_none() {
                let message = format!("`{}` needs `{}`", def.name, def.parameters[at].name);
                return Err(Error::failed(message).at(span));
            }
        }
        match &mut variables.locals {
            Locals::Own(slots) => slots[..values.len()].clone_from_slice(&values),
            Locals::Shared(id) => {
                if let Some(slots) = self.heap.variables(*id) {
                    slots[..values.len()].clone_from_slice(&values);
                }
            }
        }
        Ok(())
    }
}
