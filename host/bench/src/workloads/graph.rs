//! W12: a graph of no-op agents, in layers. Checking it, and running it beside a
//! durable fan-out of as many children.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};
use pleach_engine::graph::{compile, source::Source};
use pleach_engine::{Host, Publish};
use serde_json::json;

use crate::report::{Goal, Row};
use crate::rounds::{Side, interleaved};
use crate::workloads::Scale;
use crate::{guests, ours};

/// Nodes of a layer; each of them waits for two of the layer before.
const LAYER: u32 = 100;

const NAME: &str = "layers";

/// The published graph is run by name, as a guest is: checking it is a case of its
/// own, and no part of the time that its run takes.
pub async fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for count in scale.sizes(&[1_000], &[10_000]) {
        let graph = Source::new("layers.yaml", layers(count)?);
        if scale.rounds.only != Some(Side::Floor) {
            let checked = (0..scale.rounds.count).map(|_| check(&graph)).collect::<anyhow::Result<Vec<f64>>>()?;
            let case = format!("a graph of {count}, checked");
            rows.push(Row::alone("W12", case, "ms", &checked, Goal::AtMost(500.0))?);
        }
        let folder = tempfile::tempdir()?;
        let host = ours::host(ours::on_disk(folder.path()), &["echo", "fan-out"]).await?;
        host.publish_graph(graph, Publish::default()).await?;
        let a_child = |took: Duration| took.as_secs_f64() * 1e6 / f64::from(count);
        let pairs = interleaved(
            scale.rounds,
            async || Ok(a_child(ours::fan_out(&host, count).await?)),
            async || Ok(a_child(walk(&host, count).await?)),
        )
        .await?;
        let case = format!("a graph of {count}, durable");
        rows.push(Row::compared("W12", case, "µs a child", &pairs, Goal::TimesFloor(1.5))?.against("W2"));
        ours::close(host).await?;
    }
    Ok(rows)
}

/// The graph's text: every node gives an agent a hundred bytes.
fn layers(count: u32) -> anyhow::Result<String> {
    ensure!(count.is_multiple_of(LAYER), "the graph of W12 has layers of {LAYER}: {count} nodes do not fill them");
    let input = guests::hundred_bytes();
    let mut text = format!("spec_version: \"2.0\"\nname: {NAME}\nnodes:\n");
    for node in 0..count {
        writeln!(text, "  n{node}: {{spawn_run: {{target: echo, input: {input}}}}}")?;
    }
    text.push_str("edges:\n");
    for node in LAYER..count {
        let (before, place) = (node / LAYER * LAYER - LAYER, node % LAYER);
        for other in [place, (place + 1) % LAYER] {
            writeln!(text, "- {{from: n{}, to: n{node}}}", before + other)?;
        }
    }
    Ok(text)
}

fn check(graph: &Source) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let plan = compile(graph).into_plan();
    let took = begun.elapsed();
    let plan = plan.map_err(|problems| anyhow!("the graph of W12 is wrong: {:?}", problems.first()))?;
    ensure!(!plan.nodes.is_empty(), "the graph of W12 is empty");
    Ok(took.as_secs_f64() * 1e3)
}

/// From the submission of the graph to its result.
async fn walk(host: &Host, count: u32) -> anyhow::Result<Duration> {
    let submission = ours::submission(NAME, &json!({}))?;
    let begun = Instant::now();
    let run = host.submit(submission).await?;
    let ended = run.wait().await?;
    let took = begun.elapsed();
    let output = ours::output(&ended)?;
    let last = format!("n{}", count - 1);
    // Nothing comes after the last layer, so that its outputs are the graph's.
    let is_whole = output.as_object().is_some_and(|nodes| nodes.len() == LAYER as usize);
    ensure!(is_whole && output[&last] == guests::hundred_bytes(), "not every node completed: {output}");
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_but_the_first_layers_waits_for_two() {
        let plan = compile(&Source::new("layers.yaml", layers(300).unwrap())).into_plan().unwrap();
        let waits: Vec<usize> = plan.nodes.iter().map(|node| node.incoming.len()).collect();
        assert_eq!(waits, [vec![0; 100], vec![2; 200]].concat());
        assert!(layers(150).is_err());
    }

    #[tokio::test]
    async fn a_graph_that_was_walked_gives_its_last_layer() {
        let host = ours::host(ours::in_memory(), &["echo"]).await.unwrap();
        let graph = Source::new("layers.yaml", layers(200).unwrap());
        host.publish_graph(graph, Publish::default()).await.unwrap();
        assert!(walk(&host, 200).await.unwrap() > Duration::ZERO);
        assert!(walk(&host, 300).await.is_err());
        ours::close(host).await.unwrap();
    }
}
