//! Random schemas and documents: the compiled schema against a plain reading of the specification,
//! comparisons against documents that could disprove them, and objects that are no schemas at all.

use proptest::prelude::*;

use super::super::default::fill_document;
use super::super::kinds::Kinds;
use super::super::order::{self, Number};
use super::*;
use crate::document::{Timestamp, Value};

/// The specification read word by word: no merging, every `$ref` followed where it stands.
fn accepts(root: &Object, schema: &Value, value: &Value) -> bool {
    let schema = match schema {
        Value::Object(schema) => schema,
        other => return other == &Value::Bool(true),
    };
    let number = |word: &str| schema.get(word).and_then(Number::of);
    let length = |word: &str| schema.get(word).and_then(Value::as_i64);
    let size = match value {
        Value::String(text) => Some(text.chars().count() as i64),
        Value::Binary(bytes) => Some(bytes.len() as i64),
        _ => None,
    };
    let pattern = schema.get("pattern").and_then(Value::as_str);
    let referred = schema.get("$ref").and_then(Value::as_str).is_none_or(|text| {
        let target = match text.strip_prefix("#/$defs/") {
            Some(name) => {
                root.get("$defs").unwrap().as_object().unwrap().get(name).unwrap().clone()
            }
            None => Value::Object(root.clone()),
        };
        accepts(root, &target, value)
    });
    let listed = schema.get("enum").and_then(Value::as_array);
    referred
        && kinds(schema).meets(Kinds::of(value))
        && listed.is_none_or(|list| list.iter().any(|v| order::compare(v, value).is_eq()))
        && size.is_none_or(|size| length("minLength").is_none_or(|min| size >= min))
        && size.is_none_or(|size| length("maxLength").is_none_or(|max| size <= max))
        && pattern.is_none_or(|pattern| {
            value.as_str().is_none_or(|text| regex::Regex::new(pattern).unwrap().is_match(text))
        })
        && Number::of(value).is_none_or(|value| {
            number("minimum").is_none_or(|min| value.compare(min).is_ge())
                && number("maximum").is_none_or(|max| value.compare(max).is_le())
        })
        && items_are_accepted(root, schema, value)
        && fields_are_accepted(root, schema, value)
}

fn kinds(schema: &Object) -> Kinds {
    let format = schema.get("format").and_then(Value::as_str).and_then(Kinds::of_format);
    let words = match schema.get("type") {
        None => return format.unwrap_or(Kinds::ALL),
        Some(Value::Array(words)) => words.clone(),
        Some(word) => vec![word.clone()],
    };
    words.iter().fold(Kinds::NONE, |kinds, word| {
        kinds.or(match (word.as_str().unwrap(), format) {
            ("string", Some(format)) => format,
            (word, _) => Kinds::of_type(word).unwrap(),
        })
    })
}

fn items_are_accepted(root: &Object, schema: &Object, value: &Value) -> bool {
    let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) else { return true };
    values.iter().all(|value| accepts(root, items, value))
}

fn fields_are_accepted(root: &Object, schema: &Object, value: &Value) -> bool {
    let Some(fields) = value.as_object() else { return true };
    let named = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array).unwrap_or_default();
    let child = |name| {
        named.and_then(|named| named.get(name)).or_else(|| schema.get("additionalProperties"))
    };
    required.iter().all(|name| fields.contains(name.as_str().unwrap()))
        && fields.iter().all(|(name, v)| child(name).is_none_or(|child| accepts(root, child, v)))
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["ab", "b", "a"])
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (0_i64..4).prop_map(Value::Int),
        (0_i64..8).prop_map(|halves| Value::Float(halves as f64 / 2.0)),
        prop::sample::select(vec!["", "a", "b", "ab", "ä"]).prop_map(Value::from),
        (0_usize..3).prop_map(|bytes| Value::Binary(vec![7; bytes])),
        (0_i64..2).prop_map(|us| Value::Timestamp(Timestamp::from_micros(us))),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            fields(inner).prop_map(Value::Object),
        ]
    })
}

