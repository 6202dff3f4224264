//! What a schema must not say, and its limits.

use super::*;
use crate::doc;
use crate::document::Value;
use crate::limits::SCHEMA_BYTES_MAX;

#[test]
fn validating_keywords_outside_the_subset_are_refused_by_name() {
    for word in super::super::keyword::all_refused() {
        let source = doc! { "properties": { "v": { (word): true } } }.to_object();
        let error = Schema::compile(&source).unwrap_err();
        assert_eq!(places(&error), [("/properties/v", word)]);
        assert!(error.errors()[0].found.starts_with(&format!("{word}, which the subset")));
        assert!(error.detail().contains("additionalProperties, minLength"), "{error}");
    }
    let known = "allOf anyOf oneOf not if then else dependentSchemas dependentRequired prefixItems \
        contains minContains maxContains uniqueItems minItems maxItems minProperties \
        maxProperties patternProperties propertyNames unevaluatedItems unevaluatedProperties \
        multipleOf exclusiveMinimum exclusiveMaximum const $dynamicRef $dynamicAnchor $anchor";
    let refused: Vec<&str> = super::super::keyword::all_refused().collect();
    for word in known.split_whitespace() {
        assert!(refused.contains(&word), "{word}");
    }
}

#[test]
fn annotations_are_kept_and_not_read() {
    let json = r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","$id":"urn:x",
        "$comment":5,"title":"T","description":["d"],"examples":[{"allOf":[1]}],"deprecated":true,
        "readOnly":false,"writeOnly":1,"contentEncoding":"base64","contentMediaType":"text/plain",
        "contentSchema":{"not":{}},"$vocabulary":{},"x-mine":{"anyOf":[]},"unknown":{"type":0},
        "properties":{"allOf":{"title":"a field of that name"},"$id":true},"default":{"anyOf":1}}"#;
    let schema = schema(json);
    assert_eq!(schema.source(), &object(json));
    assert_eq!(checked(&schema, r#"{"allOf":1,"$id":2}"#), r#"{"$id":2,"allOf":1}"#);
    assert!(format!("{schema:?}").starts_with("Schema({\"$id\":"));
}

#[test]
fn an_id_below_the_root_is_refused_since_references_are_local() {
    let error = refused(r#"{"properties":{"v":{"$id":"urn:y"}}}"#);
    assert_eq!(places(&error), [("/properties/v", "$id")]);
}

#[test]
fn keywords_refuse_values_of_the_wrong_form() {
    let cases = [
        r#"{"type":"text"}"#,
        r#"{"type":"timestamp"}"#,
        r#"{"type":[]}"#,
        r#"{"type":["string","string"]}"#,
        r#"{"type":["string",1]}"#,
        r#"{"type":null}"#,
        r#"{"properties":[]}"#,
        r#"{"$defs":true}"#,
        r#"{"definitions":1}"#,
        r#"{"items":[{}]}"#,
        r#"{"items":"string"}"#,
        r#"{"additionalProperties":null}"#,
        r#"{"required":"a"}"#,
        r#"{"required":true}"#,
        r#"{"required":["a",1]}"#,
        r#"{"required":["a","b","a"]}"#,
        r#"{"minLength":-1}"#,
        r#"{"minLength":1.0}"#,
        r#"{"maxLength":"1"}"#,
        r#"{"minimum":"1"}"#,
        r#"{"maximum":{"$timestamp":"2026-11-24T05:00:00Z"}}"#,
        r#"{"pattern":1}"#,
        r#"{"pattern":"("}"#,
        r#"{"pattern":"(?=a)"}"#,
        r#"{"pattern":"(a)\\1"}"#,
        r#"{"pattern":"((\\w{99}){99}){99}"}"#,
        r#"{"enum":[]}"#,
        r#"{"enum":"a"}"#,
        r#"{"format":1}"#,
        r#"{"$ref":1}"#,
    ];
    for case in cases {
        let json = format!(r#"{{"properties":{{"v":{case}}}}}"#);
        let error = refused(&json);
        let word = case.split('"').nth(1).unwrap();
        // A schema that is none stands at a place of its own.
        let below = matches!((word, case.contains('[')), ("items", false));
        let place = match word {
            "additionalProperties" => "/properties/v/additionalProperties",
            "items" if below => "/properties/v/items",
            _ => "/properties/v",
        };
        assert_eq!(places(&error), [(place, word)], "{case}");
    }
    let error = refused(r#"{"properties":{"a/b~":1}}"#);
    assert_eq!(places(&error), [("/properties/a~1b~0", "properties")]);
    let look = refused(r#"{"properties":{"v":{"pattern":"(?!x)"}}}"#);
    assert!(look.errors()[0].found.contains("look-around"), "{:?}", look.errors());
}

#[test]
fn all_faults_of_a_schema_come_at_once() {
    let error = refused(
        r##"{"type":"array","required":"id","oneOf":[],"properties":{
            "a":{"type":"strin","minimum":"0","default":1,"maxLength":1},
            "b":{"type":"string","default":5},
            "c":{"$ref":"#/$defs/missing"},
            "d":{"items":{"pattern":"["}},
            "e":7},
            "$defs":{"unused":{"minLength":-1,"default":1,"enum":[2]}}}"##,
    );
    let expected = [
        ("/$defs/unused", "minLength"),
        ("", "oneOf"),
        ("", "required"),
        ("/properties/a", "type"),
        ("/properties/a", "minimum"),
        ("/properties/d/items", "pattern"),
        ("/properties/e", "properties"),
        ("/properties/c", "$ref"),
        ("", "type"),
        ("/properties/b", "default"),
        ("/$defs/unused", "default"),
    ];
    assert_eq!(places(&error), expected);
    assert!(error.detail().contains("(11 in all)"), "{error}");
}

#[test]
fn the_root_describes_an_object() {
    for json in ["{}", r#"{"type":"object"}"#, r#"{"type":["object","null"]}"#] {
        checked(&schema(json), r#"{"a":1}"#);
    }
    let refs = r##"{"$ref":"#/$defs/d","$defs":{"d":{"type":"object","required":["a"]}}}"##;
    assert_eq!(places(&breaks(&schema(refs), "{}")), [("a", "required")]);
    for (json, rule) in [
        (r#"{"type":"array"}"#, "type"),
        (r#"{"type":["string","null"]}"#, "type"),
        (r#"{"format":"binary"}"#, "format"),
        (r##"{"$ref":"#/$defs/d","$defs":{"d":{"type":"string"}}}"##, "type"),
        (r##"{"$ref":"#/$defs/d","$defs":{"d":false}}"##, "type"),
    ] {
        assert_eq!(places(&refused(json)), [("", rule)], "{json}");
    }
}

#[test]
fn the_size_and_nesting_of_a_schema_are_limited() {
    let size = |bytes: usize| doc! { "title": "x".repeat(bytes) }.to_object();
    Schema::compile(&size(SCHEMA_BYTES_MAX - 12)).unwrap();
    let error = Schema::compile(&size(SCHEMA_BYTES_MAX - 11)).unwrap_err();
    assert_eq!(error.code(), Code::TooLarge);
    assert!(error.detail().starts_with("the size of a schema in bytes is limited"), "{error}");

    let nested = |levels: usize| {
        let (open, close) = (r#"{"items":"#.repeat(levels - 2), "}".repeat(levels - 2));
        object(&format!(r#"{{"additionalProperties":{open}{{}}{close}}}"#))
    };
    Schema::compile(&nested(64)).unwrap();
    let error = Schema::compile(&nested(65)).unwrap_err();
    assert_eq!(
        (error.code(), error.detail()),
        (Code::TooLarge, "the nesting of a schema is limited to 64, found 65")
    );
    let nan = Object::from_iter([("minimum", f64::NAN)]);
    assert_eq!(Schema::compile(&nan).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn a_pattern_is_limited_in_length_and_usual_ones_fit() {
    let pattern = |text: &str| doc! { "properties": { "v": { "pattern": text } } }.to_object();
    Schema::compile(&pattern(&"a".repeat(1024))).unwrap();
    let error = Schema::compile(&pattern(&"a".repeat(1025))).unwrap_err();
    assert_eq!(error.errors()[0].found, "1025 bytes, the limit is 1024");
    for usual in [
        r"^[\w.+-]{1,64}@[\w-]{1,63}(\.[\w-]{1,63})+$",
        r"^\p{L}{1,100}$",
        r"(?i)^[a-zäöü]{1,255}$",
    ] {
        Schema::compile(&pattern(usual)).unwrap();
    }
}

#[test]
fn a_flat_schema_of_the_maximal_size_compiles() {
    let fields = (0..74_000).map(|at| (format!("{at:05}"), doc! { "enum": [1] }.to_object()));
    let source = Object::from_iter([("properties", Value::Object(Object::from_iter(fields)))]);
    let schema = Schema::compile(&source).unwrap();
    assert_eq!(places(&breaks(&schema, r#"{"00000":2,"70000":3,"x":4}"#)).len(), 2);
}
