//! What changes from one configuration to another.

use ironmaster_config::{
    check,
    diff::{What, diff},
};
use ironmaster_model::Plan;

use crate::catalogue::catalogue;

const BEFORE: &str = r#"
[[worker]]
name = "w1"
token = "0123456789abcdef0123"
[[worker]]
name = "w2"
token = "0123456789abcdef0123"
[[builder]]
name = "b"
workers = ["w1"]
step = [{ type = "shell", command = "true" }, { type = "shell", command = "make" }]
[[builder]]
name = "old"
workers = ["w1"]
step = [{ type = "shell", command = "true" }]
"#;

fn plan(text: &str) -> Plan {
    let (loaded, report) = check("ci.toml", text, std::path::Path::new("."), &catalogue());
    loaded.unwrap_or_else(|| panic!("{report}")).plan
}

/// What differs, as lines.
fn lines(after: &str) -> Vec<String> {
    diff(&plan(BEFORE), &plan(after))
        .into_iter()
        .flat_map(|difference| {
            let of = format!("{} {}", difference.section, difference.name);
            match difference.what {
                What::Added => vec![format!("+ {of}")],
                What::Removed => vec![format!("- {of}")],
                What::Changed(keys) => keys
                    .into_iter()
                    .map(|key| {
                        let show = |value: Option<String>| value.unwrap_or_default();
                        format!("{of}: {} {} -> {}", key.key, show(key.old), show(key.new))
                    })
                    .collect(),
            }
        })
        .collect()
}

#[test]
fn the_same_is_no_difference() {
    assert!(lines(BEFORE).is_empty());
    assert!(lines(&format!("# a comment\n{BEFORE}")).is_empty());
}

#[test]
fn definitions_are_matched_by_name_and_compared_by_key() {
    let after = BEFORE
        .replace("name = \"old\"", "name = \"new\"")
        .replace("\"make\"", "\"make -j4\", halt_on_failure = true");
    assert_eq!(
        lines(&after),
        [
            "builder b: steps[2].halt_on_failure false -> true",
            "builder b: steps[2].command \"make\" -> \"make -j4\"",
            "+ builder new",
            "- builder old",
        ]
    );
}

#[test]
fn a_token_is_not_shown() {
    let after = BEFORE.replacen("0123456789abcdef0123", "another456789abcdef0123", 1);
    assert_eq!(lines(&after), ["worker w1: token *** -> ***"]);
}

#[test]
fn a_list_that_grows_is_shown_whole_and_a_long_value_is_cut() {
    let long = format!(r#"workers = ["w1", "{}"]"#, "w2");
    let after = BEFORE.replacen("workers = [\"w1\"]", &long, 1);
    assert_eq!(
        lines(&after),
        [r#"builder b: workers [{"name":"w1"}] -> [{"name":"w1"},{"name":"w2"}]"#]
    );
    let steps = BEFORE.replacen(
        "step = [",
        "step = [{ type = \"shell\", command = \"first\" }, ",
        1,
    );
    let found = lines(&steps);
    assert_eq!(found.len(), 1);
    assert!(found[0].ends_with('…'), "{found:?}");
}
