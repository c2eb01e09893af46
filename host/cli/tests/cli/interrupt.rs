//! Interrupts: the first cancels the tree and exits with 4, the second ends the
//! program at once.
#![cfg(unix)]

use crate::program::{Desk, Done, guest};

#[track_caller]
fn cancelled(done: &Done) {
    assert_eq!(done.code, 4, "{}", done.told());
    let report = done.json_lines().pop().expect("a result");
    assert_eq!(report["status"], "cancelled");
    assert_eq!(report["error"]["code"], "cancelled");
    done.says(&["cancelling run ", "cancelled 1 run"]);
}

#[test]
fn ctrl_c_cancels_the_tree_and_says_so() {
    let desk = Desk::new();
    let (running, id) = desk.start_sleeper();
    running.signal("INT");
    cancelled(running.finish().says(&["Ctrl-C"]));
    let tree = desk.expect(0, &["tree", &id, "--format", "json"]).json();
    assert_eq!(tree["tree"]["status"], "cancelled", "the store knows it too");
}

#[test]
fn a_polite_request_to_end_does_the_same() {
    let desk = Desk::new();
    let (running, _) = desk.start_sleeper();
    running.signal("TERM");
    cancelled(running.finish().says(&["SIGTERM"]));
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_a_guest_that_will_not_stop() {
    let desk = Desk::new();
    let (mut running, id) = desk.start_agent(&["run", &guest("spinner"), "--format", "ndjson"]);
    running.signal("INT");
    running.stderr_until("once more to stop at once");
    running.signal("INT");
    let done = running.finish();
    assert_eq!(done.code, 130, "{}", done.told());
    done.says(&["stopped at once", &id]);
}
