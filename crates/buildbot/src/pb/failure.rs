//! Errors as values: what a call ended with on the other side.

use std::borrow::Cow;

use crate::value::{Copied, Value};

/// How an exception is called on the wire.
pub(crate) const CLASS: &[u8] = b"twisted.spread.pb.CopyableFailure";
/// Who cannot log in.
const UNAUTHORIZED: &str = "twisted.cred.error.UnauthorizedLogin";
/// A method that is not there.
const NO_SUCH_METHOD: &str = "twisted.spread.flavors.NoSuchMethod";

/// An exception, as it travels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Failure {
    /// The dotted name of its class, `builtins.KeyError`.
    pub kind: String,
    /// What it says.
    pub message: String,
    /// The class and its bases.
    pub parents: Vec<String>,
    /// Where it happened, in words.
    pub traceback: String,
}

impl Failure {
    /// An exception of a class, with its bases. The other side matches against them.
    pub fn new(kind: &str, bases: &[&str], message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            message: message.into(),
            parents: std::iter::once(kind)
                .chain(bases.iter().copied())
                .map(Into::into)
                .collect(),
            traceback: "Traceback unavailable\n".into(),
        }
    }

    /// A login that is refused. A stock worker that gets anything else stops its process.
    pub fn unauthorized() -> Self {
        Self::new(
            UNAUTHORIZED,
            &[
                "twisted.cred.error.LoginFailed",
                "twisted.cred.error.Unauthorized",
            ],
            "",
        )
    }

    /// An object that is not there.
    pub fn no_object() -> Self {
        Self::new(
            "twisted.spread.pb.Error",
            &["builtins.Exception"],
            "Invalid Object ID",
        )
    }

    /// A method that is not there.
    pub fn no_method(method: &str) -> Self {
        Self::new(
            NO_SUCH_METHOD,
            &["builtins.AttributeError", "builtins.Exception"],
            format!("No such method: remote_{method}"),
        )
    }

    /// An argument that is wrong.
    pub fn value(message: impl Into<String>) -> Self {
        Self::new("builtins.ValueError", &["builtins.Exception"], message)
    }

    /// A command that the worker does not have.
    pub fn unknown_command(message: impl Into<String>) -> Self {
        Self::new(
            "buildbot_worker.base.UnknownCommand",
            &["twisted.spread.pb.Error", "builtins.Exception"],
            message,
        )
    }

    /// A command that failed in a way that it has no words for.
    pub fn command(message: impl Into<String>) -> Self {
        Self::new("builtins.RuntimeError", &["builtins.Exception"], message)
    }

    /// Whether a login was refused.
    pub fn is_unauthorized(&self) -> bool {
        self.is(UNAUTHORIZED)
    }

    /// Whether a method was not there.
    pub fn is_no_method(&self) -> bool {
        self.is(NO_SUCH_METHOD) || self.kind.ends_with(".NoSuchMethod")
    }

    /// Whether it is of this class or one below it.
    pub fn is(&self, class: &str) -> bool {
        self.kind == class || self.parents.iter().any(|parent| parent == class)
    }

    /// What it says, or what it is.
    pub fn words(&self) -> String {
        if self.message.is_empty() {
            self.kind.clone()
        } else {
            self.message.clone()
        }
    }

    /// From what came. Whatever is missing is empty.
    pub(crate) fn read(value: &Value) -> Self {
        let state = match value {
            Value::Copied(copied) => &copied.state,
            other => other,
        };
        let text = |key| {
            let text = state.get(key).and_then(Value::as_text);
            text.map(Cow::into_owned).unwrap_or_default()
        };
        let parents = state.get("parents").and_then(Value::as_items).unwrap_or_default();
        Self {
            kind: text("type"),
            message: text("value"),
            parents: parents
                .iter()
                .filter_map(|parent| parent.as_text().map(Cow::into_owned))
                .collect(),
            traceback: text("traceback"),
        }
    }

    /// As it is sent. `type` is a byte string, the rest is text; without `parents` stock programs fail.
    pub(crate) fn write(&self) -> Value {
        let state = Value::dict([
            ("type", Value::bytes(self.kind.clone().into_bytes())),
            ("value", self.message.as_str().into()),
            (
                "parents",
                Value::List(self.parents.iter().map(|parent| parent.as_str().into()).collect()),
            ),
            ("traceback", self.traceback.as_str().into()),
            ("frames", Value::List(Vec::new())),
            ("stack", Value::List(Vec::new())),
            ("tb", Value::None),
            ("captureVars", false.into()),
            ("unsafeTracebacks", false.into()),
            ("count", 0_i64.into()),
        ]);
        let class = bytes::Bytes::from_static(CLASS);
        Value::Copied(Box::new(Copied { class, state }))
    }
}
