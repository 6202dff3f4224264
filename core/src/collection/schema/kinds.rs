//! The nine kinds of values as a set, and the words that `type` has for them. JSON Schema knows six
//! types and a half; BlockDB tells integer from float and adds binary and timestamp.

use std::fmt;

use crate::document::Value;

/// A set of kinds of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kinds(u16);

impl Kinds {
    pub(super) const NONE: Kinds = Kinds(0);
    pub(super) const NULL: Kinds = Kinds(1);
    pub(super) const BOOLEAN: Kinds = Kinds(1 << 1);
    pub(super) const INTEGER: Kinds = Kinds(1 << 2);
    pub(super) const FLOAT: Kinds = Kinds(1 << 3);
    pub(super) const NUMBER: Kinds = Kinds::INTEGER.or(Kinds::FLOAT);
    pub(super) const STRING: Kinds = Kinds(1 << 4);
    pub(super) const BINARY: Kinds = Kinds(1 << 5);
    pub(super) const TIMESTAMP: Kinds = Kinds(1 << 6);
    pub(super) const ARRAY: Kinds = Kinds(1 << 7);
    pub(super) const OBJECT: Kinds = Kinds(1 << 8);
    pub(super) const ALL: Kinds = Kinds((1 << 9) - 1);

    /// The kind of one value.
    pub(super) fn of(value: &Value) -> Kinds {
        match value {
            Value::Null => Kinds::NULL,
            Value::Bool(_) => Kinds::BOOLEAN,
            Value::Int(_) => Kinds::INTEGER,
            Value::Float(_) => Kinds::FLOAT,
            Value::String(_) => Kinds::STRING,
            Value::Binary(_) => Kinds::BINARY,
            Value::Timestamp(_) => Kinds::TIMESTAMP,
            Value::Array(_) => Kinds::ARRAY,
            Value::Object(_) => Kinds::OBJECT,
        }
    }

    /// What a word of `type` admits where no `format` stands beside it.
    pub(super) fn of_type(word: &str) -> Option<Kinds> {
        Some(match word {
            "null" => Kinds::NULL,
            "boolean" => Kinds::BOOLEAN,
            "integer" => Kinds::INTEGER,
            "number" => Kinds::NUMBER,
            "string" => Kinds::STRING,
            "array" => Kinds::ARRAY,
            "object" => Kinds::OBJECT,
            _ => return None,
        })
    }

    /// What a word of `format` stands for; `None` for words that are annotations.
    pub(super) fn of_format(word: &str) -> Option<Kinds> {
        match word {
            "binary" => Some(Kinds::BINARY),
            "timestamp" => Some(Kinds::TIMESTAMP),
            _ => None,
        }
    }

    pub(super) const fn or(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    pub(super) const fn and(self, other: Kinds) -> Kinds {
        Kinds(self.0 & other.0)
    }

    pub(super) const fn without(self, other: Kinds) -> Kinds {
        Kinds(self.0 & !other.0)
    }

    /// Whether the two sets share a kind.
    pub(super) const fn meets(self, other: Kinds) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.and(Kinds::NUMBER) == Kinds::NUMBER;
        let words = [
            ("null", self.meets(Kinds::NULL)),
            ("boolean", self.meets(Kinds::BOOLEAN)),
            ("number", number),
            ("integer", !number && self.meets(Kinds::INTEGER)),
            ("float", !number && self.meets(Kinds::FLOAT)),
            ("string", self.meets(Kinds::STRING)),
            ("binary", self.meets(Kinds::BINARY)),
            ("timestamp", self.meets(Kinds::TIMESTAMP)),
            ("array", self.meets(Kinds::ARRAY)),
            ("object", self.meets(Kinds::OBJECT)),
        ];
        let mut before = "";
        for (word, _) in words.iter().filter(|(_, holds)| *holds) {
            write!(f, "{before}{word}")?;
            before = " or ";
        }
        if self.is_empty() { f.write_str("nothing") } else { Ok(()) }
    }
}
