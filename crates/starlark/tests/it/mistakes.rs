//! What is said of mistakes, and where.

use ironmaster_starlark::{ErrorKind, Limits};

use crate::support::Files;

/// The mistakes of a file: `place message`, then the calls that led there.
#[track_caller]
fn mistakes(text: &str) -> Vec<String> {
    let mut files = Files::new(&[("main", text)]);
    let errors = files.run(Limits::default()).expect_err(text);
    errors
        .iter()
        .map(|error| {
            let span = error.span.expect("every mistake has a place");
            let place = files.place(span).replace("main:", "");
            let mut line = format!("{place} {}", error.message);
            if let Some(help) = &error.help {
                line += &format!(" | {help}");
            }
            for frame in &error.trace {
                line += &format!(
                    " < {}@{}",
                    frame.function,
                    files.place(frame.span).replace("main:", "")
                );
            }
            line
        })
        .collect()
}

#[test]
fn mistakes_have_their_place() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        ("x = ", "1:4 expected a value, found the end of the line"),
        ("x = 1\ny = (1,\n\n", "2:5 this `(` is never closed"),
        ("f(1]", "1:2 this `(` is closed by `]`"),
        ("x = 1)", "1:6 `)` closes nothing"),
        (
            "\n\ndef f():",
            "3:9 expected an indented block, found the end of the file",
        ),
        (
            "if 1:\n  x = 1\n y = 2\n",
            "3:1 this line starts at a column where no block starts | give all lines of a block the same number of blanks",
        ),
        (
            "x = 1\n  y = 2\n",
            "2:1 this line is indented, but no block starts here",
        ),
        ("x = \"abc\ny = 2", "1:5 this text has no closing \""),
        ("x = '''abc\ny = 2", "1:5 this text has no closing '''"),
        (
            "x = \"\\q\"",
            "1:6 `\\q` is no escape | write `\\\\` for a backslash, or `r` before the quotes",
        ),
        (
            "x = 0777",
            "1:5 `0777` is not a number | octal numbers begin with `0o`",
        ),
        (
            "x = 99999999999999999999",
            "1:5 `99999999999999999999` is not a number | whole numbers have 64 bits",
        ),
        ("x = $", "1:5 `$` has no meaning here"),
        (
            "while True: pass",
            "1:1 there is no `while` in Starlark | use a `for` loop over a list or a `range`",
        ),
        (
            "import os",
            "1:1 there is no `import` in Starlark | use `load(\"file.star\", \"name\")`",
        ),
        (
            "class A: pass",
            "1:1 `class` is a reserved word | use `struct` and functions",
        ),
        (
            "x = f\"a\"",
            "1:5 there are no f-strings in Starlark | write `\"{}\".format(value)`",
        ),
        ("return 1", "1:1 `return` stands outside a function"),
        ("break", "1:1 `break` stands outside a loop"),
        (
            "def f():\n  load('a', 'b')",
            "2:3 `load` must stand at the top of the file | a file is loaded once, whatever happens inside functions",
        ),
        ("1 = 2", "1:1 this cannot be assigned to"),
        ("f() = 2", "1:1 a call cannot be assigned to"),
        (
            "a.b = 2",
            "1:1 what a value holds cannot be assigned to | make a new `struct`, or use a dict",
        ),
        (
            "x = 1 < 2 < 3",
            "1:11 comparisons cannot be chained | write `a < b and b < c`",
        ),
        (
            "f(a = 1, 2)",
            "1:10 an argument without a name cannot follow one with a name",
        ),
        ("f(a = 1, a = 2)", "1:10 `a` is given twice"),
        ("def f(a, a): pass", "1:10 there are two parameters `a`"),
        ("x = [a for a in b c]", "1:19 expected `,` or `]`, found `c`"),
        (
            "x = \"a\" \"b\"",
            "1:9 two texts stand side by side | put a comma or a `+` between them",
        ),
        (
            "x = {\"a\" = 1}",
            "1:10 expected `:`, found `=` | a dict is written `{\"name\": value}`",
        ),
        ("x = 1 2", "1:7 expected the end of the line, found a number"),
        // While it runs.
        ("x = 1 // 0", "1:5 division by zero"),
        (
            "x = 9223372036854775807 + 1",
            "1:5 the result is too large: whole numbers have 64 bits",
        ),
        (
            "x = 1 << 63",
            "1:5 the result is too large: whole numbers have 64 bits",
        ),
        (
            "x = \"a\" + 1",
            "1:5 `+` does not go with a string and a int | make a text of it: `str(x)`",
        ),
        ("x = [1][1]", "1:5 there is no item 1; there are 1"),
        (
            "x = {}[\"a\"]",
            "1:5 the dict has no key \"a\" | `d.get(key, default)` gives a default instead",
        ),
        (
            "x = {[]: 1}",
            "1:6 a list cannot be a key of a dict | keys are texts, numbers, or tuples of them",
        ),
        ("x = {1: 1, 1: 2}", "1:12 this key is in the dict twice"),
        (
            "x = \"a\".uper()",
            "1:9 a string has no `uper` | did you mean `upper`?",
        ),
        (
            "x = struct(name = 1).nmae",
            "1:22 a struct has no `nmae` | did you mean `name`?",
        ),
        (
            "for c in \"abc\": pass",
            "1:10 a string has no items to go over | write `.elems()` for its characters, `.splitlines()` for its lines",
        ),
        (
            "for c in 3: pass",
            "1:10 a int has no items to go over | write `range(3)`",
        ),
        ("a, b = [1]", "1:1 1 values for 2 variables"),
        (
            "x = [1]\nfor i in x:\n  x.append(i)",
            "3:3 this value cannot change while a loop goes over it | go over a copy: `list(x)`",
        ),
        (
            "x = [3, \"a\"]\ny = sorted(x)",
            "2:5 a int and a string have no order",
        ),
        (
            "x = \"%(prop:a)s %s\" % 1",
            "1:5 `%(prop:a)` wants a dict behind the `%` | to leave it in the text, join texts with `+` or use `.format()` instead of `%`",
        ),
        (
            "x = \"%s %s\" % 1",
            "1:5 the text has more `%` than there are values",
        ),
        ("x = \"{}\".format()", "1:5 there is no value for `{}`"),
        ("x = 1()", "1:5 a int cannot be called"),
        ("x = len()", "1:5 `len` needs `x`"),
        ("x = len(1, 2)", "1:12 `len` takes 1 argument; this is one more"),
        ("fail(\"so\", 1)", "1:1 so 1"),
        ("note()", "1:1 nothing to note"),
        ("x = y\ny = 1", "1:5 `y` has no value yet"),
        (
            "def f():\n  x = x\n  return x\nf()",
            "2:7 `x` has no value yet < f@4:1",
        ),
    ] {
        let found = mistakes(text);
        if found != [expected] {
            wrong.push(format!(
                "{text}\n  expected {expected}\n  found    {}",
                found.join("\n")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All names are looked at before anything runs.
#[test]
fn misspelt_names_are_found_at_once() {
    let text = "def f(count):\n    return cuont\n\nprnt(1)\nif False:\n    fial(2)\n";
    assert_eq!(
        mistakes(text),
        [
            "2:12 `cuont` is not defined | did you mean `count`?",
            "4:1 `prnt` is not defined | did you mean `print`?",
            "6:5 `fial` is not defined | did you mean `fail`?",
        ]
    );
}

/// The way to a mistake, through functions; also at the very end of a file without a last newline.
#[test]
fn a_traceback_leads_to_the_mistake() {
    let text = "def a(x):\n    return b(x)\n\ndef b(x):\n    return 1 // x\n\n\na(\n  0)";
    assert_eq!(mistakes(text), ["5:12 division by zero < b@2:12 < a@8:1"]);
}

#[test]
fn arguments_must_fit() {
    let def = "def f(a, b = 1, *, count = 2): pass\n";
    for (call, expected) in [
        ("f()", "2:1 `f` needs `a` < f@2:1"),
        (
            "f(1, 2, 3)",
            "2:9 `f` takes 2 arguments without a name; this is one more < f@2:1",
        ),
        (
            "f(1, cuont = 3)",
            "2:6 `f` has no parameter `cuont` | did you mean `count`? < f@2:1",
        ),
        ("f(1, a = 3)", "2:6 `a` is given twice < f@2:1"),
        ("f(*1)", "2:4 a int has no items to go over | write `range(1)`"),
        ("f(**1)", "2:5 what follows `**` must be a dict"),
    ] {
        assert_eq!(mistakes(&format!("{def}{call}")), [expected], "{call}");
    }
}

#[test]
fn kinds_are_told_apart() {
    for (text, kind) in [
        ("x = ", ErrorKind::Syntax),
        ("x = y", ErrorKind::Name),
        ("x = 1 // 0", ErrorKind::Failed),
        ("fail()", ErrorKind::Fail),
        ("load('none', 'x')", ErrorKind::Load),
    ] {
        let errors = Files::new(&[("main", text)]).run(Limits::default()).unwrap_err();
        assert_eq!(errors[0].kind, kind, "{text}");
    }
}
