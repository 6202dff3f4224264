//! When two values are equal, and which is smaller: numbers by what they are worth, exactly,
//! whether integer or float; everything else within its own kind. `enum` searches its sorted
//! choices by this order, `minimum` and `maximum` compare by its numbers. It never rounds an
//! integer to a float.

use std::cmp::Ordering;
use std::fmt;

use crate::document::{Object, Value};

/// A number of either kind, compared by value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Integer(i64),
    Float(f64),
}

impl Number {
    /// The number a value is, if it is one.
    pub(super) fn of(value: &Value) -> Option<Number> {
        match value {
            Value::Int(value) => Some(Number::Integer(*value)),
            Value::Float(value) => Some(Number::Float(*value)),
            _ => None,
        }
    }

    /// The order by value; 12 equals 12.0, and 0.0 equals -0.0. NaN, which no document holds, is
    /// put behind all others.
    pub(super) fn compare(self, other: Number) -> Ordering {
        match (self, other) {
            (Number::Integer(a), Number::Integer(b)) => a.cmp(&b),
            (Number::Integer(a), Number::Float(b)) => integer_to_float(a, b),
            (Number::Float(a), Number::Integer(b)) => integer_to_float(b, a).reverse(),
            (Number::Float(a), Number::Float(b)) => {
                a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
            }
        }
    }

    /// The same number as a value of the other kind, if there is one.
    pub(super) fn twin(self) -> Option<Value> {
        match self {
            Number::Integer(value) => {
                let float = value as f64;
                integer_to_float(value, float).is_eq().then_some(Value::Float(float))
            }
            Number::Float(value) => {
                let integer = value as i64;
                integer_to_float(integer, value).is_eq().then_some(Value::Int(integer))
            }
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Integer(value) => write!(f, "{value}"),
            Number::Float(value) => write!(f, "{value:?}"),
        }
    }
}

/// Both bounds of the integers are powers of two, and so exact as floats; between them the whole
/// part of a float is an integer, and its fraction decides where the whole parts are equal.
fn integer_to_float(a: i64, b: f64) -> Ordering {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if b.is_nan() || b >= BOUND {
        return Ordering::Less;
    }
    if b < -BOUND {
        return Ordering::Greater;
    }
    let whole = b.trunc();
    a.cmp(&(whole as i64)).then_with(|| whole.partial_cmp(&b).unwrap_or(Ordering::Equal))
}

/// A total order of values in which numbers of equal worth are equal.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Binary(a), Value::Binary(b)) => a.cmp(b),
        (Value::Timestamp(a), Value::Timestamp(b)) => a.micros().cmp(&b.micros()),
        (Value::Array(a), Value::Array(b)) => compare_arrays(a, b),
        (Value::Object(a), Value::Object(b)) => compare_objects(a, b),
        _ => match (Number::of(a), Number::of(b)) {
            (Some(a), Some(b)) => a.compare(b),
            _ => rank(a).cmp(&rank(b)),
        },
    }
}

fn compare_arrays(a: &[Value], b: &[Value]) -> Ordering {
    let differing = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|order| order.is_ne());
    differing.unwrap_or_else(|| a.len().cmp(&b.len()))
}

fn compare_objects(a: &Object, b: &Object) -> Ordering {
    let pairs = a.iter().zip(b.iter());
    let differing = pairs
        .map(|((a_name, a), (b_name, b))| compare_names(a_name, b_name).then_with(|| compare(a, b)))
        .find(|order| order.is_ne());
    differing.unwrap_or_else(|| a.len().cmp(&b.len()))
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Int(_) | Value::Float(_) => 2,
        Value::String(_) => 3,
        Value::Binary(_) => 4,
        Value::Timestamp(_) => 5,
        Value::Array(_) => 6,
        Value::Object(_) => 7,
    }
}

/// The order in which an object keeps its fields: shorter names first, then bytewise.
pub(super) fn compare_names(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_floats_compare_without_rounding() {
        let two_53 = 1_i64 << 53;
        let cases = [
            (Number::Integer(two_53 + 1), Number::Float(two_53 as f64), Ordering::Greater),
            (Number::Integer(i64::MAX), Number::Float(i64::MAX as f64), Ordering::Less),
            (Number::Integer(i64::MIN), Number::Float(i64::MIN as f64), Ordering::Equal),
            (Number::Integer(i64::MIN), Number::Float(-1e300), Ordering::Greater),
            (Number::Integer(-1), Number::Float(-1.5), Ordering::Greater),
            (Number::Integer(-1), Number::Float(-0.5), Ordering::Less),
            (Number::Integer(0), Number::Float(-0.0), Ordering::Equal),
            (Number::Integer(1), Number::Float(1.5), Ordering::Less),
            (Number::Float(-0.0), Number::Float(0.0), Ordering::Equal),
            (Number::Integer(i64::MAX), Number::Float(f64::NAN), Ordering::Less),
        ];
        for (a, b, order) in cases {
            assert_eq!((a.compare(b), b.compare(a)), (order, order.reverse()), "{a} {b}");
        }
    }

    #[test]
    fn a_number_has_a_twin_only_where_it_is_exact() {
        assert_eq!(Number::Integer(3).twin(), Some(Value::Float(3.0)));
        assert_eq!(Number::Float(-3.0).twin(), Some(Value::Int(-3)));
        assert_eq!(Number::Integer((1 << 53) + 1).twin(), None);
        assert_eq!(Number::Integer(i64::MAX).twin(), None);
        for float in [0.5, 9.3e18, -1e300] {
            assert_eq!(Number::Float(float).twin(), None);
        }
    }
}
