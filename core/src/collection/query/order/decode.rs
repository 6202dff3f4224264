//! Reads encodings back. A number without fraction comes back as an integer if it fits one, so what
//! comes back equals what went in but need not be of the same kind. Wrong bytes give `None`, and the
//! recursion is bounded by the nesting of documents.

use super::{ESCAPE, SIGN, complement, float_of_sortable, has_distance, tag};
use crate::document::{Object, Timestamp, Value};
use crate::limits::DOCUMENT_DEPTH_MAX;

/// The value at the front of `bytes`, which are moved behind it; `None` if they are no encoding.
pub fn decode(bytes: &mut &[u8], descending: bool) -> Option<Value> {
    let mut reader = Reader { bytes, mask: if descending { 0xFF } else { 0 } };
    let value = reader.value(0)?;
    *bytes = reader.bytes;
    Some(value)
}

/// The length of the encoding at the front of `bytes`.
pub(in super::super) fn encoded_bytes(bytes: &[u8], descending: bool) -> Option<usize> {
    let mut rest = bytes;
    decode(&mut rest, descending)?;
    Some(bytes.len() - rest.len())
}

struct Reader<'a> {
    bytes: &'a [u8],
    mask: u8,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(first ^ self.mask)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.bytes.split_first_chunk::<N>()?;
        let mut head = *head;
        if self.mask != 0 {
            complement(&mut head);
        }
        self.bytes = rest;
        Some(head)
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        let tag = self.byte()?;
        self.tagged(tag, depth)
    }

    fn tagged(&mut self, tag: u8, depth: usize) -> Option<Value> {
        if depth > DOCUMENT_DEPTH_MAX {
            return None;
        }
        Some(match tag {
            tag::NULL => Value::Null,
            tag::FALSE => Value::Bool(false),
            tag::TRUE => Value::Bool(true),
            tag::NUMBER => self.number()?,
            tag::STRING => Value::String(String::from_utf8(self.text()?).ok()?),
            tag::BINARY => Value::Binary(self.text()?),
            tag::TIMESTAMP => {
                let micros = u64::from_be_bytes(self.array()?) ^ SIGN;
                Value::Timestamp(Timestamp::from_micros(micros as i64))
            }
            tag::ARRAY => self.items(depth)?,
            tag::OBJECT => self.fields(depth)?,
            _ => return None,
        })
    }

    fn number(&mut self) -> Option<Value> {
        let floor = float_of_sortable(u64::from_be_bytes(self.array()?));
        let above = match has_distance(floor) {
            true => u16::from_be_bytes(self.array()?),
            false => 0,
        };
        let in_range = floor >= i64::MIN as f64 && floor < -(i64::MIN as f64);
        if in_range && floor.fract() == 0.0 {
            return (floor as i64).checked_add(i64::from(above)).map(Value::Int);
        }
        (above == 0).then_some(Value::Float(floor))
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            match self.byte()? {
                tag::END => return Some(out),
                ESCAPE => match self.byte()? {
                    byte @ 1..=2 => out.push(byte - 1),
                    _ => return None,
                },
                byte => out.push(byte),
            }
        }
    }

    fn items(&mut self, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        loop {
            match self.byte()? {
                tag::END => return Some(Value::Array(items)),
                tag => items.push(self.tagged(tag, depth + 1)?),
            }
        }
    }

    fn fields(&mut self, depth: usize) -> Option<Value> {
        let mut object = Object::new();
        loop {
            match self.byte()? {
                tag::END => return Some(Value::Object(object)),
                tag::STRING => {
                    let name = String::from_utf8(self.text()?).ok()?;
                    if object.insert(name, self.value(depth + 1)?).is_some() {
                        return None;
                    }
                }
                _ => return None,
            }
        }
    }
}
