//! Workflows: the parents of the workloads. How many children gave back what they were given,
//! and at the end of a chain, what was handed down.

wit_bindgen::generate!({ path: "../wit", world: "workflows", generate_all });

use exports::peer::bench::parent::Guest;
use obelisk::types::join_set::JoinSet;
use obelisk::workflow::workflow_support::join_set_create;
use peer::bench::parent;
use peer::bench_obelisk_ext::child;

struct Workflows;

impl Guest for Workflows {
    fn fan_out(n: u32, payload: String) -> Result<u32, ()> {
        let children = join_set_create();
        for _ in 0..n {
            child::echo_submit(&children, &payload);
        }
        let answered = (0..n).filter(|_| is_answered(child::echo_await_next(&children), &payload));
        Ok(answered.count() as u32)
    }

    fn windowed(n: u32, at_once: u32, ms: u32, payload: String) -> Result<u32, ()> {
        let tasks = join_set_create();
        let submit = |tasks: &JoinSet| child::wait_submit(tasks, ms, &payload);
        for _ in 0..n.min(at_once) {
            submit(&tasks);
        }
        let mut answered = 0;
        for done in 1..=n {
            answered += u32::from(is_answered(child::wait_await_next(&tasks), &payload));
            if done + at_once <= n {
                submit(&tasks);
            }
        }
        Ok(answered)
    }

    fn link(depth: u32, payload: String) -> Result<String, ()> {
        if depth == 1 { Ok(payload) } else { parent::link(depth - 1, &payload) }
    }
}

/// Whether the next child of a join set gave back what it was given.
fn is_answered<Id, Error>(next: Result<(Id, Result<String, ()>), Error>, payload: &str) -> bool {
    matches!(next, Ok((_, Ok(answer))) if answer == payload)
}

export!(Workflows);
