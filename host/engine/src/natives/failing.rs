//! Plugins that fail: their circuits, and who goes on in their place.

use std::time::Duration;

use pleach_kernel::{Backoff, CircuitBreaker, Retry, RunStatus};

use super::{Act, Child, Scene, play, view};
use crate::ended::Ended;

fn works(plugin: &str) -> Child {
    Child::of(plugin, [Act::Sleep(1)])
}

fn retry(max_attempts: u32, initial_ms: u64) -> Option<Retry> {
    Some(Retry { max_attempts, backoff: Backoff::Fixed, initial_ms, max_ms: None, jitter: 0.0 })
}

/// Has `slow` fail so often, and then work again if it is tried.
async fn fail(scene: &Scene, times: usize) {
    scene.world.outside().broken.insert("slow");
    for _ in 0..times {
        assert_eq!(scene.run(&works("slow")).await.status, RunStatus::Failed);
    }
    scene.world.outside().broken.clear();
    scene.world.outside().started.clear();
}

fn code(ended: &Ended) -> &str {
    ended.error.as_ref().map_or(ended.status.as_str(), |error| &error.code)
}

#[test]
fn five_failures_stop_it_for_a_minute_and_two_successes_end_that() {
    play(100, Some(CircuitBreaker::default()), |scene| async move {
        fail(&scene, 4).await;
        assert_eq!(code(&scene.run(&works("slow")).await), "completed");
        fail(&scene, 1).await;
        let refused = scene.run(&works("slow")).await;
        let error = refused.error.as_ref().unwrap();
        assert_eq!((&*error.code, error.retryable), ("circuit_open", true));
        assert!(error.message.contains("tried again in 60000 ms"), "{}", error.message);
        assert_eq!(code(&scene.run(&works("quick")).await), "completed", "another plugin");
        let other = scene.other().submit(scene.submission(&works("slow"))).await.unwrap();
        assert_eq!(code(&other.wait().await.unwrap()), "completed", "another tenant");
        assert_eq!(scene.world.started(), ["default quick", "other slow"], "none was started");
        tokio::time::sleep(Duration::from_secs(60)).await;
        let mut trials = Vec::new();
        for _ in 0..3 {
            trials.push(scene.submit(&Child::of("slow", [Act::Sleep(50)])).await);
        }
        let mut ends = Vec::new();
        for trial in trials {
            ends.push(trial.wait().await.unwrap());
        }
        let codes: Vec<&str> = ends.iter().map(code).collect();
        assert_eq!(codes, ["completed", "completed", "circuit_open"], "two at a time");
        fail(&scene, 4).await;
        assert_eq!(code(&scene.run(&works("slow")).await), "completed", "it has begun anew");
    });
}

#[test]
fn a_trial_that_fails_stops_it_for_another_minute() {
    play(100, Some(CircuitBreaker::default()), |scene| async move {
        fail(&scene, 5).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        fail(&scene, 1).await;
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert_eq!(code(&scene.run(&works("slow")).await), "circuit_open");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(code(&scene.run(&works("slow")).await), "completed");
    });
}

#[test]
fn a_trial_that_is_cancelled_makes_way_for_another() {
    play(100, Some(CircuitBreaker::default()), |scene| async move {
        fail(&scene, 5).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        for _ in 0..5 {
            let trial = scene.submit(&Child::of("slow", [Act::Sleep(1_000)])).await;
            scene.until_started(1).await;
            trial.cancel("enough").await.unwrap();
            assert_eq!(trial.wait().await.unwrap().status, RunStatus::Cancelled);
            scene.world.outside().started.clear();
        }
        assert_eq!(code(&scene.run(&works("slow")).await), "completed");
    });
}

#[test]
fn children_are_refused_too_and_a_retry_policy_may_wait_it_out() {
    play(100, Some(CircuitBreaker::default()), |scene| async move {
        fail(&scene, 5).await;
        let patient = Child { retry: retry(4, 25_000), ..works("slow") };
        let run = scene.submit(&Child::of("lead", [Act::Group(vec![(1, works("slow")), (1, patient)])])).await;
        run.wait().await.unwrap();
        let children = view(&run).await.tree.children;
        let ends: Vec<(RunStatus, u32)> = children.iter().map(|child| (child.status, child.attempt)).collect();
        assert_eq!(ends, [(RunStatus::Failed, 1), (RunStatus::Completed, 4)]);
    });
}

