//! A configuration that is spelt in Starlark: each section is a call, `worker("linux-1", slots = 4)`, and each kind of
//! step too, `shell("make check")`. What is called is noted as the same tables that TOML would have given.

use std::sync::Arc;

use ironmaster_model::KindSpec;
use ironmaster_starlark::{
    Call, Error, ErrorKind, Heap, Host, Limits, Object, Program, Record, Refusal, Slot, Source, Value,
    evaluate,
};

use crate::{
    checker::Checker,
    data::Form,
    keys::{self, SectionKeys},
    sources::Span,
    suggest,
    tree::{Data, Entry, Node, Table},
};

/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How deep values may be nested.
const DEPTH_MAX: u32 = 64;

/// What an entry of the tree is taken to need, in bytes.
const ENTRY_BYTES: usize = size_of::<Entry>() + 64;

/// Runs the first of the checker's sources, with the files that it loads.
pub(crate) fn read(checker: &mut Checker<'_>) -> (Table, Option<Program>) {
    let functions = functions(checker);
    let names: Vec<&str> = functions.iter().map(|function| function.name).collect();
    let limits = if checker.of_repository {
        REPOSITORY_LIMITS
    } else {
        Limits::default()
    };
    let Some(main) = checker.sources.files.first() else {
        return (Table::default(), None);
    };
    let source = Source {
        id: 0,
        text: Arc::clone(&main.text),
        base: main.base,
    };
    let too_large = main.text.len() as u64 > FILE_BYTES_MAX;
    if too_large {
        checker.broken = true;
        checker.error(
            "too_large",
            Span::default(),
            "a Starlark file cannot be larger than 1 MiB",
        );
        return (Table::default(), None);
    }
    let mut form = Reader {
        checker,
        functions,
        top: Table::default(),
    };
    let result = evaluate(&source, &names, limits, &mut form);
    let top = form.top;
    match result {
        Ok(program) => (top, Some(program)),
        Err(errors) => {
            checker.broken = true;
            for error in errors {
                report(checker, &error);
            }
            (top, None)
        }
    }
}

/// Reports why the evaluation has ended, with the calls that led there.
fn report(checker: &mut Checker<'_>, error: &Error) {
    let code = match error.kind {
        ErrorKind::Syntax => "syntax",
        ErrorKind::Name => "unknown_name",
        ErrorKind::Failed => "evaluation",
        ErrorKind::Fail => "fail",
        ErrorKind::Load => "load",
        ErrorKind::Ticks => "too_long",
        ErrorKind::Heap => "too_much_memory",
        ErrorKind::Depth => "too_deep",
    };
    let trace = error
        .trace
        .iter()
        .map(|frame| {
            let message = if frame.function.starts_with("load(") {
                "loaded from here".to_owned()
            } else {
                format!("`{}` was called from here", frame.function)
            };
            (place(frame.span), message)
        })
        .collect();
    let span = error.span.map(place).unwrap_or_default();
    let message = if error.message.is_empty() {
        "the evaluation gave up".to_owned()
    } else {
        error.message.clone()
    };
    checker.error_with(code, span, message, error.help.clone(), trace);
}

pub(crate) fn place(span: ironmaster_starlark::Span) -> Span {
    Span {
        start: span.start,
        end: span.end,
        calls: 0,
    }
}

