//! From a file to its values, and what is left afterwards.

use std::{panic::AssertUnwindSafe, sync::Arc};

use crate::{
    Span,
    error::{Error, ErrorKind},
    heap::{Object, Value},
    machine::{Host, Limits, Machine, STACK_BYTES, Source},
};

/// What an evaluation has left: its values, of which none changes any more. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Program {
    objects: Arc<Vec<Object>>,
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
