//! One store, several processes: a run is watched and cancelled from elsewhere,
//! and what a killed process leaves behind is the truth.
#![cfg(unix)]

use crate::program::Desk;

#[test]
fn a_run_is_cancelled_from_another_process() {
    let desk = Desk::new();
    let (running, id) = desk.start_sleeper();
    let answer = desk.expect(0, &["cancel", &id[..18], "--reason", "enough", "--format", "json"]).json();
    assert_eq!(answer["run_id"], id.as_str());
    assert_eq!(answer["cancelled_count"], 1);
    let done = running.finish();
    assert_eq!(done.code, 4, "{}", done.told());
    assert_eq!(done.json_lines().pop().expect("a result")["status"], "cancelled");

    let again = desk.expect(0, &["cancel", &id]);
    assert!(again.stdout.contains("nothing to cancel"), "{}", again.told());
}

#[test]
fn a_run_is_followed_from_another_process_to_its_end() {
    let desk = Desk::new();
    let (running, id) = desk.start_sleeper();
    let mut follower = desk.start(&["events", &id, "--follow", "--format", "ndjson"]);
    follower.stdout_until(|line| line.contains(r#""status":"started""#));
    running.signal("INT");
    let ran = running.finish().json_lines();
    let followed = follower.finish();
    assert_eq!(followed.code, 0, "{}", followed.told());
    assert_eq!(followed.json_lines(), ran[..ran.len() - 1], "the same events, without the result");
}

#[test]
fn following_a_run_ends_when_its_host_is_killed() {
    let desk = Desk::new();
    let (running, id) = desk.start_sleeper();
    let mut follower = desk.start(&["events", &id, "--follow", "--format", "ndjson"]);
    follower.stdout_until(|line| line.contains(r#""status":"started""#));
    running.signal("KILL");
    running.finish();
    let followed = follower.finish();
    assert_eq!(followed.code, 0, "{}", followed.told());
    followed.says(&["the host that ran this is gone", &format!("pleach resume {id}")]);
}

#[test]
fn a_run_that_goes_on_elsewhere_is_shown_as_it_stands() {
    let desk = Desk::new();
    let (running, id) = desk.start_sleeper();
    let tree = desk.expect(0, &["tree", &id, "--format", "json"]).json();
    assert_eq!(tree["tree"]["status"], "running");
    assert_eq!(tree["abandoned"], false);
    let events = desk.expect(0, &["events", &id, "--format", "ndjson"]).json_lines();
    assert!(events.iter().any(|event| event["data"]["status"] == "started"), "{events:?}");
    running.signal("INT");
    assert_eq!(running.finish().code, 4);
}

#[test]
fn what_a_killed_process_leaves_behind_is_the_truth() {
    let desk = Desk::new();
    let (running, id) = desk.start_sleeper();
    running.signal("KILL");
    let killed = running.finish();
    assert_eq!(killed.code, -1, "{}", killed.told());

    let tree = desk.expect(0, &["tree", &id, "--format", "json"]).json();
    assert_eq!(tree["tree"]["status"], "running", "it had started and has not ended");
    assert_eq!(tree["abandoned"], true);
    let text = desk.expect(0, &["tree", &id]);
    text.says(&["the host that ran this is gone", "pleach cancel"]);
    assert!(text.stdout.contains("  running, host gone"), "{}", text.told());
    let seen: Vec<_> = killed.json_lines();
    let events = desk.expect(0, &["events", &id, "--format", "ndjson"]).json_lines();
    assert_eq!(events[..seen.len()], seen, "what was shown was on disk before");
    let runs = desk.expect(0, &["runs", "--format", "json"]).json();
    assert_eq!(runs[0]["run_id"], id.as_str());
    assert_eq!(runs[0]["status"], "running");
    assert_eq!(runs[0]["abandoned"], true);

    // Nobody will add to that log, so following it ends.
    let followed = desk.expect(0, &["events", &id, "--follow", "--format", "ndjson"]);
    assert_eq!(followed.json_lines(), events);

    desk.expect(0, &["cancel", &id]);
    let ended = desk.expect(0, &["tree", &id, "--format", "json"]).json();
    assert_eq!(ended["tree"]["status"], "cancelled");
    assert_eq!(ended["abandoned"], false);
}
