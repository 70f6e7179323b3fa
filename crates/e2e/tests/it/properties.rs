//! What a command prints becomes a property, or the step says why it does not; its build ends in any case.

use serde_json::{Value, json};

use crate::fleet::{Fleet, worker_sections};

fn step(name: &str, fields: &str) -> String {
    format!(
        "[[builder.step]]\ntype = \"set_property\"\nname = \"{name}\"\nproperty = \"{name}\"\nalways_run = true\n{fields}\n"
    )
}

fn step_of<'s>(steps: &'s [Value], name: &str) -> &'s Value {
    let found = steps.iter().find(|step| step["name"] == name);
    found.unwrap_or_else(|| panic!("no step {name}: {steps:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_for_one_ends_its_step_and_no_more() {
    let steps = [
        // In JSON it takes more room than the 64 KiB that there is.
        step(
            "newlines",
            "command = \"yes '' | head -c 40000; echo x\"\nstrip = false",
        ),
        step("long", "command = \"head -c 65536 /dev/zero | tr '\\\\0' x\""),
        step("endless", "command = \"yes\""),
        // The worker keeps all of it until the step's end is committed, and does not send more than it may keep.
        step("torrent", "command = \"yes >&2 | head -c 50000000 >&2; echo x\""),
        step("flood", "command = \"head -c 8000000 /dev/zero >&2; echo x\""),
        step("fits", "command = \"head -c 1000000 /dev/zero >&2; echo yes\""),
        step("after", "value = \"%(prop:fits)s\""),
    ];
    let toml = format!(
        "{}[[builder]]\nname = \"b\"\nworkers = [\"label:any\"]\n{}\
         [[scheduler]]\nname = \"force\"\ntype = \"force\"\nbuilders = [\"b\"]\n",
        worker_sections(&["w1"], 1),
        steps.concat()
    );
    let mut fleet = Fleet::new("", &toml);
    fleet.start_master().await;
    fleet.spawn_worker("w1");
    let request = fleet.force("force", json!({})).await.expect("the master answers");
    fleet.completed(request).await;
    let build = fleet.builds_of(request).await.remove(0);
    let steps = fleet
        .list(&format!("/api/v2/builds/{}/steps", build["buildid"]), "steps")
        .await;
    for (name, results, says) in [
        ("newlines", 4, "more than 65536"),
        ("long", 4, "more than 65536"),
        ("endless", 4, "can be captured"),
        ("torrent", 2, "2 MiB in all"),
        ("flood", 2, "2 MiB in all"),
        ("fits", 0, "'fits' set"),
        ("after", 0, "'after' set"),
    ] {
        let step = step_of(&steps, name);
        assert_eq!(step["results"], results, "{step}\n{}", fleet.evidence());
        let text = step.to_string();
        assert!(text.contains(says), "{name} does not say {says}: {text}");
    }
    let properties = &build["properties"];
    assert_eq!(properties["after"][0], "yes", "{properties}");
    assert_eq!(properties["newlines"], Value::Null, "{properties}");
}
