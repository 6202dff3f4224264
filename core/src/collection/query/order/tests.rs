//! Claims about the order: it is total, its bytes say the same as `compare`, and no encoding begins
//! another, for single values and for tuples with mixed directions.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;
use crate::document::Timestamp;

fn encoded(value: &Value, descending: bool) -> Vec<u8> {
    let mut out = Vec::new();
    encode(value, descending, &mut out);
    out
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.into_iter().collect())
}

/// One of each place in the order, from the least to the greatest.
fn ladder() -> Vec<Value> {
    let exact = EXACT_INTEGERS_END as i64;
    let mut values = vec![Value::Null, Value::Bool(false), Value::Bool(true)];
    values.extend([f64::NAN, f64::NEG_INFINITY, f64::MIN, -1e19].map(Value::Float));
    values.extend([i64::MIN, i64::MIN + 1, i64::MIN + 1023, i64::MIN + 1024].map(Value::Int));
    values.extend([-exact - 3, -exact - 2, -exact - 1, -exact, -exact + 1, -2].map(Value::Int));
    values.extend([-1.5, -1.0, -f64::MIN_POSITIVE, -5e-324, 0.0, 5e-324, 0.1].map(Value::Float));
    values.extend([1, 2, exact - 1, exact, exact + 1, exact + 2, exact + 3].map(Value::Int));
    values.extend([i64::MAX - 1024, i64::MAX - 1, i64::MAX].map(Value::Int));
    values.extend([-(i64::MIN as f64), 1e19, f64::MAX, f64::INFINITY].map(Value::Float));
    values.extend(
        ["", "\0", "\0\0", "\0\u{1}", "\u{1}", "\u{1}\0", "a", "a\0", "a\u{1}", "a\u{2}"]
            .map(Value::from),
    );
    values.extend(["aa", "b", "é", "\u{10FFFF}"].map(Value::from));
    values.extend(
        [vec![], vec![0], vec![0, 0], vec![1], vec![2], vec![255], vec![255, 255]]
            .map(Value::Binary),
    );
    values.extend(
        [i64::MIN, -1, 0, 1, i64::MAX].map(|us| Value::Timestamp(Timestamp::from_micros(us))),
    );
    values.extend([
        Value::Array(vec![]),
        Value::Array(vec![Value::Null]),
        Value::Array(vec![Value::Null, Value::Null]),
        Value::Array(vec![Value::Int(1)]),
        Value::Array(vec![Value::Int(1), Value::Int(0)]),
        Value::Array(vec![Value::Float(1.5)]),
        Value::Array(vec![Value::Array(vec![])]),
        Value::Array(vec![object([])]),
        object([]),
        object([("", Value::Null)]),
        object([("a", Value::Null)]),
        object([("a", Value::Null), ("b", Value::Null)]),
        object([("a", Value::Int(1))]),
        object([("a", object([]))]),
        object([("b", Value::Null)]),
    ]);
    values
}

#[test]
fn the_ladder_of_values_stands_in_order_and_so_do_its_bytes() {
    let ladder = ladder();
    for (i, a) in ladder.iter().enumerate() {
        for (j, b) in ladder.iter().enumerate() {
            assert_eq!(compare(a, b), i.cmp(&j), "{a:?} and {b:?}");
            assert_eq!(encoded(a, false).cmp(&encoded(b, false)), i.cmp(&j), "{a:?} and {b:?}");
            assert_eq!(encoded(a, true).cmp(&encoded(b, true)), j.cmp(&i), "{a:?} and {b:?}");
            assert_eq!(encoded(a, false).starts_with(&encoded(b, false)), i == j, "{a:?}, {b:?}");
        }
    }
}

#[test]
fn integers_and_floats_of_one_value_are_one_value() {
    let exact = EXACT_INTEGERS_END as i64;
    for int in [0, 1, -1, 12, exact, -exact, exact * 2, i64::MIN, 1 << 62] {
        let float = int as f64;
        assert_eq!(compare(&Value::Int(int), &Value::Float(float)), Ordering::Equal);
        assert_eq!(encoded(&Value::Int(int), false), encoded(&Value::Float(float), false));
    }
    assert_eq!(compare(&Value::Float(-0.0), &Value::Int(0)), Ordering::Equal);
    assert_eq!(encoded(&Value::Float(-0.0), false), encoded(&Value::Int(0), false));
    let inside = |number: Value| object([("a", Value::Array(vec![number]))]);
    assert_eq!(compare(&inside(Value::Int(2)), &inside(Value::Float(2.0))), Ordering::Equal);
}

#[test]
fn the_encoding_has_these_bytes() {
    let cases: [(Value, &[u8]); 8] = [
        (Value::Null, &[0x08]),
        (Value::Bool(true), &[0x11]),
        (Value::Int(1), &[0x18, 0xBF, 0xF0, 0, 0, 0, 0, 0, 0]),
        (Value::Int(-1), &[0x18, 0x40, 0x0F, 255, 255, 255, 255, 255, 255]),
        (Value::Int(i64::MAX), &[0x18, 0xC3, 0xDF, 255, 255, 255, 255, 255, 255, 3, 255]),
        (Value::from("a\0\u{1}"), &[0x20, b'a', 1, 1, 1, 2, 0]),
        (Value::Timestamp(Timestamp::from_micros(1)), &[0x30, 0x80, 0, 0, 0, 0, 0, 0, 1]),
        (object([("k", Value::Array(vec![Value::Null]))]), &[0x40, 0x20, b'k', 0, 0x38, 8, 0, 0]),
    ];
    for (value, bytes) in cases {
        assert_eq!(encoded(&value, false), bytes, "{value:?}");
        let complement: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
        assert_eq!(encoded(&value, true), complement, "{value:?}");
    }
}

