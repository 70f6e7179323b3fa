//! Functions of a Starlark configuration that are asked while it is in force.

use std::collections::BTreeMap;

use ironmaster_model::Callbacks;
use ironmaster_starlark::{Call, Error, Heap, Host, Limits, Program, Refusal, Source, Value};
use serde_json::Map;

use crate::{
    report::{Finding, Related, Report, Severity},
    sources::{Sources, Span},
};

/// Bounds on one call. A decision waits for it, so they are small: a few milliseconds of work.
const LIMITS: Limits = Limits {
    ticks: 100_000,
    heap_bytes: 8 << 20,
    calls: 50,
    files: 0,
};

/// The functions, with what they need to run and to be blamed.
pub(crate) struct Functions {
    pub(crate) program: Program,
    /// By scheduler.
    pub(crate) change_filters: BTreeMap<String, Value>,
    pub(crate) sources: Sources,
    /// The texts that tracebacks show, with secrets masked, by file.
    pub(crate) masked: BTreeMap<String, String>,
}

impl Callbacks for Functions {
    fn change_filters(
        &self,
        change: &Map<String, serde_json::Value>,
    ) -> BTreeMap<String, Result<bool, String>> {
        self.change_filters
            .iter()
            .map(|(scheduler, function)| (scheduler.clone(), self.ask(function, change)))
            .collect()
    }
}

impl Functions {
    fn ask(&self, function: &Value, change: &Map<String, serde_json::Value>) -> Result<bool, String> {
        let argument = |heap: &mut Heap| {
            let mut fields = Vec::new();
            for (name, value) in change {
                fields.push((name.as_str(), made(heap, value)?));
            }
            Ok(vec![heap.struct_of(fields)?])
        };
        self.program
            .call(function, argument, LIMITS, &mut Nothing, |heap, value| {
                heap.truth(value)
            })
            .map_err(|error| self.traceback(&error))
    }

    fn traceback(&self, error: &Error) -> String {
        let place = |span: ironmaster_starlark::Span| {
            self.sources
                .place(Span::new(span.start as usize, span.end as usize))
        };
        let related = error.trace.iter().filter_map(|frame| {
            let message = format!("`{}` was called from here", frame.function);
            Some(Related {
                place: place(frame.span)?,
                message,
            })
        });
        let finding = Finding {
            severity: Severity::Error,
            code: "callback",
            message: error.message.clone(),
            place: error.span.and_then(place),
            related: related.collect(),
            help: error.help.clone(),
        };
        let report = Report {
            findings: vec![finding],
            sources: self.masked.clone(),
        };
        report.render(false)
    }
}

/// A value of the world as one of Starlark.
fn made(heap: &mut Heap, value: &serde_json::Value) -> Result<Value, Box<Error>> {
    Ok(match value {
        serde_json::Value::Null => Value::None,
        serde_json::Value::Bool(bool) => Value::Bool(*bool),
        serde_json::Value::Number(number) => number
            .as_i64()
            .map_or_else(|| Value::Float(number.as_f64().unwrap_or_default()), Value::Int),
        serde_json::Value::String(text) => heap.text(text)?,
        serde_json::Value::Array(items) => {
            let mut values = Vec::new();
            for item in items {
                values.push(made(heap, item)?);
            }
            heap.list_of(values)?
        }
        serde_json::Value::Object(entries) => {
            let mut values = Vec::new();
            for (name, value) in entries {
                values.push((name.as_str(), made(heap, value)?));
            }
            heap.dict_of(values)?
        }
    })
}

/// What a function can touch once the configuration is in force.
struct Nothing;

impl Host for Nothing {
    fn call(&mut self, function: &str, _call: &Call<'_>, _heap: &mut Heap) -> Result<Value, Refusal> {
        Err(Refusal::new(format!(
            "`{function}()` can only be called while the configuration is read"
        )))
    }

    fn open(&mut self, _path: &str, _from: usize) -> Result<Source, Refusal> {
        Err(Refusal::new("nothing can be loaded any more"))
    }

    fn print(&mut self, _text: &str, _span: ironmaster_starlark::Span) {}
}
