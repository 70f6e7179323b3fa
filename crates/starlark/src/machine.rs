//! What runs a file: its state, and what it is given from outside.

use std::{collections::HashMap, sync::Arc};

use crate::{
    Span,
    ast::{Module, StatementKind},
    builtins,
    error::{Error, ErrorKind, Result},
    eval::Flow,
    heap::{Heap, Id, Object, Slot, Value},
    parser, resolve,
};

/// Bounds on an evaluation. None of them is a time, so the same file ends alike everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps: about one for each part of an expression that is evaluated, and for each 64 bytes of text.
    pub ticks: u64,
    /// Bytes that may be asked for, all together: nothing is given back before the end.
    pub heap_bytes: usize,
    /// How deep functions may call one another.
    pub calls: u32,
    /// How many files may be loaded.
    pub files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ticks: 10_000_000,
            heap_bytes: 256 << 20,
            calls: 200,
            files: 500,
        }
    }
}

/// How deep evaluation may be nested, all functions together. A level takes a few KiB of stack at most.
const DEPTH_MAX: u32 = 4000;

/// Stack for that.
pub const STACK_BYTES: usize = 64 << 20;

/// What a file can touch.
pub trait Host: Send {
    /// Runs one of the functions that the host has brought along.
    fn call(
        &mut self,
        function: &str,
        call: &Call<'_>,
        heap: &mut Heap,
    ) -> std::result::Result<Value, Refusal>;

    /// Finds the file that a `load` names. `from` is the [`Source::id`] of the file in which it stands.
    fn open(&mut self, path: &str, from: usize) -> std::result::Result<Source, Refusal>;

    /// Takes what the file prints.
    fn print(&mut self, text: &str, span: Span);
}

/// A file.
#[derive(Clone, Debug)]
pub struct Source {
    /// The same file has the same id, whatever it was called.
    pub id: usize,
    /// Its text.
    pub text: Arc<str>,
    /// Where its text begins among all texts of the evaluation; places count from there.
    pub base: u32,
}

/// A call of a function of the host.
#[derive(Debug)]
pub struct Call<'c> {
    /// The whole call.
    pub span: Span,
    /// Arguments without a name.
    pub positional: &'c [Slot],
    /// Arguments with a name, in the order given.
    pub named: &'c [NamedArgument],
    /// Where the functions around it were called, innermost first.
    pub trace: &'c [Span],
}

/// An argument with a name.
#[derive(Clone, Debug)]
pub struct NamedArgument {
    /// Its name.
    pub name: Arc<str>,
    /// Where the name stands.
    pub name_span: Span,
    /// Its value.
    pub slot: Slot,
}

/// Why the host does not do something.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What is wrong.
    pub message: String,
    /// Where, if not at the whole call.
    pub span: Option<Span>,
    /// What to do.
    pub help: Option<String>,
    /// The limit that was reached, if that is why.
    pub kind: ErrorKind,
}

impl Refusal {
    /// A refusal that concerns the whole call.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            span: None,
            help: None,
            kind: ErrorKind::Failed,
        }
    }

    pub(crate) fn into_error(self, span: Span) -> Box<Error> {
        let mut error = Error::new(self.kind, self.message).at(self.span.unwrap_or(span));
        error.help = self.help;
        error
    }
}

/// What ends an evaluation ends it also inside the host.
impl From<Box<Error>> for Refusal {
    fn from(error: Box<Error>) -> Self {
        Self {
            message: error.message,
            span: error.span,
            help: error.help,
            kind: error.kind,
        }
    }
}

/// A file that runs or has run.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) source: usize,
    pub(crate) module: Arc<Module>,
    pub(crate) globals: Vec<Option<Value>>,
    pub(crate) done: bool,
}

pub(crate) struct Machine<'h> {
    pub(crate) heap: Heap,
    pub(crate) host: &'h mut dyn Host,
    /// The functions of the language, then those of the host.
    pub(crate) builtins: Arc<[Arc<str>]>,
    pub(crate) modules: Vec<Running>,
    /// Index into `modules` by id of the source.
    loaded: HashMap<usize, usize>,
    /// Calls that go on: who was called, and where.
    pub(crate) stack: Vec<(Arc<str>, Span)>,
    depth: u32,
}

/// The variables of a function that runs.
pub(crate) struct Variables {
    pub(crate) module: usize,
    pub(crate) locals: Locals,
    /// Those of the functions around it.
    pub(crate) outer: Option<Id>,
}

pub(crate) enum Locals {
    Own(Vec<Option<Value>>),
    /// On the heap, because functions inside refer to them.
    Shared(Id),
}

impl<'h> Machine<'h> {
    pub(crate) fn new(host: &'h mut dyn Host, functions: &[&str], limits: Limits) -> Self {
        let builtins = builtins::NAMES
            .iter()
            .chain(functions)
            .map(|name| Arc::from(*name))
            .collect();
        Self {
            heap: Heap::new(limits, Arc::new(Vec::new())),
            host,
            builtins,
            modules: Vec::new(),
            loaded: HashMap::new(),
            stack: Vec::new(),
            depth: 0,
        }
    }

    /// Takes up where an evaluation has ended: nothing that it has made changes any more.
    pub(crate) fn resume(
        host: &'h mut dyn Host,
        builtins: Arc<[Arc<str>]>,
        modules: Vec<Running>,
        shared: Arc<Vec<Object>>,
        limits: Limits,
    ) -> Self {
        Self {
            heap: Heap::new(limits, shared),
            host,
            builtins,
            modules,
            loaded: HashMap::new(),
            stack: Vec::new(),
            depth: 0,
        }
    }