fn fields(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Object> {
    prop::collection::vec((name(), inner), 0..4).prop_map(Object::from_iter)
}

/// One keyword with a value of the right form; `inner` are the schemas below.
fn keyword(inner: BoxedStrategy<Value>) -> impl Strategy<Value = (&'static str, Value)> {
    let types = ["null", "boolean", "integer", "number", "string", "array", "object"];
    let words = prop::sample::subsequence(types.to_vec(), 1..=4);
    let names = prop::sample::subsequence(vec!["ab", "b", "a"], 0..=3);
    let map = fields(inner.clone()).prop_map(Value::Object);
    prop_oneof![
        3 => words.prop_map(|words| ("type", Value::from(words))),
        1 => prop::sample::select(vec!["binary", "timestamp", "email"])
            .prop_map(|word| ("format", Value::from(word))),
        5 => map.prop_map(|map| ("properties", map)),
        2 => names.prop_map(|names| ("required", Value::from(names))),
        2 => inner.clone().prop_map(|inner| ("additionalProperties", inner)),
        2 => inner.prop_map(|inner| ("items", inner)),
        1 => (0_i64..3).prop_map(|n| ("minLength", Value::Int(n))),
        1 => (0_i64..3).prop_map(|n| ("maxLength", Value::Int(n))),
        1 => (0_i64..6).prop_map(|n| ("minimum", Value::Float(n as f64 / 2.0))),
        1 => (0_i64..4).prop_map(|n| ("maximum", Value::Int(n))),
        1 => prop::sample::select(vec!["a", "^a", "b$"]).prop_map(|p| ("pattern", Value::from(p))),
        2 => prop::collection::vec(value(), 1..4).prop_map(|list| ("enum", Value::Array(list))),
        3 => prop::sample::select(vec!["#", "#/$defs/d", "#/$defs/e"])
            .prop_map(|target| ("$ref", Value::from(target))),
        2 => value().prop_map(|value| ("default", value)),
    ]
}

fn any_schema() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![3 => Just(Value::Bool(true)), 1 => Just(Value::Bool(false))];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop::collection::vec(keyword(inner.boxed()), 0..4)
            .prop_map(|words| Value::Object(Object::from_iter(words)))
    })
    .boxed()
}

/// A root, the object of its definitions among its keywords.
fn source() -> impl Strategy<Value = Object> {
    let words = prop::collection::vec(keyword(any_schema()), 1..4);
    (words, any_schema(), any_schema()).prop_map(|(words, d, e)| {
        let mut root = Object::from_iter(words);
        root.insert("$defs", Object::from_iter([("d", d), ("e", e)]));
        root.remove("default");
        root
    })
}

/// Repairs what most often keeps a random schema from compiling, as long as it helps.
fn compiled(mut source: Object) -> Option<Schema> {
    for _ in 0..20 {
        let error = match Schema::compile(&source) {
            Ok(schema) => return Some(schema),
            Err(error) => error,
        };
        for fault in error.errors() {
            let mut at = &mut source;
            let path = fault.path.trim_start_matches('/');
            for step in path.split('/').filter(|step| !step.is_empty()) {
                match at.get_mut(step) {
                    Some(Value::Object(next)) => at = next,
                    _ => return None,
                }
            }
            at.remove(&fault.rule);
        }
    }
    None
}

