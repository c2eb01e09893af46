//! `docs/graphs.md`: the commands on the page do what it says, with the files that
//! it shows. `UPDATE_EXPECT=1` writes down what they print.

use std::os::unix::fs::symlink;

use crate::program::{Desk, repository};

/// What a reader has: the files of the page, the plugins, and a folder to review.
fn desk(page: &str) -> Desk {
    let desk = Desk::new();
    for block in page.split("```yaml\n").skip(1) {
        let content = block.split("```").next().unwrap_or_default();
        let name = content.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a block says its file");
        desk.file(name, content);
    }
    symlink(repository().join("plugins"), desk.path("plugins")).expect("a link to the plugins");
    desk.file("notes/a.md", "# Notes\n\n");
    desk.file("notes/b.rs", "fn a() {} \n");
    desk
}

/// The words of a command as a shell has them, with single quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in command.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("there is one").push(c),
        }
    }
    words
}

/// What was printed, without what is another each time.
fn told(printed: &str) -> String {
    let mut lines = Vec::new();
    let mut is_table = false;
    for line in printed.lines() {
        match line {
            line if line.starts_with("completed after ") => lines.push("completed after …".to_owned()),
            // The table of tasks has times, and columns as wide as they are.
            line if line.starts_with(" task ") => is_table = true,
            line if line.starts_with("wall ") => is_table = false,
            _ if is_table => {}
            line if line.starts_with("run ") && line.contains(" · ") => {}
            line => match line.split_once("sha256:") {
                Some((before, _)) => lines.push(format!("{before}sha256:…)")),
                None => lines.push(line.to_owned()),
            },
        }
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.join("\n") + "\n"
}

/// What a block with commands is once they were run.
fn run(desk: &Desk, block: &str) -> String {
    let mut said = String::new();
    for line in block.lines() {
        let Some(command) = line.strip_prefix("$ pleach ") else { continue };
        let words = words(command);
        let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        if arguments[0] == "run" {
            arguments.push("--quiet");
        }
        let broken = command.contains("broken.yaml");
        let done = desk.expect(if broken { 2 } else { 0 }, &arguments);
        said.push_str(&format!("{line}\n{}", told(if broken { &done.stderr } else { &done.stdout })));
    }
    said
}

#[test]
fn the_commands_of_the_page_print_what_it_says() {
    let path = repository().join("docs/graphs.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let desk = desk(&page);
    let mut fresh = String::new();
    let mut blocks = page.split("```console\n");
    fresh.push_str(blocks.next().expect("what comes first"));
    let mut count = 0;
    for block in blocks {
        let (commands, rest) = block.split_once("```").expect("a block ends");
        fresh.push_str(&format!("```console\n{}```{rest}", run(&desk, commands)));
        count += 1;
    }
    assert!(count >= 7, "{count} blocks with commands were found");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, fresh).expect("writing the page");
    } else {
        assert!(page == fresh, "docs/graphs.md says something else than is printed; UPDATE_EXPECT=1 writes:\n{fresh}");
    }
}
