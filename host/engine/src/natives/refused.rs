//! A store that refuses an append while it is made, as one in memory does: by then guests
//! were told of what was to be appended.

use pleach_store::{Append, TreeSummary};
use tokio::sync::oneshot;

use super::{Act, Child, Scene, play};
use crate::run::Run;

/// Writes to a tree as a host does that takes itself for its owner.
async fn write_as_another(scene: &Scene, run: &Run) -> TreeSummary {
    let store = scene.host.store();
    let summary = store.tree(run.id().root).await.unwrap().unwrap();
    let summary = TreeSummary { last_seq: summary.last_seq + 1, ..summary };
    let (told, answer) = oneshot::channel();
    let append = Append {
        root: summary.root,
        tenant: summary.tenant.clone(),
        expected_seq: summary.last_seq - 1,
        events: vec![b"{}".as_slice().into()],
        summary: summary.clone(),
        forget: Vec::new(),
        journal: Vec::new(),
    };
    store.append(append, Box::new(move |result| drop(told.send(result))));
    answer.await.unwrap().unwrap();
    summary
}

#[test]
fn a_tree_with_two_owners_ends_here_with_whoever_was_started_too_early_and_nobody_elses() {
    // The tree takes all places, so that none is left where one of its guests is.
    play(5, None, |scene| async move {
        let group = |act: Act| Act::Group(vec![(4, Child::of("slow", [act]))]);
        let run = scene.submit(&Child::of("lead", [Act::Sleep(1_000), group(Act::Hang)])).await;
        scene.until_started(1).await;
        let of_the_other = write_as_another(&scene, &run).await;
        let error = run.wait().await.unwrap_err().to_string();
        assert!(error.contains(&run.id().to_string()) && error.contains("seq"), "{error}");
        let stored = scene.host.store().tree(run.id().root).await.unwrap();
        assert_eq!(stored, Some(of_the_other), "nothing of what was decided is in the log");

        // It would wait for ever for the place of a guest that is still there.
        let next = scene.run(&Child::of("lead", [group(Act::Sleep(1))])).await;
        assert_eq!(next.status.as_str(), "completed");
    });
}
