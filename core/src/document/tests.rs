//! Claims about documents: one encoding each, nothing lost between JSON, values and bytes, and
//! nothing accepted that a document would write differently.

use bytes::Bytes;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::doc;
use crate::limits::KEY_BYTES_MAX;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let text: String = text.split_whitespace().collect();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn refused(outcome: Result<Document>) -> (Code, String) {
    let error = outcome.unwrap_err();
    (error.code(), error.detail().to_owned())
}

fn json_refused(text: &str) -> (Code, String) {
    refused(Document::from_json(text))
}

/// The vector of `docs/format/document.md` that other CBOR libraries agree on.
const VECTOR: &str = "a960f66166f93e00616e1b00200000000000016269646261316362696e4300ff10636e6567
    3b7fffffffffffffff646e616d6566d090d0b4d0b0657468697264fb3fb999999999999a666e6573746564a26161f4
    6162830102f5";

fn vector_document() -> Document {
    doc! {
        "": null, "f": 1.5, "n": (1_i64 << 53) + 1, "id": "a1",
        "bin": Bytes::from_static(&[0, 255, 16]), "neg": i64::MIN, "name": "Ада", "third": 0.1,
        "nested": { "a": false, "b": [1, 2, true] },
    }
}

#[test]
fn the_vector_shared_with_other_libraries_has_these_bytes() {
    assert_eq!(hex(vector_document().as_bytes()), hex(&unhex(VECTOR)));
    check_canonical(&unhex(VECTOR)).unwrap();
    let json = r#"{"n":9007199254740993,"nested":{"b":[1,2,true],"a":false},"third":0.1,"neg":
        -9223372036854775808,"":null,"name":"\u0410\u0434\u0430","bin":{"$binary":"AP8Q"},"id":"a1",
        "f":15e-1}"#;
    assert_eq!(Document::from_json(json).unwrap(), vector_document());
}

#[test]
fn a_timestamp_is_tag_1001_with_seconds_and_microseconds() {
    let at = Timestamp::parse("2026-11-24T05:00:00.25Z").unwrap();
    let document = doc! { "at": at, "epoch": Timestamp::from_micros(0) };
    let bytes = "a2 626174 d903e9a2011a6b0519d0251a0003d090 6565706f6368 d903e9a201002500";
    assert_eq!(hex(document.as_bytes()), hex(&unhex(bytes)));
    assert_eq!(
        document.to_json(),
        r#"{"at":{"$timestamp":"2026-11-24T05:00:00.250000Z"},"epoch":{"$timestamp":"1970-01-01T00:00:00.000000Z"}}"#
    );
    assert_eq!(Document::from_json(&document.to_json()).unwrap(), document);
    assert_eq!(document.get("at").unwrap(), Some(Value::Timestamp(at)));
}

