//! Files that load one another.

use ironmaster_starlark::Limits;

use crate::support::Files;

#[track_caller]
fn run(files: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let mut files = Files::new(files);
    match files.run(Limits::default()) {
        Ok(_) => Ok(files.printed),
        Err(errors) => {
            let error = &errors[0];
            let mut line = format!("{} {}", files.place(error.span.unwrap()), error.message);
            for frame in &error.trace {
                line += &format!(" < {}", files.place(frame.span));
            }
            Err(line)
        }
    }
}

#[test]
fn names_of_other_files_are_used() {
    let printed = run(&[
        (
            "main",
            "load(\"lib\", \"double\", t = \"table\")\nload(\"other\", \"table\")\nprint(double(4), t, table)",
        ),
        (
            "lib",
            "load('other', o = 'table')\nfactor = 2\ndef double(x): return x * factor\ntable = [1]\nprint('once')",
        ),
        ("other", "table = {}"),
    ]);
    assert_eq!(printed.unwrap(), ["once", "8 [1] {}"]);
}

/// A file runs once, and its functions see its own globals.
#[test]
fn a_file_runs_once() {
    let printed = run(&[
        ("main", "x = 1\nload('a', 'f')\nload('b', 'g')\nprint(f(), g())"),
        ("a", "load('c', 'c')\nx = 2\ndef f(): return x + c"),
        ("b", "load('c', 'c')\nx = 3\ndef g(): return x + c"),
        ("c", "print('c')\nc = 10"),
    ]);
    assert_eq!(printed.unwrap(), ["c", "12 13"]);
}

#[test]
fn what_is_loaded_cannot_change() {
    let lib = "items = [1]\ndef add(x): items.append(x)\ndef fresh(): return [1]";
    for (text, expected) in [
        (
            "load('lib', 'items')\nitems.append(2)",
            "main:2:1 this value comes from a file that was loaded, and cannot change any more",
        ),
        (
            "load('lib', 'items')\nitems[0] = 2",
            "main:2:1 this value comes from a file that was loaded, and cannot change any more",
        ),
        (
            "load('lib', 'add')\nadd(2)",
            "lib:2:13 this value comes from a file that was loaded, and cannot change any more < main:2:1",
        ),
    ] {
        assert_eq!(run(&[("main", text), ("lib", lib)]).unwrap_err(), expected);
    }
    let text = "mine = []\nload('lib', 'fresh', 'items')\nmine.append(1)\nx = fresh()\nx.append(2)\ny = list(items)\ny.append(3)\nprint(mine, x, y)";
    assert_eq!(
        run(&[("main", text), ("lib", lib)]).unwrap(),
        ["[1] [1, 2] [1, 3]"]
    );
}

#[test]
fn what_cannot_be_loaded_is_said() {
    for (files, expected) in [
        (
            vec![("main", "x = 1\nload('none', 'x')")],
            "main:2:6 there is no file `none`",
        ),
        (
            vec![("main", "load('a', 'x')"), ("a", "load('main', 'y')\nx = 1")],
            "a:1:6 `main` is being loaded already: files load one another in a circle < main:1:6",
        ),
        (
            vec![("main", "load('main', 'x')")],
            "main:1:6 `main` is being loaded already: files load one another in a circle",
        ),
        (
            vec![("main", "load('a', 'nmae')"), ("a", "name = 1")],
            "main:1:11 `a` has no `nmae`",
        ),
        (
            vec![("main", "load('a', '_x')"), ("a", "_x = 1")],
            "main:1:11 `_x` is private to `a`, because it begins with `_`",
        ),
        // What a file has loaded itself is not its own.
        (
            vec![
                ("main", "load('a', 'x')"),
                ("a", "load('b', 'x')"),
                ("b", "x = 1"),
            ],
            "main:1:11 `a` has no `x`",
        ),
        (
            vec![("main", "load('a')"), ("a", "")],
            "main:1:6 this `load` names nothing to load",
        ),
        (
            vec![("main", "\nload('a', 'x')"), ("a", "\n\nx = 1 // 0")],
            "a:3:5 division by zero < main:2:6",
        ),
        (
            vec![("main", "load('a', 'x')"), ("a", "x = (")],
            "a:1:5 this `(` is never closed < main:1:6",
        ),
        (
            vec![
                ("main", "load('a', 'f')\nf(0)"),
                ("a", "def f(x):\n  return 1 // x"),
            ],
            "a:2:10 division by zero < main:2:1",
        ),
    ] {
        assert_eq!(run(&files).unwrap_err(), expected, "{files:?}");
    }
}

/// A long chain of files is refused, not a stack overflow.
#[test]
fn a_long_chain_of_files_ends() {
    let files: Vec<(String, String)> = (0..400)
        .map(|at| {
            let name = if at == 0 {
                "main".to_owned()
            } else {
                format!("f{at}")
            };
            (name, format!("load('f{}', 'x')", at + 1))
        })
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
    let error = run(&files).unwrap_err();
    assert!(error.contains("nested too deeply"), "{error}");
}
