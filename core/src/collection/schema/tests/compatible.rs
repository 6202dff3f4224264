//! What a newer schema could refuse that an older one accepts, keyword by keyword.

use super::*;

/// `path rule` of each incompatibility between two schemas of whole documents.
fn between(older: &str, newer: &str) -> Vec<String> {
    list(Some(&schema(older)), newer)
}

fn list(older: Option<&Schema>, newer: &str) -> Vec<String> {
    let found = Schema::incompatibilities(older, &schema(newer));
    found.iter().map(|v| format!("{} {}", v.path, v.rule).trim().to_owned()).collect()
}

/// From `older` to `newer` as schemas of the field `v`: the rules of one direction and the other.
fn assert_change(older: &str, newer: &str, forth: &[&str], back: &[&str]) {
    let whole = |v: &str| format!(r#"{{"properties":{{"v":{v}}},"$defs":{{}}}}"#);
    let rules = |older: &str, newer: &str| {
        let found = between(&whole(older), &whole(newer));
        let rule = |text: &String| text.strip_prefix("v ").unwrap_or(text).to_owned();
        found.iter().map(rule).collect::<Vec<_>>()
    };
    assert_eq!(rules(older, newer), forth, "{older} -> {newer}");
    assert_eq!(rules(newer, older), back, "{newer} -> {older}");
}

#[test]
fn widening_is_compatible_and_narrowing_is_not() {
    let table: &[(&str, &str, &[&str])] = &[
        ("true", r#"{"type":"string"}"#, &["type"]),
        ("true", "false", &["properties"]),
        (r#"{"type":["string","null"]}"#, r#"{"type":"string"}"#, &["type"]),
        (r#"{"type":"number"}"#, r#"{"type":"integer"}"#, &["type"]),
        ("true", r#"{"format":"timestamp"}"#, &["format"]),
        (r#"{"minLength":1}"#, r#"{"minLength":2}"#, &["minLength"]),
        ("true", r#"{"minLength":1}"#, &["minLength"]),
        (r#"{"maxLength":2}"#, r#"{"maxLength":1}"#, &["maxLength"]),
        ("true", r#"{"maxLength":9}"#, &["maxLength"]),
        ("true", r#"{"pattern":"a"}"#, &["pattern"]),
        (r#"{"minimum":1}"#, r#"{"minimum":1.5}"#, &["minimum"]),
        ("true", r#"{"minimum":-5}"#, &["minimum"]),
        (r#"{"maximum":2.5}"#, r#"{"maximum":2}"#, &["maximum"]),
        ("true", r#"{"maximum":5}"#, &["maximum"]),
        (r#"{"enum":[1,2,"a"]}"#, r#"{"enum":[2.0,"a"]}"#, &["enum"]),
        (r#"{"type":"string"}"#, r#"{"type":"string","enum":["a"]}"#, &["enum"]),
        ("true", r#"{"items":{"type":"null"}}"#, &["* type"]),
        (r#"{"items":true}"#, r#"{"items":false}"#, &["* items"]),
    ];
    for (wide, narrow, rules) in table {
        let rules: Vec<String> = rules
            .iter()
            .map(|rule| rule.strip_prefix("* ").map_or((*rule).to_owned(), |r| format!("v.* {r}")))
            .collect();
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        assert_change(wide, narrow, &rules, &[]);
    }
}

#[test]
fn the_same_said_differently_is_compatible_both_ways() {
    for (one, other) in [
        (r#"{"type":"string"}"#, r#"{"type":["string"]}"#),
        (r#"{"type":["integer","number"]}"#, r#"{"type":"number"}"#),
        ("{}", r#"{"title":"t","minLength":0,"items":true,"additionalProperties":{}}"#),
        (r#"{"minimum":1}"#, r#"{"minimum":1.0}"#),
        (r#"{"enum":["b","a"]}"#, r#"{"enum":["a","b","a"]}"#),
        (r#"{"format":"binary"}"#, r#"{"type":"string","format":"binary"}"#),
        (r#"{"format":"email"}"#, "{}"),
        (r#"{"type":["boolean","null"]}"#, r#"{"enum":[true,null,false]}"#),
        (r#"{"type":"array","minLength":4}"#, r#"{"type":"array","pattern":"x"}"#),
    ] {
        assert_change(one, other, &[], &[]);
    }
}

#[test]
fn what_cannot_be_decided_is_reported() {
    assert_change(r#"{"pattern":"^a"}"#, r#"{"pattern":"a"}"#, &["pattern"], &["pattern"]);
    assert_change(
        r#"{"type":"string"}"#,
        r#"{"type":"string","format":"timestamp"}"#,
        &["format"],
        &["type"],
    );
    assert_change(
        r#"{"type":"integer","minimum":1,"maximum":2}"#,
        r#"{"type":"integer","enum":[1,2]}"#,
        &["enum"],
        &[],
    );
}

#[test]
fn a_list_of_values_is_tried_value_by_value() {
    assert_change(r#"{"enum":["a","bb"]}"#, r#"{"type":"string","maxLength":2}"#, &[], &["enum"]);
    assert_change(r#"{"enum":[1,2]}"#, r#"{"type":"integer"}"#, &["type"], &["enum"]);
    let found = Schema::incompatibilities(
        Some(&schema_of_v(r#"{"enum":["a","b","c","d"]}"#)),
        &schema_of_v(r#"{"enum":["b"],"type":"string"}"#),
    );
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].found, "\"a\" and 2 more not accepted any more");
    assert_change(
        r#"{"enum":[["a"],{"k":null}]}"#,
        r#"{"items":{"enum":["a"]},"additionalProperties":{"type":"null"}}"#,
        &[],
        &["enum"],
    );
    assert_change(r#"{"type":["boolean","null"]}"#, r#"{"enum":[false]}"#, &["enum"], &[]);
}

#[test]
fn fields_are_added_and_removed() {
    let open = r#"{"properties":{"a":{"type":"string"}}}"#;
    let open_more = r#"{"properties":{"a":{"type":"string"},"b":{"type":"string"}}}"#;
    assert_eq!(between(open, open_more), ["b type"]);
    assert_eq!(between(open_more, open), [""; 0]);
    let closed =
        |more: &str| format!(r#"{{"properties":{{"a":{{}}{more}}},"additionalProperties":false}}"#);
    let (closed, closed_more) = (closed(""), closed(r#","b":{"type":"string"}"#));
    assert_eq!(between(&closed, &closed_more), [""; 0]);
    assert_eq!(between(&closed_more, &closed), ["b additionalProperties"]);
    assert_eq!(between(&closed, open), ["a type"]);
    assert_eq!(between(r#"{"properties":{"a":{}}}"#, &closed), ["* additionalProperties"]);
    assert_eq!(between(&closed, r#"{"properties":{"b":{"type":"string"}}}"#), [""; 0]);
    assert_eq!(
        between(
            r#"{"additionalProperties":{"type":"integer"}}"#,
            r#"{"additionalProperties":{"type":"null"},"properties":{"x":{"type":"number"}}}"#
        ),
        ["* type"]
    );
    assert_eq!(between(open, r#"{"properties":{"a":false}}"#), ["a properties"]);
}

#[test]
fn a_new_required_field_is_compatible_if_it_has_a_default() {
    let of = |more: &str| format!(r#"{{"properties":{{"a":{{{more}}}}}}}"#);
    let required = |more: &str| format!(r#"{{"required":["a"],"properties":{{"a":{{{more}}}}}}}"#);
    let default = r#""default":5"#;
    assert_eq!(between(&of(""), &required("")), ["a required"]);
    assert_eq!(between(&of(""), &required(default)), [""; 0]);
    assert_eq!(between(&required(""), &of("")), [""; 0]);
    assert_eq!(between(&required(""), &required(default)), [""; 0]);
    // A document without the field was accepted and filled; now it would be refused.
    assert_eq!(between(&required(default), &required("")), ["a required"]);
    assert_eq!(between(&of(default), &required("")), ["a required"]);
    assert_eq!(between(&of(default), &of("")), [""; 0]);
    assert_eq!(between(&required(default), &required(r#""default":6"#)), [""; 0]);
    assert_eq!(between("{}", r#"{"properties":{"o":{"required":["x"]}}}"#), ["o.x required"]);
}

#[test]
fn a_default_filled_into_a_listed_object_is_reported() {
    let older = r#"{"properties":{"v":{"type":"object"}}}"#;
    let newer = r#"{"properties":{"v":{"enum":[{"x":1}],"properties":{"x":{"default":1}}}}}"#;
    let found = between(older, newer);
    assert!(found.contains(&"v enum".to_owned()), "{found:?}");
    // {} is accepted by the first, becoming {"x":1}, and refused by the second.
    let second = r#"{"properties":{"v":{"enum":[{"x":1}]}}}"#;
    assert_ne!(between(newer, second), [""; 0]);
    assert_eq!(between(second, newer), ["v enum"]);
}

#[test]
fn referred_schemas_are_compared_where_they_are_met() {
    let tree = |name: &str, more: &str| {
        format!(
            r##"{{"$ref":"#/$defs/n","$defs":{{"n":{{"type":"object","properties":{{
                "name":{name},"children":{{"items":{{"$ref":"#/$defs/n"}}}}}}{more}}}}}}}"##
        )
    };
    let text = tree(r#"{"type":"string"}"#, "");
    assert_eq!(between(&text, &tree(r#"{"type":["string","null"]}"#, "")), [""; 0]);
    assert_eq!(between(&tree(r#"{"type":["string","null"]}"#, ""), &text), ["name type"]);
    assert_eq!(
        between(&text, &tree(r#"{"type":"string"}"#, r#","required":["name"]"#)),
        ["name required", "children.*.name required"]
    );
    // The same tree, unrolled once.
    let unrolled = r##"{"type":"object",
        "properties":{"name":{"type":"string"},"children":{"items":{"$ref":"#/$defs/n"}}},
        "$defs":{"m":{"$ref":"#/$defs/n"},"n":{"type":"object","properties":{
            "name":{"type":"string"},"children":{"items":{"$ref":"#/$defs/m"}}}}}}"##;
    assert_eq!(between(&text, unrolled), [""; 0]);
    assert_eq!(between(unrolled, &text), ["children.* type"; 0]);
}

#[test]
fn without_an_older_schema_every_document_was_accepted() {
    assert_eq!(list(None, "{}"), [""; 0]);
    assert_eq!(list(None, r#"{"type":"object","title":"t"}"#), [""; 0]);
    assert_eq!(list(None, r#"{"properties":{"a":{"default":1}}}"#), [""; 0]);
    assert_eq!(list(None, r#"{"required":["a"],"properties":{"a":{"default":1}}}"#), [""; 0]);
    assert_eq!(list(None, r#"{"required":["a"]}"#), ["a required"]);
    assert_eq!(list(None, r#"{"properties":{"a":{"type":"string"}}}"#), ["a type"]);
    assert_eq!(list(None, r#"{"additionalProperties":false}"#), ["* additionalProperties"]);
}

#[test]
fn a_schema_is_compatible_with_itself_whatever_it_says() {
    let odd = r#"{"enum":[{"v":1}],"properties":{"v":{"default":1}}}"#;
    assert_eq!(between(odd, odd), [""; 0]);
}

#[test]
fn the_list_of_incompatibilities_is_bounded() {
    let fields = |word: &str| {
        let field = |at: usize| format!(r#""f{at}":{{"type":{word}}}"#);
        let fields: Vec<String> = (0..500).map(field).collect();
        format!(r#"{{"properties":{{{}}}}}"#, fields.join(","))
    };
    let found = between(&fields(r#"["string","null"]"#), &fields(r#""string""#));
    // All fields share one pair of nodes here or each has its own; either way there is an end.
    assert!((1..=100).contains(&found.len()));
}
