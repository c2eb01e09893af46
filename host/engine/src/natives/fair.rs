//! Who starts next, where places are short.

use pleach_kernel::{Fairness, Priority};

use super::{Act, Child, play};

/// A child that takes so long.
fn takes(plugin: &str, ms: u64) -> Child {
    Child::of(plugin, [Act::Sleep(ms)])
}

#[test]
fn a_tenant_with_ten_thousand_ready_runs_does_not_hold_up_anothers_single_run() {
    play(4, None, |mut scene| async move {
        scene.limits.max_concurrency = 20_000;
        let many = Child::of("lead", [Act::Group(vec![(10_000, takes("slow", 10))])]);
        scene.submit(&many).await;
        scene.until_started(100).await;
        let before = scene.world.started().len();
        let single = scene.other().submit(scene.submission(&takes("quick", 1))).await.unwrap();
        single.wait().await.unwrap();
        let started = scene.world.started();
        let place = started.iter().position(|who| who == "other quick").unwrap();
        assert!(place < before + 4, "{} went before it, and there are 4 places", place - before);
        assert!(started.len() < 200, "the many are not through: {}", started.len());
    });
}

#[test]
fn priority_goes_before_the_order_of_coming() {
    play(1, None, |scene| async move {
        let first = scene.submit(&takes("lead", 90)).await;
        scene.until_started(1).await;
        let mut runs = vec![first];
        for (plugin, priority) in [("slow", Priority::Low), ("quick", Priority::Medium), ("spare", Priority::High)] {
            runs.push(scene.submit(&takes(plugin, 10).at(priority)).await);
        }
        for run in &runs {
            run.wait().await.unwrap();
        }
        assert_eq!(scene.world.started(), ["default lead", "default spare", "default quick", "default slow"]);
    });
}

#[test]
fn a_low_run_is_passed_over_so_often_and_then_goes_first() {
    play(1, None, |scene| async move {
        let mut runs = vec![scene.submit(&takes("lead", 90)).await];
        scene.until_started(1).await;
        runs.push(scene.submit(&takes("slow", 1).at(Priority::Low)).await);
        for _ in 0..80 {
            runs.push(scene.submit(&takes("quick", 1).at(Priority::High)).await);
        }
        for run in &runs {
            run.wait().await.unwrap();
        }
        let place = scene.world.started().iter().position(|who| who == "default slow").unwrap();
        assert_eq!(place as u64, 1 + pleach_kernel::MAX_PASSES);
    });
}

#[test]
fn trees_of_one_tenant_take_turns_at_its_quota() {
    play(100, None, |mut scene| async move {
        scene.quotas.max_running = Some(2);
        let twenty = |plugin: &str| Child::of("lead", [Act::Group(vec![(20, takes(plugin, 10))])]);
        let runs = [scene.submit(&twenty("slow")).await, scene.submit(&twenty("quick")).await];
        for run in &runs {
            run.wait().await.unwrap();
        }
        let children: Vec<String> = scene.world.started().into_iter().filter(|who| !who.ends_with("lead")).collect();
        assert_eq!(children.len(), 40);
        // The first has places before the other has children, and so is through first.
        let both = children.iter().position(|who| who.ends_with("quick")).unwrap();
        let turns = children[both..].chunks(2).take_while(|pair| pair[0] != pair[1]).count();
        assert!(both < 10 && turns >= 14, "{turns} turns in {:?}", scene.world.started());
    });
}

#[test]
fn the_shortest_goes_first_once_it_is_known() {
    play(100, None, |mut scene| async move {
        scene.limits.max_concurrency = 1;
        scene.run(&Child::of("lead", [Act::Group(vec![(1, takes("slow", 500)), (1, takes("quick", 5))])])).await;
        for fairness in [Fairness::RoundRobin, Fairness::ShortestFirst] {
            scene.world.outside().started.clear();
            let children = [takes("slow", 500), takes("quick", 5), takes("spare", 1), takes("quick", 5)];
            let children = children.map(|child| (1, child)).into();
            let mut submission = scene.submission(&Child::of("lead", [Act::Group(children)]));
            submission.fairness = fairness;
            scene.host.submit(submission).await.unwrap().wait().await.unwrap();
            let started = scene.world.started();
            let names: Vec<&str> = started.iter().skip(1).filter_map(|who| who.strip_prefix("default ")).collect();
            let expected = match fairness {
                Fairness::RoundRobin => ["slow", "quick", "spare", "quick"],
                // By now the spare one is known, too.
                Fairness::ShortestFirst => ["spare", "quick", "quick", "slow"],
            };
            assert_eq!(names, expected, "{fairness:?}");
        }
    });
}
