//! Intervals of one value in its ascending encoding, and the byte ranges of an index they become.
//!
//! A bound of an interval is a *cut*: a place before, or after, everything that begins with some
//! bytes. No encoding begins another, so such a cut falls between values, stays right when further
//! fields follow, and turns over with its bytes for a descending field.

use std::cmp::Ordering;

use super::filter::{Side, Test};
use super::index_key::encode_value;
use super::order::{self, tag};
use crate::document::Value;
use crate::limits::INDEX_VALUE_BYTES_MAX;

/// A half-open range of index keys without their sequence numbers: `from` is in it, `to` is not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteRange {
    /// The first key.
    pub from: Vec<u8>,
    /// Behind the last key.
    pub to: Vec<u8>,
}

impl ByteRange {
    /// Every key that begins with `prefix`.
    pub(super) fn of_prefix(prefix: &[u8]) -> Self {
        ByteRange { from: prefix.to_vec(), to: after_prefix(prefix.to_vec()) }
    }

    /// Whether no key can lie in it.
    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }

    /// Whether `key` lies in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.from.as_slice() <= key && key < self.to.as_slice()
    }
}

/// The least bytes above all that begin with `prefix`. No encoding begins with 255, so that byte is
/// above all of them.
fn after_prefix(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if last < u8::MAX {
            prefix.push(last + 1);
            return prefix;
        }
    }
    vec![u8::MAX]
}

/// Sorts ranges and joins those that touch.
pub(super) fn union(mut ranges: Vec<ByteRange>) -> Vec<ByteRange> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort();
    let mut joined: Vec<ByteRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.from <= last.to => {
                if range.to > last.to {
                    last.to = range.to;
                }
            }
            _ => joined.push(range),
        }
    }
    joined
}

/// Before or after everything that begins with `bytes`; no bytes are the ends of all values.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cut {
    bytes: Vec<u8>,
    after: bool,
}

impl Cut {
    fn before(bytes: Vec<u8>) -> Self {
        Cut { bytes, after: false }
    }

    fn after(bytes: Vec<u8>) -> Self {
        Cut { bytes, after: true }
    }

    /// The cut as the least bytes behind it, in an index under `prefix`.
    fn under(&self, prefix: &[u8]) -> Vec<u8> {
        let bytes = [prefix, &self.bytes].concat();
        if self.after { after_prefix(bytes) } else { bytes }
    }

    /// The same place in the descending encoding.
    fn turned(&self) -> Self {
        let mut bytes = self.bytes.clone();
        order::complement(&mut bytes);
        Cut { bytes, after: !self.after }
    }

    fn cmp(&self, other: &Cut) -> Ordering {
        self.under(&[]).cmp(&other.under(&[]))
    }
}

/// Values between two cuts, or the single value of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    lower: Cut,
    upper: Cut,
    /// The bytes of `lower` are one whole value, and nothing else lies in the interval.
    point: bool,
}

impl Interval {
    /// Every value.
    pub(super) fn everything() -> Self {
        Interval { lower: Cut::before(vec![]), upper: Cut::after(vec![]), point: false }
    }

    fn between(lower: Cut, upper: Cut) -> Self {
        Interval { lower, upper, point: false }
    }

    fn point(bytes: Vec<u8>) -> Self {
        Interval { lower: Cut::before(bytes.clone()), upper: Cut::after(bytes), point: true }
    }

    /// Whether it is one value.
    pub(super) fn is_point(&self) -> bool {
        self.point
    }

    /// About the memory of its bounds.
    pub(super) fn bytes(&self) -> usize {
        self.lower.bytes.len().max(self.upper.bytes.len())
    }

    /// The value of a point behind `prefix`.
    pub(super) fn extend(&self, prefix: &[u8], descending: bool) -> Vec<u8> {
        let mut out = [prefix, &self.lower.bytes].concat();
        if descending {
            order::complement(&mut out[prefix.len()..]);
        }
        out
    }

    /// The range of keys behind `prefix`.
    pub(super) fn range(&self, prefix: &[u8], descending: bool) -> ByteRange {
        match descending {
            false => ByteRange { from: self.lower.under(prefix), to: self.upper.under(prefix) },
            true => ByteRange {
                from: self.upper.turned().under(prefix),
                to: self.lower.turned().under(prefix),
            },
        }
    }

