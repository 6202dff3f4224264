//! Defaults: where they are filled in, what they may be, and that they stay bounded.

use super::*;
use crate::doc;
use crate::document::Value;

#[test]
fn missing_fields_with_a_default_are_filled_in() {
    let schema = schema(
        r#"{"required":["a"],"properties":{
            "a":{"type":"integer","default":1},
            "t":{"default":{"$timestamp":"2026-11-24T05:00:00Z"},"format":"timestamp"},
            "n":{"type":"null","default":null},
            "o":{"properties":{"p":{"default":[1,"x"]},"q":{"default":true}}},
            "l":{"items":{"properties":{"i":{"default":0}}}},
            "m":{"additionalProperties":{"properties":{"k":{"default":"v"}}}}}}"#,
    );
    let time = r#"{"$timestamp":"2026-11-24T05:00:00.000000Z"}"#;
    assert_eq!(checked(&schema, "{}"), format!(r#"{{"a":1,"n":null,"t":{time}}}"#));
    assert_eq!(
        checked(&schema, r#"{"a":2,"o":{"q":false},"l":[{},7,{"i":3},[{}]],"m":{"x":{},"y":1}}"#),
        format!(
            r#"{{"a":2,"l":[{{"i":0}},7,{{"i":3}},[{{}}]],"m":{{"x":{{"k":"v"}},"y":1}},"n":null,
            "o":{{"p":[1,"x"],"q":false}},"t":{time}}}"#
        )
        .split_whitespace()
        .collect::<String>()
    );
    // Null is there, and not missing.
    assert_eq!(places(&breaks(&schema, r#"{"a":null}"#)), [("a", "type")]);
}

#[test]
fn a_default_is_filled_only_where_its_parent_exists() {
    let schema = schema(r#"{"properties":{"o":{"properties":{"p":{"default":1}}}}}"#);
    assert_eq!(checked(&schema, "{}"), "{}");
    assert_eq!(checked(&schema, r#"{"o":{}}"#), r#"{"o":{"p":1}}"#);
    assert_eq!(checked(&schema, r#"{"o":[]}"#), r#"{"o":[]}"#);
}

#[test]
fn a_default_contains_the_defaults_inside_it() {
    let schema = schema(
        r##"{"properties":{"o":{"$ref":"#/$defs/o","default":{"b":5}}},"$defs":{"o":{
            "required":["a","b","c"],"properties":{"a":{"default":1},"b":{"default":2},
            "c":{"default":{},"properties":{"d":{"default":[]}}}}}}}"##,
    );
    assert_eq!(checked(&schema, "{}"), r#"{"o":{"a":1,"b":5,"c":{"d":[]}}}"#);
}

#[test]
fn many_defaults_and_fields_come_in_order() {
    let fields = (0..500).map(|at| (format!("f{at}"), doc! { "default": at }.to_object()));
    let source = Object::from_iter([("properties", Value::Object(Object::from_iter(fields)))]);
    let schema = Schema::compile(&source).unwrap();
    let given = Object::from_iter((100..900).step_by(3).map(|at| (format!("f{at}"), -1)));
    let filled = schema.check(Document::from_value(&given).unwrap()).unwrap().to_object();
    let mut expected = given.clone();
    for at in (0..500).filter(|at| !given.contains(&format!("f{at}"))) {
        expected.insert(format!("f{at}"), at);
    }
    assert_eq!(filled, expected);
}

#[test]
fn a_default_behind_a_reference_counts_and_the_nearest_wins() {
    let schema = schema(
        r##"{"properties":{
            "far":{"$ref":"#/$defs/a"},"near":{"$ref":"#/$defs/a","default":"near"},
            "o":{"$ref":"#/$defs/base","properties":{"x":{"default":"own"},"y":true}}},
        "$defs":{"a":{"$ref":"#/$defs/b","type":"string"},"b":{"default":"far"},
            "base":{"properties":{"x":{"default":"base"},"y":{"default":"base"}}}}}"##,
    );
    assert_eq!(
        checked(&schema, r#"{"o":{}}"#),
        r#"{"o":{"x":"own","y":"base"},"far":"far","near":"near"}"#
    );
}

#[test]
fn a_default_satisfies_its_own_schema() {
    let wrong = [
        r#"{"type":"string","default":1}"#,
        r#"{"enum":["a"],"default":"b"}"#,
        r#"{"required":["x"],"default":{}}"#,
        r#"{"format":"binary","default":"AA=="}"#,
        r##"{"$ref":"#/$defs/small","default":9}"##,
        r##"{"$ref":"#/$defs/none","default":9}"##,
        r##"{"$ref":"#/$defs/base","properties":{"x":{"minimum":5}},"default":{}}"##,
    ];
    for case in wrong {
        let json = format!(
            r#"{{"properties":{{"v":{case}}},"$defs":{{"small":{{"maximum":5}},"none":false,
                "base":{{"properties":{{"x":{{"default":5}}}}}}}}}}"#
        );
        if case.contains("minimum") {
            schema(&json);
            let bad = json.replace(r#"{"default":5}"#, r#"{"default":4}"#);
            // The default suits its own schema, and not the one beside the reference.
            let error = refused(&bad);
            let expected = [("/properties/v", "default"), ("/$defs/base/properties/x", "default")];
            assert_eq!(places(&error), expected);
            continue;
        }
        let error = refused(&json);
        assert_eq!(places(&error), [("/properties/v", "default")], "{case}");
        assert!(error.detail().contains("a value that satisfies its own schema ("), "{error}");
    }
    schema(
        r#"{"properties":{"v":{"required":["x"],"properties":{"x":{"default":1}},"default":{}}}}"#,
    );
    for place in ["items", "additionalProperties"] {
        let json =
            format!(r#"{{"properties":{{"v":{{"{place}":{{"type":"null","default":0}}}}}}}}"#);
        assert_eq!(places(&refused(&json)), [(&*format!("/properties/v/{place}"), "default")]);
    }
    assert_eq!(places(&refused(r#"{"required":["a"],"default":{}}"#)), [("", "default")]);
}

#[test]
fn a_default_that_is_filled_into_itself_is_refused() {
    let tree = |default: &str| {
        format!(
            r##"{{"$ref":"#/$defs/n","$defs":{{"n":{{"type":"object","properties":{{
                "next":{{"$ref":"#/$defs/m"{default}}}}}}},
                "m":{{"type":["object","null"],"properties":{{
                    "back":{{"$ref":"#/$defs/n","default":{{}}}}}}}}}}}}"##
        )
    };
    let error = refused(&tree(r#","default":{}"#));
    let paths = ["/$defs/n/properties/next", "/$defs/m/properties/back"];
    assert_eq!(error.errors().len(), 2);
    for (violation, rule) in places(&error) {
        assert!(paths.contains(&violation) && rule == "default", "{error}");
    }
    let ends = schema(&tree(r#","default":null"#));
    assert_eq!(checked(&ends, "{}"), r#"{"next":null}"#);
    assert_eq!(checked(&ends, r#"{"next":{}}"#), r#"{"next":{"back":{"next":null}}}"#);
}

#[test]
fn nested_defaults_do_not_multiply_without_end() {
    // Each level holds two of the next: 2^60 values when filled in.
    let level = |at: usize| {
        format!(
            r##""d{at}":{{"properties":{{"a":{{"$ref":"#/$defs/d{0}","default":{{}}}},
                "b":{{"$ref":"#/$defs/d{0}","default":{{}}}}}}}}"##,
            at + 1
        )
    };
    let levels: Vec<String> = (0..60).map(level).collect();
    let wide = format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d60":{{}}}}}}"##, levels.join(","));
    let error = refused(&wide);
    assert!(error.errors().iter().all(|v| v.rule == "default"), "{error}");
    assert!(error.detail().contains("bytes of defaults"), "{error}");

    let level = |at: usize| {
        format!(
            r##""d{at}":{{"properties":{{"a":{{"$ref":"#/$defs/d{}","default":{{}}}}}}}}"##,
            at + 1
        )
    };
    let chain = |length: usize| {
        let levels: Vec<String> = (0..length).map(level).collect();
        format!(
            r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d{length}":{{"type":"object"}}}}}}"##,
            levels.join(",")
        )
    };
    let deepest = schema(&chain(99));
    assert_eq!(checked(&deepest, "{}").matches('{').count(), 100);
    let error = refused(&chain(100));
    assert!(error.detail().contains("at most 100 levels"), "{error}");
    refused(&chain(2000));
}

#[test]
fn many_objects_without_a_large_default_are_too_large() {
    let schema = Schema::compile(
        &doc! { "properties": { "l": { "items": { "properties": {
        "text": { "default": "x".repeat(100_000) } } } } } }
        .to_object(),
    )
    .unwrap();
    let items = |count: usize| doc! { "l": vec![Value::Object(Object::new()); count] };
    assert!(schema.check(items(100)).unwrap().len_bytes() > 10_000_000);
    let error = schema.check(items(1_000_000)).unwrap_err();
    assert_eq!(error.code(), Code::TooLarge);
    assert!(error.detail().contains("with the defaults of its schema"), "{error}");
}

#[test]
fn a_default_that_nests_too_deep_for_its_place_is_too_large() {
    let schema = schema(
        r##"{"additionalProperties":{"$ref":"#/$defs/n"},"$defs":{"n":{
            "properties":{"d":{"default":[[]]}},"items":{"$ref":"#/$defs/n"}}}}"##,
    );
    let nested =
        |levels: usize| format!(r#"{{"a":{}{{}}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    checked(&schema, &nested(96));
    let error = schema.check(Document::from_json(&nested(97)).unwrap()).unwrap_err();
    assert_eq!(error.code(), Code::TooLarge);
}
