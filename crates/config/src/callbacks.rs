//! Functions of a Starlark configuration that are asked while it is in force.
//!
//! They run on a few threads that live as long as the configuration, each with the stack that they may need. Whoever asks waits for the
//! answer; the limits on steps and memory say for how long at most.

mod choose;
mod judge;
mod question;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, mpsc},
};

use ironmaster_model::{Asks, Callbacks, Opinion, Pick};
use ironmaster_starlark::{Call, Error, Heap, Host, Limits, Program, Refusal, STACK_BYTES, Source, Value};
use serde_json::Map;

use crate::{
    report::{Finding, Place, Related, Report, Severity},
    sources::{Sources, Span},
};

/// Bounds on one call. Something waits for it, so they are small: a few milliseconds of work.
const LIMITS: Limits = Limits {
    ticks: 100_000,
    heap_bytes: 8 << 20,
    calls: 50,
    files: 0,
};

/// What is said where there is no answer at all.
const BROKEN: &str =
    "the function has not come to an end: there is no thread for it, or this program has made a mistake";

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

/// A function, and where the configuration gives it.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) value: Value,
    pub(crate) span: Span,
}

/// Functions that are asked about a builder.
#[derive(Clone, Debug, Default)]
pub(crate) struct BuilderFunctions {
    pub(crate) can_start: Option<Function>,
    pub(crate) next_worker: Option<Function>,
    pub(crate) next_build: Option<Function>,
    pub(crate) priority: Option<Function>,
    pub(crate) collapse: Option<Function>,
}

impl BuilderFunctions {
    /// Which there are.
    pub(crate) fn asks(&self) -> Asks {
        Asks {
            can_start: self.can_start.is_some(),
            next_worker: self.next_worker.is_some(),
            next_build: self.next_build.is_some(),
            priority: self.priority.is_some(),
            collapse: self.collapse.is_some(),
        }
    }
}

/// The functions, with what they need to run and to be blamed.
pub(crate) struct Functions {
    pub(crate) program: Program,
    /// By scheduler.
    pub(crate) change_filters: BTreeMap<String, Function>,
    /// Those that say priorities, by scheduler.
    pub(crate) priorities: BTreeMap<String, Function>,
    /// By builder.
    pub(crate) builders: BTreeMap<String, BuilderFunctions>,
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
            let filters = self.functions.change_filters.keys();
            filters
                .map(|scheduler| (scheduler.clone(), Err(BROKEN.to_owned())))
                .collect()
        })
    }

    fn choose(
        &self,
        builder: &str,
        requests: &[Map<String, serde_json::Value>],
        workers: &[Map<String, serde_json::Value>],
    ) -> Result<Pick, String> {
        let (builder, requests, workers) = (builder.to_owned(), requests.to_vec(), workers.to_vec());
        self.run(move |functions| functions.choose(&builder, &requests, &workers))
            .unwrap_or_else(|| Err(BROKEN.to_owned()))
    }

    fn judge(
        &self,
        builder: &str,
        scheduler: &str,
        request: &Map<String, serde_json::Value>,
        others: &[Map<String, serde_json::Value>],
    ) -> Opinion {
        let (builder, scheduler) = (builder.to_owned(), scheduler.to_owned());
        let (request, others) = (request.clone(), others.to_vec());
        self.run(move |functions| functions.judge(&builder, &scheduler, &request, &others))
            .unwrap_or_else(|| Opinion {
                problem: Some(BROKEN.to_owned()),
                ..Opinion::default()
            })
    }
}

impl Functions {
    fn ask(&self, function: &Function, change: &Map<String, serde_json::Value>) -> Result<bool, String> {
        let argument = |heap: &mut Heap| Ok(vec![struct_of(heap, change)?]);
        self.program
            .call_here(&function.value, argument, LIMITS, &mut Nothing, |heap, value| {
                heap.truth(value)
            })
            .map_err(|error| self.traceback(&error, function))
    }

    /// A failure as people read it: with the place in the file, and from where the function was called there.
    fn traceback(&self, error: &Error, function: &Function) -> String {
        let related = error.trace.iter().filter_map(|frame| {
            let message = format!("`{}` was called from here", frame.function);
            Some(Related {
                place: self.place(frame.span).filter(|_| !outside(frame.span))?,
                message,
            })
        });
        self.report(Finding {
            severity: Severity::Error,
            code: "callback",
            message: error.message.clone(),
            place: error
                .span
                .filter(|span| !outside(*span))
                .map_or_else(|| self.sources.place(function.span), |span| self.place(span)),
            related: related.collect(),
            help: error.help.clone(),
        })
    }

    fn place(&self, span: ironmaster_starlark::Span) -> Option<Place> {
        let span = Span::new(span.start as usize, span.end as usize);
        self.sources.place(span)
    }

    fn report(&self, finding: Finding) -> String {
        let report = Report {
            findings: vec![finding],
            sources: self.masked.clone(),
        };
        report.render(false)
    }
}

/// Whether this is the call from outside, which stands in no file: wrong arguments, for example.
fn outside(span: ironmaster_starlark::Span) -> bool {
    span == ironmaster_starlark::Span::default()
}

/// Something of the world as a struct of Starlark.
fn struct_of(heap: &mut Heap, fields: &Map<String, serde_json::Value>) -> Result<Value, Box<Error>> {
    let mut values = Vec::new();
    for (name, value) in fields {
        values.push((name.as_str(), made(heap, value)?));
    }
    heap.struct_of(values)
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
