//! Fold: what is read back is what happened, or it is refused.

use std::sync::Arc;

use pleach_kernel::*;

use crate::scene::*;
use crate::simulation::auditor::Auditor;

/// A log with a bit of everything.
fn log() -> Vec<Event> {
    let mut scene = Scene::under(|_, request| request.budget.tokens = Some(100));
    let one = scene.live(0, with(boss(), |request| request.budget.tokens = Some(10)));
    scene.group(one, JoinPolicy { mode: JoinMode::FailFast, ..JoinPolicy::default() }, [child("a"), retrying(2, 5)]);
    scene.flake(3);
    scene.wait(5);
    scene.start(3);
    scene.fail(2);
    scene.ok(3);
    scene.evaluate();
    scene.ok(one);
    scene.cancel(Caller::Operator, Cancel::of(id(0))).unwrap();
    scene.stop(0);
    assert!(scene.tree.is_ended());
    scene.log().to_vec()
}

fn refusal(events: Vec<Event>) -> String {
    Tree::fold(root(), events).expect_err("it was folded").to_string()
}

fn renumbered(mut events: Vec<Event>) -> Vec<Event> {
    events.iter_mut().zip(1..).for_each(|(event, seq)| event.seq = seq);
    events
}

#[test]
fn a_log_is_read_from_its_first_event_without_a_gap() {
    let log = log();
    assert!(Tree::fold(root(), log.clone()).is_ok());
    assert!(refusal(Vec::new()).contains("it is empty"));
    assert!(refusal(log[1..].to_vec()).contains("it begins with orchestration.child_lifecycle"));
    assert!(refusal(renumbered(log[2..].to_vec())).contains("its first event does not open a tree"));
    let mut gap = log.clone();
    gap.remove(3);
    assert!(refusal(gap).contains("does not fold at seq 5: seq 4 was expected"));
    let mut twice = log.clone();
    twice.insert(3, log[3].clone());
    assert!(refusal(twice).contains("seq 5 was expected"));
    let mut late = log.clone();
    late.iter_mut().for_each(|event| event.seq += 1);
    assert!(refusal(late).contains("seq 1 was expected"));
}

#[test]
fn a_log_that_speaks_of_what_is_not_there_is_refused() {
    let log = log();
    let broken = |place: usize, change: &dyn Fn(&mut Event)| {
        let mut log = log.clone();
        change(&mut log[place]);
        refusal(log)
    };
    let find = |wanted: fn(&Fact) -> bool| log.iter().position(|event| wanted(&event.fact)).unwrap();
    let stranger = RunId { root: RootId(1), index: 0 };
    assert!(broken(1, &|event| event.run_id = id(99)).contains("which was not spawned"));
    assert!(broken(1, &|event| event.run_id = stranger).contains("which was not spawned"));
    assert!(broken(2, &|event| event.run_id = id(1)).contains("which was not spawned"), "its own child");
    let life = find(|fact| matches!(fact, Fact::ChildLifecycle(_)));
    assert!(
        broken(life, &|event| match &mut event.fact {
            Fact::ChildLifecycle(life) => life.child_run_id = id(99),
            _ => panic!(),
        })
        .contains("which was not spawned")
    );
    let join = find(|fact| matches!(fact, Fact::JoinDecision(_)));
    assert!(
        broken(join, &|event| match &mut event.fact {
            Fact::JoinDecision(join) => join.group_id = group_id(9),
            _ => panic!(),
        })
        .contains("group")
    );
    let cancel = find(|fact| matches!(fact, Fact::CancellationPropagation(_)));
    assert!(
        broken(cancel, &|event| match &mut event.fact {
            Fact::CancellationPropagation(cancel) => cancel.cancelled_run_ids.push(id(99)),
            _ => panic!(),
        })
        .contains("which was not spawned")
    );
    let replan = find(|fact| matches!(fact, Fact::ReplanDecision(_)));
    assert!(
        broken(replan, &|event| match &mut event.fact {
            Fact::ReplanDecision(replan) => replan.run_id = id(99),
            _ => panic!(),
        })
        .contains("which was not spawned")
    );
    assert!(Tree::fold(RootId(1), log.clone()).is_err(), "another tree's log");
}

