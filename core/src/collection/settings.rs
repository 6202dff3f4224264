//! The settings of a collection: one typed struct, its defaults, and its two written forms, the
//! object inside a system record and the `KEY=VALUE` words of the command line.

use crate::disk::compression::Compression;
use crate::document::{Object, Value};
use crate::error::{Code, Error, Result};

/// A block is sealed at this many encoded bytes even if it holds few records: it bounds what a
/// sealer holds in memory and what a reader of one block must stream.
pub const BLOCK_BYTES_MAX: u64 = 4 << 20;

/// How a collection keeps its records. Every field can be changed at run time, but for
/// `revisions`, which can be turned on and never off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Leaves after which a block is sealed (default 1,024).
    pub block_records: u64,
    /// Milliseconds after which a pending record is sealed (default 1,000; 0 turns the timer off).
    pub seal_interval_ms: u64,
    /// Whether `put` may append further revisions of a key (default no).
    pub revisions: bool,
    /// The field whose value is the key of a document inserted without one.
    pub key_field: Option<String>,
    /// Compression of ledger frames and tables (default LZ4).
    pub compression: Compression,
    /// Memory of a memtable at which it is flushed to a table (default 32 MiB, less if the
    /// database's memory budget is small).
    pub flush_bytes: u64,
    /// Milliseconds after which a memtable that holds anything is flushed (default 10 minutes;
    /// 0 turns the timer off).
    pub flush_interval_ms: u64,
    /// A sentence for people.
    pub description: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            block_records: 1024,
            seal_interval_ms: 1000,
            revisions: false,
            key_field: None,
            compression: Compression::Lz4,
            flush_bytes: 32 << 20,
            flush_interval_ms: 600_000,
            description: None,
        }
    }
}

/// What a caller asks of a new collection: every setting optional, absent means the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CollectionOptions {
    changes: Vec<(String, Value)>,
    /// Return the existing collection if it has these very settings.
    pub if_not_exists: bool,
    /// The JSON Schema new documents are checked against.
    pub schema: Option<Object>,
}

impl CollectionOptions {
    /// All defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one setting by its name; a wrong name or value is reported when the options are used.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.changes.push((key.to_owned(), value.into()));
        self
    }

    /// Allows further revisions of a key.
    pub fn revisions(self, on: bool) -> Self {
        self.set("revisions", on)
    }

    /// Takes the key of a document from this field.
    pub fn key_field(self, field: &str) -> Self {
        self.set("key_field", field)
    }

    /// Seals a block after this many leaves.
    pub fn block_records(self, count: u64) -> Self {
        self.set("block_records", count as i64)
    }

    /// Seals pending records after this many milliseconds; 0 turns the timer off.
    pub fn seal_interval_ms(self, interval_ms: u64) -> Self {
        self.set("seal_interval_ms", interval_ms as i64)
    }

    /// Returns an existing collection of the same settings instead of `collection_exists`.
    pub fn if_not_exists(mut self, on: bool) -> Self {
        self.if_not_exists = on;
        self
    }

    /// Checks new documents against this JSON Schema (the subset of `docs/schema.md`).
    pub fn schema(mut self, schema: Object) -> Self {
        self.schema = Some(schema);
        self
    }

    /// The settings these options ask for.
    pub fn settings(&self) -> Result<Settings> {
        Settings::default().changed(&self.changes)
    }

    /// The changes asked for, in order.
    pub fn changes(&self) -> &[(String, Value)] {
        &self.changes
    }
}

impl Settings {
    /// These settings with `changes` applied in order; `null` restores a default.
    pub fn changed(&self, changes: &[(String, Value)]) -> Result<Settings> {
        let mut next = self.clone();
        for (key, value) in changes {
            next.change(key, value)?;
        }
        if self.revisions && !next.revisions {
            return Err(Error::new(
                Code::Unsupported,
                "revisions cannot be turned off: earlier revisions stay readable for ever",
            ));
        }
        Ok(next)
    }

