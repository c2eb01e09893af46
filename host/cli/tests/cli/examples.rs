//! The examples of graphs, each run as its README says, and the results of graphs.

use serde_json::Value;

use crate::program::{Desk, Done, component, repository};

/// Before each command of a README.
const PROMPT: &str = "cargo run --release -- ";

/// The commands in an example's README, in order.
fn commands(example: &str) -> Vec<Vec<String>> {
    let readme = repository().join(format!("examples/{example}/README.md"));
    let text = std::fs::read_to_string(&readme).unwrap_or_else(|e| panic!("{}: {e}", readme.display()));
    text.lines().filter_map(|line| line.strip_prefix(PROMPT)).map(words).collect()
}

/// A command line in words, as a shell would take it apart: what is in quotes is one.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (place, part) in line.split('\'').enumerate() {
        for (number, piece) in part.split(|c| place % 2 == 0 && c == ' ').enumerate() {
            if number > 0 {
                words.push(String::new());
            }
            words.last_mut().expect("there is one").push_str(piece);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Runs a command of a README from the root of the repository.
fn run(command: &[String], more: &[&str]) -> Done {
    component("plugins/stand-in/stand-in.wasm");
    let desk = Desk::new();
    let arguments: Vec<&str> = command.iter().map(String::as_str).chain(["--store", "memory:"]).collect();
    let output = desk.command(&arguments).args(more).current_dir(repository()).output();
    Done::of(output.expect("starting pleach"))
}

/// Runs an example and compares what it gave back with what it says it gives.
fn example(name: &str) -> Value {
    let done = run(&commands(name)[0], &["--format", "json"]);
    assert_eq!(done.code, 0, "{}", done.told());
    let expected = std::fs::read_to_string(repository().join(format!("examples/{name}/output.json")));
    let expected: Value = serde_json::from_str(&expected.expect("its output")).expect("JSON");
    let report = done.json();
    assert_eq!(report["output"], expected, "{}", done.told());
    report
}

fn task<'a>(report: &'a Value, id: &str) -> &'a Value {
    let tasks = report["graph"]["tasks"].as_array().expect("tasks");
    tasks.iter().find(|task| task["id"] == id).unwrap_or_else(|| panic!("no task {id}: {report}"))
}

#[test]
fn of_several_agents_the_first_answer_wins_and_the_others_are_stopped() {
    let report = example("first-answer");
    let race = task(&report, "race");
    let runs = &race["runs"];
    let counts = ["total", "completed", "failed", "cancelled"].map(|name| runs[name].as_u64());
    assert_eq!(counts, [3, 1, 1, 1].map(Some), "{race}");
    assert_eq!(task(&report, "winner")["handle"], "completed");
    assert_eq!(task(&report, "nobody")["status"], "skipped");
    // The slowest would have taken a minute.
    assert!(report["graph"]["wall_ms"].as_u64().expect("a number") < 30_000, "{}", report["graph"]);
}

#[test]
fn a_pipeline_mends_what_is_flaky_and_goes_on_without_what_is_broken() {
    let report = example("pipeline");
    let tasks = report["graph"]["tasks"].as_array().expect("tasks");
    assert_eq!(tasks.len(), 12);
    let flaky = task(&report, "integration-tests");
    assert_eq!((flaky["status"].as_str(), flaky["attempts"].as_u64()), (Some("completed"), Some(3)));
    assert_eq!(flaky["errors"].as_array().map(Vec::len), Some(2), "{flaky}");
    let broken = task(&report, "benchmarks");
    assert_eq!((broken["status"].as_str(), &broken["errors"][0]["code"]), (Some("failed"), &"no_machine".into()));
    let skipped = task(&report, "benchmark-report");
    assert_eq!(
        (skipped["status"].as_str(), skipped["reason"].as_str()),
        (Some("skipped"), Some("`benchmarks` failed"))
    );
    let completed = tasks.iter().filter(|task| task["status"] == "completed").count();
    assert_eq!(completed, 10);
    assert_eq!(report["graph"]["summary"], report["output"]["release"]);
    assert!(report["graph"]["speedup_vs_serial"].as_f64().expect("a number") > 1.0, "{}", report["graph"]);
    assert!(flaky["finished_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{flaky}");
}

#[test]
fn tasks_from_the_command_line_run_as_the_readme_says() {
    let done = run(&commands("pipeline")[1], &[]);
    assert_eq!(done.code, 0, "{}", done.told());
    for task in ["\n a ", "\n b ", "\n c "] {
        assert!(done.stdout.contains(task), "{}", done.told());
    }
}

#[test]
fn a_result_as_text_has_a_table_and_how_fast_it_was() {
    let done = run(&commands("pipeline")[0], &["--quiet"]);
    let table = done.stdout.split("\n\n").nth(2).unwrap_or_else(|| panic!("{}", done.told()));
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 13, "{}", done.told());
    assert!(rows[0].split_whitespace().eq(["task", "agent", "status", "time", "tries"]), "{}", rows[0]);
    let broken = rows.iter().find(|row| row.contains(" benchmarks ")).expect("a row");
    assert!(broken.contains("failed") && broken.ends_with("no_machine: the quiet machine is taken"), "{broken}");
    let last = done.stdout.lines().last().unwrap_or_default();
    assert!(last.starts_with("wall ") && last.contains(" x faster than one after the other, cost "), "{last}");
}

#[test]
fn tasks_that_disagree_are_told_with_both_values() {
    let tasks = r#"[{id: a, agent: stand-in, input: {answer: {port: 80}}}, {id: b, agent: stand-in, input: {answer: {port: 8080}}}]"#;
    let command = with_tasks(tasks);
    let text = run(&command, &[]);
    assert!(text.stdout.contains("disagree in 1 place:\n  /port: 80 (a), 8080 (b)\n"), "{}", text.told());
    let graph = &run(&command, &["--format", "json"]).json()["graph"];
    assert_eq!(graph["summary"]["port"], 80);
    assert_eq!(graph["conflicts"][0]["dropped"], serde_json::json!({"task": "b", "value": 8080}));
}