    /// Goes a level deeper; every recursion of the evaluation passes here.
    pub(crate) fn deeper<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= DEPTH_MAX {
            return Err(Error::new(
                ErrorKind::Depth,
                "functions and expressions are nested too deeply",
            ));
        }
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        result
    }

    /// Reads, resolves and runs a file; gives its index among the modules.
    pub(crate) fn run(&mut self, source: &Source) -> std::result::Result<usize, Vec<Error>> {
        // What parsing makes is a small multiple of the text.
        self.heap
            .charge(source.text.len().saturating_mul(32))
            .and_then(|()| self.heap.tick(source.text.len() as u64 / 8))
            .map_err(|error| {
                let span = Span {
                    start: source.base,
                    end: source.base,
                };
                vec![*error.at(span)]
            })?;
        let mut module = parser::parse(&source.text, source.base).map_err(|error| vec![*error])?;
        let errors = resolve::resolve(&mut module, &self.builtins);
        if !errors.is_empty() {
            return Err(errors);
        }
        let module = Arc::new(module);
        let index = self.modules.len();
        self.modules.push(Running {
            source: source.id,
            module: Arc::clone(&module),
            globals: vec![None; module.globals.len()],
            done: false,
        });
        self.loaded.insert(source.id, index);
        let mark = self.heap.mark();
        self.top(index, &module).map_err(|error| vec![*error])?;
        self.heap.freeze(mark);
        self.modules[index].done = true;
        Ok(index)
    }

    fn top(&mut self, index: usize, module: &Arc<Module>) -> Result<()> {
        let mut variables = Variables {
            module: index,
            locals: self.locals(module.locals, module.captured, None)?,
            outer: None,
        };
        for statement in &module.body {
            let flow = self
                .statement(&mut variables, statement)
                .map_err(|error| error.at(statement.span))?;
            // Only functions return, and only loops are left.
            debug_assert!(matches!(flow, Flow::Next), "the parser refuses it at the top");
        }
        Ok(())
    }

    pub(crate) fn locals(&mut self, count: u32, captured: bool, outer: Option<Id>) -> Result<Locals> {
        let slots = vec![None; count as usize];
        if !captured {
            return Ok(Locals::Own(slots));
        }
        self.heap.charge(count as usize * size_of::<Option<Value>>())?;
        match self.heap.alloc(Object::Variables { slots, outer })? {
            Value::Object(id) => Ok(Locals::Shared(id)),
            _ => Ok(Locals::Own(Vec::new())),
        }
    }

    /// Runs a `load` statement.
    pub(crate) fn load(&mut self, variables: &mut Variables, statement: &StatementKind) -> Result<()> {
        let StatementKind::Load {
            path,
            path_span,
            names,
        } = statement
        else {
            return Ok(());
        };
        let from = self.modules[variables.module].source;
        let source = self.host.open(path, from).map_err(|mut refusal| {
            if refusal.kind == ErrorKind::Failed {
                refusal.kind = ErrorKind::Load;
            }
            refusal.into_error(*path_span)
        })?;
        let index = match self.loaded.get(&source.id) {
            Some(index) if self.modules[*index].done => *index,
            Some(_) => {
                let message = format!("`{path}` is being loaded already: files load one another in a circle");
                return Err(Error::new(ErrorKind::Load, message)
                    .at(*path_span)
                    .help("move what both need into a third file"));
            }
            None => {
                if self.modules.len() > self.heap.limits().files {
                    let message = format!("more than {} files are loaded", self.heap.limits().files);
                    return Err(Error::new(ErrorKind::Load, message).at(*path_span));
                }
                let name: Arc<str> = format!("load(\"{path}\")").into();
                self.stack.push((Arc::clone(&name), *path_span));
                // A chain of files is a recursion like any other. One that loads takes the stack of several levels.
                let run = |machine: &mut Self| {
                    machine.depth += 50;
                    let result = machine.run(&source);
                    machine.depth -= 50;
                    // The first mistake of a file that is loaded has to do.
                    result.map_err(|errors| {
                        let first = errors.into_iter().next();
                        first.map_or_else(|| Error::failed("the file has mistakes"), Box::new)
                    })
                };
                let result = self.deeper(run);
                self.stack.pop();
                result.map_err(|error| error.called(&name, *path_span))?
            }
        };
        for name in names {
            let loaded = &self.modules[index];
            let slot = loaded
                .module
                .globals
                .iter()
                .position(|global| *global == name.theirs);
            let value = slot
                .filter(|slot| loaded.module.exported[*slot])
                .and_then(|slot| loaded.globals[slot].clone());
            let Some(value) = value else {
                return Err(self.not_there(index, path, &name.theirs).at(name.theirs_span));
            };
            self.assign_name(variables, &name.local, value)?;
        }
        Ok(())
    }

    fn not_there(&self, index: usize, path: &str, name: &Arc<str>) -> Box<Error> {
        let module = &self.modules[index].module;
        if name.starts_with('_') && module.globals.contains(name) {
            let message = format!("`{name}` is private to `{path}`, because it begins with `_`");
            return Error::new(ErrorKind::Load, message);
        }
        let mut error = Error::new(ErrorKind::Load, format!("`{path}` has no `{name}`"));
        let names = module.globals.iter().zip(&module.exported);
        let names = names.filter(|(_, exported)| **exported).map(|(name, _)| &**name);
        error.help = crate::error::similar(name, names);
        error
    }
}
