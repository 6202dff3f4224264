//! Claims about filters: what each operator accepts, what is refused and how it is told, and that no
//! object makes reading a filter panic.

use proptest::prelude::*;

use super::*;
use crate::collection::query::Encoded;
use crate::doc;
use crate::document::Document;
use crate::error::Code;
use crate::limits::{
    FILTER_CONDITIONS_MAX, FILTER_DEPTH_MAX, FILTER_FAULTS_MAX, FILTER_VALUES_MAX,
};

fn json(text: &str) -> Object {
    Document::from_json(text).unwrap_or_else(|error| panic!("{text}: {error}")).to_object()
}

fn accepts(filter: &str, document: &str) -> bool {
    let filter = Filter::parse(&json(filter)).unwrap_or_else(|error| panic!("{filter}: {error}"));
    let object = json(document);
    let candidate = Candidate { key: "k-7", seq: 42, time_us: 1_000_000, document: &object };
    let decoded = filter.matches(&candidate);
    let document = Document::from_value(&object).unwrap();
    let encoded = Encoded { key: "k-7", seq: 42, time_us: 1_000_000, document: &document };
    assert_eq!(filter.check(&encoded).unwrap(), decoded, "{filter:?} on {document}");
    decoded
}

/// A filter, the documents it accepts, and those it does not.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

