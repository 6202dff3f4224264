//! The one order of all values, and the encoding whose bytes compare as the values do.
//!
//! ```text
//! missing = null < false < true < numbers < strings < binary < timestamps < arrays < objects
//! ```
//!
//! Numbers stand by their value, integers and floats together and without rounding; -0.0 is 0.
//! Strings and binary stand bytewise, timestamps by time, arrays element by element with a shorter
//! one before those it begins, objects likewise field by field in canonical order, each by name and
//! then by value. NaN, which no document holds, stands before all numbers.
//!
//! An encoding is a tag and a payload (`docs/format/index.md`). It delimits itself: no encoding begins
//! another, so encodings that follow one another compare like tuples. Descending is the complement of
//! every byte, which keeps both properties. This is the design of the tuple layers of ordered
//! key-value stores; the numbers follow the usual mapping of IEEE 754 doubles to sortable integers.

mod decode;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use crate::document::{Object, Value};

pub use decode::decode;
pub(super) use decode::encoded_bytes;

/// First bytes of the encodings, in the order of the types. None is 0, which ends a sequence, and
/// none is 255, so that every encoding has a successor, ascending and descending.
pub(super) mod tag {
    pub const END: u8 = 0x00;
    pub const NULL: u8 = 0x08;
    pub const FALSE: u8 = 0x10;
    pub const TRUE: u8 = 0x11;
    pub const NUMBER: u8 = 0x18;
    pub const STRING: u8 = 0x20;
    pub const BINARY: u8 = 0x28;
    pub const TIMESTAMP: u8 = 0x30;
    pub const ARRAY: u8 = 0x38;
    /// In index keys only: a whole array, by its digest.
    pub const ARRAY_DIGEST: u8 = 0x39;
    pub const OBJECT: u8 = 0x40;
}

/// Replaces the bytes 0 and 1 of text and binary, so that 0 can end them: one byte, below all others.
const ESCAPE: u8 = 0x01;
/// From here on not every integer is a float, and an integer may lie above the float before it.
const EXACT_INTEGERS_END: f64 = 9_007_199_254_740_992.0;
const SIGN: u64 = 1 << 63;

/// The total order of values. Integers and floats that are equal as numbers are equal here.
pub fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => compare_floats(*a, *b),
        (Value::Int(a), Value::Float(b)) => compare_int_float(*a, *b),
        (Value::Float(a), Value::Int(b)) => compare_int_float(*b, *a).reverse(),
        (Value::String(a), Value::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Binary(a), Value::Binary(b)) => a.cmp(b),
        (Value::Timestamp(a), Value::Timestamp(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => compare_arrays(a, b),
        (Value::Object(a), Value::Object(b)) => compare_objects(a, b),
        _ => type_rank(a).cmp(&type_rank(b)),
    }
}

/// Whether two values are of one type, and so comparable by `$gt` and its kin.
pub(super) fn same_type(a: &Value, b: &Value) -> bool {
    type_rank(a) == type_rank(b)
}

fn type_rank(value: &Value) -> u8 {
    match value {
        Value::Null => tag::NULL,
        Value::Bool(_) => tag::FALSE,
        Value::Int(_) | Value::Float(_) => tag::NUMBER,
        Value::String(_) => tag::STRING,
        Value::Binary(_) => tag::BINARY,
        Value::Timestamp(_) => tag::TIMESTAMP,
        Value::Array(_) => tag::ARRAY,
        Value::Object(_) => tag::OBJECT,
    }
}

/// The tags that open the encodings of the values a scalar can be compared with.
pub(super) fn type_tags(value: &Value) -> (u8, u8) {
    match type_rank(value) {
        tag::FALSE => (tag::FALSE, tag::TRUE),
        rank => (rank, rank),
    }
}

fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// Exact: an integer beyond 2^53 is never rounded to a float.
fn compare_int_float(int: i64, float: f64) -> Ordering {
    if float.is_nan() || float < i64::MIN as f64 {
        return Ordering::Greater;
    }
    if float >= -(i64::MIN as f64) {
        return Ordering::Less;
    }
    let floor = float.floor();
    int.cmp(&(floor as i64)).then(if float > floor { Ordering::Less } else { Ordering::Equal })
}

fn compare_arrays(a: &[Value], b: &[Value]) -> Ordering {
    let unequal = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|order| order.is_ne());
    unequal.unwrap_or_else(|| a.len().cmp(&b.len()))
}

