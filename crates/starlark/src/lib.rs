//! Starlark, interpreted within limits.
//!
//! [Starlark](https://github.com/bazelbuild/starlark/blob/master/spec.md) is the small dialect of Python in which
//! configurations are written by those who need loops and functions. [`evaluate`] runs a file; what the language
//! can touch is the [`Host`] that it is given, and nothing else.
//!
//! How it is laid out: `lexer`, `parser` and `expression` make an `ast` of a text; `resolve` finds out what each
//! name means; `machine`, `eval` and `call` run it over the values of `heap`; `ops`, `index`, `text`, `builtins`
//! and `methods` are what the language brings along. [`Program`] is what is left of an evaluation, so that its
//! functions can be called later.
//!
//! Where it differs from the specification: whole numbers have 64 bits (overflow is an error), `for` and `if`
//! may stand at the top of a file and a global may be assigned again, there are no `bytes` and no sets.
//!
//! **Invariant:** no text makes it panic, overflow the stack, run for ever or take memory without bound. Work is
//! counted in ticks and memory in bytes, never in time, so that the same file ends alike everywhere.
//!
//! **Invariant:** no I/O, no clock, no chance, and no iteration order that depends on addresses or hashes.

#![expect(
    clippy::unnecessary_box_returns,
    reason = "one error goes all the way up; boxed, it keeps every result small"
)]

mod ast;
mod builtins;
mod call;
mod dict;
mod error;
mod eval;
mod expression;
mod format;
mod heap;
mod index;
mod lexer;
mod machine;
mod methods;
mod ops;
mod parser;
mod program;
mod resolve;
mod text;
mod text_methods;

pub use dict::{Dict, Entry};
pub use error::{Error, ErrorKind, Frame};
pub use heap::{Arity, Heap, Id, Object, Record, Slot, Value};
pub use machine::{Call, Host, Limits, NamedArgument, Refusal, STACK_BYTES, Source};
pub use program::{Program, evaluate};
pub use text::quoted;

/// A byte range of the sources, which lie behind one another: each has its base (see [`Source`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One behind the last byte.
    pub end: u32,
}

impl Span {
    /// From the start of this to the end of another.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        Span {
            start: self.start,
            end: other.end.max(self.start),
        }
    }
}