    /// What lies in both.
    fn intersection(&self, other: &Interval) -> Option<Interval> {
        let lower = if self.lower.cmp(&other.lower).is_ge() { &self.lower } else { &other.lower };
        let upper = if self.upper.cmp(&other.upper).is_le() { &self.upper } else { &other.upper };
        if lower.cmp(upper).is_ge() {
            return None;
        }
        // A point lies in an interval as a whole or not at all. It is taken as it is: the same place
        // can also be written as "after" the value before it, and then the bytes are not its own.
        let point = [self, other].into_iter().find(|interval| interval.point);
        Some(match point {
            Some(point) => point.clone(),
            None => Interval::between(lower.clone(), upper.clone()),
        })
    }

    /// From the first to the last of `intervals`, which stand in order.
    pub(super) fn hull(intervals: &[Interval]) -> Option<Interval> {
        let (first, last) = (intervals.first()?, intervals.last()?);
        match intervals.len() {
            1 => Some(first.clone()),
            _ => Some(Interval::between(first.lower.clone(), last.upper.clone())),
        }
    }
}

/// What lies in both of two lists, which stand in order without overlaps, as their intersection does.
pub(super) fn intersect(a: &[Interval], b: &[Interval]) -> Vec<Interval> {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut out = Vec::new();
    while let (Some(first), Some(second)) = (a.peek(), b.peek()) {
        out.extend(first.intersection(second));
        match first.upper.cmp(&second.upper) {
            Ordering::Less => drop(a.next()),
            Ordering::Greater => drop(b.next()),
            Ordering::Equal => drop((a.next(), b.next())),
        }
    }
    out
}

/// The indexed values that a test accepts as they are, in order and without overlaps. Under an index
/// without arrays this is exactly the test; under one with arrays, a record that passes the test has
/// an entry here, and any record that has one passes, except for `$exists: false`.
pub(super) fn of_test(test: &Test) -> Vec<Interval> {
    match test {
        Test::Equals(value) => point(value).into_iter().collect(),
        Test::In(values) => {
            let mut points: Vec<Interval> = values.iter().filter_map(point).collect();
            // Arrays stand by digest in an index, not in the order of the list.
            points.sort_by(|a, b| a.lower.bytes.cmp(&b.lower.bytes));
            points
        }
        Test::Side(side, operand) => vec![side_of(*side, operand)],
        Test::Prefix(prefix) => {
            let bytes = clip(order::encode_prefix(prefix));
            vec![Interval::between(Cut::before(bytes.clone()), Cut::after(bytes))]
        }
        Test::Exists(true) => {
            vec![Interval::between(Cut::after(vec![tag::NULL]), Cut::after(vec![]))]
        }
        Test::Exists(false) => vec![Interval::point(vec![tag::NULL])],
    }
}

/// The interval of one value; none if it is longer than any value of an index.
fn point(value: &Value) -> Option<Interval> {
    let mut bytes = Vec::new();
    encode_value(value, &mut bytes);
    (bytes.len() <= INDEX_VALUE_BYTES_MAX).then(|| Interval::point(bytes))
}

fn side_of(side: Side, operand: &Value) -> Interval {
    let mut bytes = Vec::new();
    order::encode(operand, false, &mut bytes);
    let bytes = clip(bytes);
    let (first, last) = order::type_tags(operand);
    let (first, last) = (Cut::before(vec![first]), Cut::after(vec![last]));
    match side {
        Side::Above => Interval::between(Cut::after(bytes), last),
        Side::AtLeast => Interval::between(Cut::before(bytes), last),
        Side::Below => Interval::between(first, Cut::before(bytes)),
        Side::AtMost => Interval::between(first, Cut::after(bytes)),
    }
}

