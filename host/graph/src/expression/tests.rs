//! Expressions: what they compute, what they look at, and what they may take.

use std::cell::Cell;
use std::collections::HashMap;

use serde_json::json;

use super::*;

struct Known {
    named: HashMap<String, Datum>,
    nodes: HashMap<String, Datum>,
    steps: Cell<usize>,
}

impl From<Json> for Known {
    fn from(mut known: Json) -> Self {
        let data = |json: Json| -> HashMap<String, Datum> {
            let fields = json.as_object().cloned().unwrap_or_default();
            fields.into_iter().map(|(name, value)| (name, value.into())).collect()
        };
        let nodes = data(known["nodes"].take());
        Self { named: data(known), nodes, steps: Cell::new(0) }
    }
}

impl Scope for Known {
    fn whole(&self, _path: &[String]) -> Option<Payload> {
        None
    }

    fn named(&self, name: &str) -> Option<&Datum> {
        self.named.get(name).filter(|_| name != "nodes")
    }

    fn node(&self, id: &str) -> Option<&Datum> {
        self.nodes.get(id)
    }

    fn took(&self, steps: usize) {
        self.steps.set(self.steps.get() + steps);
    }
}

fn known() -> Known {
    Known::from(json!({
        "input": {"n": 3, "list": [1, 2, 3], "text": "ab", "map": {"b": 1, "a": 2, "c": 3}},
        "nodes": {"a": {"output": {"score": 0.5}}, "b-c": {"output": 7}},
        "item": {"id": "x"},
    }))
}

fn value(text: &str) -> Json {
    Expression::compile(text).unwrap_or_else(|e| panic!("{text}: {e:?}")).evaluate(&known()).unwrap()
}

fn failure(text: &str) -> String {
    Expression::compile(text).unwrap_or_else(|e| panic!("{text}: {e:?}")).evaluate(&known()).unwrap_err()
}

fn mistake(text: &str) -> Mistake {
    Expression::compile(text).map(drop).unwrap_err()
}

