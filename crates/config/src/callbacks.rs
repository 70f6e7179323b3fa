//! Functions of a Starlark configuration that are asked while it is in force.
//!
//! They run on a few threads that live as long as the configuration, each with the stack that they may need. Whoever asks waits for the
//! answer; the limits on steps and memory say for how long at most.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, mpsc},
};

use ironmaster_model::Callbacks;
use ironmaster_starlark::{Call, Error, Heap, Host, Limits, Program, Refusal, STACK_BYTES, Source, Value};
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

/// How many functions run at once.
const THREADS: usize = 2;
/// How many questions may wait for a thread; who asks more waits before the question is taken.
const QUEUE: usize = 64;

/// The functions, with the threads that they run on.
pub(crate) struct Callers {
    functions: Arc<Functions>,
    jobs: mpsc::SyncSender<Job>,
}

type Job = Box<dyn FnOnce() + Send>;

/// The functions, with what they need to run and to be blamed.
pub(crate) struct Functions {
    pub(crate) program: Program,
    /// By scheduler.
    pub(crate) change_filters: BTreeMap<String, Value>,
    pub(crate) sources: Sources,
    /// The texts that tracebacks show, with secrets masked, by file.
    pub(crate) masked: BTreeMap<String, String>,
}

impl Callers {
    /// Starts the threads. They end when this is dropped.
    pub(crate) fn new(functions: Functions) -> Self {
        let (jobs, queue) = mpsc::sync_channel::<Job>(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..THREADS {
            let queue = Arc::clone(&queue);
            // Where there is none at all, whoever asks is told so.
            let _ = std::thread::Builder::new()
                .name("callbacks".to_owned())
                .stack_size(STACK_BYTES)
                .spawn(move || work(&queue));
        }
        Self {
            functions: Arc::new(functions),
            jobs,
        }
    }

    /// Runs something on one of the threads and waits for it. None if it broke, or there is no thread.
    fn run<T: Send + 'static>(&self, ask: impl FnOnce(&Functions) -> T + Send + 'static) -> Option<T> {
        let functions = Arc::clone(&self.functions);
        let (answer, answered) = mpsc::sync_channel(1);
        let job = move || {
            let _ = answer.send(ask(&functions));
        };
        self.jobs.send(Box::new(job)).ok()?;
        answered.recv().ok()
    }
}

fn work(queue: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let Ok(next) = queue.lock().map(|queue| queue.recv()) else {
            return;
        };
        let Ok(job) = next else { return };
        // Our own mistake, which must not end a program that runs: whoever asked hears that there is no answer.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

impl Callbacks for Callers {
    fn change_filters(
        &self,
        change: &Map<String, serde_json::Value>,
    ) -> BTreeMap<String, Result<bool, String>> {
        let change = change.clone();
        let answers = self.run(move |functions| {
            let filters = functions.change_filters.iter();
            filters
                .map(|(scheduler, function)| (scheduler.clone(), functions.ask(function, &change)))
                .collect()
        });
        answers.unwrap_or_else(|| {
            let broken = "the function has not come to an end: there is no thread for it, or this program has made a mistake";
            let filters = self.functions.change_filters.keys();
            filters
                .map(|scheduler| (scheduler.clone(), Err(broken.to_owned())))
                .collect()
        })
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
            .call_here(function, argument, LIMITS, &mut Nothing, |heap, value| {
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
