//! `pleach policy`: what is shown can be edited and set, and holds from then on.

use crate::program::{Desk, guest};

#[test]
fn the_built_in_policy_allows_nothing() {
    let policy = Desk::new().expect(0, &["policy", "show", "--format", "json"]).json();
    assert_eq!(policy["version"], 0);
    assert_eq!(policy["targets"], serde_json::json!([]));
    assert_eq!(policy["limits"]["max_fanout"], 8);
}

#[test]
fn what_is_shown_can_be_edited_and_set() {
    let desk = Desk::new();
    let shown = desk.expect(0, &["policy", "show"]).stdout;
    assert!(shown.contains("max_fanout: 8"), "{shown}");
    desk.file("policy.yaml", &shown.replace("max_fanout: 8", "max_fanout: 9"));
    let set = desk.expect(0, &["policy", "set", "policy.yaml", "--format", "json"]).json();
    assert_eq!(set["version"], 1);
    let policy = desk.expect(0, &["policy", "show", "--format", "json"]).json();
    assert_eq!(policy["limits"]["max_fanout"], 9);
    assert_eq!(policy["version"], 1);
    let other = desk.expect(0, &["policy", "show", "--format", "json", "--tenant", "other"]).json();
    assert_eq!(other["version"], 0, "a policy is one tenant's");
}

#[test]
fn a_policy_that_is_set_holds_for_the_next_run() {
    let desk = Desk::new();
    let run = ["run", &guest("echo"), "--root", "r=.", "--grant", "fs.read:r/*"];
    desk.expect(3, &run);
    desk.file("policy.json", r#"{"scopes": ["fs.read:r/*"]}"#);
    desk.expect(0, &["policy", "set", "policy.json"]);
    desk.expect(0, &run);
}

#[test]
fn a_mistake_in_a_policy_is_shown_where_it_is() {
    let desk = Desk::new();
    desk.file("policy.yaml", "targets: [a]\nlimits:\n  max_dept: 3\n");
    for arguments in [&["policy", "set", "policy.yaml"][..], &["run", &guest("echo"), "--policy", "policy.yaml"]] {
        desk.expect(2, arguments).says(&["policy file `policy.yaml`", "line 3", "max_dept", "hint: "]);
    }
    desk.expect(2, &["policy", "set", "no/such.yaml"]).says(&["no/such.yaml"]);
}
