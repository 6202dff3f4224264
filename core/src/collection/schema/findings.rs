//! What is wrong with a document or a schema: a bounded list of violations and an honest count.
//! Paths live on the stack of whoever walks and become text only when something is found, so that a
//! document without fault costs no allocation here.

use std::fmt::{self, Display, Write};

use crate::document::{Object, Value};
use crate::error::{Code, Error, Violation};
use crate::limits::{VIOLATION_FOUND_CHARS_MAX, VIOLATION_PATH_CHARS_MAX, VIOLATIONS_MAX};

/// Where a value stands in its document: the way back to the root.
#[derive(Clone, Copy)]
pub(super) enum Path<'p> {
    /// The document itself.
    Root,
    /// A field of the object at the path.
    Field(&'p Path<'p>, &'p str),
    /// An item of the array at the path.
    Item(&'p Path<'p>, usize),
}

/// Dotted, an array's index as a number.
impl Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parent = match self {
            Path::Root => return Ok(()),
            Path::Field(parent, _) | Path::Item(parent, _) => parent,
        };
        if !matches!(parent, Path::Root) {
            write!(f, "{parent}.")?;
        }
        match self {
            Path::Item(_, index) => write!(f, "{index}"),
            Path::Field(_, name) => f.write_str(name),
            Path::Root => Ok(()),
        }
    }
}

/// The violations found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Violation>,
    total: u64,
    first: String,
}

impl Findings {
    /// Adds one: what stands at `path` breaks `rule`, which expects something else than `found`.
    pub(super) fn add(
        &mut self,
        path: impl Display,
        rule: &str,
        expected: impl Display,
        found: impl Display,
    ) {
        self.total += 1;
        if self.is_full() {
            return;
        }
        let violation = Violation {
            path: shorten(path, VIOLATION_PATH_CHARS_MAX),
            rule: rule.to_owned(),
            found: shorten(found, VIOLATION_FOUND_CHARS_MAX),
        };
        if self.list.is_empty() {
            let place = match violation.path.as_str() {
                "" => String::new(),
                path => format!("{}: ", shorten(path, VIOLATION_FOUND_CHARS_MAX)),
            };
            let expected = shorten(expected, 4 * VIOLATION_FOUND_CHARS_MAX);
            self.first = format!("{place}{rule}: expected {expected}, found {}", violation.found);
        }
        self.list.push(violation);
    }

    /// Whether the list holds all that it may.
    pub(super) fn is_full(&self) -> bool {
        self.list.len() == VIOLATIONS_MAX
    }

    /// How many there are, listed or not.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The first violation as a sentence, and how many there are.
    pub(super) fn sentence(&self) -> String {
        match self.total {
            0 | 1 => self.first.clone(),
            total if total as usize > self.list.len() => {
                format!("{} ({total} in all, the first {VIOLATIONS_MAX} listed)", self.first)
            }
            total => format!("{} ({total} in all)", self.first),
        }
    }

    /// The error that says `what` is wrong and lists every violation.
    pub(super) fn into_error(self, code: Code, what: &str) -> Error {
        Error::new(code, format!("{what}: {}", self.sentence())).with_errors(self.list)
    }

    pub(super) fn into_violations(self) -> Vec<Violation> {
        self.list
    }
}

/// The text of `what`, of at most `chars_max` characters; the rest is never even written.
pub(super) fn shorten(what: impl Display, chars_max: usize) -> String {
    let mut short = Short { text: String::new(), left: chars_max };
    if write!(short, "{what}").is_err() {
        short.text.pop();
        short.text.push('…');
    }
    short.text
}

struct Short {
    text: String,
    left: usize,
}

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(char);
        }
        Ok(())
    }
}

/// A value as a person reads it: JSON, but for binary, of which only the length is told.
pub(super) struct Found<'v>(pub(super) &'v Value);

impl Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Int(value) => write!(f, "{value}"),
            Value::Float(value) => write!(f, "{value:?}"),
            Value::String(text) => write_text(f, text),
            Value::Binary(bytes) => write!(f, "binary of {} bytes", bytes.len()),
            Value::Timestamp(time) => write!(f, "timestamp {time}"),
            Value::Array(items) => write_array(f, items),
            Value::Object(fields) => write_object(f, fields),
        }
    }
}

/// Character by character, so that shortening ends the work and not only the text.
fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for char in text.chars() {
        match char {
            '\'' => f.write_char(char)?,
            _ => write!(f, "{}", char.escape_debug())?,
        }
    }
    f.write_char('"')
}

fn write_array(f: &mut fmt::Formatter<'_>, items: &[Value]) -> fmt::Result {
    f.write_char('[')?;
    for (index, item) in items.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        write!(f, "{comma}{}", Found(item))?;
    }
    f.write_char(']')
}

fn write_object(f: &mut fmt::Formatter<'_>, fields: &Object) -> fmt::Result {
    f.write_char('{')?;
    for (index, (name, value)) in fields.iter().enumerate() {
        f.write_str(if index > 0 { "," } else { "" })?;
        write_text(f, name)?;
        write!(f, ":{}", Found(value))?;
    }
    f.write_char('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_shortened_by_characters() {
        assert_eq!(shorten("ä".repeat(80), 80), "ä".repeat(80));
        assert_eq!(shorten("ä".repeat(81), 80), format!("{}…", "ä".repeat(79)));
        let text = Value::from("x".repeat(1 << 20));
        let short = shorten(Found(&text), 80);
        assert_eq!((short.chars().count(), &short[..3]), (80, "\"xx"));
    }

    #[test]
    fn a_path_is_dotted_and_an_index_is_a_number() {
        let tags = Path::Field(&Path::Root, "tags");
        let item = Path::Item(&tags, 3);
        assert_eq!(Path::Root.to_string(), "");
        assert_eq!(Path::Field(&item, "name").to_string(), "tags.3.name");
    }
}
