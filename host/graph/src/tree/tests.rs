//! What is read, where it stands, and what is refused.

use super::*;

fn read(text: &str) -> Result<Tree, Diagnostic> {
    let mut found = Diagnostics::default();
    let tree = parse(&Source::new("g.yaml", text), &mut found);
    match found.sorted().into_iter().next() {
        Some(problem) => Err(problem),
        None => Ok(tree.expect("a tree")),
    }
}

fn refused(text: &str) -> Diagnostic {
    read(text).expect_err("it is refused")
}

/// Every scalar of a tree as the file spells it.
fn spelt(text: &str) -> Vec<String> {
    fn walk(source: &Source, tree: &Tree, into: &mut Vec<String>) {
        match &tree.value {
            Value::List(items) => items.iter().for_each(|item| walk(source, item, into)),
            Value::Map(entries) => {
                for entry in entries {
                    into.push(source.slice(entry.key_span).to_owned());
                    walk(source, &entry.value, into);
                }
            }
            _ => into.push(source.slice(tree.span).to_owned()),
        }
    }
    let source = Source::new("g.yaml", text);
    let mut all = Vec::new();
    walk(&source, &read(text).expect("it parses"), &mut all);
    all
}

#[test]
fn every_scalar_knows_its_place_in_yaml_and_in_json() {
    assert_eq!(spelt("a: öl\nb: [1, 2.5, 'x y']\n"), ["a", "öl", "b", "1", "2.5", "'x y'"]);
    assert_eq!(spelt("{\n\t\"a\": true,\n\t\"b\": {\"c\": null}\n}"), ["\"a\"", "true", "\"b\"", "\"c\"", "null"]);
}