#[test]
fn a_pipeline_that_fails_ends_with_1_and_its_table_says_where() {
    let tasks = r#"[{id: a, agent: stand-in, input: {fail: {}}}, {id: b, agent: stand-in, needs: [a]}]"#;
    let done = run(&with_tasks(tasks), &[]);
    assert_eq!(done.code, 1, "{}", done.told());
    for told in ["(node_failed)", "told_to_fail: it was told to fail", "skipped", "`a` failed"] {
        assert!(done.stdout.contains(told), "`{told}` is missing\n{}", done.told());
    }
}

/// A command of the pipeline's README with other tasks.
fn with_tasks(tasks: &str) -> Vec<String> {
    let mut command = commands("pipeline")[1].clone();
    let place = command.iter().position(|word| word == "--tasks").expect("--tasks");
    command[place + 1] = tasks.to_owned();
    command
}

#[test]
fn what_is_wrong_with_tasks_of_a_file_is_told_with_its_name_and_line() {
    let desk = Desk::new();
    for (name, text, place) in [
        ("list.yaml", "- id: a\n  agent: stand-in\n- id: b\n  agnet: stand-in\n", "list.yaml:4:3"),
        ("list.json", "[{\"id\": \"a\",\n  \"agnet\": \"stand-in\"}]", "list.json:2:3"),
    ] {
        let file = desk.file(name, text);
        let done = run(&with_tasks(&format!("@{}", file.display())), &[]);
        assert_eq!(done.code, 2, "{}", done.told());
        assert!(done.stderr.contains(place), "{place}\n{}", done.told());
    }
}

#[test]
fn tasks_that_are_no_list_are_refused_with_what_to_write() {
    for tasks in ["{id: a, agent: stand-in}", "spec_version: \"2.0\"\ntasks: []"] {
        let done = run(&with_tasks(tasks), &[]);
        assert_eq!(done.code, 2, "{}", done.told());
        assert!(done.stderr.contains("they are no list") && done.stderr.contains("[{id: a"), "{}", done.told());
    }
}

#[test]
fn what_a_graph_is_not_granted_is_told_before_anything_runs() {
    let mut command = with_tasks("[{id: a, agent: stand-in, input: {}}]");
    let place = command.iter().position(|word| word == "--grant").expect("--grant");
    command.drain(place..place + 2);
    let done = run(&command, &[]);
    assert_eq!(done.code, 2, "{}", done.told());
    for told in ["error[scope_required]", "--grant 'spawn:stand-in'"] {
        assert!(done.stderr.contains(told), "`{told}` is missing\n{}", done.told());
    }
}

/// A command of the pipeline's README with a graph in place of its tasks.
fn with_graph(words: &[&str]) -> Vec<String> {
    let mut command = with_tasks("");
    let place = command.iter().position(|word| word == "--tasks").expect("--tasks");
    command.splice(place..place + 2, words.iter().map(|word| (*word).to_owned()));
    command
}

#[test]
fn what_is_doubtful_about_a_graph_is_told_and_it_runs() {
    let desk = Desk::new();
    let text = "spec_version: \"2.0\"\nname: tasks\nnodes:\n  a: {spawn_run: {target: stand-in, input: {}}}\n  b: {spawn_run: {target: stand-in, input: {}}}\n  out: {output: {value: \"${{ nodes.a.output }}\"}}\nedges: [{from: a, to: out}]\n";
    let file = desk.file("doubtful.yaml", text).display().to_string();
    let done = run(&with_graph(&[&file]), &[]);
    assert_eq!(done.code, 0, "{}", done.told());
    assert!(done.stderr.contains("warning[unused_output]"), "{}", done.told());
}

#[test]
fn a_published_graph_that_is_run_by_its_name_has_its_table() {
    let desk = Desk::new();
    let text = "spec_version: \"2.0\"\nname: tasks\ntasks: [{id: a, agent: stand-in, input: {}}, {id: b, agent: stand-in, input: {}}]\n";
    let file = desk.file("two.yaml", text).display().to_string();
    let done = run(&with_graph(&["tasks", "--plugin", &file]), &[]);
    assert_eq!(done.code, 0, "{}", done.told());
    for told in ["\n a ", "\n b ", "\nwall "] {
        assert!(done.stdout.contains(told), "`{told}` is missing\n{}", done.told());
    }
}

/// However it came to its end, and in whichever process.
#[test]
fn a_graph_that_is_resumed_has_its_table() {
    component("plugins/stand-in/stand-in.wasm");
    let desk = Desk::new();
    let store = format!("sqlite:{}", desk.path("graphs.db").display());
    let pleach = |command: &[String], more: &[&str]| {
        let arguments: Vec<&str> = command.iter().map(String::as_str).chain(["--store", &store]).collect();
        Done::of(desk.command(&arguments).args(more).current_dir(repository()).output().expect("starting pleach"))
    };
    let ran = pleach(&with_tasks("[{id: a, agent: stand-in, input: {}}]"), &["--format", "json"]);
    let run = ran.json()["run_id"].as_str().expect("an id").to_owned();
    let resume = ["resume".to_owned(), run];
    let text = pleach(&resume, &[]);
    for told in ["\n a ", "\nwall "] {
        assert!(text.stdout.contains(told), "`{told}` is missing\n{}", text.told());
    }
    let json = pleach(&resume, &["--format", "json"]).json();
    assert!(json.to_string().contains("\"id\":\"a\""), "{json}");
}
