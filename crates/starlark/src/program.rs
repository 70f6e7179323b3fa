//! From a file to its values, and what is left afterwards.

use std::{panic::AssertUnwindSafe, sync::Arc};

use crate::{
    Span,
    call::Arguments,
    error::{Error, ErrorKind},
    heap::{Heap, Object, Slot, Value},
    machine::{Host, Limits, Machine, Running, STACK_BYTES, Source},
};

/// What an evaluation has left: its values, of which none changes any more. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Program {
    objects: Arc<Vec<Object>>,
    builtins: Arc<[Arc<str>]>,
    modules: Arc<Vec<Running>>,
    /// Steps and bytes that it took.
    cost: (u64, usize),
}

/// Runs a file with the files that it loads. `functions` are the names that the host answers to. The error holds
/// one mistake, or all that can be seen without running.
pub fn evaluate(
    source: &Source,
    functions: &[&str],
    limits: Limits,
    host: &mut dyn Host,
) -> Result<Program, Vec<Error>> {
    on_a_stack(|| {
        let mut machine = Machine::new(host, functions, limits);
        machine.run(source)?;
        let cost = machine.heap.cost();
        Ok(Program {
            builtins: Arc::clone(&machine.builtins),
            modules: Arc::new(machine.modules),
            objects: Arc::new(machine.heap.into_objects()),
            cost,
        })
    })
}

impl Program {
    /// Steps and bytes that the evaluation took.
    pub fn cost(&self) -> (u64, usize) {
        self.cost
    }

    /// The value of a name of the first file.
    pub fn global(&self, name: &str) -> Option<Value> {
        let main = self.modules.first()?;
        let slot = main.module.globals.iter().position(|global| **global == *name)?;
        main.globals.get(slot).cloned().flatten()
    }

    /// The value that a dict has under a text.
    pub fn entry(&self, dict: &Value, name: &str) -> Option<Value> {
        let Some(Object::Dict(dict)) = self.get(dict) else {
            return None;
        };
        dict.entries()
            .iter()
            .find(|entry| matches!(&entry.key.value, Value::Text(text) if **text == *name))
            .map(|entry| entry.value.value.clone())
    }

    /// Calls a function that the evaluation has made, within limits of its own. `arguments` makes what it is given,
    /// `read` takes what it gives back.
    pub fn call<T: Send>(
        &self,
        function: &Value,
        arguments: impl FnOnce(&mut Heap) -> Result<Vec<Value>, Box<Error>> + Send,
        limits: Limits,
        host: &mut dyn Host,
        read: impl FnOnce(&Heap, &Value) -> T + Send,
    ) -> Result<T, Error> {
        let result = on_a_stack(|| {
            self.call_here(function, arguments, limits, host, read)
                .map_err(|error| vec![error])
        });
        result.map_err(|errors| {
            let first = errors.into_iter().next();
            first.unwrap_or_else(|| *Error::new(ErrorKind::Failed, "the call failed"))
        })
    }

    /// The same as [`call`](Self::call) for a thread that has a stack of [`STACK_BYTES`]: nothing else keeps a function that is
    /// nested deeply from overflowing it.
    pub fn call_here<T>(
        &self,
        function: &Value,
        arguments: impl FnOnce(&mut Heap) -> Result<Vec<Value>, Box<Error>>,
        limits: Limits,
        host: &mut dyn Host,
        read: impl FnOnce(&Heap, &Value) -> T,
    ) -> Result<T, Error> {
        let span = Span::default();
        let mut machine = Machine::resume(
            host,
            Arc::clone(&self.builtins),
            self.modules.to_vec(),
            Arc::clone(&self.objects),
            limits,
        );
        let positional = arguments(&mut machine.heap)
            .map_err(|error| *error)?
            .into_iter()
            .map(|value| Slot { value, span })
            .collect();
        let arguments = Arguments {
            positional,
            named: Vec::new(),
        };
        match machine.call(function, arguments, span) {
            Ok(value) => Ok(read(&machine.heap, &value)),
            Err(mut error) => {
                // The call from outside stands in no file.
                if error.trace.last().is_some_and(|frame| frame.span == span) {
                    error.trace.pop();
                }
                Err(*error)
            }
        }
    }

    /// What an object is that the evaluation has made.
    pub fn get(&self, value: &Value) -> Option<&Object> {
        match value {
            Value::Object(id) => self.objects.get(id.index()),
            _ => None,
        }
    }
}

/// Runs something that may be deeply nested on a stack that is large enough.
fn on_a_stack<T: Send>(run: impl FnOnce() -> Result<T, Vec<Error>> + Send) -> Result<T, Vec<Error>> {
    let failed = |message: &str| Err(vec![*Error::new(ErrorKind::Failed, message).at(Span::default())]);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("starlark".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || std::panic::catch_unwind(AssertUnwindSafe(run)));
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(Ok(result))) => result,
            // Our own mistake, which must not end a program that runs.
            Ok(_) => failed("the evaluation broke; this is a mistake of this program"),
            Err(_) => failed("there is no thread for the evaluation"),
        }
    })
}