#[test]
fn timestamps_cover_the_years_0_to_9999_and_read_only_rfc_3339() {
    let texts = [
        "0000-01-01T00:00:00.000000Z",
        "9999-12-31T23:59:59.999999Z",
        "1969-12-31T23:59:59.999999Z",
        "2024-02-29T12:00:00.000001Z",
    ];
    for text in texts {
        assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(Timestamp::parse(texts[0]).unwrap(), Timestamp::MIN);
    assert_eq!(Timestamp::parse(texts[1]).unwrap(), Timestamp::MAX);
    let same = [
        "2026-11-24T05:00:00Z",
        "2026-11-24t05:00:00.0z",
        "2026-11-24T00:00:00-05:00",
        "2026-11-24T10:30:00.000000000+05:30",
    ];
    for text in same {
        assert_eq!(Timestamp::parse(text).unwrap().to_string(), "2026-11-24T05:00:00.000000Z");
    }
    let wrong = [
        "",
        "2026-11-24",
        "2026-11-24T05:00:00",
        "2026-11-24T05:00Z",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-11-24T24:00:00Z",
        "2026-11-24T05:00:60Z",
        "2026-11-24T05:00:00.Z",
        "2026-11-24T05:00:00.0000001Z",
        "2026-11-24T05:00:00+0530",
        "2026-11-24T05:00:00+24:00",
        "2026-11-24 05:00:00Z",
        "2026-11-24T05:00:00Zx",
        "+026-11-24T05:00:00Z",
        "9999-12-31T23:59:59-00:01",
        "0000-01-01T00:00:00+00:01",
        "2026-11-24T05:00:00.12🦀",
        "２026-11-24T05:00:00Z",
    ];
    for text in wrong {
        let error = Timestamp::parse(text).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{text}");
    }
    for micros in [i64::MIN, Timestamp::MIN.micros() - 1, Timestamp::MAX.micros() + 1, i64::MAX] {
        let object = Object::from_iter([("at", Timestamp::from_micros(micros))]);
        let (code, detail) = refused(Document::from_value(&object));
        assert_eq!(code, Code::InvalidArgument);
        assert!(detail.starts_with("field at: "), "{detail}");
    }
}

#[test]
fn floats_take_the_shortest_form_that_is_exact() {
    let cases = [
        (0.0, "f90000"),
        (-0.0, "f98000"),
        (1.0, "f93c00"),
        (65504.0, "f97bff"),
        (5.960464477539063e-8, "f90001"),
        (65505.0, "fa477fe100"),
        (100000.0, "fa47c35000"),
        (3.4028234663852886e38, "fa7f7fffff"),
        (1.401298464324817e-45, "fa00000001"),
        (1.1, "fb3ff199999999999a"),
        (1e300, "fb7e37e43c8800759c"),
        (f64::from_bits(1), "fb0000000000000001"),
    ];
    for (value, bytes) in cases {
        let document = doc! { "f": value };
        assert_eq!(hex(&document.as_bytes()[3..]), bytes, "{value}");
        let Some(Value::Float(back)) = document.get("f").unwrap() else { panic!("not a float") };
        assert_eq!(back.to_bits(), value.to_bits());
        assert_eq!(Document::from_json(&document.to_json()).unwrap(), document);
    }
}

#[test]
fn integers_and_floats_stay_distinct() {
    assert_ne!(doc! { "n": 1 }, doc! { "n": 1.0 });
    assert_eq!(Document::from_json(r#"{"n":1}"#).unwrap(), doc! { "n": 1 });
    for float in ["1.0", "1e0", "10E-1"] {
        let text = format!("{{\"n\":{float}}}");
        assert_eq!(Document::from_json(&text).unwrap().to_json(), r#"{"n":1.0}"#);
    }
    assert_eq!(Document::from_json(r#"{"n":-0}"#).unwrap(), doc! { "n": -0.0 });
}

#[test]
fn json_floats_are_read_exactly() {
    for text in ["9007199254740993.0", "2.2250738585072011e-308", "7.2057594037927933e16", "0.3"] {
        let document = Document::from_json(&format!("{{\"n\":{text}}}")).unwrap();
        let exact: f64 = text.parse().unwrap();
        assert_eq!(document.get("n").unwrap(), Some(Value::Float(exact)));
    }
    let (code, _) = json_refused(r#"{"n":1e400}"#);
    assert_eq!(code, Code::InvalidArgument);
}

#[test]
fn integers_beyond_64_bits_are_refused_by_path_and_large_floats_are_not() {
    for number in [
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "100000000000000000000000000000000",
    ] {
        let text = format!(r#"{{"s":"1 \" 2","o":[1,1e30,{{"deep":{number}}}],"z":3}}"#);
        let (code, detail) = json_refused(&text);
        assert_eq!(code, Code::InvalidArgument);
        assert!(detail.starts_with("field o.2.deep: an integer beyond"), "{detail}");
    }
    let text = r#"{"a":9223372036854775807,"b":-9223372036854775808,"c":1e30,"d":-18446744073709551616.0}"#;
    let document = Document::from_json(text).unwrap();
    assert_eq!(
        document,
        doc! { "a": i64::MAX, "b": i64::MIN, "c": 1e30, "d": -18446744073709551616.0 }
    );
}

#[test]
fn reserved_names_stand_for_binary_and_timestamp_and_nothing_else() {
    for text in [
        r#"{"a":{"$binary":"AA==","b":1}}"#,
        r#"{"a":{"b":1,"$binary":"AA=="}}"#,
        r#"{"a":{"$timestamp":5}}"#,
        r#"{"a":{"$binary":"AA"}}"#,
        r#"{"a":{"$binary":"AB=="}}"#,
        r#"{"a":{"$binary":"A_=="}}"#,
        r#"{"a":{"$timestamp":"yesterday"}}"#,
        r#"{"a":{"$binary":"AA==","$binary":"AA=="}}"#,
    ] {
        let (code, detail) = json_refused(text);
        assert_eq!(code, Code::InvalidArgument, "{text}");
        assert!(detail.starts_with("field a"), "{detail}");
    }
    for name in ["$binary", "$timestamp"] {
        let object = Object::from_iter([(name, "AA==")]);
        assert_eq!(refused(Document::from_value(&object)).0, Code::InvalidArgument);
    }
    check_canonical(&unhex("a1 67 2462696e617279 00")).unwrap_err();
    assert_eq!(json_refused(r#"{"$binary":"AA=="}"#).0, Code::InvalidArgument);
    assert_eq!(doc! { "size": { "$gt": 1 } }.to_json(), r#"{"size":{"$gt":1}}"#);
}

#[test]
fn json_that_is_no_document_is_refused_with_its_place() {
    let cases = [
        ("[]", "object"),
        ("1", "object"),
        ("null", "object"),
        ("{", "line 1 column 1"),
        (r#"{"a":1}x"#, "trailing"),
        (r#"{"a":1,"b":{"c":1,"c":2}}"#, "field b.c: the field is given twice"),
        (r#"{"a":1,"a":1}"#, "field a: "),
        (r#"{"a":1,"\u0061":2}"#, "field a: "),
        (r#"{"a":"\ud800"}"#, "not JSON"),
        ("{\"a\":\"\u{1}\"}", "not JSON"),
        ("", "not JSON"),
    ];
    for (text, expected) in cases {
        let (code, detail) = json_refused(text);
        assert_eq!(code, Code::InvalidArgument, "{text}");
        assert!(detail.contains(expected), "{text}: {detail}");
    }
    assert!(Document::from_json_slice(b"{\"a\":\"\xff\"}").is_err());
}

#[test]
fn nesting_ends_at_the_limit_in_every_way_in() {
    let nested = |levels: usize| {
        let mut value = Value::Int(1);
        for level in 1..levels {
            value = if level % 2 == 0 {
                Value::Array(vec![value])
            } else {
                Value::Object(Object::from_iter([("a", value)]))
            };
        }
        Object::from_iter([("top", value)])
    };
    let deepest = Document::from_value(&nested(DOCUMENT_DEPTH_MAX)).unwrap();
    assert_eq!(Document::from_json(&deepest.to_json()).unwrap(), deepest);
    assert_eq!(deepest.try_to_object().unwrap(), nested(DOCUMENT_DEPTH_MAX));
    check_canonical(deepest.as_bytes()).unwrap();

    let too_deep = nested(DOCUMENT_DEPTH_MAX + 1);
    assert_eq!(refused(Document::from_value(&too_deep)).0, Code::TooLarge);
    assert_eq!(refused(Document::from_serialize(&too_deep)).0, Code::TooLarge);
    let arrays = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    Document::from_json(&arrays(DOCUMENT_DEPTH_MAX - 1)).unwrap();
    assert_eq!(json_refused(&arrays(DOCUMENT_DEPTH_MAX)).0, Code::TooLarge);
    assert_eq!(json_refused(&arrays(100_000)).0, Code::TooLarge);
    let mut bytes = unhex("a16161");
    bytes.extend(std::iter::repeat_n(0x81, 100_000));
    assert_eq!(check_canonical(&bytes).unwrap_err().code(), Code::TooLarge);
    let trusted = Document::from_trusted(bytes.into());
    assert_eq!(trusted.try_to_object().unwrap_err().code(), Code::Corrupt);
    assert_eq!(trusted.to_json(), "null");
}

#[test]
fn a_timestamp_or_binary_in_the_deepest_object_is_not_one_level_more() {
    let inner = r#"{"$timestamp":"2026-11-24T05:00:00.000000Z"}"#;
    let levels = DOCUMENT_DEPTH_MAX - 1;
    let text = format!("{{\"a\":{}{inner}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(Document::from_json(&text).unwrap().to_json(), text);
}

#[test]
fn size_ends_at_the_limit_in_every_way_in() {
    let fits = "x".repeat(DOCUMENT_BYTES_MAX - 8);
    let document = doc! { "a": fits.clone() };
    assert_eq!(document.len_bytes(), DOCUMENT_BYTES_MAX);
    assert_eq!(Document::from_canonical(document.clone().into_bytes()).unwrap(), document);
    let beyond = format!("{fits}x");
    let object = Object::from_iter([("a", beyond.as_str())]);
    assert_eq!(refused(Document::from_value(&object)).0, Code::TooLarge);
    assert_eq!(json_refused(&format!("{{\"a\":\"{beyond}\"}}")).0, Code::TooLarge);
}

#[test]
fn bytes_that_a_document_would_write_differently_are_refused() {
    let cases = [
        "",
        "a0a0",
        "80",
        "01",
        "a161611800",
        "a16161190001",
        "a161611a00000001",
        "a161611b0000000000000001",
        "a161613800",
        "a161611b8000000000000000",
        "a161613b8000000000000000",
        "b80161610 1",
        "a1780161 01",
        "a1616178 0161",
        "a161615801 00",
        "a1616198 0101",
        "a16161b80161 6201",
        "bf616101ff",
        "a161619f01ff",
        "a161617f6161ff",
        "a161615f4100ff",
        "a161 61f7",
        "a16161f814",
        "a16161f0",
        "a16161fa3f800000",
        "a16161fb3ff0000000000000",
        "a16161f97e00",
        "a16161f97c00",
        "a16161fa7f800001",
        "a16161c101",
        "a16161c240",
        "a261620161 6102",
        "a26161016 16102",
        "a262616101 616201",
        "a14161 01",
        "a10101",
        "a16161 61ff",
        "a161616180",
        "a16161",
        "a261 6101",
        "a1616163 6161",
        "a161619b ffffffffffffffff",
        "bbffffffffffffffff 616101",
        "a16161da000003e9a201002500",
        "a16161d903e9a101 00",
        "a16161d903e9a225000100",
        "a16161d903e9a20100251a000f4240",
        "a16161d903e9a201002520",
        "a16161d903e9a2011800 2500",
        "a16161d903e9a201001805 2500",
        "a16161d903e9a201002800",
        "a16161d903e9a2011b7fffffffffffffff2500",
        "a16161d903e9b802 01002500",
        "a16161d903e9bf 01002500ff",
        "a16161d903e8a201002500",
    ];
    for case in cases {
        let bytes = unhex(case);
        let (code, detail) = refused(Document::from_canonical(bytes.clone().into()));
        assert_eq!(code, Code::InvalidArgument, "{case}: {detail}");
        let trusted = Document::from_trusted(bytes.into());
        let _ = (trusted.to_json(), trusted.to_object(), trusted.get("a.b"));
    }
}

#[test]
fn every_change_of_one_byte_is_refused_or_is_another_document() {
    let times = doc! { "t": Timestamp::MIN, "u": Timestamp::from_micros(1), "f": [1e-7, 1e30] };
    for document in [vector_document(), times] {
        let bytes = document.into_bytes();
        for at in 0..bytes.len() {
            for change in 1..=255 {
                let mut changed = bytes.to_vec();
                changed[at] ^= change;
                assert_refused_or_canonical(changed);
            }
        }
    }
}

#[test]
fn a_path_reaches_into_objects_only() {
    let document = vector_document();
    assert_eq!(document.get("nested.b").unwrap().unwrap().as_array().unwrap().len(), 3);
    assert_eq!(document.get("").unwrap(), Some(Value::Null));
    for path in ["nested.c", "nested.b.0", "id.x", "zz", "nested.", "a.b.c", "name "] {
        assert_eq!(document.get(path).unwrap(), None, "{path}");
    }
}

#[test]
fn the_macro_writes_documents_as_json_does() {
    let name = String::from("Ada");
    let tags = vec!["a", "b"];
    let none: Option<i64> = None;
    let document = doc! {
        "name": name, "tags": tags, "none": none, "sum": 1 + 2, "call": [1, 2].len() as i64,
        "empty": {}, "list": [], "mixed": [null, { "x": null }, [1.5], -3],
        ("computed".to_owned() + "_name"): true,
    };
    let json = r#"{"sum":3,"call":2,"list":[],"name":"Ada","none":null,"tags":["a","b"],"empty":{},"mixed":[null,{"x":null},[1.5],-3],"computed_name":true}"#;
    assert_eq!(document.to_json(), json);
    assert_eq!(format!("{document:?}"), format!("Document({json})"));
    assert_eq!(json.parse::<Document>().unwrap(), document);
}

#[test]
fn an_object_keeps_canonical_order_and_the_later_value() {
    let mut object = Object::new();
    for name in ["bb", "a", "ccc", "b", "aa"] {
        assert_eq!(object.insert(name, name), None);
    }
    assert_eq!(
        object.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        ["a", "b", "aa", "bb", "ccc"]
    );
    assert_eq!(object.insert("aa", 1), Some("aa".into()));
    assert_eq!(object.remove("a"), Some("a".into()));
    assert_eq!((object.len(), object.get("a"), object.get("aa")), (4, None, Some(&Value::Int(1))));
    let twice = Object::from_iter([("a", 1), ("b", 2), ("a", 3)]);
    assert_eq!((twice.len(), twice.get("a")), (2, Some(&Value::Int(3))));
}

#[test]
fn keys_are_text_of_1_to_1024_bytes_or_integers() {
    let longest = "ä".repeat(KEY_BYTES_MAX / 2);
    for key in ["a", "\0", &longest] {
        validate_key(key).unwrap();
    }
    assert_eq!(validate_key("").unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(validate_key(&format!("{longest}a")).unwrap_err().code(), Code::TooLarge);
    assert_eq!(key_from_value(&Value::from("k")).unwrap(), "k");
    assert_eq!(key_from_value(&Value::Int(-7)).unwrap(), "-7");
    for value in [Value::Null, Value::Float(1.0), Value::from(""), Value::Array(vec![])] {
        assert_eq!(key_from_value(&value).unwrap_err().code(), Code::InvalidArgument);
    }
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Shape {
    Point,
    Circle(f64),
    Line(i32, i32),
    Box { w: u8, h: u8 },
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Everything {
    text: String,
    letter: char,
    some: Option<u32>,
    none: Option<u32>,
    at: Timestamp,
    any: Value,
    inner: Document,
    shapes: Vec<Shape>,
    by_number: std::collections::BTreeMap<u64, bool>,
    pair: (i64, f32),
    unit: (),
    list: Vec<u8>,
}

#[test]
fn serde_types_go_in_and_come_out() {
    let everything = Everything {
        text: "t".into(),
        letter: 'ß',
        some: Some(4),
        none: None,
        at: Timestamp::from_micros(-1),
        any: Value::Array(vec![Value::Binary(vec![1, 2]), Value::Timestamp(Timestamp::MAX)]),
        inner: vector_document(),
        shapes: vec![
            Shape::Point,
            Shape::Circle(1.5),
            Shape::Line(-1, 1),
            Shape::Box { w: 1, h: 2 },
        ],
        by_number: [(7, true), (8, false)].into(),
        pair: (i64::MIN, 0.25),
        unit: (),
        list: vec![1, 2],
    };
    let document = Document::from_serialize(&everything).unwrap();
    assert_eq!(document.deserialize::<Everything>().unwrap(), everything);
    assert_eq!(document.get("by_number.7").unwrap(), Some(Value::Bool(true)));
    assert_eq!(document.get("at").unwrap(), Some(Value::Timestamp(everything.at)));
    assert_eq!(document.get("inner.bin").unwrap(), Some(Value::Binary(vec![0, 255, 16])));

    let json = serde_json::to_string(&document).unwrap();
    assert_eq!(json, document.to_json());
    assert_eq!(serde_json::from_str::<Document>(&json).unwrap(), document);
    assert_eq!(serde_json::from_str::<Everything>(&json).unwrap(), everything);
}

#[test]
fn serde_faults_name_their_field() {
    let deep = serde_json::json!({ "a": { "b": [0, u64::MAX] } });
    let (code, detail) = refused(Document::from_serialize(&deep));
    assert_eq!(code, Code::InvalidArgument);
    assert!(detail.starts_with("field a.b.1: "), "{detail}");
    assert_eq!(refused(Document::from_serialize(&[1])).0, Code::InvalidArgument);
    assert!(
        refused(Document::from_value(&Object::from_iter([("f", f64::NAN)]))).1.contains("field f")
    );

    #[derive(Deserialize, Debug)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Wanted {
        nested: std::collections::BTreeMap<String, i64>,
    }
    let error = vector_document().deserialize::<Wanted>().unwrap_err();
    assert!(error.detail().starts_with("field nested.a: "), "{error}");
}

fn any_value() -> impl Strategy<Value = Value> {
    let float = any::<f64>().prop_filter("finite", |float| float.is_finite());
    let half = any::<i16>().prop_map(|number| f64::from(number) / 8.0);
    let time = (Timestamp::MIN.micros()..=Timestamp::MAX.micros()).prop_map(Timestamp::from_micros);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-300_i64..300).prop_map(Value::Int),
        float.prop_map(Value::Float),
        half.prop_map(Value::Float),
        any::<f32>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::String),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Binary),
        time.prop_map(Value::Timestamp),
    ];
    leaf.prop_recursive(5, 64, 30, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..30).prop_map(Value::Array),
            prop::collection::vec((".{0,6}", inner), 0..30)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_object() -> impl Strategy<Value = Object> {
    prop::collection::vec((".{0,30}", any_value()), 0..8).prop_map(Object::from_iter)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn nothing_is_lost_between_values_bytes_and_json(object in any_object()) {
        let document = Document::from_value(&object).unwrap();
        prop_assert_eq!(Document::from_canonical(document.clone().into_bytes()).unwrap(), document.clone());
        prop_assert_eq!(document.try_to_object().unwrap(), object.clone());
        let json = document.to_json();
        prop_assert_eq!(Document::from_json(&json).unwrap(), document.clone());
        prop_assert_eq!(Document::from_serialize(&object).unwrap(), document.clone());
        prop_assert_eq!(document.deserialize::<Object>().unwrap(), object.clone());
        prop_assert_eq!(serde_json::to_string(&object).unwrap(), json);
        for (name, value) in object.iter().filter(|(name, _)| !name.contains('.')) {
            prop_assert_eq!(document.get(name).unwrap(), Some(value.clone()));
        }
    }

    #[test]
    fn field_order_in_json_does_not_matter(object in any_object(), seed in any::<u64>()) {
        let document = Document::from_value(&object).unwrap();
        let mut fields: Vec<_> = object.iter().collect();
        let rotation = (seed as usize) % fields.len().max(1);
        fields.rotate_left(rotation);
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| {
                let (name, value) = (serde_json::to_string(name), serde_json::to_string(value));
                format!("{} : {}", name.unwrap(), value.unwrap())
            })
            .collect();
        let json = format!("{{ {} }}", fields.join(" ,\n"));
        prop_assert_eq!(Document::from_json(&json).unwrap(), document);
    }

    #[test]
    fn a_changed_byte_is_refused_or_is_another_document(object in any_object(), seed in any::<u8>()) {
        let bytes = Document::from_value(&object).unwrap().into_bytes().to_vec();
        for at in 0..bytes.len().min(200) {
            for change in [1, 0x20, 0x80, seed | 1] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                assert_refused_or_canonical(changed);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_a_document(mut bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        assert_refused_or_canonical(bytes.clone());
        if let Some(first) = bytes.first_mut() {
            *first = 0xa0 | (*first & 3);
        }
        assert_refused_or_canonical(bytes);
    }
}

fn assert_refused_or_canonical(bytes: Vec<u8>) {
    let bytes = Bytes::from(bytes);
    let trusted = Document::from_trusted(bytes.clone());
    let object = trusted.try_to_object();
    let _ = (trusted.to_json(), trusted.get("a.b"), trusted.get(""));
    if check_canonical(&bytes).is_ok() {
        assert_eq!(Document::from_value(&object.unwrap()).unwrap().as_bytes(), &bytes);
    }
}
