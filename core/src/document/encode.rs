//! Writes values in the one canonical encoding, through minicbor. Heads are shortest by the
//! library, floats by [`put_float`], field order by [`Object`]; what CBOR could say and a document
//! may not (NaN, infinities, reserved names, depth) is refused here.

use minicbor::Encoder;
use minicbor::data::Tag;

use super::{Object, Refusal, Timestamp, Value, check_field_name};
use crate::limits::DOCUMENT_DEPTH_MAX;

/// The tag of RFC 9581 for a time with a map of parts.
pub(super) const TIMESTAMP_TAG: u64 = 1001;
/// The part that counts whole seconds since the epoch.
pub(super) const SECONDS_PART: i64 = 1;
/// The part that counts microseconds above the seconds.
pub(super) const MICROS_PART: i64 = -6;

const VEC_WRITES: &str = "writing to a vector cannot fail";

/// Appends `object`, which is at nesting level `depth`.
pub(super) fn encode_object(
    object: &Object,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), Refusal> {
    check_depth(depth)?;
    put_map_head(out, object.len());
    for (name, value) in object.iter() {
        check_field_name(name)?;
        put_text(out, name);
        encode_value(value, out, depth).map_err(|refusal| refusal.under(name))?;
    }
    Ok(())
}

/// Appends `value`, held by a container at level `depth`.
fn encode_value(value: &Value, out: &mut Vec<u8>, depth: usize) -> Result<(), Refusal> {
    match value {
        Value::Null => put_null(out),
        Value::Bool(value) => put_bool(out, *value),
        Value::Int(value) => put_int(out, *value),
        Value::Float(value) => put_float(out, *value)?,
        Value::String(value) => put_text(out, value),
        Value::Binary(value) => put_binary(out, value),
        Value::Timestamp(value) => put_timestamp(out, *value)?,
        Value::Array(items) => {
            check_depth(depth + 1)?;
            put_array_head(out, items.len());
            for (index, item) in items.iter().enumerate() {
                encode_value(item, out, depth + 1)
                    .map_err(|refusal| refusal.under(&index.to_string()))?;
            }
        }
        Value::Object(object) => encode_object(object, out, depth + 1)?,
    }
    Ok(())
}

pub(super) fn check_depth(depth: usize) -> Result<(), Refusal> {
    if depth > DOCUMENT_DEPTH_MAX { Err(Refusal::too_deep()) } else { Ok(()) }
}

pub(super) fn put_null(out: &mut Vec<u8>) {
    Encoder::new(out).null().expect(VEC_WRITES);
}

pub(super) fn put_bool(out: &mut Vec<u8>, value: bool) {
    Encoder::new(out).bool(value).expect(VEC_WRITES);
}

#[inline]
pub(super) fn put_int(out: &mut Vec<u8>, value: i64) {
    Encoder::new(out).i64(value).expect(VEC_WRITES);
}

#[inline]
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    Encoder::new(out).str(text).expect(VEC_WRITES);
}

pub(super) fn put_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    Encoder::new(out).bytes(bytes).expect(VEC_WRITES);
}

pub(super) fn put_array_head(out: &mut Vec<u8>, items: usize) {
    Encoder::new(out).array(items as u64).expect(VEC_WRITES);
}

pub(super) fn put_map_head(out: &mut Vec<u8>, fields: usize) {
    Encoder::new(out).map(fields as u64).expect(VEC_WRITES);
}

pub(super) fn put_float(out: &mut Vec<u8>, value: f64) -> Result<(), Refusal> {
    if !value.is_finite() {
        return Err(Refusal::new(format!("{value} is not a number a document can hold")));
    }
    let mut encoder = Encoder::new(out);
    match float_bytes(value) {
        2 => encoder.f16(value as f32).expect(VEC_WRITES),
        4 => encoder.f32(value as f32).expect(VEC_WRITES),
        _ => encoder.f64(value).expect(VEC_WRITES),
    };
    Ok(())
}

/// The bytes of the shortest of half, single and double that holds a finite `value` exactly.
pub(super) fn float_bytes(value: f64) -> usize {
    let single = value as f32;
    if f64::from(single) != value {
        8
    } else if half::f16::from_f32(single).to_f32() != single {
        4
    } else {
        2
    }
}

pub(super) fn put_timestamp(out: &mut Vec<u8>, time: Timestamp) -> Result<(), Refusal> {
    if !time.has_text() {
        return Err(Refusal::new(format!("{time} is outside the years 0 to 9999")));
    }
    let (seconds, micros) = time.seconds_and_micros();
    Encoder::new(out)
        .tag(Tag::new(TIMESTAMP_TAG))
        .and_then(|encoder| encoder.map(2))
        .and_then(|encoder| encoder.i64(SECONDS_PART)?.i64(seconds))
        .and_then(|encoder| encoder.i64(MICROS_PART)?.i64(micros))
        .expect(VEC_WRITES);
    Ok(())
}