/// What a call makes.
#[derive(Clone, Copy)]
enum Makes {
    /// A section at the top of the file, of which there can be one, or several.
    Top(&'static SectionKeys),
    /// A section inside another: a value, to be put into a list.
    Inside(&'static SectionKeys),
    /// What is in a data file.
    Data(Form),
    /// A step of a kind; by its first field if that is not named.
    Step(Option<&'static str>),
}

#[derive(Clone, Copy)]
struct Function {
    name: &'static str,
    makes: Makes,
}

/// Those of a file that stands in a repository.
fn repository_functions() -> Vec<Function> {
    let inside = [&keys::WHEN, &keys::APPROVAL, &keys::RETRY].map(|keys| Function {
        name: keys.name().rsplit_once('.').map_or("", |(_, name)| name),
        makes: Makes::Inside(keys),
    });
    let job = Function {
        name: keys::REPOSITORY_JOB.name(),
        makes: Makes::Top(&keys::REPOSITORY_JOB),
    };
    std::iter::once(job).chain(inside).collect()
}

/// What a file of a repository may cost: a hundredth of a second or so.
const REPOSITORY_LIMITS: Limits = Limits {
    ticks: 1_000_000,
    heap_bytes: 32 << 20,
    calls: 100,
    files: 0,
};

fn functions(checker: &Checker<'_>) -> Vec<Function> {
    if checker.of_repository {
        return repository_functions();
    }
    let mut functions: Vec<Function> = keys::TOP
        .iter()
        .map(|keys| Function {
            name: keys.name(),
            makes: Makes::Top(keys),
        })
        .collect();
    functions.extend(keys::all().filter_map(|keys| {
        let (_, name) = keys.name().rsplit_once('.')?;
        Some(Function {
            name,
            makes: Makes::Inside(keys),
        })
    }));
    functions.extend(Form::FUNCTIONS.iter().map(|(name, form)| Function {
        name,
        makes: Makes::Data(*form),
    }));
    functions.extend(checker.catalogue.steps.iter().map(|kind: &KindSpec| Function {
        name: kind.name,
        makes: Makes::Step(kind.fields.first().map(|field| field.name)),
    }));
    functions
}

pub(crate) struct Reader<'f, 'c> {
    pub(crate) checker: &'f mut Checker<'c>,
    functions: Vec<Function>,
    top: Table,
}

impl Host for Reader<'_, '_> {
    fn call(&mut self, function: &str, call: &Call<'_>, heap: &mut Heap) -> Result<Value, Refusal> {
        let Some(function) = self
            .functions
            .iter()
            .copied()
            .find(|known| known.name == function)
        else {
            return Err(Refusal::new(format!("there is no function `{function}`")));
        };
        match function.makes {
            Makes::Top(keys) => self.section(keys, call, heap),
            Makes::Inside(keys) => self.record(function.name, keys, call, heap),
            Makes::Data(form) => self.data(function.name, form, call, heap),
            Makes::Step(first) => self.step(function.name, first, call, heap),
        }
    }

    fn open(&mut self, path: &str, from: usize) -> Result<Source, Refusal> {
        if self.checker.of_repository {
            return Err(Refusal {
                help: Some("put it into this file".to_owned()),
                ..Refusal::new("the file of a repository cannot load others")
            });
        }
        // Only such files: others may hold what must not be shown.
        let id = self.file(path, from, &["star"], FILE_BYTES_MAX)?;
        let file = &self.checker.sources.files[id];
        Ok(Source {
            id,
            text: Arc::clone(&file.text),
            base: file.base,
        })
    }

    fn print(&mut self, text: &str, span: ironmaster_starlark::Span) {
        let help = "this is from `print`; take it out when it has served";
        self.checker.warning("print", place(span), text, help);
    }
}

impl Reader<'_, '_> {
    /// Notes a section at the top of the configuration. Gives its name, so that others can refer to it.
    fn section(
        &mut self,
        keys: &'static SectionKeys,
        call: &Call<'_>,
        heap: &mut Heap,
    ) -> Result<Value, Refusal> {
        let (table, span) = self.table(keys.name(), keys, first_of(keys), call, heap)?;
        let name = table
            .entry("name")
            .and_then(|entry| entry.node.as_str())
            .map_or(Value::None, |name| Value::Text(name.into()));
        let node = Node {
            data: Data::Table(table),
            span,
        };
        match self
            .top
            .entries
            .iter_mut()
            .find(|entry| entry.name == keys.name())
        {
            Some(Entry {
                node:
                    Node {
                        data: Data::List(items),
                        ..
                    },
                ..
            }) => items.push(node),
            Some(first) => {
                let message = format!("`{}()` can be called once", keys.name());
                let related = (first.node.span, "first called here");
                self.checker
                    .error_related("duplicate", span, message, related, None);
            }
            None => {
                let data = if keys.repeats() {
                    Data::List(vec![node])
                } else {
                    node.data
                };
                self.top.entries.push(Entry {
                    name: keys.name().to_owned(),
                    name_span: span,
                    node: Node { data, span },
                });
            }
        }
        Ok(name)
    }

    /// Makes a section that goes into another.
    fn record(
        &mut self,
        name: &'static str,
        keys: &'static SectionKeys,
        call: &Call<'_>,
        heap: &mut Heap,
    ) -> Result<Value, Refusal> {
        let fields = self.fields(name, first_of(keys), call);
        made(name, fields, call, heap)
    }

    fn step(
        &mut self,
        kind: &'static str,
        first: Option<&'static str>,
        call: &Call<'_>,
        heap: &mut Heap,
    ) -> Result<Value, Refusal> {
        let mut fields = self.fields(kind, first, call);
        // What it is called with follows from what is called.
        fields.retain(|(name, name_span, _)| {
            if &**name == "type" {
                let message = format!("`{kind}()` is a step of the type `{kind}` already");
                self.checker.error("unknown_key", place(*name_span), message);
            }
            &**name != "type"
        });
        let slot = Slot {
            value: Value::Text(kind.into()),
            span: call.span,
        };
        fields.push(("type".into(), call.span, slot));
        made("step", fields, call, heap)
    }

    /// The arguments of a call by name; one without a name is `first`.
    fn fields(
        &mut self,
        function: &str,
        first: Option<&'static str>,
        call: &Call<'_>,
    ) -> Vec<(Arc<str>, ironmaster_starlark::Span, Slot)> {
        let mut fields: Vec<(Arc<str>, ironmaster_starlark::Span, Slot)> = Vec::new();
        for (at, slot) in call.positional.iter().enumerate() {
            match first {
                Some(first) if at == 0 => fields.push((first.into(), slot.span, slot.clone())),
                _ => {
                    let (message, help) = match first {
                        Some(first) => (
                            format!("`{function}()` takes only `{first}` without a name"),
                            "write `name = value`",
                        ),
                        None => (
                            format!("what `{function}()` is given needs a name"),
                            "write `name = value`",
                        ),
                    };
                    let help = Some(help.to_owned());
                    self.checker
                        .error_help("wrong_argument", place(slot.span), message, help);
                }
            }
        }
        for argument in call.named {
            if let Some((_, before, _)) = fields.iter().find(|(name, _, _)| *name == argument.name) {
                let message = format!("`{}` is given twice", argument.name);
                let related = (place(*before), "first given here");
                let span = place(argument.name_span);
                self.checker
                    .error_related("duplicate", span, message, related, None);
                continue;
            }
            fields.push((
                Arc::clone(&argument.name),
                argument.name_span,
                argument.slot.clone(),
            ));
        }
        fields
    }

    /// The table that a call stands for, with its place.
    fn table(
        &mut self,
        function: &str,
        keys: &'static SectionKeys,
        first: Option<&'static str>,
        call: &Call<'_>,
        heap: &mut Heap,
    ) -> Result<(Table, Span), Refusal> {
        let fields = self.fields(function, first, call);
        let calls = self.calls(call.trace);
        let table = self.entries(&fields, Some(keys), calls, heap, 0)?;
        let span = Span {
            calls,
            ..place(call.span)
        };
        Ok((table, span))
    }

    fn calls(&mut self, trace: &[ironmaster_starlark::Span]) -> u32 {
        self.checker
            .sources
            .add_calls(trace.iter().map(|span| place(*span)).collect())
    }

    fn entries(
        &mut self,
        fields: &[(Arc<str>, ironmaster_starlark::Span, Slot)],
        keys: Option<&'static SectionKeys>,
        calls: u32,
        heap: &mut Heap,
        depth: u32,
    ) -> Result<Table, Refusal> {
        let mut table = Table::default();
        for (name, name_span, slot) in fields {
            // What is None might as well be left out: so it can be a parameter's default.
            if matches!(slot.value, Value::None) {
                continue;
            }
            let name_span = Span {
                calls,
                ..place(*name_span)
            };
            let name = match keys {
                Some(keys) => match self.key_name(keys, name, name_span) {
                    Some(name) => name,
                    None => continue,
                },
                None => name.to_string(),
            };
            heap.charge(ENTRY_BYTES)?;
            table.entries.push(Entry {
                name,
                name_span,
                node: self.node(slot, calls, heap, depth + 1)?,
            });
        }
        Ok(table)
    }

    /// The key that an argument stands for: a list of sections has the plural's name here.
    fn key_name(&mut self, keys: &'static SectionKeys, name: &str, span: Span) -> Option<String> {
        let sections = |key: &str| {
            // Which sections a scheduler has depends on its type, which is looked at later.
            let inside = keys::all()
                .filter(|inside| inside.repeats() && inside.name().split('.').next() == Some(keys.name()));
            inside
                .filter_map(|inside| inside.name().split_once('.'))
                .any(|(_, inside)| inside == key)
        };
        if sections(name) {
            let message = format!("`{}()` has no key `{name}`", keys.name());
            let help = Some(suggest::did_you_mean(&format!("{name}s")));
            self.checker.error_help("unknown_key", span, message, help);
            return None;
        }
        let singular = name.strip_suffix('s').filter(|singular| sections(singular));
        Some(singular.unwrap_or(name).to_owned())
    }

    fn node(&mut self, slot: &Slot, calls: u32, heap: &mut Heap, depth: u32) -> Result<Node, Refusal> {
        heap.tick(1)?;
        heap.charge(size_of::<Node>())?;
        if depth > DEPTH_MAX {
            return Err(Refusal {
                kind: ErrorKind::Depth,
                span: Some(slot.span),
                ..Refusal::new("this value is nested too deeply")
            });
        }
        let span = Span {
            calls,
            ..place(slot.span)
        };
        let data = match &slot.value {
            Value::None => Data::Other("None".to_owned()),
            Value::Bool(bool) => Data::Bool(*bool),
            Value::Int(number) => Data::Integer(Some(*number), number.to_string()),
            Value::Float(number) => Data::Float(Some(*number), number.to_string()),
            Value::Text(text) => {
                heap.charge(text.len())?;
                Data::Text(text.to_string())
            }
            Value::Builtin(_) => Data::Other("a function".to_owned()),
            Value::Object(id) => match heap.get(*id) {
                Object::List { items, .. } => self.list(&items.clone(), calls, heap, depth)?,
                Object::Tuple(items) => self.list(&Arc::clone(items), calls, heap, depth)?,
                Object::Dict(dict) => {
                    let entries = dict.entries().to_vec();
                    let mut fields = Vec::with_capacity(entries.len());
                    for entry in entries {
                        let Value::Text(name) = entry.key.value else {
                            let found = heap.type_name(&entry.key.value);
                            let message = format!("names are texts, not a {found}");
                            self.checker.error("wrong_type", place(entry.key.span), message);
                            continue;
                        };
                        fields.push((name, entry.key.span, entry.value));
                    }
                    Data::Table(self.entries(&fields, None, calls, heap, depth)?)
                }
                Object::Record(record) => return self.inside(&Arc::clone(record), span, heap, depth),
                Object::Range(..) => Data::Other("a range".to_owned()),
                Object::Function(function) => Data::Function(slot.value.clone(), function.arity()),
                _ => Data::Other("a function of the language".to_owned()),
            },
        };
        Ok(Node { data, span })
    }

    fn list(&mut self, items: &[Slot], calls: u32, heap: &mut Heap, depth: u32) -> Result<Data, Refusal> {
        let mut nodes = Vec::new();
        for item in items {
            nodes.push(self.node(item, calls, heap, depth + 1)?);
        }
        Ok(Data::List(nodes))
    }

    /// What a function has made, or a struct. The former has its own place, wherever it was put.
    fn inside(&mut self, record: &Record, used: Span, heap: &mut Heap, depth: u32) -> Result<Node, Refusal> {
        let keys = keys::all().find(|keys| {
            let name = keys.name().rsplit_once('.').map(|(_, name)| name);
            name == Some(&*record.kind)
        });
        let (span, calls) = if keys.is_some() {
            let calls = self.calls(&record.trace);
            (
                Span {
                    calls,
                    ..place(record.span)
                },
                calls,
            )
        } else {
            (used, used.calls)
        };
        let table = self.entries(&record.fields, keys, calls, heap, depth)?;
        Ok(Node {
            data: Data::Table(table),
            span,
        })
    }
}

/// The key that can be given without its name: that of what must have one.
fn first_of(keys: &SectionKeys) -> Option<&'static str> {
    keys.keys.first().filter(|key| key.required).map(|key| key.name)
}

fn made(
    kind: &str,
    fields: Vec<(Arc<str>, ironmaster_starlark::Span, Slot)>,
    call: &Call<'_>,
    heap: &mut Heap,
) -> Result<Value, Refusal> {
    heap.charge(fields.len() * ENTRY_BYTES)?;
    let record = Record {
        kind: kind.into(),
        span: call.span,
        trace: call.trace.to_vec(),
        fields,
    };
    Ok(heap.alloc(Object::Record(Arc::new(record)))?)
}
