//! The ways to read that every collection has: by key, by key range, and through the ledger, each
//! bounded by what the filter says of `$key`, `$seq` and `$time`.

use std::ops::Bound;

use super::super::filter::{Side, Test};
use super::super::{Filter, Sort, Target};
use super::conjunction::Conjunction;
use super::order::{self, Directed, Order};
use super::{Access, Draft, LedgerRange, Statistics};
use crate::document::{Object, Value, validate_key};

pub(super) fn drafts(filter: &Filter, sort: &Sort, statistics: &dyn Statistics) -> Vec<Draft> {
    let conditions = Conjunction::of(filter);
    let mut drafts = Vec::new();
    drafts.extend(by_key(&conditions, sort, statistics));
    drafts.push(through_ledger(&conditions, sort, statistics));
    drafts
}

/// By key: points if the filter lists keys, a range if it bounds them or the sort asks for them.
fn by_key(conditions: &Conjunction<'_>, sort: &Sort, statistics: &dyn Statistics) -> Option<Draft> {
    let tests = conditions.tests(&Target::Key);
    let sorts = sort.fields().first().is_some_and(|key| key.target == Target::Key);
    if tests.is_empty() && !sorts {
        return None;
    }
    // Points and ranges are exact for every test of a key, which is never an array.
    let places: Vec<usize> = tests.iter().map(|(at, _)| *at).collect();
    let tests: Vec<&Test> = tests.iter().map(|(_, test)| *test).collect();
    let residual = conditions.without(&places);
    let Directed { order, reverse } = order::of_keys(sort);
    let (access, order, entries, how) = match key_points(&tests) {
        Some(points) if points.is_empty() => {
            return Some(Draft::nothing("no key fits all conditions on $key"));
        }
        Some(mut points) => {
            let entries = points.len() as u64;
            let order = if entries == 1 { Order::Sorted } else { order };
            if reverse {
                points.reverse();
            }
            (Access::Keys { points }, order, entries, "the filter lists the keys")
        }
        None => {
            let Some((from, to)) = key_range(&tests) else {
                return Some(Draft::nothing("no key fits all conditions on $key"));
            };
            let lower = if from.is_empty() { Bound::Unbounded } else { Bound::Included(from) };
            let upper = to.map_or(Bound::Unbounded, Bound::Excluded);
            let [first, last] =
                [&lower, &upper].map(|bound| bound.as_ref().map(|key: &Vec<u8>| key.as_slice()));
            let entries = statistics.key_range_entries(first, last);
            let how =
                if tests.is_empty() { "keys in the order asked for" } else { "a range of keys" };
            (Access::KeyRange { lower, upper, reverse }, order, entries, how)
        }
    };
    Some(Draft {
        access,
        covered: !residual.needs_document(),
        residual,
        order,
        entries,
        index_name: None,
        conditions: shown(conditions, &places),
        how: how.to_owned(),
    })
}

/// The keys that pass all tests, in order, if a test lists keys.
fn key_points(tests: &[&Test]) -> Option<Vec<String>> {
    let listed = tests.iter().find_map(|test| match test {
        Test::Equals(value) => Some(std::slice::from_ref(value)),
        Test::In(values) => Some(values.as_slice()),
        _ => None,
    })?;
    let points = listed
        .iter()
        .filter_map(Value::as_str)
        .filter(|key| validate_key(key).is_ok() && tests.iter().all(|test| test.accepts_text(key)));
    Some(points.map(str::to_owned).collect())
}

