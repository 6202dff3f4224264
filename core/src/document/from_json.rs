//! Reads JSON straight into canonical CBOR, the way of every import. serde_json parses; this file
//! writes each item as it comes and puts the fields of an object into order when the object ends.
//!
//! One thing the parser does not tell: an integer beyond 64 bits reaches us as a rounded float.
//! Floats large enough to have been one are remembered by their place among the document's
//! numbers, and only then is the text looked at again.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::encode::{
    check_depth, put_array_head, put_binary, put_bool, put_float, put_int, put_map_head, put_null,
    put_text, put_timestamp,
};
use super::{BINARY_FIELD, Refusal, TIMESTAMP_FIELD, Timestamp, check_field_name, not_an_object};
use crate::error::{Error, Result};

/// CBOR's major type 5, in the upper bits of the first byte of a map.
const MAP: u8 = 5;
/// Where the integers of a document end and a float may hide one.
const INT_LIMIT: f64 = i64::MAX as f64;

/// The canonical encoding of the JSON object `text`.
pub(super) fn read_json(text: &[u8]) -> Result<Vec<u8>> {
    let mut writer = Writer::default();
    writer.read(text)?;
    if let Some(number) = find_integer(text, &writer.suspects) {
        let mut writer = Writer { refused_number: Some(number), ..Writer::default() };
        writer.read(text)?;
    }
    match writer.out.first() {
        Some(first) if first >> 5 == MAP => Ok(writer.out),
        _ => Err(not_an_object("another JSON value")),
    }
}

#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    /// The fields of every object being read, innermost last.
    fields: Vec<Field>,
    scratch: Vec<u8>,
    /// Numbers read so far.
    numbers: u64,
    /// Places among the numbers of floats that may be integers too large.
    suspects: Vec<u64>,
    /// The number that turned out to be one; reading again names its path.
    refused_number: Option<u64>,
    refusal: Option<Refusal>,
}

/// Where a field lies in the output: its encoded name, then its value.
#[derive(Clone, Copy)]
struct Field {
    start: usize,
    value: usize,
    end: usize,
}

impl Writer {
    fn read(&mut self, text: &[u8]) -> Result<()> {
        self.out.reserve(text.len());
        let mut parser = serde_json::Deserializer::from_slice(text);
        let outcome = Item { writer: self, depth: 0 }.deserialize(&mut parser);
        match (outcome.and_then(|()| parser.end()), self.refusal.take()) {
            (Ok(()), None) => Ok(()),
            (_, Some(refusal)) => Err(refusal.into()),
            (Err(error), None) => Err(Error::invalid(format!("not JSON: {error}"))),
        }
    }

    /// Keeps the refusal for the caller of the parser and gives the parser's error to stop with.
    fn refuse<E: serde::de::Error>(&mut self, refusal: Refusal) -> E {
        let error = E::custom(&refusal);
        self.refusal = Some(refusal);
        error
    }

    fn accept<E: serde::de::Error>(&mut self, outcome: Result<(), Refusal>) -> Result<(), E> {
        outcome.map_err(|refusal| self.refuse(refusal))
    }

    /// Names the container's segment in a refusal that is passing through.
    fn pass<E>(&mut self, error: E, segment: impl FnOnce(&Self) -> String) -> E {
        if let Some(refusal) = self.refusal.take() {
            let segment = segment(self);
            self.refusal = Some(refusal.under(&segment));
        }
        error
    }

    /// Counts a number; refuses the one that a first reading found too large.
    fn count_number<E: serde::de::Error>(&mut self) -> Result<(), E> {
        let number = self.numbers;
        self.numbers += 1;
        if self.refused_number == Some(number) { Err(self.refuse(too_large())) } else { Ok(()) }
    }

    /// Puts a head with `count` where one byte was left for it.
    fn put_head(&mut self, at: usize, count: usize, put: fn(&mut Vec<u8>, usize)) {
        self.scratch.clear();
        put(&mut self.scratch, count);
        if let [head] = self.scratch[..] {
            self.out[at] = head;
        } else {
            self.out.splice(at..=at, self.scratch.iter().copied());
        }
    }

    /// The encoded name of a field.
    fn name(&self, field: &Field) -> &[u8] {
        &self.out[field.start..field.value]
    }

    /// Brings the fields from `first` on, which follow the head byte at `head`, into canonical
    /// order and gives the object its head.
    fn finish_object(&mut self, head: usize, first: usize) -> Result<(), Refusal> {
        let mut all = std::mem::take(&mut self.fields);
        let fields = &mut all[first..];
        if !fields.is_sorted_by(|a, b| self.name(a) < self.name(b)) {
            fields.sort_unstable_by(|a, b| self.name(a).cmp(self.name(b)));
            if let Some(pair) = fields.windows(2).find(|p| self.name(&p[0]) == self.name(&p[1])) {
                let refusal = Refusal::new("the field is given twice");
                return Err(refusal.under(&text_of(self.name(&pair[0]))));
            }
            self.scratch.clear();
            for field in fields.iter() {
                self.scratch.extend_from_slice(&self.out[field.start..field.end]);
            }
            self.out[head + 1..].copy_from_slice(&self.scratch);
        }
        let count = fields.len();
        all.truncate(first);
        self.fields = all;
        self.put_head(head, count, put_map_head);
        Ok(())
    }

