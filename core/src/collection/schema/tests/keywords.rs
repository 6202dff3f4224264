//! Each keyword, accepting and refusing.

use super::*;
use crate::doc;
use crate::document::{Timestamp, Value};
use crate::error::Violation;

const BINARY: &str = r#"{"$binary":"AP8Q"}"#;
const TIME: &str = r#"{"$timestamp":"2026-11-24T05:00:00Z"}"#;

#[test]
fn type_admits_its_kinds_and_an_array_of_words_the_union() {
    let values = ["null", "true", "1", "1.0", r#""a""#, BINARY, TIME, "[]", "{}"];
    let cases = [
        (r#""null""#, "x........"),
        (r#""boolean""#, ".x......."),
        (r#""integer""#, "..x......"),
        (r#""number""#, "..xx....."),
        (r#""string""#, "....x...."),
        (r#""array""#, ".......x."),
        (r#""object""#, "........x"),
        (r#"["string","null"]"#, "x...x...."),
        (r#"["integer","number"]"#, "..xx....."),
        (r#"["boolean","array","object"]"#, ".x.....xx"),
    ];
    for (types, admitted) in cases {
        for (value, admitted) in values.iter().zip(admitted.chars()) {
            let rules: &[&str] = if admitted == 'x' { &[] } else { &["type"] };
            judge(&format!(r#"{{"type":{types}}}"#), &[(value, rules)]);
        }
    }
}

#[test]
fn format_binary_and_timestamp_take_the_place_of_string() {
    judge(
        r#"{"format":"binary"}"#,
        &[(BINARY, &[]), (TIME, &["format"]), (r#""AP8Q""#, &["format"]), ("1", &["format"])],
    );
    judge(
        r#"{"type":"string","format":"timestamp"}"#,
        &[(TIME, &[]), (BINARY, &["format"]), (r#""2026""#, &["format"]), ("1", &["type"])],
    );
    judge(
        r#"{"type":["string","object","null"],"format":"binary"}"#,
        &[(BINARY, &[]), ("null", &[]), ("{}", &[]), (r#""a""#, &["format"]), ("[]", &["type"])],
    );
    for json in [
        r#"{"properties":{"v":{"type":"object","format":"binary"}}}"#,
        r#"{"properties":{"v":{"type":["integer","null"],"format":"timestamp"}}}"#,
    ] {
        assert_eq!(places(&refused(json)), [("/properties/v", "format")]);
    }
}

#[test]
fn other_formats_are_annotations() {
    for format in ["date-time", "email", "binaries", "Timestamp", ""] {
        let schema = format!(r#"{{"type":"string","format":"{format}"}}"#);
        judge(&schema, &[(r#""not a date""#, &[]), (TIME, &["type"]), ("1", &["type"])]);
        judge(&format!(r#"{{"format":"{format}"}}"#), &[(TIME, &[]), ("1", &[])]);
    }
}

#[test]
fn lengths_count_code_points_of_text_and_bytes_of_binary() {
    let schema = r#"{"minLength":2,"maxLength":3}"#;
    judge(
        schema,
        &[
            (r#""a""#, &["minLength"]),
            (r#""ab""#, &[]),
            (r#""abc""#, &[]),
            (r#""abcd""#, &["maxLength"]),
            (r#""é""#, &["minLength"]),
            (r#""🦀🦀🦀""#, &[]),
            (r#""🦀🦀🦀🦀""#, &["maxLength"]),
            (r#""👩‍👧""#, &[]),
            (r#"{"$binary":"AA=="}"#, &["minLength"]),
            (r#"{"$binary":"AP8Q"}"#, &[]),
            (r#"{"$binary":"AP8QAA=="}"#, &["maxLength"]),
            ("1", &[]),
            ("[]", &[]),
            (TIME, &[]),
        ],
    );
    judge(r#"{"minLength":0,"maxLength":0}"#, &[(r#""""#, &[]), (r#""a""#, &["maxLength"])]);
    judge(r#"{"minLength":9223372036854775807}"#, &[(r#""a""#, &["minLength"])]);
}

#[test]
fn pattern_is_searched_anywhere_in_text_only() {
    judge(r#"{"pattern":"b+"}"#, &[(r#""abbc""#, &[]), (r#""ac""#, &["pattern"]), ("1", &[])]);
    judge(
        r#"{"pattern":"^\\p{Lu}[a-z]{1,3}$"}"#,
        &[
            (r#""Абc""#, &["pattern"]),
            (r#""Éab""#, &[]),
            (r#""Éab\n""#, &["pattern"]),
            (r#""xÉab""#, &["pattern"]),
            (BINARY, &[]),
        ],
    );
}

#[test]
fn a_pattern_takes_linear_time() {
    let schema = schema_of_v(r#"{"pattern":"^(a+)+$"}"#);
    let text = format!("{}!", "a".repeat(100_000));
    assert!(schema.check(doc! { "v": text }).is_err());
}

#[test]
fn bounds_are_inclusive_and_compare_integers_and_floats_exactly() {
    judge(
        r#"{"minimum":-1,"maximum":2.5}"#,
        &[
            ("-1", &[]),
            ("-1.0", &[]),
            ("-1.0000001", &["minimum"]),
            ("-2", &["minimum"]),
            ("2", &[]),
            ("2.5", &[]),
            ("3", &["maximum"]),
            (r#""9""#, &[]),
            ("null", &[]),
        ],
    );
    // 2^53 and its neighbour are one and the same when rounded to a float.
    judge(
        r#"{"maximum":9007199254740992.0}"#,
        &[("9007199254740992", &[]), ("9007199254740993", &["maximum"])],
    );
    judge(
        r#"{"minimum":9223372036854775807}"#,
        &[("9223372036854775808.0", &[]), ("9.2e18", &["minimum"])],
    );
    judge(r#"{"minimum":0}"#, &[("-0.0", &[]), ("-5e-324", &["minimum"])]);
}

#[test]
fn enum_compares_whole_values_and_numbers_by_worth() {
    judge(
        r#"{"enum":["a",1,2.0,null,[1,"x"],{"k":[true]},{"$binary":"AP8Q"}]}"#,
        &[
            (r#""a""#, &[]),
            (r#""A""#, &["enum"]),
            ("1.0", &[]),
            ("2", &[]),
            ("2.5", &["enum"]),
            ("null", &[]),
            ("false", &["enum"]),
            (r#"[1.0,"x"]"#, &[]),
            (r#"["x",1]"#, &["enum"]),
            (r#"[1]"#, &["enum"]),
            (r#"{"k":[true]}"#, &[]),
            (r#"{"k":[true],"l":1}"#, &["enum"]),
            ("{}", &["enum"]),
            (BINARY, &[]),
            (r#""AP8Q""#, &["enum"]),
            (TIME, &["enum"]),
        ],
    );
    judge(r#"{"type":"integer","enum":[1]}"#, &[("1", &[]), ("1.0", &["type"])]);
}

#[test]
fn items_holds_for_every_item() {
    judge(
        r#"{"items":{"type":"integer"}}"#,
        &[("[]", &[]), ("[1,2]", &[]), (r#"[1,"a",2.5]"#, &["type", "type"]), ("{}", &[])],
    );
    judge(r#"{"items":false}"#, &[("[]", &[]), ("[1]", &["items"])]);
    judge(r#"{"items":true}"#, &[("[1,null]", &[])]);
    let schema = schema_of_v(r#"{"items":{"items":{"type":"string"}}}"#);
    assert_eq!(places(&breaks(&schema, r#"{"v":[["a"],["b",7]]}"#)), [("v.1.1", "type")]);
}

#[test]
fn fields_that_are_not_named_meet_additional_properties() {
    let closed = schema(r#"{"properties":{"a":{"type":"integer"}},"additionalProperties":false}"#);
    assert_eq!(checked(&closed, r#"{"a":1}"#), r#"{"a":1}"#);
    let error = breaks(&closed, r#"{"a":1,"b":2,"cc":3}"#);
    let rule = "additionalProperties";
    assert_eq!(places(&error), [("b", rule), ("cc", rule)]);
    let typed = schema(r#"{"properties":{"a":true},"additionalProperties":{"type":"null"}}"#);
    assert_eq!(checked(&typed, r#"{"a":1,"b":null}"#), r#"{"a":1,"b":null}"#);
    assert_eq!(places(&breaks(&typed, r#"{"b":1}"#)), [("b", "type")]);
    let forbidden = schema(r#"{"properties":{"a":false}}"#);
    assert_eq!(checked(&forbidden, r#"{"b":1}"#), r#"{"b":1}"#);
    assert_eq!(places(&breaks(&forbidden, r#"{"a":null}"#)), [("a", "properties")]);
}

#[test]
fn required_fields_exist_be_they_null() {
    let schema = schema(r#"{"required":["a","bb"],"properties":{"n":{"required":["c"]}}}"#);
    assert_eq!(checked(&schema, r#"{"a":null,"bb":1}"#), r#"{"a":null,"bb":1}"#);
    let error = breaks(&schema, r#"{"n":{},"a":1}"#);
    assert_eq!(places(&error), [("n.c", "required"), ("bb", "required")]);
    assert_eq!(error.errors()[0].found, "nothing");
    // Names of any lengths, in any order.
    let schema = super::schema(r#"{"required":["ccc","bb","dddd","a"]}"#);
    let error = breaks(&schema, r#"{"bb":1}"#);
    assert_eq!(
        places(&error).iter().map(|(path, _)| *path).collect::<Vec<_>>(),
        ["a", "ccc", "dddd"]
    );
    // Required of an object only.
    let schema = super::schema(r#"{"properties":{"n":{"required":["c"]}}}"#);
    checked(&schema, r#"{"n":[]}"#);
}

#[test]
fn all_violations_come_at_once_with_what_was_found() {
    let schema = schema(
        r#"{"required":["id"],"additionalProperties":false,"properties":{
            "id":{"type":"string"},
            "age":{"type":"integer","minimum":18},
            "name":{"type":"string","minLength":2,"pattern":"^[A-Z]"},
            "tags":{"type":"array","items":{"enum":["a","b"]}},
            "at":{"format":"timestamp"}}}"#,
    );
    let error = breaks(
        &schema,
        r#"{"age":-1.5,"name":"x","tags":["a","c",{"k":null}],"at":"now",
            "zzz":{"$binary":"AA=="}}"#,
    );
    let found: Vec<Violation> = error.errors().to_vec();
    let expected = [
        ("at", "format", "\"now\""),
        ("age", "type", "-1.5"),
        ("age", "minimum", "-1.5"),
        ("zzz", "additionalProperties", "binary of 1 bytes"),
        ("name", "minLength", "1 character"),
        ("name", "pattern", "\"x\""),
        ("tags.1", "enum", "\"c\""),
        ("tags.2", "enum", "{\"k\":null}"),
        ("id", "required", "nothing"),
    ];
    let expected = expected.map(|(path, rule, found)| Violation {
        path: path.into(),
        rule: rule.into(),
        found: found.into(),
    });
    assert_eq!(found, expected);
    assert_eq!(
        error.detail(),
        "the document breaks the schema: at: format: expected timestamp, found \"now\" (9 in all)"
    );
}

#[test]
fn the_example_of_the_documentation_is_true() {
    let text = include_str!("../../../../../docs/schema.md");
    let schema = schema(text.split("```json").nth(1).unwrap().split("```").next().unwrap());
    let inline: Vec<&str> = text.split('`').filter(|code| code.starts_with("{\"")).collect();
    let written = Document::from_json(inline[1]).unwrap();
    assert_eq!(schema.check(Document::from_json(inline[0]).unwrap()).unwrap(), written);
    let error = breaks(&schema, inline[2]);
    for (violation, line) in
        error.errors().iter().zip(text.lines().skip_while(|l| *l != "|---|---|---|").skip(1))
    {
        let Violation { path, rule, found } = violation;
        assert_eq!(line, format!("| `{path}` | `{rule}` | `{found}` |"));
    }
    assert_eq!(error.errors().len(), 4);
}

#[test]
fn violations_are_bounded_and_counted() {
    let schema = schema_of_v(r#"{"items":{"type":"string","maxLength":3}}"#);
    let items: Vec<Value> = (0..250).map(Value::Int).collect();
    let error = schema.check(doc! { "v": items }).unwrap_err();
    assert_eq!(error.errors().len(), 100);
    assert!(error.detail().ends_with("(250 in all, the first 100 listed)"), "{error}");
    let long = schema_of_v(r#"{"enum":[1]}"#);
    let error = long.check(doc! { "v": "ä".repeat(1 << 20) }).unwrap_err();
    assert_eq!(error.errors()[0].found.chars().count(), 80);
    let closed = super::schema(r#"{"additionalProperties":false}"#);
    let object = Object::from_iter([("n".repeat(1 << 20), 1)]);
    let error = closed.check(Document::from_value(&object).unwrap()).unwrap_err();
    assert_eq!(error.errors()[0].path.chars().count(), 1024);
    assert!(error.detail().len() < 1000);
}

#[test]
fn a_document_without_defaults_to_fill_keeps_its_bytes() {
    let schema = schema(r#"{"properties":{"a":{"default":1},"t":{"format":"timestamp"}}}"#);
    let at = Timestamp::from_micros(1);
    let document = doc! { "a": null, "t": at, "f": -0.0, "n": { "b": [1, 2.0] } };
    let same = schema.check(document.clone()).unwrap();
    assert_eq!(same.as_bytes().as_ptr(), document.as_bytes().as_ptr());
}

#[test]
fn a_document_of_wrong_bytes_is_corrupt_and_not_a_violation() {
    let document = Document::from_trusted(bytes::Bytes::from_static(&[0xa1, 0x61]));
    assert_eq!(schema("{}").check(document).unwrap_err().code(), Code::Corrupt);
}

#[test]
fn the_deepest_document_is_checked_on_a_small_stack() {
    let schema = schema(
        r##"{"type":"object","additionalProperties":{"$ref":"#/$defs/any"},
            "$defs":{"any":{"items":{"$ref":"#/$defs/any"},"minimum":5,
                "additionalProperties":{"$ref":"#/$defs/any"}}}}"##,
    );
    let json = format!(r#"{{"a":{}1{}}}"#, "[".repeat(99), "]".repeat(99));
    let check = move || places(&breaks(&schema, &json)).len();
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(check).unwrap();
    assert_eq!(thread.join().unwrap(), 1);
}
