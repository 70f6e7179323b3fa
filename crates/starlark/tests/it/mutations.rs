//! Files that are almost right: every one ends, in an error or not.

use ironmaster_starlark::Limits;
use proptest::prelude::*;

use crate::support::Files;

const SAMPLE: &str = r#"
load("lib", "f", g = "table")

def build(name, *args, size = 3, **more):
    """Makes one."""
    if size > 2 and name not in ["a", "b"]:
        return [x * 2 for x in range(size) if x % 2 == 0]
    elif not args:
        fail("none: {}".format(name))
    else:
        for i, (a, b) in enumerate(zip(args, [1, 2])):
            if a == b: continue
            more["k%d" % i] = -a // (b or 1)
    return more

x = [build(n, 1, 2.5, size = s) for n in "cde".elems() for s in [3, 4]]
y = {k: v for k, v in {"a": 0x1f, 'b': r"\d"}.items()} | g
x[0] += [lambda q, r = 1: q + r << 2]
print(f(3), y["b"][::-1], struct(a = x).a[-1][0], sorted(["b", "a"], key = len, reverse = True))
note("x", y = y)
"#;

const LIB: &str = "table = {}\ndef f(x): return x if x < 2 else f(x - 1)\n";

/// What is put in: parts of the language, and what has no place in it.
const PARTS: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    "=",
    "+",
    "-",
    "**",
    "*",
    "\n",
    "\n    ",
    "\n  ",
    "\t",
    "\\",
    "\"",
    "'",
    "\"\"\"",
    "#",
    "if ",
    "for ",
    " in ",
    "lambda ",
    "def ",
    "return",
    "else",
    "not ",
    "1",
    "0",
    "9223372036854775807",
    "1e9",
    "0x",
    ".",
    "%",
    "{}",
    "é",
    "\u{0}",
    "\u{feff}",
    "load(",
    "print",
    "range(10000000)",
    " * 100000000",
    "x",
    "f",
    ";",
    "\r",
    "%s",
    "\\u12",
    "1 << 62",
];

fn run(text: &str) {
    let limits = Limits {
        ticks: 100_000,
        heap_bytes: 4 << 20,
        ..Limits::default()
    };
    let mut files = Files::new(&[("main", text), ("lib", LIB)]);
    if let Err(errors) = files.run(limits) {
        assert!(!errors.is_empty());
        for error in errors {
            // Every mistake can be shown: its place is in a file, and on whole characters.
            let span = error.span.expect("a place");
            let _ = files.text_at(span);
            assert!(!error.message.contains("broke"), "{text}\n{error}");
            for frame in error.trace {
                let _ = files.text_at(frame.span);
            }
        }
    }
}

fn char_at(text: &str, at: usize) -> usize {
    let mut at = at % (text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[test]
fn the_sample_is_good() {
    let mut files = Files::new(&[("main", SAMPLE), ("lib", LIB)]);
    files
        .run(Limits::default())
        .map_err(|errors| errors[0].clone())
        .unwrap();
    assert_eq!(files.printed.len(), 1);
}

/// Wherever it ends, and whatever single character is missing.
#[test]
fn a_file_may_end_anywhere() {
    for at in (0..=SAMPLE.len()).filter(|at| SAMPLE.is_char_boundary(*at)) {
        run(&SAMPLE[..at]);
        let mut text = SAMPLE.to_owned();
        if at < text.len() {
            text.remove(at);
            run(&text);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_files_end(changes in prop::collection::vec((any::<usize>(), 0usize..40, 0..PARTS.len()), 1..6)) {
        let mut text = SAMPLE.to_owned();
        for (place, removed, part) in changes {
            let from = char_at(&text, place);
            let to = char_at(&text, (from + removed).min(text.len()));
            text.replace_range(from..to.max(from), PARTS[part]);
        }
        run(&text);
    }

    #[test]
    fn any_parts_end(parts in prop::collection::vec(0..PARTS.len(), 0..60)) {
        let text: String = parts.into_iter().map(|part| PARTS[part]).collect();
        run(&text);
    }

    #[test]
    fn any_text_ends(text in ".{0,200}") {
        run(&text);
    }
}
