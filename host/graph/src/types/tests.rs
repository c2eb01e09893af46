//! Types: what is told of expressions, and that it is true.

use crate::expression::Datum;
use proptest::prelude::*;

use super::Type;
use crate::expression::{Expression, Scope};

/// The type of an expression, or what can never work and the part that is meant.
fn reading(text: &str) -> String {
    let compiled = match Expression::compile(text) {
        Ok(compiled) => compiled,
        Err(mistake) => return format!("mistake: {}", mistake.message),
    };
    if compiled.doubts().is_empty() {
        return format!("{:?}", compiled.kind());
    }
    let told = compiled.doubts().iter().map(|doubt| {
        let part = doubt.at.map_or("-", |(at, len)| &text[at..at + len]);
        let hint = doubt.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
        format!("[{part}] {}{hint}", doubt.message)
    });
    told.collect::<Vec<_>>().join("; ")
}

#[test]
fn what_can_never_work_is_told_with_the_part_that_is_meant() {
    let texts = [
        "1 + \"a\"",
        "\"ö\" + (1 + \"ä\")",
        "1 + 1.5",
        "!3",
        "-'a'",
        "size(3)",
        "\"a\" > 1",
        "input.a && 'x'",
        "input.a ? 1 : (2 + 'x')",
        "'x' ? 1 : 2",
        "sze(input.a)",
        "join(input.a)",
        "input.a.size(3)",
        "'abc'.sum()",
        "contains('a', 'b')",
        "'a' in 'abc'",
        "input.list.map(x)",
        "3.exists(x, x > 1)",
        "input.list.filter(x, size(3) > x)",
        "nodes.a.status > 3",
        "nodes.a.status.code",
        "nodes['b-c'].status + 1",
        "index + 'x'",
        "run.depth == '3' && run.run_id > 4",
        "{[1]: 2}",
        "[1, 2]['a']",
        "(1 + 2).x",
    ];
    let told: Vec<String> = texts.iter().map(|text| format!("{text}\n    {}", reading(text))).collect();
    expect_test::expect![[r#"
        1 + "a"
            [1 + "a"] `+` does not take an integer and text (write `string(…)` around what is no text)
        "ö" + (1 + "ä")
            [1 + "ä"] `+` does not take an integer and text (write `string(…)` around what is no text)
        1 + 1.5
            [1 + 1.5] `+` does not take an integer and a floating-point number (numbers of two kinds do not mix: write `double(…)` or `int(…)` around one)
        !3
            [!3] `!` takes a boolean, not an integer
        -'a'
            [-'a'] `-` takes a number, not text
        size(3)
            [size(3)] `size` takes text, bytes, a list or a map, not an integer
        "a" > 1
            ["a" > 1] `>` does not take text and an integer
        input.a && 'x'
            [input.a && 'x'] `&&` takes booleans, not text
        input.a ? 1 : (2 + 'x')
            [2 + 'x'] `+` does not take an integer and text (write `string(…)` around what is no text)
        'x' ? 1 : 2
            ['x' ? 1 : 2] what stands before `?` is a boolean, not text
        sze(input.a)
            [sze(input.a)] there is no function `sze`; did you mean `size`? (the functions are those of CEL's standard library but for times, `sum` and `join`)
        join(input.a)
            [join(input.a)] `join` takes 2 values, not 1
        input.a.size(3)
            [input.a.size(3)] `size` takes 0 values, not 1
        'abc'.sum()
            ['abc'.sum()] `sum` is written `sum(…)`, and not after a `.`
        contains('a', 'b')
            [contains('a', 'b')] `contains` is written after a value, as in `text.contains(…)`
        'a' in 'abc'
            ['a' in 'abc'] `in` looks in a list or a map, not in text (write `text.contains(part)`)
        input.list.map(x)
            [input.list.map(x)] `map` takes a name and an expression, as in `list.map(x, x + 1)`
        3.exists(x, x > 1)
            [3] a loop goes over a list or a map, not over an integer
        input.list.filter(x, size(3) > x)
            [size(3)] `size` takes text, bytes, a list or a map, not an integer
        nodes.a.status > 3
            [nodes.a.status > 3] `>` does not take text and an integer
        nodes.a.status.code
            [nodes.a.status.code] text has no field `code`
        nodes['b-c'].status + 1
            [nodes['b-c'].status + 1] `+` does not take text and an integer (write `string(…)` around what is no text)
        index + 'x'
            [index + 'x'] `+` does not take an integer and text (write `string(…)` around what is no text)
        run.depth == '3' && run.run_id > 4
            [run.run_id > 4] `>` does not take text and an integer
        {[1]: 2}
            [[1]] the key of a map is text, not a list
        [1, 2]['a']
            [[1, 2]['a']] the place in a list is an integer, not text
        (1 + 2).x
            [(1 + 2).x] an integer has no field `x`"#]].assert_eq(&told.join("\n"));
}

#[test]
fn what_is_not_known_is_not_wrong() {
    for (text, kind) in [
        ("input.a + 1", Type::Int),
        ("input.a + input.b", Type::Any),
        ("input.a > 1 && nodes.b.status == 'completed'", Type::Bool),
        ("has(nodes.b.output)", Type::Bool),
        ("nodes.b.output.list.map(x, x.score)", Type::List),
        ("input.list.exists_one(x, x == 1)", Type::Bool),
        ("input.list.filter(x, x > 1).size()", Type::Int),
        ("sum(input.list) / 2.0", Type::Double),
        ("join(input.list, ', ') + '!'", Type::Text),
        ("1 < 2.5", Type::Bool),
        ("type(input.a) == string", Type::Bool),
        ("string(1) + 'a'", Type::Text),
        ("input.m['k'][0].x", Type::Any),
        ("input.a ? 1 : 2", Type::Int),
        ("input.a ? 1 : 'x'", Type::Any),
        ("nodes.a.status", Type::Text),
        ("'a'.matches('b') || [1, 2].all(x, x > 0)", Type::Bool),
    ] {
        assert_eq!(reading(text), format!("{kind:?}"), "{text}");
    }
}

#[test]
fn what_an_expression_looks_at_has_a_place() {
    let looks = |text: &str| {
        let compiled = Expression::compile(text).unwrap();
        let told = compiled.looks().iter().map(|look| {
            let has = if look.has { "?" } else { "" };
            format!("{}{has} [{}]", look.path.join("/"), &text[look.at.0..look.at.0 + look.at.1])
        });
        told.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(looks("nodes.a.output.x.y"), "nodes/a/output/x [nodes.a.output.x.y]");
    assert_eq!(looks("'ö' + nodes.a.output.x"), "nodes/a/output/x [nodes.a.output]");
    assert_eq!(looks("has(nodes.a.output) && item > 1"), "nodes/a/output? [nodes.a.output], item [item]");
    assert_eq!(looks("nodes[\"b-c\"] . status == 'x'"), "nodes/b-c/status [nodes[\"b-c\"] . status]");
    assert_eq!(looks("input.l.map(x, x + y)"), "input/l [input.l], y [y]");
}

struct Nothing;

impl Scope for Nothing {
    fn whole(&self, _path: &[String]) -> Option<pleach_kernel::Payload> {
        None
    }

    fn named(&self, _name: &str) -> Option<&Datum> {
        None
    }

    fn node(&self, _id: &str) -> Option<&Datum> {
        None
    }
}

/// Expressions of which every part is computed: nothing is left out by `&&`, `||`
/// and `?`.
fn computed() -> impl Strategy<Value = String> {
    let plain = prop_oneof![
        Just("1"),
        Just("2u"),
        Just("0.5"),
        Just("'a'"),
        Just("true"),
        Just("null"),
        Just("[1, 2]"),
        Just("['a']"),
        Just("{'a': 1}"),
        Just("b'x'"),
        Just("[]"),
        Just("int"),
    ];
    plain.prop_map(str::to_owned).prop_recursive(3, 12, 3, |inner| {
        let operators = prop_oneof![
            Just("+"),
            Just("-"),
            Just("*"),
            Just("/"),
            Just("%"),
            Just("=="),
            Just("<"),
            Just(">="),
            Just("in"),
        ];
        let functions = prop_oneof![
            Just("size"),
            Just("string"),
            Just("int"),
            Just("double"),
            Just("uint"),
            Just("bool"),
            Just("sum"),
            Just("type"),
            Just("bytes"),
            Just("dyn"),
        ];
        let of_values = prop_oneof![Just("contains"), Just("startsWith"), Just("endsWith"), Just("matches")];
        prop_oneof![
            (inner.clone(), operators, inner.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            (functions, inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            (inner.clone(), of_values, inner.clone()).prop_map(|(a, f, b)| format!("{a}.{f}({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("join({a}, {b})")),
            inner.clone().prop_map(|a| format!("{a}.map(x, x)")),
            inner.clone().prop_map(|a| format!("{a}.size()")),
            inner.clone().prop_map(|a| format!("!{a}")),
            inner.prop_map(|a| format!("{a}.f")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is said never to work does not.
    #[test]
    fn an_expression_that_is_doubted_fails_when_it_runs(text in computed()) {
        let Ok(compiled) = Expression::compile(&text) else { return Ok(()) };
        let value = compiled.evaluate(&Nothing);
        if !compiled.doubts().is_empty() {
            prop_assert!(value.is_err(), "{text}: {:?} but {value:?}", compiled.doubts());
        }
    }

    /// A type that is told is the one that comes out.
    #[test]
    fn a_value_is_of_the_type_that_was_told(text in computed()) {
        let Ok(compiled) = Expression::compile(&text) else { return Ok(()) };
        let Ok(value) = compiled.evaluate(&Nothing) else { return Ok(()) };
        let fits = match compiled.kind() {
            Type::Any => true,
            Type::Null => value.is_null(),
            Type::Bool => value.is_boolean(),
            Type::Int | Type::Uint => value.is_i64() || value.is_u64(),
            Type::Double => value.is_number(),
            // In JSON, a type is its name.
            Type::Text | Type::Type => value.is_string(),
            Type::List => value.is_array(),
            Type::Map => value.is_object(),
            // JSON has none, so that the value is refused.
            Type::Bytes => false,
        };
        prop_assert!(fits, "{text}: {:?}, and came out as {value}", compiled.kind());
    }
}
