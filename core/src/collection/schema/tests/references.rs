//! `$ref`: where it leads, recursion, and keywords beside it.

use super::*;

#[test]
fn a_reference_leads_to_any_place_of_a_schema() {
    let schema = schema(
        r##"{"properties":{
            "root":{"$ref":"#"},
            "def":{"$ref":"#/$defs/text"},
            "old":{"$ref":"#/definitions/n"},
            "sibling":{"$ref":"#/properties/list/items"},
            "list":{"items":{"type":"boolean"}},
            "open":{"additionalProperties":{"type":"null"}},
            "null":{"$ref":"#/properties/open/additionalProperties"},
            "odd":{"$ref":"#/$defs/a~1b~0c%20d%C3%A9/$defs/e"},
            "dotted":{"$ref":"#/%24defs/text"},
            "yes":{"$ref":"#/$defs/yes"},
            "no":{"$ref":"#/$defs/no"}},
        "$defs":{"text":{"type":"string"},"yes":true,"no":false,
            "a/b~c dé":{"$defs":{"e":{"type":"integer"}}}},
        "definitions":{"n":{"type":"number"}}}"##,
    );
    let good = r#"{"no1":1,"def":"a","old":1.5,"yes":[],"null":null,"list":[true],
        "odd":1,"root":{"def":"b"},"dotted":"d","sibling":false}"#;
    checked(&schema, good);
    let bad = r#"{"no":1,"def":1,"old":"1","yes":[],"null":0,"list":[0],
        "odd":1.5,"root":{"def":2},"dotted":0,"sibling":1}"#;
    let error = breaks(&schema, bad);
    let expected = [
        ("no", "properties"),
        ("def", "type"),
        ("odd", "type"),
        ("old", "type"),
        ("list.0", "type"),
        ("null", "type"),
        ("root.def", "type"),
        ("dotted", "type"),
        ("sibling", "type"),
    ];
    assert_eq!(places(&error), expected);
}

#[test]
fn a_reference_that_leads_nowhere_is_refused() {
    for text in [
        "other.json",
        "https://example.com/s#/$defs/a",
        "",
        "#a",
        "#/",
        "#/$defs",
        "#/$defs/b",
        "#/$defs/a/",
        "#/$defs/a/b",
        "#/properties",
        "#/properties/v/default",
        "#/x-defs/a",
        "#/required/0",
        "#/$defs/~2",
        "#/$defs/~",
        "#/$defs/%",
        "#/$defs/%4",
        "#/$defs/%zz",
        "#/$defs/%FF",
        "#/$defs/a%",
    ] {
        let json = format!(
            r#"{{"properties":{{"v":{{"$ref":"{text}"}}}},"$defs":{{"a":true}},
                "x-defs":{{"a":{{}}}}}}"#
        );
        let error = refused(&json);
        assert_eq!(places(&error), [("/properties/v", "$ref")], "{text}");
        assert_eq!(error.errors()[0].found, format!("\"{text}\""));
    }
}

#[test]
fn a_tree_may_refer_to_itself_through_its_fields() {
    let tree = schema(
        r##"{"$ref":"#/$defs/node","$defs":{"node":{"type":"object","required":["name"],
            "properties":{"name":{"type":"string"},
                "children":{"type":"array","items":{"$ref":"#/$defs/node"}},
                "parent":{"$ref":"#"}},
            "additionalProperties":false}}}"##,
    );
    checked(&tree, r#"{"name":"a","children":[{"name":"b","children":[{"name":"c"}]}]}"#);
    let error = breaks(
        &tree,
        r#"{"name":"a","children":[{"name":"b","children":[{"nam":1}]}],"parent":{"name":1}}"#,
    );
    let expected = [
        ("parent.name", "type"),
        ("children.0.children.0.nam", "additionalProperties"),
        ("children.0.children.0.name", "required"),
    ];
    assert_eq!(places(&error), expected);
}

#[test]
fn references_that_consume_nothing_are_refused() {
    let cycle = |json| refused(json).errors().iter().map(|v| v.path.clone()).collect::<Vec<_>>();
    assert_eq!(cycle(r##"{"$ref":"#"}"##), [""]);
    assert_eq!(
        cycle(
            r##"{"properties":{"v":{"$ref":"#/$defs/a"}},"$defs":{
            "a":{"$ref":"#/$defs/b"},"b":{"type":"string","$ref":"#/$defs/a"}}}"##
        ),
        ["/$defs/a", "/$defs/b"]
    );
    let chain = |length: usize| {
        let link = |at: usize| format!(r##""d{at}":{{"$ref":"#/$defs/d{}"}}"##, at + 1);
        let links: Vec<String> = (0..length).map(link).collect();
        format!(r##"{{"$defs":{{{},"d{length}":true}}}}"##, links.join(","))
    };
    schema(&chain(64));
    assert_eq!(cycle(&chain(66)), ["/$defs/d0", "/$defs/d1"]);
}

#[test]
fn keywords_beside_a_reference_apply_too() {
    let schema = schema(
        r##"{"properties":{"v":{"$ref":"#/$defs/base","required":["b"],"properties":{
                "a":{"maximum":5},"b":{"type":"string"}}}},
            "$defs":{"base":{"type":"object","required":["a"],"properties":{
                "a":{"type":"integer","maximum":9,"minimum":1},"c":{"type":"null"}},
                "additionalProperties":{"minLength":2}}}}"##,
    );
    checked(&schema, r#"{"v":{"a":5,"b":"xx","c":null}}"#);
    let error = breaks(&schema, r#"{"v":{"a":6,"b":"x","c":1,"d":"y"}}"#);
    let expected =
        [("v.a", "maximum"), ("v.b", "minLength"), ("v.c", "type"), ("v.d", "minLength")];
    assert_eq!(places(&error), expected);
    assert_eq!(places(&breaks(&schema, r#"{"v":{}}"#)), [("v.a", "required"), ("v.b", "required")]);
    assert_eq!(places(&breaks(&schema, r#"{"v":1}"#)), [("v", "type")]);
}

#[test]
fn a_value_is_checked_once_however_many_references_lead_to_it() {
    // Read naively, each level doubles the work: 2^98 visits of the innermost value.
    let schema = schema(
        r##"{"$ref":"#/$defs/a","$defs":{
            "a":{"$ref":"#/$defs/b","properties":{"c":{"$ref":"#/$defs/a"}},"minimum":1},
            "b":{"properties":{"c":{"$ref":"#/$defs/a"}},"maximum":5}}}"##,
    );
    let json = format!("{}7{}", r#"{"c":"#.repeat(99), "}".repeat(99));
    assert_eq!(breaks(&schema, &json).errors().len(), 1);
}

#[test]
fn schemas_whose_references_multiply_are_refused() {
    // The set of applying schemas counts in binary: property "x" shifts, so 2^k sets are reachable.
    let bit = |at: usize| {
        format!(
            r##""s{at}":{{"minimum":{at},"properties":{{"x":{{"$ref":"#/$defs/s{next}"}},
                "y":{{"$ref":"#/$defs/s{next}","properties":{{"x":{{"$ref":"#/$defs/s0"}},
                "y":{{"$ref":"#/$defs/s0"}}}}}}}}}}"##,
            next = at + 1
        )
    };
    let bits: Vec<String> = (0..40).map(bit).collect();
    let json = format!(r##"{{"$ref":"#/$defs/s0","$defs":{{{},"s40":true}}}}"##, bits.join(","));
    let error = Schema::compile(&object(&json)).unwrap_err();
    assert_eq!(error.code(), Code::TooLarge, "{error}");
}
