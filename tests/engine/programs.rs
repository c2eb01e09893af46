//! Programs: what an embedder writes against the calls that guests have.

use pleach_engine::kernel::{Payload, RunError, RunStatus, SpawnRequest};
use pleach_engine::{Error, Host, HostCalls, Submission};
use serde_json::{Value, json};

use crate::lasting::{Lasting, eventually, stop};
use crate::scene::{Scene, facts, grant, log, open_policy, until, wait};

/// Calls an agent twice and gives back what both said.
async fn twice(mut calls: HostCalls, input: Payload) -> Result<Payload, RunError> {
    let mut said = Vec::new();
    for key in ["first", "second"] {
        let mut request = SpawnRequest::new("script", input.clone());
        request.spawn_key = Some(key.into());
        let outcome = calls.agent_call(request).await.map_err(|e| RunError::new("refused", e.to_string()))?;
        said.push(outcome.output);
    }
    Payload::of(&said).map_err(|e| RunError::new("too_large", e.to_string()))
}

fn submission(version: &str, steps: &Value) -> Submission {
    let mut submission = Submission::of_program("twice", version, Payload::of(steps).unwrap());
    submission.grant = grant();
    submission.policy = Some(open_policy());
    submission
}

#[tokio::test]
async fn a_program_is_run_as_a_root_and_logged_as_the_api() {
    let scene = Scene::new().await;
    scene.host.provide("twice", "1.0.0", twice).unwrap();
    let run = scene.submit(submission("1.0.0", &json!([{"op": "return", "value": 7}]))).await;
    let ended = wait(&run).await;
    assert_eq!(ended.output.unwrap().as_str(), "[7,7]");
    let events = log(&run).await;
    let calls: Vec<_> = events.iter().filter(|event| event.event.ends_with("spawn_decision")).collect();
    assert_eq!(calls.len(), 3, "the root and two calls");
    for event in calls {
        assert_eq!(serde_json::to_value(event.surface).unwrap(), "api", "seq {}", event.seq);
    }
    assert!(facts(&events, "spawn_decision").iter().skip(1).all(|call| call["agent_call"] == true));
    scene.shut_down().await;
}

#[tokio::test]
async fn a_program_is_provided_once_for_each_version() {
    let scene = Scene::new().await;
    let Err(Error::NotFound { what, name, hint }) = scene.host.submit(submission("1.0.0", &json!([]))).await else {
        panic!("nobody has provided it");
    };
    assert_eq!((what, &*name), ("program", "twice@1.0.0"));
    assert!(hint.contains("provide"), "{hint}");
    scene.host.provide("twice", "1.0.0", twice).unwrap();
    let again = scene.host.provide("twice", "1.0.0", twice).unwrap_err().to_string();
    assert!(again.contains("another version"), "{again}");
    scene.host.provide("twice", "1.1.0", twice).unwrap();
    assert!(scene.host.provide("Twice", "1.0.0", twice).is_err() && scene.host.provide("twice", "1", twice).is_err());
    scene.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_waits_until_its_next_host_has_it_and_goes_on_where_it_stopped() {
    let lasting = Lasting::new();
    let scene = lasting.scene().await;
    scene.host.provide("twice", "1.0.0", twice).unwrap();
    let steps = json!([{"op": "sleep", "ms": 300}, {"op": "return", "value": "said"}]);
    let run = scene.submit(submission("1.0.0", &steps)).await;
    let id = run.id();
    // The first call is answered, and the second is under way.
    until(&run, |event, data| {
        event.event.ends_with("spawn_decision") && data["runs"][0]["spawn_key"].as_str() == Some("second:0")
    })
    .await;
    stop(scene.host).await;

    let host: Host = lasting.host().await;
    eventually("that the program is missed", async || !host.missing_plugins().is_empty()).await;
    assert_eq!(host.missing_plugins(), [("twice@1.0.0".to_owned(), "program:twice@1.0.0".to_owned())]);
    let faults = host.check().await.unwrap();
    assert!(faults.len() == 1 && faults[0].what == "program" && faults[0].hint.contains("provides"), "{faults:?}");
    host.provide("twice", "1.0.0", twice).unwrap();
    let run = host.run(id).await.unwrap();
    let ended = wait(&run).await;
    assert_eq!(ended.status, RunStatus::Completed, "{:?}", ended.error);
    assert_eq!(ended.output.unwrap().as_str(), r#"["said","said"]"#);
    assert!(host.missing_plugins().is_empty() && host.check().await.unwrap().is_empty());
    assert_eq!(facts(&log(&run).await, "spawn_decision").len(), 3, "nothing was spawned again");
    stop(host).await;
}