#[test]
fn tries_that_take_too_long_count_and_tries_that_are_cancelled_do_not() {
    play(100, Some(CircuitBreaker::default()), |scene| async move {
        for _ in 0..6 {
            let run = scene.submit(&Child::of("slow", [Act::Sleep(1_000)])).await;
            scene.until_started(1).await;
            run.cancel("enough").await.unwrap();
            run.wait().await.unwrap();
            scene.world.outside().started.clear();
        }
        let late = Child { timeout_ms: Some(10), ..Child::of("slow", [Act::Sleep(1_000)]) };
        for _ in 0..5 {
            assert_eq!(scene.run(&late).await.status, RunStatus::TimedOut);
        }
        assert_eq!(code(&scene.run(&works("slow")).await), "circuit_open");
    });
}

#[test]
fn without_a_breaker_a_plugin_is_tried_for_ever() {
    play(100, None, |scene| async move {
        fail(&scene, 20).await;
        assert_eq!(code(&scene.run(&works("slow")).await), "completed");
    });
}

#[test]
fn a_fallback_takes_what_an_open_circuit_refuses() {
    play(100, Some(CircuitBreaker::default()), |scene| async move {
        fail(&scene, 5).await;
        let child = Child { fallbacks: vec!["spare".into()], retry: retry(9, 1_000_000), ..works("slow") };
        let run = scene.submit(&Child::of("lead", [Act::Group(vec![(1, child.clone())])])).await;
        let ended = run.wait().await.unwrap();
        assert_eq!((&*ended.plugin, code(&ended)), ("lead@1.0.0", "completed"));
        assert_eq!(scene.world.started(), ["default lead", "default spare"]);
        let shown = &view(&run).await.tree.children[0];
        assert_eq!((&*shown.plugin, shown.attempt, shown.status), ("spare@1.0.0", 2, RunStatus::Completed));
        let ended = scene.run(&child).await;
        assert_eq!((&*ended.plugin, ended.output.unwrap().as_str()), ("spare@1.0.0", "\"spare\""), "and a root, too");
    });
}

#[test]
fn a_fallback_goes_on_where_the_tries_are_used_up_and_the_next_where_its_circuit_is_open() {
    play(100, Some(CircuitBreaker::default()), |scene| async move {
        fail(&scene, 5).await;
        scene.world.outside().broken.insert("quick");
        let fallbacks = vec!["slow".into(), "spare".into()];
        let child = Child { fallbacks, retry: retry(2, 10), ..works("quick") };
        let run = scene.submit(&child).await;
        let ended = run.wait().await.unwrap();
        assert_eq!((&*ended.plugin, code(&ended)), ("spare@1.0.0", "completed"));
        assert_eq!(scene.world.started(), ["default quick", "default quick", "default spare"]);
        let mut told = Vec::new();
        let mut events = run.events(1);
        while let Some(event) = events.next().await {
            let event = event.unwrap();
            let data: serde_json::Value = serde_json::from_str(event.data.as_str()).unwrap();
            if data["status"] == "started" {
                told.push(format!("{} {}", data["attempt"], data["plugin"]["name"]));
            }
        }
        assert_eq!(told, ["1 null", "2 null", "3 \"slow\"", "4 \"spare\""]);
    });
}

#[test]
fn what_whoever_asked_is_to_blame_for_does_not_count() {
    play(100, Some(CircuitBreaker::default()), |scene| async move {
        for _ in 0..6 {
            let ended = scene.run(&Child::of("slow", [Act::Fail("invalid_input".into(), false)])).await;
            assert_eq!(code(&ended), "invalid_input");
        }
        assert_eq!(code(&scene.run(&works("slow")).await), "completed");
    });
}