    fn change(&mut self, key: &str, value: &Value) -> Result<()> {
        let default = Settings::default();
        match key {
            "block_records" => self.block_records = number(key, value, default.block_records, 1)?,
            "seal_interval_ms" => {
                self.seal_interval_ms = number(key, value, default.seal_interval_ms, 0)?;
            }
            "flush_bytes" => self.flush_bytes = number(key, value, default.flush_bytes, 1024)?,
            "flush_interval_ms" => {
                self.flush_interval_ms = number(key, value, default.flush_interval_ms, 0)?;
            }
            "revisions" => match value {
                Value::Bool(on) => self.revisions = *on,
                Value::Null => self.revisions = false,
                other => return Err(wrong(key, "true or false", other)),
            },
            "key_field" => self.key_field = text(key, value)?,
            "description" => self.description = text(key, value)?,
            "compression" => {
                self.compression = match value {
                    Value::Null => default.compression,
                    Value::String(word) if word == "none" => Compression::None,
                    Value::String(word) if word == "lz4" => Compression::Lz4,
                    other => return Err(wrong(key, "\"none\" or \"lz4\"", other)),
                }
            }
            _ => {
                return Err(Error::invalid(format!(
                    "there is no setting {key:?}; settings are block_records, seal_interval_ms, \
                     revisions, key_field, compression, flush_bytes, flush_interval_ms, description"
                )));
            }
        }
        Ok(())
    }

    /// The object that stands in system records.
    pub fn to_object(&self) -> Object {
        let optional = |text: &Option<String>| text.clone().map_or(Value::Null, Value::String);
        let mut object = Object::new();
        object.insert("block_records", Value::Int(self.block_records as i64));
        object.insert("seal_interval_ms", Value::Int(self.seal_interval_ms as i64));
        object.insert("revisions", Value::Bool(self.revisions));
        object.insert("key_field", optional(&self.key_field));
        object.insert("compression", Value::String(self.compression.as_str().to_owned()));
        object.insert("flush_bytes", Value::Int(self.flush_bytes as i64));
        object.insert("flush_interval_ms", Value::Int(self.flush_interval_ms as i64));
        object.insert("description", optional(&self.description));
        object
    }

    /// Reads what [`Settings::to_object`] wrote.
    pub fn from_object(object: &Object) -> Result<Settings> {
        let changes: Vec<(String, Value)> =
            object.iter().map(|(key, value)| (key.to_owned(), value.clone())).collect();
        Settings::default().changed(&changes)
    }
}

/// One `KEY=VALUE` word of the command line as a change: numbers and booleans by their looks, an
/// empty value restores the default.
pub fn parse_change(word: &str) -> Result<(String, Value)> {
    let (key, value) =
        word.split_once('=').ok_or_else(|| Error::invalid(format!("{word:?} is not KEY=VALUE")))?;
    let value = match value {
        "" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => match value.parse::<i64>() {
            Ok(number) if !matches!(key, "key_field" | "description") => Value::Int(number),
            _ => Value::String(value.to_owned()),
        },
    };
    Ok((key.to_owned(), value))
}

fn number(key: &str, value: &Value, default: u64, min: u64) -> Result<u64> {
    match value {
        Value::Null => Ok(default),
        Value::Int(number) if *number >= min as i64 => Ok(*number as u64),
        other => Err(wrong(key, &format!("an integer of at least {min}"), other)),
    }
}

fn text(key: &str, value: &Value) -> Result<Option<String>> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        other => Err(wrong(key, "a string", other)),
    }
}

fn wrong(key: &str, expected: &str, found: &Value) -> Error {
    let found = match found {
        Value::Null => "null".to_owned(),
        Value::Bool(on) => on.to_string(),
        Value::Int(number) => number.to_string(),
        Value::String(text) => format!("{text:?}"),
        other => other.type_name().to_owned(),
    };
    Error::invalid(format!("setting {key} takes {expected}, found {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_their_written_form() {
        let options = CollectionOptions::new()
            .revisions(true)
            .key_field("name")
            .block_records(16)
            .set("compression", "none")
            .set("description", "things");
        let settings = options.settings().unwrap();
        assert_eq!(Settings::from_object(&settings.to_object()).unwrap(), settings);
    }

    #[test]
    fn a_wrong_setting_names_itself_and_what_it_takes() {
        for (word, named) in [
            ("block_records=0", "at least 1"),
            ("blok=1", "\"blok\""),
            ("compression=zip", "\"none\" or \"lz4\""),
            ("revisions=yes", "true or false"),
        ] {
            let change = parse_change(word).unwrap();
            let error = Settings::default().changed(&[change]).unwrap_err();
            assert!(error.detail().contains(named), "{word}: {error}");
        }
    }

    #[test]
    fn revisions_are_never_turned_off() {
        let on = CollectionOptions::new().revisions(true).settings().unwrap();
        let error = on.changed(&[("revisions".to_owned(), Value::Bool(false))]).unwrap_err();
        assert_eq!(error.code(), Code::Unsupported);
    }
}
