//! What would take too long, too much memory or too deep a stack.

use ironmaster_starlark::{ErrorKind, Limits};

use crate::support::Files;

const SMALL: Limits = Limits {
    ticks: 200_000,
    heap_bytes: 4 << 20,
    calls: 200,
    files: 10,
};

#[track_caller]
fn ends(text: &str, limits: Limits) -> (ErrorKind, String) {
    let mut files = Files::new(&[("main", text)]);
    let shown: String = text.chars().take(200).collect();
    let errors = files.run(limits).expect_err(&shown);
    let place = errors[0].span.map(|span| files.place(span)).unwrap_or_default();
    (errors[0].kind, place)
}

#[test]
fn loops_are_bounded_by_ticks() {
    for (text, place) in [
        ("x = 0\nfor i in range(1000000000000):\n  x = i", "main:3:"),
        ("x = 1\nfor i in range(9223372036854775807): pass", "main:2:"),
        (
            "def f():\n  for i in range(1000):\n    for j in range(1000):\n      len([])\n\nf()",
            "main:",
        ),
        (
            "x = [1 for i in range(1000) for j in range(1000) if False]",
            "main:1:",
        ),
        (
            "x = \"a\" * 1000000\ny = [x.count(\"b\") for i in range(10000)]",
            "main:2:",
        ),
        (
            "x = list(range(1000))\ny = [i in x for i in range(1000)]",
            "main:2:",
        ),
        ("x = [3] * 10000\ny = [sorted(x) for i in range(1000)]", "main:2:"),
    ] {
        let (kind, found) = ends(
            text,
            Limits {
                heap_bytes: 64 << 20,
                ..SMALL
            },
        );
        assert_eq!(kind, ErrorKind::Ticks, "{text}");
        assert!(found.starts_with(place), "{text}: {found}");
    }
}

#[test]
fn memory_is_bounded_before_it_is_taken() {
    for text in [
        "x = \"a\" * 9223372036854775807",
        "x = \"abc\" * 1000000000 * 1000000000",
        "x = [0] * 9223372036854775807",
        "x = (1, 2) * 4611686018427387904",
        "x = list(range(9223372036854775807))",
        "x = \"a\" * 10000\ny = x.replace(\"a\", x)",
        "x = \"a\" * 1000000\ny = x.join([x] * 100)",
        "x = \"%s\" % (\"a\" * 10000000)",
        "x = \"aa\"\nfor i in range(100):\n  x += x",
        "x = [1]\nfor i in range(100):\n  x += x",
        "x = [1]\nfor i in range(100):\n  x.extend(list(x))",
        "x = []\nfor i in range(100):\n  x = [x, x]\ny = str(x)",
        "x = {}\nfor i in range(100000):\n  x[i] = i",
        "x = [[i] for i in range(100000)]",
        "x = \"a\" * 1000000\ny = x.elems()",
        "x = [(lambda: i) for i in range(100000)]",
    ] {
        let (kind, _) = ends(
            text,
            Limits {
                ticks: 10_000_000,
                ..SMALL
            },
        );
        assert_eq!(kind, ErrorKind::Heap, "{text}");
    }
}

/// The same work costs the same everywhere: no time is involved.
#[test]
fn the_limit_is_exact() {
    let text = "x = 0\nfor i in range(1000):\n  x += i\nprint(x)";
    let cost = Files::new(&[("main", text)]).run(SMALL).unwrap().cost();
    let exact = Limits {
        ticks: cost.0,
        heap_bytes: cost.1,
        ..SMALL
    };
    for _ in 0..3 {
        let again = Files::new(&[("main", text)]).run(exact).unwrap().cost();
        assert_eq!(again, cost);
    }
    let (kind, _) = ends(
        text,
        Limits {
            ticks: cost.0 - 1,
            ..exact
        },
    );
    assert_eq!(kind, ErrorKind::Ticks);
    let (kind, _) = ends(
        text,
        Limits {
            heap_bytes: cost.1 - 1,
            ..exact
        },
    );
    assert_eq!(kind, ErrorKind::Heap);
}

