//! Writes canonical bytes as JSON without building values in between: the way of every export and
//! every HTTP answer. Text escapes and number forms are serde_json's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minicbor::Decoder;
use minicbor::data::Type;
use minicbor::decode::Error as Malformed;
use serde_json::ser::{CompactFormatter, Formatter};

use super::decode::{check_depth, corrupt, definite, read_timestamp};
use super::{BINARY_FIELD, TIMESTAMP_FIELD};
use crate::error::Result;

const VEC_WRITES: &str = "writing to a vector cannot fail";

/// Appends the JSON of the document `bytes` to `out`; on an error, `out` holds a part of it.
pub(super) fn write_json(bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let mut decoder = Decoder::new(bytes);
    write_object(&mut decoder, out, 1).map_err(corrupt)?;
    if decoder.position() != bytes.len() {
        return Err(corrupt(Malformed::message("bytes after the document")));
    }
    Ok(())
}

fn write_object(
    decoder: &mut Decoder<'_>,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), Malformed> {
    check_depth(depth)?;
    out.push(b'{');
    for field in 0..definite(decoder.map()?)? {
        if field > 0 {
            out.push(b',');
        }
        write_text(decoder.str()?, out);
        out.push(b':');
        write_value(decoder, out, depth)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_array(
    decoder: &mut Decoder<'_>,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), Malformed> {
    check_depth(depth)?;
    out.push(b'[');
    for item in 0..definite(decoder.array()?)? {
        if item > 0 {
            out.push(b',');
        }
        write_value(decoder, out, depth)?;
    }
    out.push(b']');
    Ok(())
}

fn write_value(
    decoder: &mut Decoder<'_>,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), Malformed> {
    match decoder.datatype()? {
        Type::Null => {
            decoder.null()?;
            out.extend_from_slice(b"null");
        }
        Type::Bool => out.extend_from_slice(if decoder.bool()? { b"true" } else { b"false" }),
        Type::F16 | Type::F32 | Type::F64 => {
            let value = decoder.f64()?;
            CompactFormatter.write_f64(out, value).expect(VEC_WRITES);
        }
        Type::String => write_text(decoder.str()?, out),
        Type::Bytes => write_binary(decoder.bytes()?, out),
        Type::Tag => {
            let text = read_timestamp(decoder)?.to_string();
            write_marked(TIMESTAMP_FIELD, out, |out| out.extend_from_slice(text.as_bytes()));
        }
        Type::Array => write_array(decoder, out, depth + 1)?,
        Type::Map => write_object(decoder, out, depth + 1)?,
        _ => {
            let value = decoder.i64()?;
            CompactFormatter.write_i64(out, value).expect(VEC_WRITES);
        }
    }
    Ok(())
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect(VEC_WRITES);
}

fn write_binary(bytes: &[u8], out: &mut Vec<u8>) {
    write_marked(BINARY_FIELD, out, |out| {
        let start = out.len();
        out.resize(start + bytes.len().div_ceil(3) * 4, 0);
        STANDARD.encode_slice(bytes, &mut out[start..]).expect("four characters for three bytes");
    });
}

/// The object of one reserved field whose text, free of anything to escape, `write` appends.
fn write_marked(field: &str, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(field.as_bytes());
    out.extend_from_slice(b"\":\"");
    write(out);
    out.extend_from_slice(b"\"}");
}
