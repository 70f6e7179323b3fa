//! What goes wrong, with the way there.

use std::{fmt, sync::Arc};

use crate::Span;

/// Frames that a traceback keeps: the innermost ones.
const FRAMES_MAX: usize = 16;

/// Why a file could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What sort of mistake it is.
    pub kind: ErrorKind,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do, where that is known.
    pub help: Option<String>,
    /// Where. None only while the error is on its way to where it can be told.
    pub span: Option<Span>,
    /// The calls that led there, innermost first.
    pub trace: Vec<Frame>,
}

/// What sort of mistake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text is not Starlark.
    Syntax,
    /// A name that means nothing.
    Name,
    /// Something went wrong while it ran.
    Failed,
    /// The file itself said so, with `fail`.
    Fail,
    /// Another file could not be loaded.
    Load,
    /// It did more than [`Limits::ticks`](crate::Limits::ticks) allows.
    Ticks,
    /// It made more than [`Limits::heap_bytes`](crate::Limits::heap_bytes) allows.
    Heap,
    /// Calls or values are nested too deeply.
    Depth,
}

/// One call on the way to an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Which function was called.
    pub function: Arc<str>,
    /// Where it was called.
    pub span: Span,
}

pub(crate) type Result<T> = std::result::Result<T, Box<Error>>;

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            kind,
            message: message.into(),
            help: None,
            span: None,
            trace: Vec::new(),
        })
    }

    pub(crate) fn failed(message: impl Into<String>) -> Box<Self> {
        Self::new(ErrorKind::Failed, message)
    }

    pub(crate) fn syntax(span: Span, message: impl Into<String>) -> Box<Self> {
        Self::new(ErrorKind::Syntax, message).at(span)
    }

    /// Says where, unless that is known more exactly already.
    pub(crate) fn at(mut self: Box<Self>, span: Span) -> Box<Self> {
        self.span.get_or_insert(span);
        self
    }

    pub(crate) fn help(mut self: Box<Self>, help: impl Into<String>) -> Box<Self> {
        self.help.get_or_insert(help.into());
        self
    }

    pub(crate) fn called(mut self: Box<Self>, function: &Arc<str>, span: Span) -> Box<Self> {
        if self.trace.len() < FRAMES_MAX {
            self.trace.push(Frame {
                function: Arc::clone(function),
                span,
            });
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The name that `given` was probably meant to be.
pub(crate) fn similar<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let allowed = 1 + given.chars().count().min(10) / 5;
    names
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(distance, name)| *distance <= allowed && *distance < name.chars().count())
        .min()
        .map(|(_, name)| format!("did you mean `{name}`?"))
}