fn check(cases: &[Case<'_>]) {
    for (filter, accepted, refused) in cases {
        for document in *accepted {
            assert!(accepts(filter, document), "{filter} accepts {document}");
        }
        for document in *refused {
            assert!(!accepts(filter, document), "{filter} does not accept {document}");
        }
    }
}

#[test]
fn a_value_is_equal_by_its_value_and_its_type() {
    check(&[
        ("{}", &["{}", r#"{"a":1}"#], &[]),
        (r#"{"a":12}"#, &[r#"{"a":12}"#, r#"{"a":12.0}"#], &[r#"{"a":13}"#, r#"{"a":"12"}"#, "{}"]),
        (r#"{"a":0}"#, &[r#"{"a":-0.0}"#], &[r#"{"a":false}"#, r#"{"a":null}"#]),
        (r#"{"a":9007199254740993}"#, &[], &[r#"{"a":9007199254740992.0}"#]),
        (r#"{"a":"x"}"#, &[r#"{"a":"x"}"#], &[r#"{"a":"X"}"#, r#"{"a":{"$binary":"eA=="}}"#]),
        (r#"{"a":{"$binary":"eA=="}}"#, &[r#"{"a":{"$binary":"eA=="}}"#], &[r#"{"a":"x"}"#]),
        (r#"{"a.b":1}"#, &[r#"{"a":{"b":1}}"#], &[r#"{"a":[{"b":1}]}"#, r#"{"a.b":1}"#]),
        (r#"{"a":1,"b":2}"#, &[r#"{"a":1,"b":2}"#], &[r#"{"a":1}"#]),
    ]);
}

#[test]
fn a_scalar_matches_an_array_that_contains_it() {
    check(&[
        (r#"{"a":1}"#, &[r#"{"a":[2,1.0]}"#], &[r#"{"a":[]}"#, r#"{"a":[[1]]}"#]),
        (r#"{"a":{"$gte":"b","$lt":"b"}}"#, &[r#"{"a":["a","c"]}"#], &[r#"{"a":"b"}"#]),
        (
            r#"{"a":{"$prefix":"ab"}}"#,
            &[r#"{"a":["x","abc"]}"#, r#"{"a":"ab"}"#],
            &[r#"{"a":"a"}"#],
        ),
        (r#"{"a":{"$in":[1,"x"]}}"#, &[r#"{"a":["x"]}"#, r#"{"a":1}"#], &[r#"{"a":[2]}"#, "{}"]),
        (r#"{"a":{"$in":[]}}"#, &[], &["{}", r#"{"a":[]}"#]),
    ]);
}

#[test]
fn arrays_and_objects_are_equal_as_a_whole() {
    check(&[
        (
            r#"{"a":[1,2]}"#,
            &[r#"{"a":[1,2.0]}"#, r#"{"a":[[1,2],3]}"#],
            &[r#"{"a":[2,1]}"#, r#"{"a":1}"#],
        ),
        (r#"{"a":[]}"#, &[r#"{"a":[]}"#, r#"{"a":[[]]}"#], &["{}", r#"{"a":[1]}"#]),
        (
            r#"{"a":{"x":1,"y":null}}"#,
            &[r#"{"a":{"y":null,"x":1.0}}"#, r#"{"a":[{"x":1,"y":null}]}"#],
            &[r#"{"a":{"x":1}}"#, r#"{"a":{"x":1,"y":null,"z":2}}"#],
        ),
        (r#"{"a":{}}"#, &[r#"{"a":{}}"#], &[r#"{"a":{"x":1}}"#, "{}"]),
        (r#"{"a":{"$eq":{"$x":1}}}"#, &[r#"{"a":{"$x":1}}"#], &[r#"{"a":{"x":1}}"#]),
        (r#"{"a":{"$ne":[1]}}"#, &[r#"{"a":[1,2]}"#, "{}"], &[r#"{"a":[1]}"#, r#"{"a":[[1]]}"#]),
    ]);
}

#[test]
fn null_is_missing_and_exists_is_neither() {
    check(&[
        (
            r#"{"a":null}"#,
            &["{}", r#"{"a":null}"#, r#"{"a":[1,null]}"#],
            &[r#"{"a":0}"#, r#"{"a":[]}"#],
        ),
        (r#"{"a.b":null}"#, &["{}", r#"{"a":1}"#, r#"{"a":{"b":null}}"#], &[r#"{"a":{"b":1}}"#]),
        (r#"{"a":{"$in":[1,null]}}"#, &["{}", r#"{"a":1}"#], &[r#"{"a":2}"#]),
        (
            r#"{"a":{"$exists":true}}"#,
            &[r#"{"a":0}"#, r#"{"a":[]}"#, r#"{"a":[null]}"#],
            &["{}", r#"{"a":null}"#],
        ),
        (
            r#"{"a":{"$exists":false}}"#,
            &["{}", r#"{"a":null}"#],
            &[r#"{"a":[null]}"#, r#"{"a":false}"#],
        ),
        (r#"{"a":{"$ne":null}}"#, &[r#"{"a":1}"#, r#"{"a":[]}"#], &["{}", r#"{"a":[1,null]}"#]),
    ]);
}

#[test]
fn the_opposites_match_what_is_missing_and_no_element() {
    check(&[
        (
            r#"{"a":{"$ne":1}}"#,
            &["{}", r#"{"a":"1"}"#, r#"{"a":[2]}"#],
            &[r#"{"a":[2,1]}"#, r#"{"a":1.0}"#],
        ),
        (r#"{"a":{"$nin":[1,2]}}"#, &["{}", r#"{"a":[]}"#], &[r#"{"a":[3,2]}"#]),
        (r#"{"a":{"$nin":[]}}"#, &["{}", r#"{"a":1}"#], &[]),
        (
            r#"{"a":{"$not":{"$gt":1}}}"#,
            &["{}", r#"{"a":"x"}"#, r#"{"a":1}"#],
            &[r#"{"a":2}"#, r#"{"a":[0,2]}"#],
        ),
        (r#"{"a":{"$not":{"$gt":1,"$lt":3}}}"#, &[r#"{"a":3}"#], &[r#"{"a":2}"#, r#"{"a":[0,9]}"#]),
        (r#"{"$not":{"a":1,"b":2}}"#, &["{}", r#"{"a":1}"#], &[r#"{"a":1,"b":2}"#]),
        (r#"{"$not":{"$not":{"a":1}}}"#, &[r#"{"a":1}"#], &["{}"]),
        (r#"{"$not":{}}"#, &[], &["{}"]),
    ]);
}

#[test]
fn values_of_different_types_do_not_compare() {
    check(&[
        (
            r#"{"a":{"$gt":1}}"#,
            &[r#"{"a":1.5}"#, r#"{"a":2}"#],
            &[r#"{"a":1}"#, r#"{"a":"2"}"#, r#"{"a":true}"#],
        ),
        (r#"{"a":{"$lt":1}}"#, &[r#"{"a":-5}"#], &["{}", r#"{"a":null}"#, r#"{"a":false}"#]),
        (
            r#"{"a":{"$lte":"b"}}"#,
            &[r#"{"a":"b"}"#, r#"{"a":""}"#],
            &[r#"{"a":"ba"}"#, r#"{"a":1}"#],
        ),
        (r#"{"a":{"$gt":false}}"#, &[r#"{"a":true}"#], &[r#"{"a":false}"#, r#"{"a":1}"#]),
        (
            r#"{"a":{"$gte":9007199254740993}}"#,
            &[r#"{"a":9007199254740994.0}"#],
            &[r#"{"a":9007199254740992.0}"#],
        ),
        (
            r#"{"a":{"$lt":{"$timestamp":"2026-01-01T00:00:00Z"}}}"#,
            &[r#"{"a":{"$timestamp":"2025-12-31T23:59:59.999999Z"}}"#],
            &[r#"{"a":"2025-12-31"}"#, r#"{"a":0}"#],
        ),
        (
            r#"{"a":{"$gte":{"$binary":"AQ=="}}}"#,
            &[r#"{"a":{"$binary":"AQA="}}"#],
            &[r#"{"a":{"$binary":"AP8="}}"#],
        ),
    ]);
}

#[test]
fn choices_and_conjunctions_nest() {
    check(&[
        (r#"{"$or":[{"a":1},{"b":1}]}"#, &[r#"{"a":1}"#, r#"{"b":1}"#], &["{}"]),
        (
            r#"{"$or":[{"a":1},{"a":{"$in":[2,3]}}]}"#,
            &[r#"{"a":3}"#, r#"{"a":[1]}"#],
            &[r#"{"a":4}"#],
        ),
        (
            r#"{"$and":[{"a":{"$gt":1}},{"a":{"$lt":3}}]}"#,
            &[r#"{"a":2}"#, r#"{"a":[0,4]}"#],
            &[r#"{"a":3}"#],
        ),
        (r#"{"$or":[{"a":1},{}]}"#, &["{}"], &[]),
        (
            r#"{"$and":[{"a":1},{"$or":[{"b":1},{"b":2}]}],"c":1}"#,
            &[r#"{"a":1,"b":2,"c":1}"#],
            &[r#"{"a":1,"b":2}"#],
        ),
    ]);
}

#[test]
fn a_record_is_asked_for_its_key_sequence_number_and_time() {
    for filter in [
        r#"{"$key":"k-7"}"#,
        r#"{"$key":{"$prefix":"k-","$gt":"k-6","$lte":"k-7","$nin":["k-8","k-9"]}}"#,
        r#"{"$key":{"$in":["k-6","k-7"]}}"#,
        r#"{"$seq":42.0}"#,
        r#"{"$seq":{"$gt":41.5,"$lt":43}}"#,
        r#"{"$time":{"$timestamp":"1970-01-01T00:00:01Z"}}"#,
        r#"{"$time":{"$exists":true}}"#,
    ] {
        assert!(accepts(filter, "{}"), "{filter}");
        assert!(!Filter::parse(&json(filter)).unwrap().needs_document());
    }
    for filter in [
        r#"{"$key":{"$ne":"k-7"}}"#,
        r#"{"$key":{"$in":["k-6","k-8"]}}"#,
        r#"{"$seq":{"$lte":41.5}}"#,
        r#"{"$key":{"$exists":false}}"#,
    ] {
        assert!(!accepts(filter, "{}"), "{filter}");
    }
}

fn faults(filter: &str) -> Vec<(String, String, String)> {
    let error = Filter::parse(&json(filter)).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{filter}: {error}");
    let errors = error.errors().iter();
    errors.map(|fault| (fault.path.clone(), fault.rule.clone(), fault.found.clone())).collect()
}

#[test]
fn a_fault_is_told_with_its_place_its_operator_and_what_was_expected() {
    for (filter, place, rule, found) in [
        (r#"{"a":{"$gt":null}}"#, "a", "$gt takes a boolean, number, string", "null"),
        (r#"{"a":{"$lte":[1]}}"#, "a", "$lte takes a boolean", "an array"),
        (r#"{"a.b":{"$gte":{"x":1}}}"#, "a.b", "$gte takes a boolean", "an object"),
        (r#"{"a":{"$in":1}}"#, "a", "$in takes an array", "1"),
        (r#"{"a":{"$nin":{"x":1}}}"#, "a", "$nin takes an array", "an object"),
        (r#"{"a":{"$exists":1}}"#, "a", "$exists takes true or false", "1"),
        (r#"{"a":{"$prefix":1.5}}"#, "a", "$prefix takes a string", "1.5"),
        (r#"{"a":{"$regex":"x"}}"#, "a", "one of the operators $eq $ne", "\"$regex\""),
        (r#"{"a":{"$gt":1,"b":2}}"#, "a", "operators alone", "the name \"b\""),
        (r#"{"a":{"$not":1}}"#, "a", "$not of a field takes an object of operators", "1"),
        (r#"{"a":{"$not":{"x":1}}}"#, "a", "$not of a field takes an object", "an object"),
        (r#"{"$not":[{"a":1}]}"#, "$not", "$not takes a filter", "an array"),
        (r#"{"$or":[]}"#, "$or", "$or takes an array of at least one filter", "an empty array"),
        (r#"{"$and":{"a":1}}"#, "$and", "$and takes an array", "an object"),
        (r#"{"$or":[{"a":1},2]}"#, "$or.1", "$or takes an array of at least one filter", "2"),
        (
            r#"{"$and":[{"$or":[{"b":{"$in":"x"}}]}]}"#,
            "$and.0.$or.0.b",
            "$in takes",
            "the string \"x\"",
        ),
        (r#"{"$nor":[{"a":1}]}"#, "", "a field path, $key", "\"$nor\""),
        (r#"{"a..b":1}"#, "", "a field path", "\"a..b\""),
        (r#"{"$key":1}"#, "$key", "$eq of $key takes strings", "1"),
        (r#"{"$key":{"$in":["a",null]}}"#, "$key", "$in of $key takes strings", "null"),
        (
            r#"{"$seq":{"$prefix":"4"}}"#,
            "$seq",
            "$prefix of $seq takes numbers",
            "the string \"4\"",
        ),
        (
            r#"{"$time":{"$gt":"2026-01-01"}}"#,
            "$time",
            "$gt of $time takes timestamps",
            "the string",
        ),
    ] {
        let faults = faults(filter);
        assert_eq!(faults.len(), 1, "{filter}: {faults:?}");
        let (path, told, what) = &faults[0];
        assert_eq!(path, place, "{filter}");
        assert!(told.starts_with(rule), "{filter}: {told}");
        assert!(what.contains(found), "{filter}: {what}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let filter = r#"{"a":{"$gt":null,"$in":1},"$x":1,"$or":[{"b":{"$bad":1}},3]}"#;
    let found: Vec<String> = faults(filter).into_iter().map(|(place, ..)| place).collect();
    assert_eq!(found, ["a", "a", "", "$or.0.b", "$or.1"]);
    let error = Filter::parse(&json(filter)).unwrap_err();
    assert!(error.detail().contains("a: $in takes an array of values, found 1"), "{error}");
    assert!(error.detail().ends_with("; and 2 more"), "{error}");
    let many: Object = (0..500).map(|at| (format!("$x{at}"), Value::Null)).collect();
    assert_eq!(Filter::parse(&many).unwrap_err().errors().len(), FILTER_FAULTS_MAX);
}

#[test]
fn values_that_no_document_holds_are_refused() {
    let mut deep = Value::Null;
    for _ in 0..200 {
        deep = Value::Array(vec![deep]);
    }
    for operand in [Value::Float(f64::NAN), Value::Array(vec![Value::Float(f64::INFINITY)]), deep] {
        let filter: Object = [("a", operand)].into_iter().collect();
        assert_eq!(Filter::parse(&filter).unwrap_err().code(), Code::InvalidArgument);
    }
}

fn nested(levels: usize) -> Object {
    let not = |inner: Object, _| [("$not", Value::Object(inner))].into_iter().collect();
    (1..levels).fold(doc! { "a": 1 }.to_object(), not)
}

#[test]
fn nesting_conditions_and_lists_are_bounded() {
    assert!(Filter::parse(&nested(FILTER_DEPTH_MAX)).is_ok());
    let within = |levels: usize| {
        let operators = |inner: Object, _| [("$not", Value::Object(inner))].into_iter().collect();
        let inner = (1..levels).fold(doc! { "$gt": 1 }.to_object(), operators);
        Object::from_iter([("a", Value::Object(inner))])
    };
    assert!(Filter::parse(&within(FILTER_DEPTH_MAX)).is_ok());
    let wide =
        |count: usize| (0..count).map(|at| (format!("f{at}"), Value::Int(1))).collect::<Object>();
    assert!(Filter::parse(&wide(FILTER_CONDITIONS_MAX - 1)).is_ok());
    let list = |count: i64| {
        let values: Vec<i64> = (0..count).collect();
        doc! { "a": { "$in": values } }.to_object()
    };
    assert!(Filter::parse(&list(FILTER_VALUES_MAX as i64)).is_ok());
    let empty: Vec<Value> = vec![Value::Object(Object::new()); FILTER_CONDITIONS_MAX];
    for (filter, limit) in [
        (nested(FILTER_DEPTH_MAX + 1), "nesting of a filter is limited to 32"),
        (within(FILTER_DEPTH_MAX + 1), "nesting of a filter is limited to 32"),
        (nested(1_000), "nesting of a filter is limited to 32"),
        (wide(FILTER_CONDITIONS_MAX), "conditions of a filter is limited to 1000"),
        (Object::from_iter([("$or", empty)]), "conditions of a filter is limited to 1000"),
        (
            list(FILTER_VALUES_MAX as i64 + 1),
            "values in $in and $nin of one filter is limited to 10000",
        ),
    ] {
        let error = Filter::parse(&filter).unwrap_err();
        assert_eq!(error.code(), Code::TooLarge);
        assert!(error.detail().contains(limit), "{error}");
    }
}

#[test]
fn a_filter_is_shown_in_its_own_syntax() {
    for (filter, shown) in [
        ("{}", "{}"),
        (r#"{"a":1,"b":{"$ne":"x"}}"#, r#"{"a":{"$eq":1},"b":{"$ne":"x"}}"#),
        (r#"{"a":{"$gt":1,"$lte":5}}"#, r#"{"a":{"$gt":1,"$lte":5}}"#),
        (r#"{"$or":[{"a":1},{"a":2}]}"#, r#"{"a":{"$in":[1,2]}}"#),
        (r#"{"$or":[{"a":1},{"b":2}]}"#, r#"{"$or":[{"a":{"$eq":1}},{"b":{"$eq":2}}]}"#),
        (r#"{"$and":[{"a":1},{"a":2}]}"#, r#"{"$and":[{"a":{"$eq":1}},{"a":{"$eq":2}}]}"#),
        (r#"{"$not":{"a":1,"b":1}}"#, r#"{"$not":{"a":{"$eq":1},"b":{"$eq":1}}}"#),
        (r#"{"a":{"$not":{"$exists":true}}}"#, r#"{"a":{"$exists":false}}"#),
        (r#"{"a":{"$not":{"$prefix":"x"}}}"#, r#"{"a":{"$not":{"$prefix":"x"}}}"#),
        (r#"{"a":{"$in":[]}}"#, r#"{"$not":{}}"#),
        (
            r#"{"$and":[{"$not":{"a":1,"b":1}},{"$not":{"c":1,"d":1}}]}"#,
            r#"{"$and":[{"$not":{"a":{"$eq":1},"b":{"$eq":1}}},{"$not":{"c":{"$eq":1},"d":{"$eq":1}}}]}"#,
        ),
    ] {
        let parsed = Filter::parse(&json(filter)).unwrap();
        assert_eq!(Document::from_value(&parsed.to_object()).unwrap().to_json(), shown);
        assert_eq!(Filter::parse(&parsed.to_object()).unwrap(), parsed, "{filter}");
    }
    let long = doc! { "a": { "$in": (0..5000).collect::<Vec<i64>>() }, "b": "x".repeat(5000) };
    let shown = Filter::parse(&long.to_object()).unwrap().to_object();
    assert!(Document::from_value(&shown).unwrap().len_bytes() < 1000);
}

/// Objects of names and operands that often make sense, and often do not.
pub(crate) fn any_filter_object() -> impl Strategy<Value = Object> {
    let name = prop_oneof![
        4 => "[ab](\\.[ab])?",
        4 => prop::sample::select(vec![
            "$and", "$or", "$not", "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin",
            "$exists", "$prefix", "$key", "$seq", "$time", "$x", "", ".", "$",
        ]).prop_map(str::to_owned),
        1 => ".{0,4}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Float),
        "[a-c]{0,3}".prop_map(Value::String),
        any::<i64>().prop_map(|us| Value::Timestamp(crate::Timestamp::from_micros(us))),
    ];
    let value = leaf.prop_recursive(5, 40, 4, {
        let name = name.clone();
        move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec((name.clone(), inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        }
    });
    prop::collection::vec((name, value), 0..4).prop_map(Object::from_iter)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_object_is_a_filter_or_is_refused(filter in any_filter_object(), document in any_filter_object()) {
        match Filter::parse(&filter) {
            Ok(filter) => {
                filter.matches(&Candidate { key: "a", seq: 1, time_us: 1, document: &document });
                filter.to_object();
            }
            Err(error) => {
                let known = [Code::InvalidArgument, Code::TooLarge].contains(&error.code());
                prop_assert!(known, "{}", error);
            }
        }
    }
}
