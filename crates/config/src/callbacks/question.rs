//! Several calls of functions that answer one question, within one bound.

use std::cell::Cell;

use ironmaster_starlark::{Error, Heap, Limits, Value};

use super::{Function, Functions, LIMITS, Nothing};
use crate::report::{Finding, Severity};

/// Bound on the steps of all calls that one question takes.
const QUESTION_TICKS: u64 = 4 * LIMITS.ticks;

/// One question.
pub(super) struct Question<'q> {
    functions: &'q Functions,
    /// Steps that are left.
    ticks: Cell<u64>,
}

impl<'q> Question<'q> {
    pub(super) fn new(functions: &'q Functions) -> Self {
        Self {
            functions,
            ticks: Cell::new(QUESTION_TICKS),
        }
    }

    /// Calls a function and reads what it gives. An error is its traceback.
    pub(super) fn call<T>(
        &self,
        function: &Function,
        arguments: impl FnOnce(&mut Heap) -> Result<Vec<Value>, Box<Error>>,
        read: impl FnOnce(&Heap, &Value) -> T,
    ) -> Result<T, String> {
        let left = self.ticks.get();
        let limits = Limits {
            ticks: left.min(LIMITS.ticks),
            ..LIMITS
        };
        let program = &self.functions.program;
        let result = program.call_here(&function.value, arguments, limits, &mut Nothing, |heap, value| {
            self.ticks.set(left.saturating_sub(heap.cost().0));
            read(heap, value)
        });
        result.map_err(|error| {
            // It may have come to nothing because of all that it did.
            self.ticks.set(left.saturating_sub(limits.ticks));
            self.functions.traceback(&error, function)
        })
    }

    /// The report of a function that has given what it must not.
    pub(super) fn wrong(&self, key: &str, function: &Function, what: &str, help: &str) -> String {
        self.functions.report(Finding {
            severity: Severity::Error,
            code: "callback",
            message: format!("`{key}` has given a value of type {what}"),
            place: self.functions.sources.place(function.span),
            related: Vec::new(),
            help: Some(help.to_owned()),
        })
    }
}