fn any_number() -> impl Strategy<Value = Value> {
    let near = |int: i64| (-3..=3_i64).prop_map(move |d| Value::Int(int.saturating_add(d)));
    prop_oneof![
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Float),
        any::<i64>().prop_map(|int| Value::Float(int as f64)),
        (0..63_u32).prop_flat_map(move |shift| near(1 << shift)),
        (0..63_u32).prop_flat_map(move |shift| near(-(1 << shift))),
        (0..63_u32).prop_map(|shift| Value::Float((1_i64 << shift) as f64 + 0.5)),
        near(i64::MIN),
        near(i64::MAX),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = prop::collection::vec(
        prop_oneof![Just('\0'), Just('\u{1}'), Just('a'), any::<char>()],
        0..5,
    )
    .prop_map(|chars| chars.into_iter().collect::<String>());
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any_number(),
        text.clone().prop_map(Value::String),
        prop::collection::vec(prop_oneof![Just(0), Just(1), Just(255), any::<u8>()], 0..5)
            .prop_map(Value::Binary),
        any::<i64>().prop_map(|us| Value::Timestamp(Timestamp::from_micros(us))),
    ];
    leaf.prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::vec((text.clone(), inner), 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn compare_tuples(a: &[Value], b: &[Value], directions: &[bool]) -> Ordering {
    let orders = a
        .iter()
        .zip(b)
        .zip(directions)
        .map(|((a, b), descending)| if *descending { compare(b, a) } else { compare(a, b) });
    orders.fold(Ordering::Equal, Ordering::then)
}

fn encode_tuple(values: &[Value], directions: &[bool]) -> Vec<u8> {
    let mut out = Vec::new();
    values.iter().zip(directions).for_each(|(value, down)| encode(value, *down, &mut out));
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn bytes_of_tuples_compare_as_the_tuples_do(
        pairs in prop::collection::vec((any_value(), any_value(), any::<bool>(), any::<bool>()), 1..4),
    ) {
        // Some elements are the same on both sides, so that the later ones decide too.
        let a: Vec<Value> = pairs.iter().map(|pair| pair.0.clone()).collect();
        let b: Vec<Value> =
            pairs.iter().map(|pair| if pair.3 { &pair.0 } else { &pair.1 }.clone()).collect();
        let directions: Vec<bool> = pairs.iter().map(|pair| pair.2).collect();
        let (bytes_a, bytes_b) = (encode_tuple(&a, &directions), encode_tuple(&b, &directions));
        let order = compare_tuples(&a, &b, &directions);
        prop_assert_eq!(bytes_a.cmp(&bytes_b), order);
        prop_assert_eq!(bytes_a.starts_with(&bytes_b), order.is_eq());
    }

    #[test]
    fn the_order_is_a_total_order(a in any_value(), b in any_value(), c in any_value()) {
        prop_assert_eq!(compare(&a, &a), Ordering::Equal);
        prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
            prop_assert!(compare(&a, &c).is_le());
        }
    }

    #[test]
    fn numbers_compare_as_they_do_without_limits(a in any_number(), b in any_number()) {
        // A float of at most 2^80 is exact in units of 2^-20, if it has no finer part.
        let exact = |value: &Value| match value {
            Value::Int(int) => Some(i128::from(*int) << 20),
            Value::Float(float) if float.abs() < 1e24 => {
                let scaled = float * 1_048_576.0;
                (scaled.fract() == 0.0).then_some(scaled as i128)
            }
            _ => None,
        };
        if let (Some(x), Some(y)) = (exact(&a), exact(&b)) {
            prop_assert_eq!(compare(&a, &b), x.cmp(&y));
        }
        let (bytes_a, bytes_b) = (encoded(&a, false), encoded(&b, false));
        prop_assert_eq!(compare(&a, &b), bytes_a.cmp(&bytes_b));
    }

    #[test]
    fn what_is_decoded_equals_what_was_encoded(value in any_value(), descending in any::<bool>()) {
        let mut bytes = encoded(&value, descending);
        prop_assert_eq!(encoded_bytes(&bytes, descending), Some(bytes.len()));
        bytes.push(7);
        let mut rest = bytes.as_slice();
        let decoded = decode(&mut rest, descending).unwrap();
        prop_assert_eq!(compare(&decoded, &value), Ordering::Equal);
        prop_assert_eq!(rest, &[7]);
    }

    #[test]
    fn arbitrary_bytes_decode_or_are_refused(
        bytes in prop::collection::vec(prop_oneof![0..0x42_u8, any::<u8>()], 0..40),
        descending in any::<bool>(),
    ) {
        let _ = decode(&mut bytes.as_slice(), descending);
    }

    #[test]
    fn a_prefix_of_text_is_a_prefix_of_its_bytes(text in ".{0,6}", cut in 0..7_usize) {
        let prefix: String = text.chars().take(cut).collect();
        let bytes = encoded(&Value::from(text.as_str()), false);
        prop_assert!(bytes.starts_with(&encode_prefix(&prefix)));
        let longer = encoded(&Value::from(format!("{prefix}\u{10FFFF}")), false);
        prop_assert!(longer.starts_with(&encode_prefix(&prefix)));
    }
}

#[test]
fn a_hostile_nesting_is_refused_and_not_followed() {
    assert_eq!(decode(&mut [tag::ARRAY; 100_000].as_slice(), false), None);
    assert_eq!(decode(&mut [!tag::ARRAY; 100_000].as_slice(), true), None);
}
