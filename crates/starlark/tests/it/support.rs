//! A host with a few files, that notes what is printed.

use std::{collections::BTreeMap, sync::Arc};

use ironmaster_starlark::{Call, Error, Heap, Host, Limits, Program, Refusal, Source, Span, Value, evaluate};

#[derive(Default)]
pub(crate) struct Files {
    texts: BTreeMap<String, String>,
    opened: Vec<(String, u32, Arc<str>)>,
    pub(crate) printed: Vec<String>,
    /// Spans of arguments and of the calls around them that `note` was called with, as text.
    pub(crate) noted: Vec<String>,
}

impl Files {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        Self {
            texts: files
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect(),
            ..Self::default()
        }
    }

    fn source(&mut self, name: &str) -> Option<Source> {
        if let Some(id) = self.opened.iter().position(|(opened, _, _)| opened == name) {
            let (_, base, text) = self.opened[id].clone();
            return Some(Source { id, text, base });
        }
        let text: Arc<str> = self.texts.get(name)?.as_str().into();
        let base = self
            .opened
            .last()
            .map_or(0, |(_, base, text)| base + text.len() as u32 + 1);
        let id = self.opened.len();
        self.opened.push((name.to_owned(), base, Arc::clone(&text)));
        Some(Source { id, text, base })
    }

    pub(crate) fn run(&mut self, limits: Limits) -> Result<Program, Vec<Error>> {
        let main = self.source("main").expect("there is a main file");
        evaluate(&main, &["note"], limits, self)
    }

    /// What stands at a place.
    pub(crate) fn text_at(&self, span: Span) -> &str {
        let (_, base, text) = self.file_of(span);
        &text[(span.start - base) as usize..(span.end - base) as usize]
    }

    /// `file:line:column` of a place.
    pub(crate) fn place(&self, span: Span) -> String {
        let (name, base, text) = self.file_of(span);
        let before = &text[..(span.start - base) as usize];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{name}:{line}:{column}")
    }

    fn file_of(&self, span: Span) -> &(String, u32, Arc<str>) {
        self.opened
            .iter()
            .rev()
            .find(|(_, base, _)| *base <= span.start)
            .expect("a place is in a file")
    }
}

impl Host for Files {
    fn call(&mut self, _function: &str, call: &Call<'_>, heap: &mut Heap) -> Result<Value, Refusal> {
        let mut note = String::new();
        for slot in call.positional {
            note += &format!("{} = {:?} ", self.text_at(slot.span), heap.type_name(&slot.value));
        }
        for argument in call.named {
            let (name, value) = (self.text_at(argument.name_span), self.text_at(argument.slot.span));
            note += &format!("[{name}: {value}] ");
        }
        for span in call.trace {
            note += &format!("from {} ", self.place(*span));
        }
        self.noted.push(note.trim_end().to_owned());
        if call.positional.is_empty() && call.named.is_empty() {
            return Err(Refusal::new("nothing to note"));
        }
        Ok(Value::None)
    }

    fn open(&mut self, path: &str, _from: usize) -> Result<Source, Refusal> {
        self.source(path)
            .ok_or_else(|| Refusal::new(format!("there is no file `{path}`")))
    }

    fn print(&mut self, text: &str, _span: Span) {
        self.printed.push(text.to_owned());
    }
}

/// What a file prints.
#[track_caller]
pub(crate) fn printed(text: &str) -> Vec<String> {
    let mut files = Files::new(&[("main", text)]);
    if let Err(errors) = files.run(Limits::default()) {
        let first = &errors[0];
        let place = first.span.map(|span| files.place(span)).unwrap_or_default();
        panic!("{text}\n{place}: {first}");
    }
    files.printed
}
