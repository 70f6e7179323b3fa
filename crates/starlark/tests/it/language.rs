//! What expressions and statements mean.

use crate::support::{Files, printed};
use ironmaster_starlark::Limits;

/// Each expression with what `repr` makes of it.
#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        assert_eq!(
            printed(&format!("print(repr({expression}))")),
            [*expected],
            "{expression}"
        );
    }
}

#[test]
fn numbers() {
    check(&[
        ("1 + 2 * 3 - 4", "3"),
        ("(1 + 2) * 3", "9"),
        ("7 // 2", "3"),
        ("-7 // 2", "-4"),
        ("7 // -2", "-4"),
        ("-7 % 3", "2"),
        ("7 % -3", "-2"),
        ("1 / 2", "0.5"),
        ("6 / 2", "3.0"),
        ("7.5 // 2", "3.0"),
        ("-7.5 % 2", "0.5"),
        ("1 << 10 | 1", "1025"),
        ("-8 >> 1", "-4"),
        ("6 & 3 ^ 1", "3"),
        ("~5", "-6"),
        ("--5", "5"),
        ("0xff + 0o17 + 0b11", "273"),
        ("1e3", "1000.0"),
        ("1.5e-7", "1.5e-7"),
        ("1e300 * 1e10", "+inf"),
        (".5 + 1.", "1.5"),
        ("int(\"-12\")", "-12"),
        ("int(\"ff\", 16)", "255"),
        ("int(\"0x1F\", 0)", "31"),
        ("int(3.9)", "3"),
        ("int(-3.9)", "-3"),
        ("int(True)", "1"),
        ("int(\"-9223372036854775808\")", "-9223372036854775808"),
        ("float(\"1.5\")", "1.5"),
        ("abs(-3)", "3"),
        ("1 == 1.0", "True"),
        ("1 < 1.5", "True"),
        ("True == 1", "False"),
        ("9007199254740993 == 9007199254740992.0", "False"),
    ]);
}

#[test]
fn truth_and_choice() {
    check(&[
        ("1 and 2", "2"),
        ("0 and 1 // 0", "0"),
        ("0 or \"\" or 3", "3"),
        ("not [] and not {} and not \"\" and not None", "True"),
        ("1 if [] else 2", "2"),
        ("1 if 0 else 2 if 0 else 3", "3"),
        ("not 1 == 2", "True"),
        ("2 not in [1, 3]", "True"),
        ("\"b\" in \"abc\"", "True"),
        ("\"k\" in {\"k\": 1}", "True"),
        ("3 in range(1, 10, 2)", "True"),
        ("4 in range(1, 10, 2)", "False"),
        ("[1, 2] < [1, 3]", "True"),
        ("(1,) < (1, 0)", "True"),
        ("\"a\" < \"b\"", "True"),
    ]);
}

