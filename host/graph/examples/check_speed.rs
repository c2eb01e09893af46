//! How long checking takes, over graphs of awkward shapes: `cargo run --release -p
//! pleach-graph --example check_speed [NODES]`.

use std::fmt::Write as _;
use std::time::Instant;

use pleach_graph::compile;
use pleach_graph::source::Source;

fn main() {
    let nodes: usize = std::env::args().nth(1).and_then(|nodes| nodes.parse().ok()).unwrap_or(10_000);
    for (name, text) in [
        ("chain, each looks at the one before", chain(nodes, |n| format!("${{{{ nodes.n{}.output }}}}", n - 1))),
        ("chain, each looks at the first", chain(nodes, |_| "${{ nodes.n0.output.x + 1 }}".to_owned())),
        ("chain, each looks far back", chain(nodes, |n| format!("${{{{ nodes.n{}.output }}}}", n * 7919 % n))),
        ("tasks with three needs", tasks(nodes)),
        ("fan-out and fan-in", fan(nodes)),
        ("routers in a row, all to one end", routers(nodes)),
        ("conditions in a row", conditions(nodes)),
        ("loops in loops", loops(nodes)),
        ("one cycle", cycle(nodes)),
        ("names that are not there", chain(nodes, |n| format!("${{{{ nodes.m{n}.output }}}}"))),
    ] {
        let source = Source::new("g.yaml", text.as_str());
        let start = Instant::now();
        let compiled = compile(&source);
        let ms = start.elapsed().as_secs_f64() * 1e3;
        let first = compiled.problems.first().map_or("", |problem| problem.code);
        println!("{ms:8.1} ms  {:5} KB  {:4} problems {first:20} {name}", text.len() / 1024, compiled.problems.len());
    }
}

fn graph(nodes: &str, edges: &str) -> String {
    format!("spec_version: \"2.0\"\nnodes:\n{nodes}edges:\n{edges}")
}

fn chain(nodes: usize, input: impl Fn(usize) -> String) -> String {
    let (mut all, mut edges) = ("  n0: {spawn_run: {target: w}}\n".to_owned(), String::new());
    for n in 1..nodes {
        writeln!(all, "  n{n}: {{spawn_run: {{target: w, input: \"{}\"}}}}", input(n)).ok();
        writeln!(edges, "- {{from: n{}, to: n{n}}}", n - 1).ok();
    }
    graph(&all, &edges)
}

fn tasks(nodes: usize) -> String {
    let mut all = "spec_version: \"2.0\"\ntasks:\n".to_owned();
    for n in 0..nodes {
        let mut needs: Vec<usize> = (1..4).filter(|k| n > 0 && k * 31 < n).map(|k| (n * 7919 * k + k) % n).collect();
        needs.sort_unstable();
        needs.dedup();
        let input = needs.first().map_or("1".to_owned(), |need| format!("\"${{{{ nodes.t{need}.output }}}}\""));
        let needs: Vec<String> = needs.iter().map(|need| format!("t{need}")).collect();
        writeln!(all, "- {{id: t{n}, agent: w, needs: [{}], input: {input}}}", needs.join(", ")).ok();
    }
    all
}

fn fan(nodes: usize) -> String {
    let (mut all, mut edges) = ("  a: {spawn_run: {target: w}}\n".to_owned(), String::new());
    for n in 0..nodes {
        writeln!(all, "  n{n}: {{spawn_run: {{target: w, input: \"${{{{ nodes.a.output }}}}\"}}}}").ok();
        write!(edges, "- {{from: a, to: n{n}, when: input.x > {n}}}\n- {{from: n{n}, to: z}}\n").ok();
    }
    all.push_str("  z: {output: {value: \"${{ nodes.n1.output }}\"}}\n");
    graph(&all, &edges)
}

fn routers(nodes: usize) -> String {
    let (mut all, mut edges) = (String::new(), String::new());
    for n in 0..nodes {
        writeln!(all, "  n{n}: {{router: {{route_key: input.k, routes: [{{name: a}}]}}}}").ok();
        let next = if n + 1 < nodes { format!("n{}", n + 1) } else { "z".to_owned() };
        write!(edges, "- {{from: n{n}.a, to: z}}\n- {{from: n{n}.default, to: {next}}}\n").ok();
    }
    let edges = edges.replace(
        &format!("- {{from: n{}.default, to: z}}\n", nodes - 1),
        &format!("- {{from: n{}.default, to: y}}\n", nodes - 1),
    );
    all.push_str("  y: {output: {}}\n  z: {output: {value: \"${{ nodes.n0.output }}\"}}\n");
    graph(&all, &edges)
}

fn conditions(nodes: usize) -> String {
    let (mut all, mut edges) = ("  n0: {spawn_run: {target: w}}\n".to_owned(), String::new());
    for n in 1..nodes {
        let (before, far) = (n - 1, n.saturating_sub(2));
        writeln!(all, "  n{n}: {{spawn_run: {{target: w, input: \"${{{{ nodes.n{far}.output }}}}\"}}}}").ok();
        writeln!(edges, "- {{from: n{before}, to: n{n}, when: input.x > {n}}}").ok();
        if far < before {
            writeln!(edges, "- {{from: n{far}, to: n{n}}}").ok();
        }
    }
    graph(&all, &edges)
}

fn loops(nodes: usize) -> String {
    let depth = nodes / 3;
    let (mut all, mut edges) = (String::new(), String::new());
    for n in 0..depth {
        writeln!(all, "  a{n}: {{spawn_run: {{target: w}}}}").ok();
        writeln!(all, "  b{n}: {{spawn_run: {{target: w}}}}").ok();
        writeln!(all, "  r{n}: {{replan: {{}}}}").ok();
        if n + 1 < depth {
            write!(edges, "- {{from: a{n}, to: a{}}}\n- {{from: r{}.continue, to: b{n}}}\n", n + 1, n + 1).ok();
        } else {
            writeln!(edges, "- {{from: a{n}, to: b{n}}}").ok();
        }
        write!(edges, "- {{from: b{n}, to: r{n}}}\n- {{from: r{n}.replan, to: a{n}}}\n").ok();
    }
    all.push_str("  z: {output: {}}\n");
    edges.push_str("- {from: r0.continue, to: z}\n");
    graph(&all, &edges)
}

fn cycle(nodes: usize) -> String {
    let text = chain(nodes, |_| "x".to_owned());
    format!("{text}- {{from: n{}, to: n0}}\n", nodes - 1)
}
