//! Graphs that are made to break a picture: by their texts, and by their size.

use proptest::prelude::*;

use super::super::scene::{REVIEW, Scene, plan};
use super::super::{Format, Happened, draw};
use crate::plan::{Kind, Plan};

/// The plan of the review with `text` wherever a file can have text of its own.
fn with_text(text: &str) -> Plan {
    let mut plan = plan(REVIEW);
    plan.name = text.into();
    plan.description = Some(text.to_owned());
    for node in &mut plan.nodes {
        node.id = format!("{text}{}", node.id).into();
        for handle in &mut node.handles {
            *handle = format!("{text}{handle}").into();
        }
        match &mut node.kind {
            Kind::SpawnRun { run, .. } | Kind::AgentCall { run } | Kind::Map { run, .. } => run.target = text.into(),
            Kind::SpawnGroup { members, .. } => members.iter_mut().for_each(|member| member.target = text.into()),
            Kind::Output(output) => {
                if let Some(failing) = &mut output.error {
                    failing.code = text.into();
                }
            }
            Kind::Join { .. } | Kind::Router(_) | Kind::Judge(_) | Kind::Replan(_) | Kind::CancelSubtree { .. } => {}
        }
    }
    plan
}

fn drawn_with(text: &str, format: Format) -> String {
    let (plan, mut scene) = (with_text(text), Scene::review());
    for run in &mut scene.run.children {
        for error in run.error.iter_mut() {
            error.code = text.into();
        }
    }
    draw(&plan, Some(&Happened::of(&plan, &scene.run, &scene.events)), format)
}

/// The names and the classes of all elements, in order.
fn elements(svg: &str) -> Vec<(String, String)> {
    let document = roxmltree::Document::parse(svg).unwrap_or_else(|error| panic!("{error}\n{svg}"));
    let elements = document.descendants().filter(|node| node.is_element());
    let read = |node: roxmltree::Node<'_, '_>| {
        (node.tag_name().name().to_owned(), node.attribute("class").unwrap_or_default().to_owned())
    };
    elements.map(read).collect()
}

/// What is left of a text without its quoted parts.
fn unquoted(text: &str, escape: Option<char>) -> String {
    let (mut out, mut within, mut chars) = (String::new(), false, text.chars());
    while let Some(c) = chars.next() {
        match c {
            '"' => within = !within,
            c if within && Some(c) == escape => {
                chars.next();
            }
            c if !within => out.push(c),
            _ => {}
        }
    }
    assert!(!within, "a quote is open\n{text}");
    out
}

/// What is in the picture besides labels is the same as with a harmless text. Something
/// is left of each text, so that no label is left out.
fn check_hostile(text: &str) {
    let (text, benign) = (&format!("{text}x"), "x");
    let svg = drawn_with(text, Format::Svg);
    assert_eq!(elements(&svg), elements(&drawn_with(benign, Format::Svg)), "{text:?}");
    for (format, escape) in [(Format::Mermaid, None), (Format::Dot, Some('\\'))] {
        let (hostile, plain) = (drawn_with(text, format), drawn_with(benign, format));
        assert_eq!(unquoted(&hostile, escape), unquoted(&plain, escape), "{text:?}");
    }
    let (hostile, plain) = (drawn_with(text, Format::Text), drawn_with(benign, Format::Text));
    assert_eq!(hostile.lines().count(), plain.lines().count(), "{text:?}");
    assert!(!hostile.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
}

#[test]
fn known_ways_out_of_a_label_are_closed() {
    for text in [
        "\"",
        "\\",
        "\\\"",
        "]]>",
        "</svg><script>alert(1)</script>",
        "--><!--",
        "a\nb\r\nc",
        "\"--|>\" n1",
        "\"] --> n0[\"",
        "#quot; #34;",
        "&quot;&#34;&amp;",
        "`**bold**`",
        "%%{init: {}}%%",
        "\u{202e}\u{2028}\u{0}\u{1b}[2J",
        "end",
        "\\N\\G",
        "x\" onload=\"y",
        "'",
    ] {
        check_hostile(text);
    }
}

#[test]
fn a_text_is_read_back_as_it_was_written() {
    let text = "<a href=\"x\">&amp; \\ 'q' ]]></a>";
    let svg = drawn_with(text, Format::Svg);
    let document = roxmltree::Document::parse(&svg).expect("XML");
    assert_eq!(document.root_element().attribute("aria-label"), Some(text));
    let title = document.descendants().find(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "title")));
    assert_eq!(title.and_then(|title| title.text()), Some(text));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_becomes_a_part_of_the_picture(text in "[ -~\\n\\t\"\\\\<>&#\\]\\[|;%`é\u{202e}]{1,24}") {
        check_hostile(&text);
    }
}

/// A graph of so many nodes, with edges between the places that `pairs` gives.
fn large(nodes: usize, pairs: impl Iterator<Item = (usize, usize)>) -> Plan {
    let node = |ix: usize| format!("n{ix}: {{spawn_run: {{target: w}}}}");
    let edge = |(from, to): (usize, usize)| format!("- {{from: n{from}, to: n{to}}}");
    let nodes: Vec<String> = (0..nodes).map(node).collect();
    let edges: Vec<String> = pairs.map(edge).collect();
    let (nodes, edges) = (nodes.join("\n  "), edges.join("\n  "));
    let text = format!("spec_version: \"2.0\"\nnodes:\n  {nodes}\nedges:\n  {edges}\n");
    crate::compile(&crate::source::Source::new("g.yaml", text)).plan.expect("a plan")
}

#[test]
fn large_graphs_of_any_form_are_drawn_whole() {
    const MANY: usize = 10_000;
    // A chain; a chain each node of which leads to the last, too; one before all; layers.
    let chain = large(MANY, (1..MANY).map(|ix| (ix - 1, ix)));
    let comb = large(MANY, (1..MANY).map(|ix| (ix - 1, ix)).chain((0..MANY - 2).map(|ix| (ix, MANY - 1))));
    let fan = large(MANY, (1..MANY).map(|ix| (0, ix)));
    let grid = large(
        MANY,
        (100..MANY).flat_map(|ix| {
            [(ix - 100, ix), ((ix - 100).saturating_sub(ix % 7), ix)].into_iter().filter(|(from, to)| from < to)
        }),
    );
    for (name, plan) in [("chain", chain), ("comb", comb), ("fan", fan), ("grid", grid)] {
        let svg = draw(&plan, None, Format::Svg);
        let drawn = |part: &str| svg.matches(part).count();
        assert_eq!((drawn("<g class=\"node"), drawn("<path class=\"way")), (MANY, plan.edges.len()), "{name}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{name}");
        assert!(draw(&plan, None, Format::Text).lines().count() > MANY, "{name}");
    }
}