#[test]
fn texts() {
    check(&[
        ("'a' + \"b\" + '''c\nd'''", "\"abc\\nd\""),
        (r#""\t\x41\u00e9\101\"""#, r#""\tAéA\"""#),
        (r#"r"\d+\"""#, r#""\\d+\\\"""#),
        ("\"a\\\nb\"", "\"ab\""),
        ("\"ab\" * 3", "\"ababab\""),
        ("3 * \"a\"", "\"aaa\""),
        ("\"a\" * -1", "\"\""),
        ("len(\"äöü\")", "3"),
        ("\"äöü\"[1]", "\"ö\""),
        ("\"äöü\"[-1]", "\"ü\""),
        ("\"abcdef\"[1:4]", "\"bcd\""),
        ("\"abcdef\"[::-2]", "\"fdb\""),
        ("\"abcdef\"[-2:]", "\"ef\""),
        ("\"abc\"[5:]", "\"\""),
        ("\"a,b,,c\".split(\",\")", "[\"a\", \"b\", \"\", \"c\"]"),
        ("\" a  b \".split()", "[\"a\", \"b\"]"),
        ("\" a  b c \".split(None, 1)", "[\"a\", \"b c\"]"),
        ("\" a  b c \".rsplit(None, 1)", "[\"a  b\", \"c\"]"),
        ("\"a.b.c\".rsplit(\".\", 1)", "[\"a.b\", \"c\"]"),
        ("\"a.b.c\".partition(\".\")", "(\"a\", \".\", \"b.c\")"),
        ("\"a.b.c\".rpartition(\".\")", "(\"a.b\", \".\", \"c\")"),
        ("\"abc\".partition(\".\")", "(\"abc\", \"\", \"\")"),
        ("\"a\\nb\\r\\nc\".splitlines()", "[\"a\", \"b\", \"c\"]"),
        ("\"-\".join([\"a\", \"b\"])", "\"a-b\""),
        ("\"banana\".replace(\"a\", \"o\", 2)", "\"bonona\""),
        ("\"banana\".count(\"an\")", "2"),
        ("\"bänäna\".find(\"n\")", "2"),
        ("\"bänäna\".rfind(\"n\")", "4"),
        ("\"banana\".find(\"n\", 3)", "4"),
        ("\"banana\".find(\"x\")", "-1"),
        ("\"x.star\".removesuffix(\".star\")", "\"x\""),
        ("\"x.star\".endswith((\".toml\", \".star\"))", "True"),
        ("\"xxaxx\".strip(\"x\") + \" b \".lstrip()", "\"ab \""),
        (
            "\"hello world\".title() + \"ABC\".capitalize()",
            "\"Hello WorldAbc\"",
        ),
        (
            "\"aB1\".isalnum() and \"12\".isdigit() and not \"aB\".islower()",
            "True",
        ),
        ("\"ab\".elems()", "[\"a\", \"b\"]"),
        (
            "\"{} {1} {n!r} {{}}\".format(1, 2, n = \"x\")",
            "\"1 2 \\\"x\\\" {}\"",
        ),
        ("\"%s-%d%% %r\" % (\"a\", 3, \"b\")", "\"a-3% \\\"b\\\"\""),
        ("\"%s\" % [1]", "\"[1]\""),
        ("\"%(a)s %(b)d\" % {\"a\": 1, \"b\": 2}", "\"1 2\""),
        ("\"%x %o %f\" % (255, 8, 1.5)", "\"ff 10 1.500000\""),
        (
            "str([\"a\", 1.0, None, True, (1,), {\"k\": ()}])",
            r#""[\"a\", 1.0, None, True, (1,), {\"k\": ()}]""#,
        ),
    ]);
}

#[test]
fn containers() {
    check(&[
        ("[1, 2] + [3]", "[1, 2, 3]"),
        ("(1,) + (2,)", "(1, 2)"),
        ("[0] * 3", "[0, 0, 0]"),
        ("[x * y for x in [1, 2] for y in [3, 4] if x != y - 2]", "[4, 6]"),
        (
            "{k: v for k, v in [(\"a\", 1), (\"b\", 2)]}",
            "{\"a\": 1, \"b\": 2}",
        ),
        ("{\"a\": 1} | {\"b\": 2, \"a\": 3}", "{\"a\": 3, \"b\": 2}"),
        ("{1: \"a\", 1.5: \"b\", (1, 2): \"c\"}[(1, 2)]", "\"c\""),
        ("{1: \"a\"}[1.0]", "\"a\""),
        ("dict([(1, 2)], x = 3)", "{1: 2, \"x\": 3}"),
        ("{\"a\": 1}.get(\"b\", 7)", "7"),
        ("list({\"b\": 1, \"a\": 2}.items())", "[(\"b\", 1), (\"a\", 2)]"),
        ("sorted([3, 1, 2], reverse = True)", "[3, 2, 1]"),
        (
            "sorted([\"bb\", \"a\", \"cc\"], key = len)",
            "[\"a\", \"bb\", \"cc\"]",
        ),
        (
            "sorted([\"bb\", \"a\", \"cc\"], key = len, reverse = True)",
            "[\"bb\", \"cc\", \"a\"]",
        ),
        ("list(range(5))[1:3]", "[1, 2]"),
        ("range(10, 0, -3)[1]", "7"),
        ("len(range(0, 10, 3))", "4"),
        ("list(zip([1, 2, 3], \"ab\".elems()))", "[(1, \"a\"), (2, \"b\")]"),
        ("enumerate([\"x\"], 5)", "[(5, \"x\")]"),
        ("max([1, 3, 2]) + min(4, 2)", "5"),
        ("max([\"a\", \"bbb\"], key = len)", "\"bbb\""),
        ("any([0, 1]) and not all([0, 1]) and all([])", "True"),
        ("reversed((1, 2))", "[2, 1]"),
        ("tuple([1])", "(1,)"),
        ("[1, 2, 3].index(2)", "1"),
        ("struct(a = 1, b = [2]).b[0]", "2"),
        ("struct(b = 1, a = 2)", "struct(b = 1, a = 2)"),
        ("struct(a = 1) == struct(a = 1)", "True"),
        ("getattr(struct(a = 1), \"b\", 5)", "5"),
        ("hasattr(\"\", \"join\")", "True"),
        ("dir(struct(z = 1, y = 2))", "[\"y\", \"z\"]"),
        (
            "type([]) + type({}) + type(\"\") + type(None) + type(len)",
            "\"listdictstringNoneTypefunction\"",
        ),
        ("[1, [2, 3]] == [1, [2, 3]]", "True"),
        ("{\"a\": 1, \"b\": 2} == {\"b\": 2, \"a\": 1}", "True"),
        (
            "(lambda x, *a, y = 2, **k: (x, a, y, k))(1, 5, z = 3)",
            "(1, (5,), 2, {\"z\": 3})",
        ),
    ]);
}

#[test]
fn statements() {
    let text = r#"
def fib(n):
    """Doc."""
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a

print([fib(n) for n in range(8)])

def classify(n):
    if n < 0: return "negative"
    elif n == 0:
        return "zero"
    else:
        for i in range(10):
            if i * i > n:
                break
            if i % 2:
                continue
            last = i
        return last

print(classify(-1), classify(0), classify(50), sep = "|")

x = [1, 2, 3]
x[0] += 10
x += [4]; x.append(5)
y = x
y[-1] = 0
print(x)
d = {"a": {"b": 1}}
d["a"]["b"] += 1
d["c"] = d.setdefault("z", 3)
print(d, d.pop("z"))
(p, [q, r]) = (1, [2, 3])
print(p + q + r)

def outer(n):
    count = [0]
    def inner(by = n):
        count[0] += by
        return count[0]
    inner()
    return inner
f = outer(3)
print(f(), f(1), outer(5)(by = 1))

def nothing(a, b = 2, *args, c, d = 4, **kw):
    return (a, b, args, c, d, kw)
print(nothing(1, c = 3))
print(nothing(*[1, 2, 3], **{"c": 5, "e": 6}))
for i in range(2):
    for j in [10, 20]:
        if j == 20: break
        print(i + j)
fs = [lambda: i for i in range(3)]
print([f() for f in fs])
if True: pass
print(nothing.__name__ if hasattr(nothing, "__name__") else "none")
"#;
    assert_eq!(
        printed(text),
        [
            "[0, 1, 1, 2, 3, 5, 8, 13]",
            "negative|zero|6",
            "[11, 2, 3, 4, 0]",
            "{\"a\": {\"b\": 2}, \"c\": 3} 3",
            "6",
            "6 7 6",
            "(1, 2, (), 3, 4, {})",
            "(1, 2, (3,), 5, 4, {\"e\": 6})",
            "10",
            "11",
            "[2, 2, 2]",
            "none",
        ]
    );
}

#[test]
fn a_text_may_be_laid_out_in_any_way() {
    for text in [
        "print(1)",
        "\u{feff}print(1)\n",
        "\r\nprint(1)\r\n",
        "# a\n\n   # b\nprint(\n  1\n  ,\n)\n",
        "if True:\n\tprint(1)\n",
        "if True:\n  if True:\n      print(1)\n# c\n",
        "print(1) # c",
        "print \\\n (1);",
        "if 1:\n  print(1)\n   ",
        "def f():\n  return 1\n\n\nprint(f())",
    ] {
        assert_eq!(printed(text), ["1"], "{text:?}");
    }
}

/// A host hears where the parts of a call stand, through variables and functions.
#[test]
fn places_go_along_with_values() {
    let text = "
def wrap(x, **more):
    note(x, **more)

def twice(x):
    wrap(x, k = x)

note([1], n = \"v\")
twice(7)
";
    let mut files = Files::new(&[("main", text)]);
    files.run(Limits::default()).unwrap();
    assert_eq!(
        files.noted,
        [
            "[1] = \"list\" [n: \"v\"]",
            "x = \"int\" [k: x] from main:6:5 from main:9:1",
        ]
    );
}
