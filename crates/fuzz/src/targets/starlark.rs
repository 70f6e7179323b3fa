//! Files in Starlark.

use std::sync::Arc;

use ironmaster_starlark::{Call, Heap, Host, Limits, Refusal, Source, Span, Value, evaluate};

/// What an evaluation says if it has panicked; it does not let a panic out of its thread.
const BROKEN: &str = "a mistake of this program";

/// Small, so that a loop without end costs little.
const LIMITS: Limits = Limits {
    ticks: 100_000,
    heap_bytes: 4 << 20,
    calls: 50,
    files: 4,
};

/// A file that is run by itself. It may load itself and call `note`.
pub(crate) fn program(input: &[u8]) {
    let text: Arc<str> = String::from_utf8_lossy(input).into();
    let source = Source {
        id: 0,
        text: Arc::clone(&text),
        base: 0,
    };
    match evaluate(&source, &["note"], LIMITS, &mut Alone(&source)) {
        Ok(program) => {
            let (ticks, bytes) = program.cost();
            assert!(
                ticks <= LIMITS.ticks && bytes <= LIMITS.heap_bytes,
                "it was stopped in time"
            );
            let _ = program.global("x");
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                assert!(!error.message.contains(BROKEN), "{error:?}");
                for span in error
                    .span
                    .iter()
                    .chain(error.trace.iter().map(|frame| &frame.span))
                {
                    within(&text, *span);
                }
            }
        }
    }
}

/// A configuration.
pub(crate) fn config(input: &[u8]) {
    let report = super::text::configuration("fuzz.star", input);
    for finding in &report.findings {
        assert!(!finding.message.contains(BROKEN), "{finding:?}");
    }
}

fn within(text: &str, span: Span) {
    let range = span.start as usize..span.end as usize;
    assert!(text.get(range).is_some(), "{span:?} is not within the text");
}

/// All that there is: the file.
struct Alone<'s>(&'s Source);

impl Host for Alone<'_> {
    fn call(&mut self, _function: &str, call: &Call<'_>, heap: &mut Heap) -> Result<Value, Refusal> {
        within(&self.0.text, call.span);
        for slot in call.positional {
            within(&self.0.text, slot.span);
            let _ = heap.type_name(&slot.value);
        }
        for argument in call.named {
            within(&self.0.text, argument.name_span);
            within(&self.0.text, argument.slot.span);
        }
        match call.positional.first() {
            Some(slot) => Ok(slot.value.clone()),
            None => Err(Refusal::new("nothing to note")),
        }
    }

    fn open(&mut self, path: &str, _from: usize) -> Result<Source, Refusal> {
        if path == "self" {
            Ok(self.0.clone())
        } else {
            Err(Refusal::new(format!("there is no file `{path}`")))
        }
    }

    fn print(&mut self, _text: &str, span: Span) {
        within(&self.0.text, span);
    }
}
