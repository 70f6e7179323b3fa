//! How configurations are laid out.

use ironmaster_config::format::{FormatError, format};
use proptest::prelude::*;

use crate::catalogue::catalogue;

fn formatted(text: &str) -> String {
    format(text, &catalogue()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// What must be true of every text that is TOML.
fn holds(text: &str) -> Result<(), TestCaseError> {
    let Ok(once) = format(text, &catalogue()) else {
        prop_assert!(text.parse::<toml::Table>().is_err(), "not laid out:\n{}", text);
        return Ok(());
    };
    prop_assert_eq!(&formatted(&once), &once, "laid out again, it changes:\n{}", text);
    let means = |text: &str| {
        text.replace("\r\n", "\n")
            .parse::<toml::Table>()
            .expect("it is TOML")
    };
    prop_assert_eq!(means(text), means(&once));
    let comments = |text: &str| {
        let mut lines: Vec<String> = text
            .lines()
            .filter_map(|line| Some(line[line.find("# c")?..].trim_end().to_owned()))
            .collect();
        lines.sort();
        lines
    };
    prop_assert_eq!(comments(text), comments(&once), "a comment is lost:\n{}", text);
    Ok(())
}

const BEFORE: &str = r#"

# What we build.


# Ours:
[[worker]]
token="0123456789abcdef0123"   # not a good place
name = "w1"


[[builder]]   # the only one

# who
workers   =   [ "label:any","w1" ]
name="b"
env = {B="2",A="1"}

[[builder.step]]
timeout="1m"
halt_on_failure = true
command = [
"make", "-j4",
      "check" ]
type = "shell"
[[scheduler]]
builders = [
  "b", # the one
]
type = "force"
name = "force"
# the end
"#;

const AFTER: &str = r#"# What we build.

# Ours:
[[worker]]
name = "w1"
token = "0123456789abcdef0123" # not a good place

[[builder]] # the only one
name = "b"
# who
workers = ["label:any", "w1"]
env = { B = "2", A = "1" }

[[builder.step]]
type = "shell"
command = [
    "make",
    "-j4",
    "check",
]
timeout = "1m"
halt_on_failure = true

[[scheduler]]
name = "force"
type = "force"
builders = [
  "b", # the one
]

# the end
"#;

#[test]
fn keys_go_where_the_reference_has_them_and_comments_with_them() {
    assert_eq!(formatted(BEFORE), AFTER);
    assert_eq!(formatted(AFTER), AFTER);
    assert_eq!(formatted(""), "");
    assert_eq!(formatted("# alone"), "# alone\n");
    assert_eq!(formatted("[master]\r\ntitle='x'\r\n"), "[master]\ntitle = 'x'\n");
}

#[test]
fn what_is_not_toml_is_refused() {
    assert!(matches!(
        format("a = ", &catalogue()),
        Err(FormatError::Syntax(_))
    ));
}

#[test]
fn samples_and_examples_keep_their_meaning() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for dir in ["tests/samples/valid", "tests/samples/invalid", "../../examples"] {
        for entry in std::fs::read_dir(here.join(dir)).expect("it is there") {
            let path = entry.expect("it can be read").path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let text = std::fs::read_to_string(&path).expect("it can be read");
                holds(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "only {seen}");
}

/// Lines that are mostly TOML, in any order.
fn line() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "name", "type", "workers", "command", "a.b", "\"x y\"", "env.CC", "'q'",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "'t'",
        "\"# no\"",
        "[1,2]",
        "[\n  1,\n 2,]",
        "[ # c in\n 1 ]",
        "{a=1,type='shell'}",
        "{ x = [ {b=1} ] }",
        "\"\"\"\n a\n  b\"\"\"",
        "[]",
        "{}",
        "1979-05-27",
        "[[1],[\n2]]",
        "{ a.b = 1 }",
    ]);
    let header = prop::sample::select(vec![
        "[master]",
        "[ limits ]",
        "[[builder]]",
        "[[builder.step]]",
        "[[ scheduler . field ]]",
        "[x.\"y z\".w]",
    ]);
    let tail = prop::sample::select(vec!["", "   ", "# c1", "  # c2  "]);
    prop_oneof![
        4 => (key, value, tail.clone(), 0..3usize).prop_map(|(key, value, tail, pad)| {
            let pad = " ".repeat(pad);
            format!("{pad}{key}{pad}={pad}{value}{pad}{tail}")
        }),
        2 => (header, tail.clone()).prop_map(|(header, tail)| format!("{header}{tail}")),
        1 => tail.prop_map(str::to_owned),
        1 => Just(String::new()),
        1 => Just("# c3".to_owned()),
    ]
}

proptest! {
    #[test]
    fn laying_out_is_idempotent_and_changes_no_meaning(
        lines in prop::collection::vec(line(), 0..14),
        end in prop::sample::select(vec!["\n", "\r\n"]),
    ) {
        holds(&lines.join(end))?;
    }

    #[test]
    fn no_text_panics(text in "[\\[\\]a-c=\"'{}#,. \n]{0,60}") {
        holds(&text)?;
    }
}
