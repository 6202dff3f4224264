//! From the source to its parts: reads every schema in it, keyword by keyword, and reports all that
//! is wrong. A keyword that is wrong counts as absent afterwards, so that the later passes find
//! their own faults and not the echo of this one. Recursion is bounded by the depth of the source,
//! which is checked before.

use std::collections::HashMap;
use std::sync::Arc;

use super::findings::{Findings, Found};
use super::keyword;
use super::kinds::Kinds;
use super::order::{self, Number};
use super::part::{Part, PartId, Pointer};
use super::pattern::{Pattern, Patterns};
use crate::document::{Object, Value};

/// The parts of a source, the root first.
pub(super) struct Parts<'s> {
    pub(super) list: Vec<Part<'s>>,
    /// Where a pointer leads: from a part by keyword and name (empty where there is only one).
    pub(super) children: HashMap<(PartId, &'static str, &'s str), PartId>,
}

/// Reads `source`; the faults are added to `faults`.
pub(super) fn parse<'s>(source: &'s Object, faults: &mut Findings) -> Parts<'s> {
    let parts = Parts { list: vec![Part::anything(None)], children: HashMap::new() };
    let mut reader = Reader { parts, faults, names: HashMap::new(), patterns: Patterns::new() };
    reader.read(0, source);
    reader.parts
}

struct Reader<'s, 'f> {
    parts: Parts<'s>,
    faults: &'f mut Findings,
    names: HashMap<&'s str, Arc<str>>,
    patterns: Patterns<'s>,
}