/// No value of an index is as long as what remains, so the cut stays in its place among them.
fn clip(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(INDEX_VALUE_BYTES_MAX + 1);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(value: &Value, descending: bool) -> Vec<u8> {
        let mut out = Vec::new();
        encode_value(value, &mut out);
        if descending {
            order::complement(&mut out);
        }
        out
    }

    fn scalar() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            (-2..3_i64).prop_map(Value::Int),
            (-4..5_i64).prop_map(|halves| Value::Float(halves as f64 / 2.0)),
            Just(Value::Float(1.0_f64.next_up())),
            "[\0\u{1}ab]{0,3}".prop_map(Value::String),
            prop::collection::vec(prop_oneof![Just(0), Just(1), Just(255)], 0..3)
                .prop_map(Value::Binary),
            (-1..2_i64).prop_map(|us| Value::Timestamp(crate::Timestamp::from_micros(us))),
        ]
    }

    fn test() -> impl Strategy<Value = Test> {
        let side = prop_oneof![
            Just(Side::Above),
            Just(Side::AtLeast),
            Just(Side::Below),
            Just(Side::AtMost)
        ];
        let operand = scalar().prop_filter("null has no sides", |value| !value.is_null());
        prop_oneof![
            scalar().prop_map(Test::Equals),
            prop::collection::btree_set("[ab]{0,2}", 2..5)
                .prop_map(|texts| Test::In(texts.into_iter().map(Value::from).collect())),
            (side, operand).prop_map(|(side, operand)| Test::Side(side, operand)),
            "[\0\u{1}ab]{0,2}".prop_map(Test::Prefix),
            any::<bool>().prop_map(Test::Exists),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn a_value_lies_in_the_ranges_of_the_tests_it_passes_and_in_no_others(
            tests in prop::collection::vec(test(), 1..4),
            before in scalar(),
            value in scalar(),
            after in scalar(),
            descending in any::<bool>(),
        ) {
            let mut intervals = vec![Interval::everything()];
            for test in &tests {
                intervals = intersect(&intervals, &of_test(test));
            }
            let prefix = encoded(&before, !descending);
            let key = [&prefix, &*encoded(&value, descending), &encoded(&after, false)].concat();
            let passes = tests.iter().all(|test| test.accepts(&value));
            let ranges: Vec<ByteRange> =
                intervals.iter().map(|interval| interval.range(&prefix, descending)).collect();
            let holding = ranges.iter().filter(|range| range.contains(&key)).count();
            prop_assert_eq!(holding, usize::from(passes), "{:?}", ranges);
            for interval in intervals.iter().filter(|interval| interval.is_point()) {
                let point = ByteRange::of_prefix(&interval.extend(&prefix, descending));
                prop_assert_eq!(point, interval.range(&prefix, descending));
            }
            if let Some(hull) = Interval::hull(&intervals) {
                prop_assert!(!passes || hull.range(&prefix, descending).contains(&key));
            }
        }
    }

    #[test]
    fn a_value_is_itself_also_next_to_the_value_before_it() {
        let next = Value::Float(1.0_f64.next_up());
        for (before, value) in [(false.into(), true.into()), (Value::Int(1), next)] {
            let above = of_test(&Test::Side(Side::Above, before));
            let point = of_test(&Test::Equals(value));
            assert_eq!(intersect(&above, &point), point);
            assert_eq!(intersect(&point, &above), point);
        }
    }

    #[test]
    fn operands_longer_than_index_values_keep_their_place() {
        let long = "b".repeat(3000);
        assert!(of_test(&Test::Equals(Value::from(long.as_str()))).is_empty());
        let above = &of_test(&Test::Side(Side::Above, Value::from(long.as_str())))[0];
        let range = above.range(&[], false);
        assert!(range.from.len() <= INDEX_VALUE_BYTES_MAX + 1);
        assert!(range.contains(&encoded(&Value::from("c"), false)));
        assert!(!range.contains(&encoded(&Value::from("b".repeat(1000)), false)));
    }

    #[test]
    fn ranges_that_touch_are_joined() {
        let range = |from: &[u8], to: &[u8]| ByteRange { from: from.to_vec(), to: to.to_vec() };
        let ranges =
            vec![range(&[5], &[7]), range(&[1], &[3]), range(&[3], &[4]), range(&[9], &[9])];
        assert_eq!(union(ranges), [range(&[1], &[4]), range(&[5], &[7])]);
        assert_eq!(ByteRange::of_prefix(&[1, 255]), range(&[1, 255], &[2]));
        assert_eq!(ByteRange::of_prefix(&[]), range(&[], &[255]));
    }
}