#[test]
fn spawns_out_of_order_are_refused() {
    let log = log();
    let broken = |place: usize, change: &dyn Fn(&mut SpawnDecision)| {
        let mut log = log.clone();
        let Fact::SpawnDecision(decision) = &mut log[place].fact else { panic!("{:?}", log[place]) };
        change(decision);
        refusal(log)
    };
    assert!(broken(2, &|decision| decision.spawned_run_ids[0] = id(2)).contains("out of order"));
    assert!(broken(2, &|decision| decision.spawned_run_ids.clear()).contains("other runs than it names"));
    assert!(broken(2, &|decision| decision.group_id = Some(group_id(0))).contains("was not spawned"));
    let found = |decision: &mut SpawnDecision, group| {
        (decision.idempotent, decision.group_id) = (true, Some(group_id(group)));
        decision.spawned_run_ids = vec![id(0)];
    };
    assert!(broken(2, &|decision| found(decision, 9)).contains("group"), "one that is found again");
    assert!(broken(2, &|decision| decision.replans = Some(id(9))).contains("which was not spawned"));
    let Fact::SpawnDecision(opening) = &log[0].fact else { panic!() };
    assert!(broken(2, &|decision| decision.tree = opening.tree.clone()).contains("opened once"));
    assert!(broken(0, &|decision| decision.idempotent = true).contains("its root run alone"));
}

/// Whatever is taken out of a log or put twice, and numbered anew, it is refused
/// or is another state; and nothing panics.
#[test]
fn no_mangled_log_passes_for_the_whole_one() {
    let log = log();
    let whole = Tree::fold(root(), log.clone()).unwrap();
    let mut refused = 0;
    for place in 0..log.len() {
        let mut without = log.clone();
        without.remove(place);
        let mut twice = log.clone();
        twice.insert(place, log[place].clone());
        let mut swapped = log.clone();
        swapped.swap(place, (place + 1).min(log.len() - 1));
        // Neighbours that have nothing to do with each other may change places.
        let _ = Tree::fold(root(), renumbered(swapped));
        for (what, mangled) in [("without", without), ("twice", twice)] {
            match Tree::fold(root(), renumbered(mangled)) {
                Ok(tree) => assert!(tree != whole, "{what} at {place}: {:?}", log[place]),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > log.len(), "most are refused outright: {refused}");
}

/// The auditor that stands behind every other test has to notice, too.
#[test]
fn the_auditor_notices_a_broken_rule() {
    let log = log();
    let audit = |log: Vec<Event>| {
        let mut auditor = Auditor::new();
        log.iter().try_for_each(|event| auditor.observe(event))
    };
    assert_eq!(audit(log.clone()), Ok(()));
    let broken = |change: &dyn Fn(&mut Vec<Event>)| {
        let mut log = log.clone();
        change(&mut log);
        audit(renumbered(log)).expect_err("the auditor saw nothing")
    };
    let end = log.len() - 1;
    assert!(broken(&|log| log.push(log[end].clone())).contains("a run ends once"));
    let starts = broken(&|log| log.insert(2, log[1].clone()));
    assert!(starts.contains("not started twice"), "{starts}");
    let revived = broken(&|log| {
        let start = log.iter().rposition(|e| matches!(&e.fact, Fact::ChildLifecycle(l) if l.status == Step::Started));
        let start = log[start.unwrap()].clone();
        log.push(start);
    });
    assert!(revived.contains("nothing starts in a cancelled subtree"), "{revived}");
    let grown = broken(&|log| match &mut log[2].fact {
        Fact::SpawnDecision(decision) => {
            Arc::make_mut(&mut decision.runs[0].request).scopes = Grant::new(scopes(&["http.get:x"]), [])
        }
        fact => panic!("{fact:?}"),
    });
    assert!(grown.contains("authority never grows"), "{grown}");
    let undecided = broken(&|log| {
        let fails = |e: &Event| matches!(&e.fact, Fact::ChildLifecycle(l) if l.status == Step::Failed);
        let place = log.iter().position(fails).unwrap();
        log.remove(place);
    });
    assert!(undecided.contains("as the table says"), "{undecided}");
}