/// The first key, and what lies behind the last one; `None` if there is none between.
fn key_range(tests: &[&Test]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let (mut from, mut to) = (Vec::new(), None::<Vec<u8>>);
    let next = |key: &[u8]| [key, &[0]].concat();
    for test in tests {
        let (lower, upper) = match test {
            Test::Side(side, operand) => {
                let operand = operand.as_str()?.as_bytes();
                match side {
                    Side::Above => (Some(next(operand)), None),
                    Side::AtLeast => (Some(operand.to_vec()), None),
                    Side::Below => (None, Some(operand.to_vec())),
                    Side::AtMost => (None, Some(next(operand))),
                }
            }
            // Text never holds the byte 255, which so lies behind all that begins with the prefix.
            Test::Prefix(prefix) => {
                let prefix = prefix.as_bytes();
                (Some(prefix.to_vec()), Some([prefix, &[u8::MAX]].concat()))
            }
            _ => continue,
        };
        from = from.max(lower.unwrap_or_default());
        to = match (to, upper) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    to.as_ref().is_none_or(|to| from < *to).then_some((from, to))
}

/// The ledger, as far as the filter bounds sequence numbers and times.
fn through_ledger(conditions: &Conjunction<'_>, sort: &Sort, statistics: &dyn Statistics) -> Draft {
    let seqs = Bounds::of(&conditions.tests(&Target::Seq), 0, i128::from(u64::MAX), number);
    let (time_min, time_max) = (i128::from(i64::MIN), i128::from(i64::MAX));
    let times = Bounds::of(&conditions.tests(&Target::Time), time_min, time_max, micros);
    let (Some(seqs), Some(times)) = (seqs, times) else {
        return Draft::nothing("no record fits all conditions on $seq and $time");
    };
    let range = LedgerRange {
        after_seq: seqs.after().and_then(|seq| u64::try_from(seq).ok()),
        until_seq: seqs.until().and_then(|seq| u64::try_from(seq).ok()),
        after_us: times.after().and_then(|us| i64::try_from(us).ok()),
        until_us: times.until().and_then(|us| i64::try_from(us).ok()),
    };
    // Times only bound the stretch: whether they are exact depends on how it is found.
    let residual = conditions.without(&seqs.exact);
    let Directed { order, reverse } = order::of_ledger(sort);
    let bounded = range != LedgerRange::default();
    Draft {
        access: Access::Ledger { range, reverse },
        covered: !residual.needs_document(),
        residual,
        order,
        entries: statistics.ledger_records(&range),
        index_name: None,
        conditions: shown(conditions, &[seqs.places, times.places].concat()),
        how: if bounded { "a stretch of the ledger" } else { "all records" }.to_owned(),
    }
}

fn shown(conditions: &Conjunction<'_>, places: &[usize]) -> Vec<Object> {
    if places.is_empty() { Vec::new() } else { vec![conditions.shown(places)] }
}

/// Whole numbers from `low` to `high`, both included, within what the value can be at all.
struct Bounds {
    min: i128,
    max: i128,
    low: i128,
    high: i128,
    /// The tests that made the bounds.
    places: Vec<usize>,
    /// Those of them that the bounds say all of.
    exact: Vec<usize>,
}

/// The greatest whole number that is not above an operand, and whether that is the operand.
type Floor = fn(&Value) -> Option<(i128, bool)>;

fn number(value: &Value) -> Option<(i128, bool)> {
    match value {
        Value::Int(int) => Some((i128::from(*int), true)),
        Value::Float(float) => Some((float.floor() as i128, float.fract() == 0.0)),
        _ => None,
    }
}

fn micros(value: &Value) -> Option<(i128, bool)> {
    value.as_timestamp().map(|time| (i128::from(time.micros()), true))
}

impl Bounds {
    /// The bounds that all tests leave; `None` if they leave nothing.
    fn of(tests: &[(usize, &Test)], min: i128, max: i128, floor: Floor) -> Option<Bounds> {
        let (low, high) = (min, max);
        let mut bounds = Bounds { min, max, low, high, places: vec![], exact: vec![] };
        for (place, test) in tests {
            let (low, high, exact) = match test {
                Test::Equals(operand) => match floor(operand)? {
                    (whole, true) => (whole, whole, true),
                    (_, false) => return None,
                },
                Test::In(values) => {
                    let wholes = values.iter().filter_map(floor);
                    let wholes: Vec<i128> =
                        wholes.filter(|(_, whole)| *whole).map(|(whole, _)| whole).collect();
                    (*wholes.iter().min()?, *wholes.iter().max()?, false)
                }
                Test::Side(side, operand) => {
                    let (whole, is_whole) = floor(operand)?;
                    let next = whole.saturating_add(1);
                    match (side, is_whole) {
                        (Side::AtLeast, true) => (whole, max, true),
                        (Side::Above | Side::AtLeast, _) => (next, max, true),
                        (Side::Below, true) => (min, whole.saturating_sub(1), true),
                        (Side::Below | Side::AtMost, _) => (min, whole, true),
                    }
                }
                Test::Prefix(_) | Test::Exists(_) => continue,
            };
            bounds.low = bounds.low.max(low);
            bounds.high = bounds.high.min(high);
            bounds.places.push(*place);
            if exact {
                bounds.exact.push(*place);
            }
        }
        (bounds.low <= bounds.high).then_some(bounds)
    }

    fn after(&self) -> Option<i128> {
        (self.low > self.min).then(|| self.low - 1)
    }

    fn until(&self) -> Option<i128> {
        (self.high < self.max).then_some(self.high)
    }
}
