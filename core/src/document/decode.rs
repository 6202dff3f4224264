//! Reads canonical bytes back into values, whole or at one path. The bytes passed the strict check
//! once; if a disk changed them since, the answer is `corrupt` and never a panic.

use minicbor::Decoder;
use minicbor::data::Type;
use minicbor::decode::Error as Malformed;

use super::{Object, Timestamp, Value};
use crate::error::{Code, Error, Result};
use crate::limits::DOCUMENT_DEPTH_MAX;

pub(super) fn decode_object(bytes: &[u8]) -> Result<Object> {
    let mut decoder = Decoder::new(bytes);
    let object = read_object(&mut decoder, 1).map_err(corrupt)?;
    if decoder.position() != bytes.len() {
        return Err(corrupt(Malformed::message("bytes after the document")));
    }
    Ok(object)
}

/// The value at the dotted `path`, without decoding anything else.
pub(super) fn get(bytes: &[u8], path: &str) -> Result<Option<Value>> {
    seek(&mut Decoder::new(bytes), path).map_err(corrupt)
}

fn seek(decoder: &mut Decoder<'_>, path: &str) -> Result<Option<Value>, Malformed> {
    let mut depth = 1;
    for segment in path.split('.') {
        if decoder.datatype()? != Type::Map || !enter(decoder, segment)? {
            return Ok(None);
        }
        depth += 1;
    }
    read_value(decoder, depth - 1).map(Some)
}

/// Moves to the value of the field `name` of the object at hand; false if there is none. Stops at
/// the first field that canonical order puts behind it.
fn enter(decoder: &mut Decoder<'_>, name: &str) -> Result<bool, Malformed> {
    for _ in 0..definite(decoder.map()?)? {
        let found = decoder.str()?;
        if found == name {
            return Ok(true);
        }
        if (found.len(), found) > (name.len(), name) {
            return Ok(false);
        }
        decoder.skip()?;
    }
    Ok(false)
}

/// Reads a value held by a container at level `depth`.
fn read_value(decoder: &mut Decoder<'_>, depth: usize) -> Result<Value, Malformed> {
    Ok(match decoder.datatype()? {
        Type::Null => {
            decoder.null()?;
            Value::Null
        }
        Type::Bool => Value::Bool(decoder.bool()?),
        Type::F16 | Type::F32 | Type::F64 => Value::Float(decoder.f64()?),
        Type::String => Value::String(decoder.str()?.to_owned()),
        Type::Bytes => Value::Binary(decoder.bytes()?.to_owned()),
        Type::Tag => Value::Timestamp(read_timestamp(decoder)?),
        Type::Array => Value::Array(read_array(decoder, depth + 1)?),
        Type::Map => Value::Object(read_object(decoder, depth + 1)?),
        _ => Value::Int(decoder.i64()?),
    })
}

fn read_array(decoder: &mut Decoder<'_>, depth: usize) -> Result<Vec<Value>, Malformed> {
    check_depth(depth)?;
    let count = definite(decoder.array()?)?;
    let mut items = Vec::with_capacity(capacity(decoder, count, 1));
    for _ in 0..count {
        items.push(read_value(decoder, depth)?);
    }
    Ok(items)
}

fn read_object(decoder: &mut Decoder<'_>, depth: usize) -> Result<Object, Malformed> {
    check_depth(depth)?;
    let count = definite(decoder.map()?)?;
    let mut object = Object::with_capacity(capacity(decoder, count, 2));
    for _ in 0..count {
        let name = decoder.str()?;
        let value = read_value(decoder, depth)?;
        if !object.push(name, value) {
            return Err(Malformed::message("fields out of order"));
        }
    }
    Ok(object)
}

/// Reads the tag, the map of two and its parts, whose order is fixed.
pub(super) fn read_timestamp(decoder: &mut Decoder<'_>) -> Result<Timestamp, Malformed> {
    decoder.tag()?;
    decoder.map()?;
    decoder.i64()?;
    let seconds = decoder.i64()?;
    decoder.i64()?;
    let micros = decoder.i64()?;
    Timestamp::from_seconds_and_micros(seconds, micros)
        .ok_or_else(|| Malformed::message("a time outside the years 0 to 9999"))
}

pub(super) fn definite(length: Option<u64>) -> Result<u64, Malformed> {
    length.ok_or_else(|| Malformed::message("an indefinite length"))
}

pub(super) fn check_depth(depth: usize) -> Result<(), Malformed> {
    if depth > DOCUMENT_DEPTH_MAX { Err(Malformed::message("nested too deep")) } else { Ok(()) }
}

/// Room for `count` items, but for no more than the bytes left could hold, and no more than a page
/// of memory at once: a wrong count must not become a wrong allocation.
fn capacity(decoder: &Decoder<'_>, count: u64, item_bytes_min: usize) -> usize {
    let left = (decoder.input().len() - decoder.position()) / item_bytes_min;
    usize::try_from(count).unwrap_or(usize::MAX).min(left).min(1024)
}

pub(super) fn corrupt(error: Malformed) -> Error {
    Error::new(Code::Corrupt, format!("the stored document is not canonical: {error}"))
}
