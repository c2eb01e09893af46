//! The benchmark on peers that do not exist: scripts for the shell, in a folder of
//! their own, with the shell where a venv has its Python.

use std::os::unix::fs::symlink;

use super::*;

/// What answers for workload `w3` and lacks the others.
const W3_ONLY: &str = r#"
case "$*" in
  --probe) echo '{"peer":"fake","installed":true,"version":"1.2","why":null,"install":"-"}' ;;
  *w3*) echo "noise" >&2; echo '{"workload":"w3","n":50,"unit":"ms","rounds":[3,1,2],"note":"quickly"}' ;;
  *) echo "{\"workload\":\"$2\",\"n\":100,\"unit\":\"-\",\"skipped\":\"not $2\"}" ;;
esac"#;

/// Peers of these names and scripts, in a folder.
fn session(folder: &Path, peers: &[(&str, &str)], short: bool, stop: watch::Receiver<bool>) -> Session {
    for (name, script) in peers {
        let bin = folder.join(name).join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        symlink("/bin/sh", bin.join("python")).unwrap();
        std::fs::write(folder.join(format!("peer_{name}.py")), script).unwrap();
    }
    let scripts = Scripts { folder: folder.to_owned(), venvs: Some(folder.to_owned()) };
    let ask = Ask { names: Vec::new(), venvs: None, rounds: 3, short, timeout: 60, json: None };
    Session { scripts, ask, stop, figures: Vec::new() }
}

/// Measures these peers; gives a line for each figure and whether it was stopped.
async fn told(peers: &[(&str, &str)], stop: bool) -> (Vec<String>, bool) {
    let folder = tempfile::tempdir().unwrap();
    let (_sender, stop) = watch::channel(stop);
    let mut session = session(folder.path(), peers, true, stop);
    let names = session.scripts.names().unwrap();
    let stopped = session.measure(&names).await.is_err();
    let line = |figure: &Figure| {
        let Figure { peer, workload, outcome, note, .. } = figure;
        let outcome = match outcome {
            Outcome::Measured(spread) => report::spread(spread),
            other => format!("{other:?}"),
        };
        format!("{peer} {} {outcome}: {note}", workload.map_or("-", Workload::word))
    };
    (session.figures.iter().map(line).collect(), stopped)
}

#[tokio::test]
async fn what_a_peer_can_do_is_measured_and_what_it_lacks_is_named() {
    let (lines, stopped) = told(&[("fake", W3_ONLY)], false).await;
    assert!(!stopped);
    let expected = [
        "fake w1 Lacking: not w1",
        "fake w2 Lacking: not w2",
        "fake w3 2.00 [1.00–3.00]: quickly",
        "fake w4 Lacking: not w4",
        "fake w5 Lacking: not w5",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn who_is_not_installed_is_no_failure_and_who_fails_does_not_hold_up_others() {
    let absent = r#"echo '{"peer":"a","installed":false,"version":null,"why":"no a","install":"pip install a"}'"#;
    let broken = "echo first >&2; echo 'b: it broke' >&2; echo >&2; exit 1";
    let silent = "exit 3";
    let babble = "echo hello";
    let peers = [("a", absent), ("b", broken), ("c", silent), ("d", babble), ("e", W3_ONLY)];
    let (lines, _) = told(&peers, false).await;
    assert_eq!(lines[0], "a - NotInstalled: no a; to install it: pip install a");
    assert_eq!(lines[1], "b - Failed: b: it broke");
    assert_eq!(lines[2], "c - Failed: it ended with exit status: 3 and said nothing");
    assert!(lines[3].starts_with("d - Failed: it should have printed one JSON object"), "{}", lines[3]);
    assert_eq!(lines.len(), 4 + Workload::ALL.len(), "{lines:#?}");
}

#[tokio::test]
async fn a_cap_is_measured_once() {
    let capped = r#"
case "$*" in
  --probe) echo '{"peer":"fake","installed":true,"version":"1","why":null,"install":"-"}' ;;
  *) echo "{\"workload\":\"$2\",\"n\":1000,\"unit\":\"us_per_child\",\"rounds\":[1],\"note\":\"capped, $4 asked\"}" ;;
esac"#;
    let folder = tempfile::tempdir().unwrap();
    let (_sender, stop) = watch::channel(false);
    let mut session = session(folder.path(), &[("fake", capped)], false, stop);
    session.measure(&["fake".to_owned()]).await.unwrap();
    let w2: Vec<_> = session.figures.iter().filter(|figure| figure.workload == Some(Workload::W2)).collect();
    assert_eq!(w2.len(), 1);
    assert_eq!((w2[0].n, &*w2[0].note), (Some(1_000), "capped, 10000 asked"));
}

#[tokio::test]
async fn an_interrupt_ends_the_script_that_runs_and_asks_no_other() {
    let (lines, stopped) = told(&[("a", "sleep 600"), ("b", W3_ONLY)], true).await;
    assert!(stopped && lines.is_empty(), "{lines:?}");
}

#[test]
fn a_folder_without_scripts_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for folder in [folder.path().to_owned(), folder.path().join("gone")] {
        let error = format!("{:#}", Scripts { folder, venvs: None }.names().unwrap_err());
        assert!(error.contains("looking for the peers' scripts in") && error.contains("build it again"), "{error}");
    }
}

#[test]
fn a_peer_without_a_script_is_refused_with_those_there_are() {
    let known = || vec!["asyncio".to_owned(), "ray".to_owned()];
    assert_eq!(chosen(known(), &["ray".to_owned()]).unwrap(), ["ray"]);
    assert_eq!(chosen(known(), &[]).unwrap(), known());
    let error = chosen(known(), &["rya".to_owned()]).unwrap_err().to_string();
    assert!(error.contains("`rya`") && error.contains("asyncio"), "{error}");
}