impl<'s> Reader<'s, '_> {
    fn read(&mut self, at: PartId, source: &'s Object) {
        for (word, value) in source.iter() {
            match word {
                "type" => self.types(at, value),
                "properties" => self.properties(at, value),
                "$defs" => drop(self.schemas(at, "$defs", value)),
                "definitions" => drop(self.schemas(at, "definitions", value)),
                "additionalProperties" => {
                    let additional = self.schema((at, "additionalProperties", None), value);
                    self.parts.list[at].additional = Some(additional);
                }
                "items" if matches!(value, Value::Array(_)) => {
                    let expected = "one schema for all items (an array is refused, as prefixItems)";
                    self.fault(at, word, expected, value);
                }
                "items" => {
                    self.parts.list[at].items = Some(self.schema((at, "items", None), value));
                }
                "required" => self.required(at, value),
                "minLength" => self.parts.list[at].length_min = self.length(at, word, value, 0),
                "maxLength" => {
                    self.parts.list[at].length_max = self.length(at, word, value, u64::MAX);
                }
                "minimum" => self.parts.list[at].minimum = self.number(at, word, value),
                "maximum" => self.parts.list[at].maximum = self.number(at, word, value),
                "pattern" => self.parts.list[at].pattern = self.pattern(at, value),
                "enum" => self.choices(at, value),
                "$ref" => self.parts.list[at].reference_text = self.text(at, word, value),
                "default" => self.parts.list[at].default = Some(Arc::new(value.clone())),
                _ => self.other(at, word, value),
            }
        }
        // The loop has read `type`, which `format` takes part in.
        if let Some(value) = source.get("format") {
            self.format(at, source.get("type"), value);
        }
    }

    fn types(&mut self, at: PartId, value: &'s Value) {
        let Some(kinds) = kinds_of_type(value) else {
            let expected = "null, boolean, integer, number, string, array, object, or an array of \
                            these, each once; binary and timestamp are words of format";
            return self.fault(at, "type", expected, value);
        };
        let part = &mut self.parts.list[at];
        part.kinds = kinds;
        part.typed = kinds;
        if kinds.meets(Kinds::STRING) {
            part.typed = kinds.or(Kinds::BINARY).or(Kinds::TIMESTAMP);
        }
    }

    /// Binary and timestamp take the place of string: where `type` is absent, of everything.
    fn format(&mut self, at: PartId, written_type: Option<&Value>, value: &'s Value) {
        let Some(word) = self.text(at, "format", value) else { return };
        let Some(kind) = Kinds::of_format(word) else { return };
        let part = &mut self.parts.list[at];
        if !part.kinds.meets(Kinds::STRING) {
            let expected = "type string, or no type, beside a format of binary or timestamp";
            let found = written_type.unwrap_or(value);
            return self.fault(at, "format", expected, found);
        }
        part.formatted = true;
        part.kinds = match written_type {
            Some(_) => part.kinds.without(Kinds::STRING).or(kind),
            None => kind,
        };
    }

    fn properties(&mut self, at: PartId, value: &'s Value) {
        let named = self.schemas(at, "properties", value);
        let named = named.into_iter().map(|(name, part)| (self.name(name), part)).collect();
        self.parts.list[at].properties = named;
    }

    fn required(&mut self, at: PartId, value: &'s Value) {
        let names = value.as_array().and_then(|names| names.iter().map(Value::as_str).collect());
        let names: Option<Vec<&'s str>> = names;
        let mut names = names.unwrap_or_else(|| {
            self.fault(at, "required", "an array of field names", value);
            Vec::new()
        });
        let written = names.len();
        names.sort_unstable_by(|a, b| order::compare_names(a, b));
        names.dedup();
        if names.len() < written {
            self.fault(at, "required", "each field name once", value);
        }
        self.parts.list[at].required = names.into_iter().map(|name| self.name(name)).collect();
    }

    fn choices(&mut self, at: PartId, value: &Value) {
        let Some(values) = value.as_array().filter(|values| !values.is_empty()) else {
            return self.fault(at, "enum", "an array of at least one value", value);
        };
        let mut values = values.to_vec();
        values.sort_by(order::compare);
        values.dedup_by(|a, b| order::compare(a, b).is_eq());
        self.parts.list[at].choices = Some(values.into());
    }

    fn pattern(&mut self, at: PartId, value: &'s Value) -> Option<Arc<Pattern>> {
        let text = self.text(at, "pattern", value)?;
        match self.patterns.get(text) {
            Ok(pattern) => Some(pattern),
            Err(reason) => {
                let expected = "a regular expression without look-around and back-references";
                self.faults.add(Pointer(&self.parts.list, at), "pattern", expected, reason);
                None
            }
        }
    }

    fn length(&mut self, at: PartId, word: &str, value: &Value, absent: u64) -> u64 {
        let length = value.as_i64().and_then(|length| u64::try_from(length).ok());
        length.unwrap_or_else(|| {
            self.fault(at, word, "an integer of at least 0", value);
            absent
        })
    }

    fn number(&mut self, at: PartId, word: &str, value: &Value) -> Option<Number> {
        let number = Number::of(value);
        if number.is_none() {
            self.fault(at, word, "a number", value);
        }
        number
    }

    fn text(&mut self, at: PartId, word: &str, value: &'s Value) -> Option<&'s str> {
        let text = value.as_str();
        if text.is_none() {
            self.fault(at, word, "a string", value);
        }
        text
    }

    /// Refused words, and annotations, which are not looked at.
    fn other(&mut self, at: PartId, word: &str, value: &Value) {
        if word == "$id" && at != 0 {
            let expected = "$id at the root only: $ref is local to the whole schema";
            self.fault(at, word, expected, value);
        } else if let Some(advice) = keyword::refused(word) {
            let advice = if advice.is_empty() { String::new() } else { format!(" ({advice})") };
            let expected = format!("a keyword of the subset, which has {}", keyword::SUBSET);
            let found = format_args!("{word}, which the subset does not have{advice}");
            self.faults.add(Pointer(&self.parts.list, at), word, expected, found);
        }
    }

    /// The schemas of a map from names to schemas; empty if it is none.
    fn schemas(
        &mut self,
        at: PartId,
        keyword: &'static str,
        value: &'s Value,
    ) -> Vec<(&'s str, PartId)> {
        let Value::Object(map) = value else {
            self.fault(at, keyword, "an object that maps names to schemas", value);
            return Vec::new();
        };
        map.iter()
            .map(|(name, value)| (name, self.schema((at, keyword, Some(name)), value)))
            .collect()
    }

    fn schema(
        &mut self,
        place: (PartId, &'static str, Option<&'s str>),
        value: &'s Value,
    ) -> PartId {
        let at = self.parts.list.len();
        self.parts.list.push(Part::anything(Some(place)));
        self.parts.children.insert((place.0, place.1, place.2.unwrap_or_default()), at);
        match value {
            Value::Object(source) => self.read(at, source),
            Value::Bool(accepts) => self.parts.list[at].never = !accepts,
            _ => self.fault(at, place.1, "a schema: an object, true or false", value),
        }
        at
    }

    fn name(&mut self, name: &'s str) -> Arc<str> {
        self.names.entry(name).or_insert_with(|| name.into()).clone()
    }

    fn fault(&mut self, at: PartId, rule: &str, expected: &str, found: &Value) {
        self.faults.add(Pointer(&self.parts.list, at), rule, expected, Found(found));
    }
}

/// The kinds that a valid `type` admits.
fn kinds_of_type(value: &Value) -> Option<Kinds> {
    match value {
        Value::String(word) => Kinds::of_type(word),
        Value::Array(words) if !words.is_empty() => {
            let mut seen: Vec<&str> = Vec::with_capacity(words.len().min(7));
            let mut kinds = Kinds::NONE;
            for word in words {
                let word = word.as_str()?;
                if seen.contains(&word) {
                    return None;
                }
                kinds = kinds.or(Kinds::of_type(word)?);
                seen.push(word);
            }
            Some(kinds)
        }
        _ => None,
    }
}