fn edits() -> impl Strategy<Value = (Vec<u8>, (&'static str, Value))> {
    (prop::collection::vec(any::<u8>(), 0..4), keyword(any_schema()))
}

/// Changes one keyword at random, somewhere in the schema: takes it away, or sets it.
fn edit(object: &mut Object, way: &[u8], word: &(&'static str, Value)) {
    let Some((step, rest)) = way.split_first() else {
        match object.remove(word.0) {
            Some(_) => {}
            None => drop(object.insert(word.0, word.1.clone())),
        }
        return;
    };
    let fields = object.iter_mut().filter_map(|(_, value)| match value {
        Value::Object(object) => Some(object),
        _ => None,
    });
    let mut fields: Vec<&mut Object> = fields.collect();
    match fields.len() {
        0 => edit(object, &[], word),
        count => edit(fields[usize::from(*step) % count], rest, word),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_check_agrees_with_the_specification(
        source in source(),
        documents in prop::collection::vec(fields(value()), 4),
    ) {
        let Some(schema) = compiled(source) else { return Ok(()) };
        for object in documents {
            let document = Document::from_value(&object).unwrap();
            let mut filled = Value::Object(object);
            fill_document(&schema.nodes, schema.root, &mut filled, 0).unwrap();
            let root = Value::Object(schema.source().clone());
            let expected = accepts(schema.source(), &root, &filled);
            let checked = schema.check(document);
            prop_assert_eq!(checked.is_ok(), expected, "{:?} {:?}", schema, checked);
            if let Ok(checked) = checked {
                prop_assert_eq!(Value::Object(checked.to_object()), filled);
                // What was filled is complete, and what was accepted stays so.
                prop_assert_eq!(schema.check(checked.clone()).unwrap(), checked);
            }
        }
    }

    #[test]
    fn what_is_compatible_accepts_what_was_accepted(
        older in source(),
        other in source(),
        edits in prop::collection::vec(edits(), 0..3),
        documents in prop::collection::vec(fields(value()), 12),
    ) {
        let mut edited = older.clone();
        for (way, word) in &edits {
            edit(&mut edited, way, word);
        }
        let Some(older) = compiled(older) else { return Ok(()) };
        for newer in [edited, other] {
            let Some(newer) = compiled(newer) else { continue };
            let same = Schema::incompatibilities(Some(&older), &newer);
            let fresh = Schema::incompatibilities(None, &newer);
            for object in &documents {
                let document = Document::from_value(object).unwrap();
                let (old, new) = (older.check(document.clone()), newer.check(document));
                if same.is_empty() && old.is_ok() {
                    prop_assert!(new.is_ok(), "{:?}\n{:?}\n{:?}", older, newer, new);
                }
                prop_assert!(!fresh.is_empty() || new.is_ok(), "{:?} {:?}", newer, new);
            }
        }
    }

    #[test]
    fn no_object_makes_the_compiler_panic(source in fields(value()), junk in junk()) {
        let _ = Schema::compile(&source);
        if let Ok(schema) = Schema::compile(&junk) {
            let _ = schema.check(Document::from_value(&source).unwrap());
        }
    }
}

/// Keywords with values of any form.
fn junk() -> impl Strategy<Value = Object> {
    let words = [
        "type",
        "format",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "pattern",
        "enum",
        "$ref",
        "$defs",
        "default",
        "a",
        "allOf",
    ];
    let texts = ["#", "#/a", "#/$defs/a", "#/items", "string", "object", "(", "a", "binary", "%"];
    let leaf = prop_oneof![
        scalar(),
        prop::sample::select(texts.to_vec()).prop_map(Value::from),
        Just(Value::Int(i64::MIN)),
        Just(Value::Float(1e300)),
    ];
    let value = leaf.prop_recursive(6, 40, 4, move |inner| {
        let words = prop::sample::select(words.to_vec());
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::vec((words, inner), 0..4)
                .prop_map(|fields| Value::Object(Object::from_iter(fields))),
        ]
    });
    prop::collection::vec((prop::sample::select(words.to_vec()), value), 0..6)
        .prop_map(Object::from_iter)
}

#[test]
fn the_random_comparisons_are_not_idle() {
    // Of the pairs above, enough must be found compatible, and enough documents be accepted, for
    // the property to say anything.
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let word = keyword(any_schema());
    let (mut compatible, mut changed, mut accepted, mut refused) = (0, 0, 0, 0);
    for _ in 0..1500 {
        let older = source().new_tree(&mut runner).unwrap().current();
        let mut newer = older.clone();
        edit(&mut newer, &[1, 0, 0][..changed % 3], &word.new_tree(&mut runner).unwrap().current());
        let (Some(older), Some(newer)) = (compiled(older), compiled(newer)) else { continue };
        changed += usize::from(older.source() != newer.source());
        if older.source() != newer.source()
            && Schema::incompatibilities(Some(&older), &newer).is_empty()
        {
            compatible += 1;
            for _ in 0..4 {
                let object = fields(value()).new_tree(&mut runner).unwrap().current();
                match newer.check(Document::from_value(&object).unwrap()) {
                    Ok(_) => accepted += 1,
                    Err(_) => refused += 1,
                }
            }
        }
    }
    let counts = (changed, compatible, accepted, refused);
    assert!(changed > 700 && compatible > 150 && accepted > 150 && refused > 150, "{counts:?}");
}
