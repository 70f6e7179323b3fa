//! Functions that are called after the evaluation.

use ironmaster_starlark::{Error, ErrorKind, Limits, Program, Value};

use crate::support::Files;

const TEXT: &str = r#"
load("lib", "limit")
seen = []
def outer(n):
    base = [n]
    return lambda x: x.size > limit + base[0] and "skip" not in x.names

filters = {
    "good": outer(1),
    "fails": lambda x: 1 // x.size,
    "changes": lambda x: seen.append(x),
    "loops": lambda x: [i for i in range(1000000000)],
    "grows": lambda x: "a" * (1 << 40),
    "calls": lambda x: note(x),
    "none": lambda x: None,
}
"#;

fn program() -> (Program, Files) {
    let mut files = Files::new(&[("main", TEXT), ("lib", "limit = 2\n")]);
    let program = files
        .run(Limits::default())
        .map_err(|errors| errors[0].clone())
        .expect("the file is good");
    (program, files)
}

fn ask(program: &Program, files: &mut Files, name: &str, size: i64, names: &[&str]) -> Result<bool, Error> {
    let filters = program.global("filters").expect("it is there");
    let function = program.entry(&filters, name).expect("it is there");
    let limits = Limits {
        ticks: 10_000,
        heap_bytes: 1 << 20,
        ..Limits::default()
    };
    program.call(
        &function,
        |heap| {
            let mut texts = Vec::new();
            for name in names {
                texts.push(heap.text(name)?);
            }
            let names = heap.list_of(texts)?;
            Ok(vec![
                heap.struct_of(vec![("size", Value::Int(size)), ("names", names)])?,
            ])
        },
        limits,
        files,
        ironmaster_starlark::Heap::truth,
    )
}

#[test]
fn a_function_can_be_called_again_and_again() {
    let (program, mut files) = program();
    for _ in 0..3 {
        for (name, size, names, expected) in [
            ("good", 4, &[][..], true),
            ("good", 3, &[], false),
            ("good", 9, &["a", "skip"], false),
            ("fails", 1, &[], true),
            ("none", 1, &[], false),
        ] {
            assert_eq!(
                ask(&program, &mut files, name, size, names),
                Ok(expected),
                "{name} {size}"
            );
        }
    }
}

#[test]
fn a_call_that_fails_says_where() {
    let (program, mut files) = program();
    for (name, kind, place) in [
        ("fails", ErrorKind::Failed, "main:10:24"),
        ("changes", ErrorKind::Failed, "main:11:26"),
        ("loops", ErrorKind::Ticks, "main:12:36"),
        ("grows", ErrorKind::Heap, "main:13:24"),
    ] {
        let error = ask(&program, &mut files, name, 0, &[]).expect_err(name);
        assert_eq!(error.kind, kind, "{name}: {error}");
        assert_eq!(
            files.place(error.span.expect("a place")),
            place,
            "{name}: {error}"
        );
    }
    // What failed has changed nothing.
    assert_eq!(ask(&program, &mut files, "good", 4, &[]), Ok(true));
}