    /// Replaces the head byte at `head` by the value that the reserved field `name` marks.
    fn put_marked(&mut self, head: usize, name: &str, text: &str) -> Result<(), Refusal> {
        self.out.truncate(head);
        if name == BINARY_FIELD {
            put_binary(&mut self.out, &binary_of(text)?);
            return Ok(());
        }
        put_timestamp(&mut self.out, timestamp_of(text)?)
    }
}

/// The bytes of a `$binary` text.
pub(super) fn binary_of(text: &str) -> Result<Vec<u8>, Refusal> {
    STANDARD
        .decode(text)
        .map_err(|error| Refusal::new(format!("not base64 of RFC 4648 with padding: {error}")))
}

/// The time of a `$timestamp` text.
pub(super) fn timestamp_of(text: &str) -> Result<Timestamp, Refusal> {
    Timestamp::parse(text).map_err(|error| Refusal::new(error.detail()))
}

fn too_large() -> Refusal {
    Refusal::new("an integer beyond 64 bits signed; write it as a string or a float")
}

/// The text of an encoded name.
fn text_of(encoded: &[u8]) -> String {
    minicbor::Decoder::new(encoded).str().unwrap_or_default().to_owned()
}

/// Reads one item, held by a container at level `depth`, into the writer.
struct Item<'w> {
    writer: &'w mut Writer,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        put_null(&mut self.writer.out);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        put_bool(&mut self.writer.out, value);
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.writer.count_number()?;
        put_int(&mut self.writer.out, value);
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => Err(self.writer.refuse(too_large())),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        if value.abs() >= INT_LIMIT {
            self.writer.suspects.push(self.writer.numbers);
        }
        self.writer.count_number()?;
        let outcome = put_float(&mut self.writer.out, value);
        self.writer.accept(outcome)
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        put_text(&mut self.writer.out, value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Item { writer, depth } = self;
        let depth = depth + 1;
        writer.accept(check_depth(depth))?;
        let head = writer.out.len();
        writer.out.push(0);
        let mut count = 0;
        loop {
            match items.next_element_seed(Item { writer: &mut *writer, depth }) {
                Ok(Some(())) => count += 1,
                Ok(None) => break,
                Err(error) => return Err(writer.pass(error, |_| count.to_string())),
            }
        }
        writer.put_head(head, count, put_array_head);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Item { writer, depth } = self;
        let depth = depth + 1;
        let head = writer.out.len();
        writer.out.push(0);
        let first = writer.fields.len();
        loop {
            let start = writer.out.len();
            let Some(reserved) = map.next_key_seed(Name { writer: &mut *writer })? else { break };
            if let Some(name) = reserved {
                return read_marked(writer, map, head, start, name);
            }
            writer.accept(check_depth(depth))?;
            let value = writer.out.len();
            map.next_value_seed(Item { writer: &mut *writer, depth })
                .map_err(|error| writer.pass(error, |writer| text_of(&writer.out[start..value])))?;
            writer.fields.push(Field { start, value, end: writer.out.len() });
        }
        writer.accept(check_depth(depth))?;
        let outcome = writer.finish_object(head, first);
        writer.accept(outcome)
    }
}

/// Reads the text under the reserved field `name`, which must be the only field of its object.
fn read_marked<'de, A: MapAccess<'de>>(
    writer: &mut Writer,
    mut map: A,
    head: usize,
    start: usize,
    name: &'static str,
) -> Result<(), A::Error> {
    let alone = start == head + 1;
    let text: Option<String> = if alone {
        map.next_value::<serde_json::Value>()?.as_str().map(str::to_owned)
    } else {
        None
    };
    match text {
        Some(text) if map.next_key::<String>()?.is_none() => {
            let outcome = writer.put_marked(head, name, &text);
            writer.accept(outcome)
        }
        _ => {
            let refusal = check_field_name(name).err();
            Err(refusal.map_or_else(|| A::Error::custom(name), |refusal| writer.refuse(refusal)))
        }
    }
}

/// Reads a field name into the writer; a reserved name is returned instead.
struct Name<'w> {
    writer: &'w mut Writer,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        match name {
            BINARY_FIELD => return Ok(Some(BINARY_FIELD)),
            TIMESTAMP_FIELD => return Ok(Some(TIMESTAMP_FIELD)),
            _ => put_text(&mut self.writer.out, name),
        }
        Ok(None)
    }
}

/// The first of the `suspects`, places among the numbers of the valid JSON `text` in rising order,
/// that is written as an integer.
fn find_integer(text: &[u8], suspects: &[u64]) -> Option<u64> {
    let mut suspects = suspects.iter().peekable();
    let mut numbers = 0;
    let mut at = 0;
    while suspects.peek().is_some() && at < text.len() {
        match text[at] {
            b'"' => at = string_end(text, at),
            b'-' | b'0'..=b'9' => {
                let length = text[at..].iter().take_while(|byte| in_number(**byte)).count();
                let token = &text[at..at + length];
                if suspects.next_if_eq(&&numbers).is_some() && token.iter().all(in_integer) {
                    return Some(numbers);
                }
                numbers += 1;
                at += length;
            }
            _ => at += 1,
        }
    }
    None
}

fn in_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
}

fn in_integer(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-')
}

/// The place behind the string that begins at `start`.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() && text[at] != b'"' {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}