#[test]
fn recursion_ends_with_an_error() {
    let deep_expression = format!(
        "def f(n):\n  return {}f(n + 1){}\n\nf(0)",
        "[(".repeat(20),
        ")]".repeat(20)
    );
    for text in [
        "def f(n):\n  return f(n + 1)\n\nf(0)",
        "def f(n): return g(n)\ndef g(n): return f(n)\nf(0)",
        "def f(x): return sorted([1, 2], key = f)\nf(0)",
        &deep_expression,
    ] {
        let (kind, place) = ends(text, Limits::default());
        assert_eq!(kind, ErrorKind::Depth, "{text}");
        assert!(!place.is_empty());
    }
    // Functions may call themselves as long as there is an end.
    let text = "def f(n): return 0 if n == 0 else 1 + f(n - 1)\nprint(f(150))";
    let mut files = Files::new(&[("main", text)]);
    files.run(Limits::default()).unwrap();
    assert_eq!(files.printed, ["150"]);
}

#[test]
fn nesting_ends_with_an_error() {
    let n = 100_000;
    for (text, refused) in [
        (format!("x = {}1{}", "(".repeat(n), ")".repeat(n)), true),
        (format!("x = {}1{}", "[".repeat(n), "]".repeat(n)), true),
        (format!("x = {}1", "-".repeat(n)), true),
        (format!("x = {} 1", "not ".repeat(n)), true),
        (format!("x = {}1", "lambda: ".repeat(n)), true),
        (format!("x = {}1", "1 if 1 else ".repeat(n)), true),
        (format!("x = {}1{}", "{1: ".repeat(n), "}".repeat(n)), true),
        (format!("x = {}1{}", "len(".repeat(n), ")".repeat(n)), true),
        (format!("for {}x in []: pass", "(".repeat(n)), true),
        (
            (0..500)
                .map(|at| format!("{}if 1:\n", " ".repeat(at)))
                .collect::<String>()
                + &" ".repeat(500)
                + "pass",
            true,
        ),
        (format!("x = [0 {}]", "for a in [1] ".repeat(20_000)), true),
        // A long chain is not a deep one.
        (format!("x = 1{}", " + 1".repeat(n)), false),
        (format!("x = 1{}", " and 1".repeat(n)), false),
        (format!("x = [[]]{}", "[0:]".repeat(1000)), false),
        (format!("x = \"\"{}", ".strip()".repeat(1000)), false),
        (format!("if 0: pass\n{}", "elif 0: pass\n".repeat(n)), false),
    ] {
        let mut files = Files::new(&[("main", &text)]);
        let result = files.run(Limits::default());
        let shown: String = text.chars().take(60).collect();
        match result {
            Ok(_) => assert!(!refused, "{shown}"),
            Err(errors) => {
                assert!(refused, "{shown}: {}", errors[0]);
                assert!(
                    matches!(errors[0].kind, ErrorKind::Depth | ErrorKind::Syntax),
                    "{shown}: {}",
                    errors[0]
                );
            }
        }
    }
}

/// Values may be as deep as there is memory: nothing about them is recursive without a bound.
#[test]
fn deep_and_circular_values_do_no_harm() {
    let deep = "x = []\nfor i in range(200000):\n  x = [x]\n";
    for text in [
        format!("{deep}print(len(str(x)) < 1000)"),
        "x = []\nx.append(x)\nprint(len(str(x)) < 1000)".to_owned(),
        "d = {}\nd[1] = d\nprint(len(str(d)) < 1000)".to_owned(),
    ] {
        let mut files = Files::new(&[("main", &text)]);
        files.run(Limits::default()).unwrap();
        assert_eq!(files.printed, ["True"]);
    }
    for text in [
        format!("{deep}y = x\nx = []\nfor i in range(200000):\n  x = [x]\nz = x == y"),
        format!("{deep}y = x\nx = []\nfor i in range(200000):\n  x = [x]\nz = x < y"),
        "x = []\nx.append(x)\ny = []\ny.append(y)\nz = x == y".to_owned(),
        "x = ()\nfor i in range(1000):\n  x = (x,)\ny = {x: 1}".to_owned(),
    ] {
        let (kind, _) = ends(&text, Limits::default());
        assert_eq!(kind, ErrorKind::Depth);
    }
}
