//! The files that a Starlark configuration names: others to load, and data. All lie below the configuration's directory.

use std::path::{Component, Path, PathBuf};

use ironmaster_starlark::{Call, Heap, Refusal, Value};

use crate::{
    data::{self, Form},
    starlark_form::{Reader, place},
    suggest,
};

/// How many files a configuration may have.
const FILES_MAX: usize = 1000;

impl Reader<'_, '_> {
    /// A data file as a value.
    pub(crate) fn data(
        &mut self,
        function: &'static str,
        form: Form,
        call: &Call<'_>,
        heap: &mut Heap,
    ) -> Result<Value, Refusal> {
        let [path] = call.positional else {
            return Err(Refusal::new(format!("`{function}()` takes one path")));
        };
        if let Some(argument) = call.named.first() {
            return Err(Refusal::new(format!(
                "`{function}()` has no argument `{}`",
                argument.name
            )));
        }
        let Value::Text(name) = &path.value else {
            return Err(Refusal {
                span: Some(path.span),
                ..Refusal::new(format!("a path is a text, not a {}", heap.type_name(&path.value)))
            });
        };
        let base = self.checker.sources.file(place(call.span)).map(|file| file.base);
        let files = &self.checker.sources.files;
        let from = files
            .iter()
            .position(|file| Some(file.base) == base)
            .unwrap_or_default();
        let id = self.file(name, from, form.endings(), data::FILE_BYTES_MAX)?;
        let file = &self.checker.sources.files[id];
        heap.tick(file.text.len() as u64 / 64)?;
        heap.charge(file.text.len())?;
        let datum = form.read(&file.text).map_err(|wrong| {
            let at = |at: usize| file.base.saturating_add(at.min(file.text.len()) as u32);
            Refusal {
                span: Some(ironmaster_starlark::Span {
                    start: at(wrong.at.start),
                    end: at(wrong.at.end),
                }),
                ..Refusal::new(wrong.message)
            }
        })?;
        datum.value(call.span, heap)
    }

    /// The index of the source that a path names; it is read the first time. A change of any is a change of the
    /// configuration.
    pub(crate) fn file(
        &mut self,
        path: &str,
        from: usize,
        endings: &[&str],
        bytes_max: u64,
    ) -> Result<usize, Refusal> {
        let (relative, full) = self.find(path, from, endings)?;
        let identity = relative.to_string_lossy().replace('\\', "/");
        let known = self.checker.sources.files.iter();
        if let Some(id) = known
            .map(|file| &file.identity)
            .position(|known| *known == identity)
        {
            return Ok(id);
        }
        if self.checker.sources.files.len() >= FILES_MAX {
            return Err(Refusal::new(format!(
                "a configuration cannot have more than {FILES_MAX} files"
            )));
        }
        let text = crate::read(&full, bytes_max).map_err(|(message, help)| Refusal {
            help: Some(help.to_owned()),
            ..Refusal::new(message)
        })?;
        let main = self.checker.sources.files.first().map_or("", |file| &*file.name);
        let name = Path::new(main)
            .with_file_name("")
            .join(&relative)
            .display()
            .to_string();
        Ok(self.checker.sources.add(name, identity, text.into()))
    }

    /// Where the file is that a path names: relative to the configuration's directory, and as it can be opened.
    fn find(&self, path: &str, from: usize, endings: &[&str]) -> Result<(PathBuf, PathBuf), Refusal> {
        let refuse = |message: String, help: &str| Refusal {
            help: Some(help.to_owned()),
            ..Refusal::new(message)
        };
        let extension = Path::new(path).extension();
        if !endings
            .iter()
            .any(|ending| extension.is_some_and(|extension| extension == *ending))
        {
            let endings: Vec<String> = endings.iter().map(|ending| format!("`.{ending}`")).collect();
            return Err(refuse(
                format!("`{path}` does not end in {}", suggest::or(&endings)),
                "what a file is called says how it is read",
            ));
        }
        let outside = || {
            refuse(
                format!("`{path}` is outside the configuration's directory"),
                "put it beside the configuration, and name it relative to the file that loads it",
            )
        };
        let here = self
            .checker
            .sources
            .files
            .get(from)
            .map_or("", |file| &*file.identity);
        let mut relative = Path::new(here).with_file_name("");
        for part in Path::new(path).components() {
            match part {
                Component::Normal(name) => relative.push(name),
                Component::CurDir => {}
                Component::ParentDir if relative.pop() => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(outside()),
            }
        }
        let base = self.checker.base_dir;
        let full = base.join(&relative);
        let missing = |error: &std::io::Error| {
            refuse(
                format!("cannot read `{path}`: {error}"),
                "the path is relative to the file that loads it",
            )
        };
        // A link may lead elsewhere, or to a file that is known by another name.
        let real = full.canonicalize().map_err(|error| missing(&error))?;
        let real_base = base.canonicalize().map_err(|error| missing(&error))?;
        let relative = real.strip_prefix(&real_base).map_err(|_| outside())?;
        Ok((relative.to_owned(), full))
    }
}
