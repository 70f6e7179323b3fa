//! How a worker gathers output.

use crate::{
    Value,
    fields::{FieldError, Fields},
};

/// `set_worker_settings`. They hold until the worker's process ends, also over connections.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Characters that are gathered before they are sent.
    pub buffer_size: u64,
    /// Seconds that they are gathered at most.
    pub buffer_timeout: f64,
    /// What counts as the end of a line, a regular expression in Python's syntax.
    pub newline_re: String,
    /// Characters after which a line is split. Stock workers lose text when they split one.
    pub max_line_length: u64,
}

impl Default for Settings {
    /// So that no line is ever split, and none is late.
    fn default() -> Self {
        Self {
            buffer_size: 64 * 1024,
            buffer_timeout: 1.0,
            newline_re: r"(\r\n|\r(?=.)|\033\[u|\033\[[0-9]+;[0-9]+[Hf]|\033\[2J|\x08+)".into(),
            max_line_length: 1 << 30,
        }
    }
}

impl Settings {
    pub(super) fn read(value: &Value) -> Result<Self, FieldError> {
        let fields = Fields::of("set_worker_settings", value)?;
        Ok(Self {
            buffer_size: fields.size("buffer_size")?,
            buffer_timeout: fields.opt_number("buffer_timeout")?.unwrap_or_default(),
            newline_re: fields.text("newline_re")?,
            max_line_length: fields.size("max_line_length")?,
        })
    }

    pub(super) fn write(&self) -> Value {
        Value::dict([
            ("newline_re", self.newline_re.as_str().into()),
            ("max_line_length", self.max_line_length.into()),
            ("buffer_timeout", self.buffer_timeout.into()),
            ("buffer_size", self.buffer_size.into()),
        ])
    }
}