#[test]
fn a_file_says_the_same_in_both_spellings() {
    let json = read(r#"{"a": [1, -2, 0.5, "x", true, null, {"b": {}}]}"#).unwrap().json();
    let yaml = read("a:\n- 1\n- -2\n- 0.5\n- x\n- true\n- null\n- b: {}\n").unwrap().json();
    assert_eq!(json, yaml);
    assert_eq!(json, serde_json::json!({"a": [1, -2, 0.5, "x", true, null, {"b": {}}]}));
}

#[test]
fn an_alias_is_at_the_place_where_it_is_used() {
    let text = "a: &x 7\nb: *x\n";
    assert_eq!(spelt(text), ["a", "7", "b", "*x"]);
}

#[test]
fn what_would_take_too_much_is_refused() {
    let bomb: String = (1..9).fold("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".into(), |all, n| {
        let before = format!("*a{},", n - 1).repeat(10);
        format!("{all}a{n}: &a{n} [{}]\n", before.trim_end_matches(','))
    });
    assert_eq!(refused(&bomb).code, "syntax");
    assert_eq!(refused(&"[".repeat(100_000)).code, "syntax");
    assert_eq!(refused(&"{a: ".repeat(100_000)).code, "syntax");
    let nested: String = (0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert_eq!(refused(&nested).code, "syntax");
    assert_eq!(refused(&"x".repeat(MAX_BYTES + 1)).code, "too_large");
}

#[test]
fn what_the_parser_says_of_itself_is_told_in_words() {
    let told = |text: &str| {
        let refused = refused(text);
        format!("{}: {} ({})", refused.code, refused.message, refused.hint.unwrap_or_default())
    };
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let blocks: String = (0..100).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let repeated = format!("a: &a [{}]\nb: [{}]\n", "1, ".repeat(2_000), "*a, ".repeat(200));
    let all = [
        "a: 1\n---\nb: 2\n",
        &nested(100),
        &blocks,
        &repeated,
        "null: 1\n",
        "a: .inf\n",
        "a:\n\tb: 1\n",
        "a: &a [*a]\n",
    ];
    let told: Vec<String> = all.into_iter().map(told).collect();
    expect_test::expect![[r#"
        syntax: it has several documents, and a graph is one (take out the lines `---`)
        syntax: it has more than 64 levels (say less within each other)
        syntax: it has more than 64 levels (say less within each other)
        syntax: it has more than 100000 values by way of its aliases (write out what they stand for)
        syntax: a key is text, and this is null (put it in quotes)
        syntax: a number that JSON cannot hold (put it in quotes, if it is text)
        syntax: tabs disallowed within this context (block indentation) (indent with spaces)
        syntax: an alias stands for what it is within (write out what it stands for)"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn what_yaml_takes_for_a_tag_is_told() {
    let told = |text: &str| {
        let (source, refused) = (Source::new("g.yaml", text), refused(text));
        format!("{}: {} ({})", source.slice(refused.span), refused.message, refused.hint.unwrap_or_default())
    };
    let all = [
        "a: !has(nodes.a.output.n)\nb: 1\n",
        "a: {when: !has(x), b: 2}\n",
        "a: [!x , 2]\n",
        "a: !include other.yaml\n",
        "a: !x [1]\n",
        "- !y\n",
        "a: !has(x) || y\n",
        "a: !has(x) && y\n",
        "a: !has(x)\n  && y\n",
        "a: !b # why\n  c\n",
        "a: &z !foo bar\n",
        "a:\t!tab x\n",
        "{\"k\":!h v}\n",
        "a: {x: ${{ input.x }}}\n",
        "a: 'x' in input.y\n",
    ];
    expect_test::expect![[r#"
        !has(nodes.a.output.n): `!has(nodes.a.output.n)` is a tag of YAML, and no text (put the whole text in quotes)
        !has(x): `!has(x)` is a tag of YAML, and no text (put the whole text in quotes)
        !x: `!x` is a tag of YAML, and no text (put the whole text in quotes)
        !include: `!include` is a tag of YAML, and no text (put the whole text in quotes)
        !x: `!x` is a tag of YAML, and no text (put the whole text in quotes)
        !y: `!y` is a tag of YAML, and no text (put the whole text in quotes)
        |: while scanning a block scalar, did not find expected comment or line break (put the whole text in quotes)
        !has(x): `!has(x)` is a tag of YAML, and no text (put the whole text in quotes)
        !has(x): `!has(x)` is a tag of YAML, and no text (put the whole text in quotes)
        !b: `!b` is a tag of YAML, and no text (put the whole text in quotes)
        !foo: `!foo` is a tag of YAML, and no text (put the whole text in quotes)
        !tab: `!tab` is a tag of YAML, and no text (put the whole text in quotes)
        !h: `!h` is a tag of YAML, and no text (put the whole text in quotes)
        {: while parsing a flow mapping, did not find expected ',' or '}' (put the whole text in quotes)
        i: invalid trailing content after single-quoted scalar (put the whole text in quotes)"#]]
    .assert_eq(&all.map(told).join("\n"));
    let fine = [
        "\"Hello !\": 1",
        "say !help: text",
        "{\"x,!y\": {\"[!]\": 5, \"é !ü\": [a !b, 2, \"! \" , 3]}}",
        "{\"Hi !\":1}",
        "- a !b: 2",
        "a: ! x",
        "a: !<tag:yaml.org,2002:str> x",
        "a: [\"x !\",5]",
    ];
    fine.into_iter().for_each(|text| assert!(read(text).is_ok(), "{text}: {:?}", read(text)));
    assert_eq!(read("a: !!float 5\n").unwrap().json()["a"], 5.0);
    assert_eq!(read("a: !!str 5\nb: 'x' # Oh !no\nc:\n  # hey !you\n  5\n").unwrap().json()["a"], "5");
}

#[test]
fn an_integer_stays_one() {
    let json = read("a: 01234\nb: -007\nc: 18446744073709551615\nd: &d 08\ne: *d\nf: 1.0\ng: 1e2\n").unwrap().json();
    let expected = r#"{"a":1234,"b":-7,"c":18446744073709551615,"d":8,"e":8,"f":1.0,"g":100.0}"#;
    assert_eq!(json.to_string(), expected);
    let told = refused("a: 18446744073709551616\n");
    assert!(told.message.contains("64 bits") && told.severity == crate::diagnostic::Severity::Warning);
}

#[test]
fn a_slip_in_the_syntax_has_a_place() {
    let found = refused("a: 1\nb: [1, 2\nc: 3\n");
    let source = Source::new("g.yaml", "a: 1\nb: [1, 2\nc: 3\n");
    assert!(source.position(found.span).line >= 2, "{found:?}");
    assert!(!found.message.contains("line"), "{}", found.message);
}