#[test]
fn an_expression_computes_over_json() {
    for (text, expected) in [
        ("input.n", json!(3)),
        ("input.n + 1", json!(4)),
        ("input.n > 2 && nodes.a.output.score >= 0.5", json!(true)),
        ("nodes['b-c'].output * 2", json!(14)),
        ("input.list.map(x, x * x).filter(x, x > 1)", json!([4, 9])),
        ("input.list.exists(x, x == 2)", json!(true)),
        ("size(input.text) == 2 ? 'two' : 'other'", json!("two")),
        ("{'a': input.text + 'c', 'l': [1.5, null, true]}", json!({"a": "abc", "l": [1.5, null, true]})),
        ("sum(input.list) + sum([])", json!(6)),
        ("sum([1, 0.5])", json!(1.5)),
        ("join(['a', 'b'], ', ')", json!("a, b")),
        ("has(input.gone)", json!(false)),
        ("has(nodes.a.output.score)", json!(true)),
        ("item.id", json!("x")),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn the_keys_of_a_map_come_in_one_order() {
    for _ in 0..20 {
        assert_eq!(value("input.map.map(key, key)"), json!(["a", "b", "c"]));
    }
}

#[test]
fn what_is_not_there_is_named() {
    assert_eq!(failure("input.gone.further"), "`input.gone.further`: there is no `gone`");
    assert_eq!(failure("input.text.further"), "`input.text.further`: text has no field `further`");
    assert_eq!(failure("nodes.z.output"), "`nodes.z.output`: node `z` has not run");
    assert!(failure("input.gone + 1").contains("there is no `gone`"));
    assert!(failure("input.text + 1").contains("`+` does not take text and an integer"));
    let told = failure("1.5 * size(input.text)");
    assert!(told.contains("`*` does not take a floating-point number and an integer; make one"), "{told}");
    assert!(failure("1 / 0").contains("zero"));
}

#[test]
fn what_an_expression_looks_at_is_known_before_it_runs() {
    let references = |text: &str| Expression::compile(text).unwrap().references().to_vec();
    let node = |id: &str, field: Option<&str>| Reference::Node { id: id.into(), field: field.map(Into::into) };
    assert_eq!(
        references("nodes.a.output.score > 1.0 && nodes['b-c'].status == 'x'"),
        [node("a", Some("output")), node("b-c", Some("status"))]
    );
    assert_eq!(references("nodes.a.output.score"), [node("a", Some("output"))]);
    assert_eq!(references("input.list.map(x, x + item.n)"), [Reference::Input, Reference::Local("item".into())]);
    assert_eq!(references("has(nodes.a.output)"), [node("a", Some("output"))]);
    assert_eq!(references("nodes.a"), [node("a", None)]);
}

#[test]
fn nodes_cannot_be_looked_at_without_a_name() {
    for text in ["nodes", "nodes[input.n]", "size(nodes)", "nodes.map(n, n)"] {
        assert!(mistake(text).message.contains("name of a node"), "{text}");
    }
}

#[test]
fn a_slip_has_a_place_and_a_hint() {
    let found = mistake("input.n = 3");
    assert!(found.hint.unwrap().contains("=="));
    let found = mistake("input.n =");
    assert_eq!(found.message, "it is no expression: `=` is not expected here");
    assert!(found.hint.unwrap().contains("=="));
    let found = mistake("input.n > 3 and true");
    assert!(found.hint.unwrap().contains("&&"));
    assert!(mistake("1 +").at.is_some());
    assert!(mistake("").message.contains("empty"));
    assert!(mistake("Foo{a: 1}").message.contains("no type"));
}

#[test]
fn what_an_expression_may_take_is_bounded() {
    assert!(mistake(&"x".repeat(MAX_LENGTH + 1)).message.contains("at most"));
    assert!(mistake(&format!("{}1{}", "(".repeat(200), ")".repeat(200))).message.contains("no expression"));
    assert!(mistake("input.l.all(a, a.all(b, b.all(c, c.all(d, d))))").message.contains("deep"));
    assert!(mistake(&format!("input.l{}", ".map(x, x)".repeat(17))).message.contains("more than 16 loops"));
    assert!(mistake(&("1 + ".repeat(200) + "1")).message.contains("more than 100 deep"));
    let doubling = format!("['x']{}", ".map(x, x + x + x + x)".repeat(16));
    assert!(failure(&doubling).contains("more than 67108864 bytes"), "{}", failure(&doubling));
    let lists = format!("[[1]]{}", ".map(x, x + x + x + x)".repeat(16));
    assert!(failure(&lists).contains("more than 67108864 bytes"));
    let bytes = format!("[b'x']{}", ".map(x, x + x + x + x)".repeat(16));
    assert!(failure(&bytes).contains("more than 67108864 bytes"));
}

#[test]
fn a_loop_that_takes_too_long_is_ended() {
    let many: Vec<u32> = (0..2_000).collect();
    let scope = Known::from(json!({"input": {"l": many}}));
    let slow = Expression::compile("input.l.all(a, input.l.all(b, a >= 0 && b >= 0))").unwrap();
    assert!(slow.evaluate(&scope).unwrap_err().contains("1000000 steps"));
}

/// The steps that an expression over a list of so many takes.
fn steps(text: &str, many: usize) -> usize {
    let words: Vec<String> = (0..many).map(|word| format!("word {word}")).collect();
    let input = json!({"l": (0..many).collect::<Vec<_>>(), "w": words, "s": "a".repeat(many)});
    let scope = Known::from(json!({"input": input}));
    Expression::compile(text).unwrap().evaluate(&scope).unwrap_or_else(|why| panic!("{text}: {why}"));
    scope.steps.get()
}

/// However it goes through what it is given.
#[test]
fn an_evaluation_is_measured_by_what_it_goes_through() {
    assert_eq!(steps("input.l", 1_000), 0);
    for (text, expected) in [
        ("size(input.l.map(x, x))", 1_062),
        ("size(input.l.filter(x, x > 500))", 1_046),
        ("size(input.l.map(x, x > 500, x))", 1_046),
        ("input.l.exists(x, x < 0)", 1_031),
        ("input.l.exists_one(x, x == 7)", 2_031),
        ("input.l.exists(x, (0 - 1) in input.l)", 32_031),
        ("input.l.all(x, input.l == input.l)", 63_031),
        ("input.l.exists(x, input.s.contains('b'))", 2_031),
        ("size(input.w.filter(x, x.matches('^word [0-9]+$')))", 6_962),
    ] {
        assert_eq!(steps(text, 1_000), expected, "{text}");
    }
}

/// A list that grows in a loop is not copied at each turn: twice as many items take
/// about twice as long.
#[test]
fn a_loop_over_a_hundred_thousand_items_is_soon_done() {
    for text in ["size(input.l.map(x, x * 2))", "size(input.l.filter(x, x > 1))", "size(input.l.map(x, x > 1, [x]))"] {
        assert!(steps(text, 100_000) < 110_000, "{text}");
    }
}

/// What is small in the file may be large in memory.
#[test]
fn what_is_kept_in_a_list_is_counted_with_all_that_is_in_it() {
    let zeros = "0,".repeat(400);
    for text in [
        "size(input.l.map(x, input.s))",
        "size(input.l.filter(x, true).map(x, {'a': input.s}))",
        "size(input.l.map(x, bytes(input.s)))",
        &format!("size(input.l.map(x, [{zeros}0]))"),
    ] {
        let input = json!({"l": vec![0; 10_000], "s": "a".repeat(100_000)});
        let scope = Known::from(json!({"input": input}));
        let why = Expression::compile(text).unwrap().evaluate(&scope).unwrap_err();
        assert!(why.contains("more than 67108864 bytes"), "{why}");
    }
}

/// What a loop goes over is gone through, too; and what failed is not tried on.
#[test]
fn nothing_that_takes_long_is_free() {
    let fields: serde_json::Map<String, Json> = (0..20_000).map(|n| (format!("key {n}"), json!(n))).collect();
    let input = json!({"l": vec![0; 10_000], "m": fields, "b": "a".repeat(1_000_000), "w": vec![0; 100_000]});
    for text in [
        "input.l.all(a, input.m.exists(b, true))",
        "input.l.all(a, input.w.exists(b, true))",
        "[input.w].all(list, input.l.all(a, !(1 in list)))",
        "input.l.exists(x, input.b + input.b + input.b == '')",
        "input.l.all(x, !input.b.matches('(a|b|ab)*a[ab]{1500}c'))",
    ] {
        let scope = Known::from(json!({"input": input}));
        let why = Expression::compile(text).unwrap().evaluate(&scope).unwrap_err();
        assert!(why.contains("have an agent compute it"), "{text}: {why}");
    }
}

/// What counts hands on what it has counted, as it was.
#[test]
fn a_type_is_compared_as_one() {
    for text in [
        "type(input.n) == int && type(input.text) != int",
        "type(1) in [int, string]",
        "[1].exists(x, type(x) in [int])",
        "[1].map(x, type(x))[0] == int",
        "(true ? int : string) == type(1)",
        "{'a': int}.a == type(1)",
        "!([type(1)] == ['int'])",
        "has(nodes.a) && nodes['b-c'].output == 7 && has(nodes.a.output.score)",
    ] {
        assert_eq!(value(text), json!(true), "{text}");
    }
}

#[test]
fn a_mistake_is_told_in_the_same_words_each_time_and_not_at_any_length() {
    let fields: serde_json::Map<String, Json> = (0..1_000).map(|n| (format!("key {n}"), json!(n))).collect();
    let scope = Known::from(json!({"input": {"m": fields, "l": [1], "s": "x".repeat(10_000)}}));
    for text in [
        "sum(input.m)",
        "join(input.m, 'x')",
        "input.m.matches('x')",
        "input.l.filter(x, input.m)",
        "input.s.matches(input.s + '(')",
        "{'a': 1.0 / 0.0, 'b': int}",
    ] {
        let why = || Expression::compile(text).unwrap().evaluate(&scope).unwrap_err();
        let first = why();
        assert!(first.chars().count() < 600, "{first}");
        (0..5).for_each(|_| assert_eq!(why(), first));
    }
}

#[test]
fn a_pattern_is_looked_for_as_cel_says() {
    assert_eq!(value("input.text.matches('^a')"), json!(true));
    assert_eq!(value("matches(input.text, '^b')"), json!(false));
    assert!(failure("input.text.matches('(')").contains("`(` is no pattern"), "{}", failure("input.text.matches('(')"));
    assert!(failure("input.text.matches('\\\\pL{9999}')").contains("is no pattern"), "it is too large");
}

#[test]
fn what_a_loop_repeats_is_counted() {
    let scope = Known::from(json!({"input": {"l": vec![0; 2_000], "big": "x".repeat(100_000)}}));
    let large = Expression::compile("input.l.map(n, input.big)").unwrap();
    assert!(large.evaluate(&scope).unwrap_err().contains("more than 67108864 bytes"));
}