fn compare_objects(a: &Object, b: &Object) -> Ordering {
    let fields = a.iter().zip(b.iter());
    let unequal = fields
        .map(|((name_a, value_a), (name_b, value_b))| {
            name_a.as_bytes().cmp(name_b.as_bytes()).then_with(|| compare(value_a, value_b))
        })
        .find(|order| order.is_ne());
    unequal.unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// Appends the encoding of `value`: the bytes of two encodings compare as [`compare`] does, or the
/// other way round for two that are `descending`.
pub fn encode(value: &Value, descending: bool, out: &mut Vec<u8>) {
    let start = out.len();
    encode_ascending(value, out);
    if descending {
        complement(&mut out[start..]);
    }
}

/// Appends the encoding of a string that is not in a [`Value`].
pub(super) fn encode_text(text: &str, descending: bool, out: &mut Vec<u8>) {
    let start = out.len();
    put_bytes(tag::STRING, text.as_bytes(), out);
    out.push(tag::END);
    if descending {
        complement(&mut out[start..]);
    }
}

/// What the encodings of all strings that begin with `prefix` begin with, ascending.
pub(super) fn encode_prefix(prefix: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(prefix.len() + 1);
    put_bytes(tag::STRING, prefix.as_bytes(), &mut out);
    out
}

/// Turns ascending bytes into descending ones, and back.
pub(super) fn complement(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = !*byte;
    }
}

fn encode_ascending(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(tag::NULL),
        Value::Bool(value) => out.push(if *value { tag::TRUE } else { tag::FALSE }),
        Value::Int(value) => {
            let (floor, above) = int_parts(*value);
            put_number(floor, above, out);
        }
        Value::Float(value) => put_number(*value, 0, out),
        Value::String(text) => {
            put_bytes(tag::STRING, text.as_bytes(), out);
            out.push(tag::END);
        }
        Value::Binary(bytes) => {
            put_bytes(tag::BINARY, bytes, out);
            out.push(tag::END);
        }
        Value::Timestamp(time) => {
            out.push(tag::TIMESTAMP);
            out.extend_from_slice(&(time.micros() as u64 ^ SIGN).to_be_bytes());
        }
        Value::Array(items) => {
            out.push(tag::ARRAY);
            items.iter().for_each(|item| encode_ascending(item, out));
            out.push(tag::END);
        }
        Value::Object(object) => {
            out.push(tag::OBJECT);
            for (name, value) in object.iter() {
                put_bytes(tag::STRING, name.as_bytes(), out);
                out.push(tag::END);
                encode_ascending(value, out);
            }
            out.push(tag::END);
        }
    }
}

/// The greatest float that is not above the integer, and how far the integer is above it. Floats of
/// 2^62 and more are 1,024 apart, so the distance is at most 1,023.
fn int_parts(int: i64) -> (f64, u16) {
    let nearest = int as f64;
    let floor = if compare_int_float(int, nearest).is_lt() { nearest.next_down() } else { nearest };
    (floor, (i128::from(int) - floor as i128) as u16)
}

/// Whether a number at this float carries two more bytes: the distance of an integer above it.
fn has_distance(floor: f64) -> bool {
    floor.abs() >= EXACT_INTEGERS_END
}

fn put_number(floor: f64, above: u16, out: &mut Vec<u8>) {
    out.push(tag::NUMBER);
    out.extend_from_slice(&sortable_bits(floor).to_be_bytes());
    if has_distance(floor) {
        out.extend_from_slice(&above.to_be_bytes());
    }
}

/// The bits of a float in the order of floats: positive ones above, negative ones complemented.
fn sortable_bits(float: f64) -> u64 {
    if float.is_nan() {
        return 0;
    }
    // Adding zero makes 0.0 of -0.0.
    let bits = (float + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

fn float_of_sortable(bits: u64) -> f64 {
    match bits {
        0 => f64::NAN,
        _ if bits & SIGN == 0 => f64::from_bits(!bits),
        _ => f64::from_bits(bits & !SIGN),
    }
}

/// Appends a tag and `bytes` without an end; 0 becomes (1, 1) and 1 becomes (1, 2).
fn put_bytes(tag: u8, mut bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    while let Some(at) = bytes.iter().position(|byte| *byte <= ESCAPE) {
        out.extend_from_slice(&bytes[..at]);
        out.extend_from_slice(&[ESCAPE, bytes[at] + 1]);
        bytes = &bytes[at + 1..];
    }
    out.extend_from_slice(bytes);
}
