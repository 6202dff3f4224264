//! Schemas: what documents of a collection must look like, in a subset of JSON Schema 2020-12.
//!
//! ```text
//!   source ──parse──▶ parts ──reference──▶ parts ──compile──▶ nodes ──default──▶ Schema
//!   (Object)     one per schema        $ref resolved     one per value     defaults completed
//!
//!   document ──default──▶ with its defaults ──check──▶ the same document, or every violation
//!   older, newer ──compatible──▶ what newer could refuse that older accepts
//! ```
//!
//! A schema is compiled once and then only read. Its invariants:
//! - **Nothing is ignored that could refuse.** Keywords that validate and are not in the subset are
//!   refused by name when the schema is compiled; only annotations pass unread. `docs/schema.md`
//!   tells users what there is.
//! - **One node per value.** Parts that apply together (`$ref` beside other keywords) are merged
//!   when compiled, so a check is one walk over the document, however the schema refers to itself.
//! - **Everything wrong is told at once**, in the words of JSON Schema, in bounded space.
//! - **Bounded.** Size, depth, patterns, merged nodes and defaults of a schema have limits, and the
//!   defaults filled into a document count against the document's own.
//!
//! Choices where JSON Schema leaves room or knows less than BlockDB:
//! - `integer` means the kind integer: 1.0 is a float, and BlockDB keeps the two apart. `number`
//!   means both. `minimum`, `maximum` and `enum` compare numbers by value, exactly.
//! - Binary and timestamp are words of `format`, and take the place of `string`: beside
//!   `"type": "string"` or without any `type` they admit their own kind and refuse text, and
//!   `"type": "string"` alone admits text only. Beside a `type` without `string` (their JSON form
//!   is an object, but they are none) they are refused when the schema is compiled.
//! - A `default` is filled in where its parent object exists, and before anything is checked. One
//!   behind a `$ref` counts; the nearest wins.

mod check;
mod compatible;
mod compile;
mod default;
mod findings;
mod keyword;
mod kinds;
mod node;
mod order;
mod parse;
mod part;
mod pattern;
mod reference;

#[cfg(test)]
mod tests;

use std::fmt;

use self::compatible::Side;
use self::findings::{Findings, Path};
use self::kinds::Kinds;
use self::node::{ANYTHING, Node, NodeId};
use crate::document::{Document, Object, Value};
use crate::error::{Code, Error, Result, Violation};
use crate::limits::{SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX};

/// A compiled schema, immutable and shared freely between threads.
///
/// ```
/// use blockdb::collection::Schema;
/// use blockdb::doc;
///
/// let schema = Schema::compile(&doc! {
///     "type": "object",
///     "properties": {
///         "user": { "type": "string", "minLength": 1 },
///         "amount_cents": { "type": "integer", "minimum": 0 },
///         "currency": { "type": "string", "default": "EUR" },
///     },
///     "required": ["user", "amount_cents"],
/// }.to_object())?;
///
/// let document = schema.check(doc! { "user": "ada", "amount_cents": 1200 })?;
/// assert_eq!(document, doc! { "user": "ada", "amount_cents": 1200, "currency": "EUR" });
///
/// let error = schema.check(doc! { "user": "", "amount_cents": -5 }).unwrap_err();
/// let broken: Vec<_> = error.errors().iter().map(|v| (&*v.path, &*v.rule, &*v.found)).collect();
/// assert_eq!(broken, [
///     ("user", "minLength", "0 characters"),
///     ("amount_cents", "minimum", "-5"),
/// ]);
/// # Ok::<(), blockdb::Error>(())
/// ```
pub struct Schema {
    source: Object,
    nodes: Vec<Node>,
    root: NodeId,
}

impl Schema {
    /// Compiles a schema. `invalid_argument` lists what is wrong with it: the path is a JSON
    /// pointer to the schema at fault within `source`, the rule is its keyword. `too_large` names
    /// a limit.
    pub fn compile(source: &Object) -> Result<Schema> {
        check_size(source)?;
        let mut faults = Findings::default();
        let mut parts = parse::parse(source, &mut faults);
        reference::resolve(&mut parts, &mut faults);
        let mut nodes = compile::compile(&parts.list)?;
        let root = &nodes.list[nodes.root];
        if !root.kinds.meets(Kinds::OBJECT) {
            faults.add("", root.kind_rule(Kinds::OBJECT), "a schema of an object", root.kinds);
        }
        default::complete(&mut nodes, &parts.list, &mut faults);
        if faults.total() > 0 {
            return Err(faults.into_error(Code::InvalidArgument, "the schema cannot be used"));
        }
        Ok(Schema { source: source.clone(), nodes: nodes.list, root: nodes.root })
    }

    /// The schema as it was given, annotations and all.
    pub fn source(&self) -> &Object {
        &self.source
    }

    /// Fills in defaults and checks. Returns the very same document if there was none to fill in.
    /// `schema_violation` lists what the document breaks: the dotted path (items by their index),
    /// the keyword and what was found; the first hundred, the detail tells how many there are.
    /// `too_large` if the defaults make the document outgrow its limits.
    pub fn check(&self, document: Document) -> Result<Document> {
        let mut value = Value::Object(document.try_to_object()?);
        let bytes = document.len_bytes();
        let filled = default::fill_document(&self.nodes, self.root, &mut value, bytes)?;
        let mut findings = Findings::default();
        check::check(&self.nodes, self.root, &value, &Path::Root, &mut findings);
        if findings.total() > 0 {
            return Err(
                findings.into_error(Code::SchemaViolation, "the document breaks the schema")
            );
        }
        match value {
            Value::Object(object) if filled => Document::from_value(&object),
            _ => Ok(document),
        }
    }

    /// What in `newer` could refuse a document that `older` accepts (no older schema accepts every
    /// document). Empty means compatible: then `newer` accepts whatever `older` does. The
    /// comparison is conservative, so not everything it lists has a document that proves it; what
    /// several `$ref`s lead to is listed where it is met first. Paths are dotted, with `*` for any
    /// item or any field that is not named; `found` tells the change.
    ///
    /// A new required field that has a default is compatible, since defaults are filled in before
    /// anything is checked; so is a changed default.
    pub fn incompatibilities(older: Option<&Schema>, newer: &Schema) -> Vec<Violation> {
        if older.is_some_and(|older| older.source == newer.source) {
            return Vec::new();
        }
        let anything = Node::constants();
        let older = match older {
            Some(schema) => schema.side(),
            None => Side { nodes: &anything, root: ANYTHING },
        };
        compatible::compare(older, newer.side())
    }

    fn side(&self) -> Side<'_> {
        Side { nodes: &self.nodes, root: self.root }
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Document::from_value(&self.source) {
            Ok(source) => write!(f, "Schema({source})"),
            Err(_) => f.write_str("Schema"),
        }
    }
}

/// A schema is stored as a document is, so what no document can hold no schema can.
fn check_size(source: &Object) -> Result<()> {
    let bytes = Document::from_value(source)?.len_bytes();
    if bytes > SCHEMA_BYTES_MAX {
        let limit = "the size of a schema in bytes";
        return Err(Error::too_large(limit, bytes as u64, SCHEMA_BYTES_MAX as u64));
    }
    let levels = 1 + source.iter().map(|(_, value)| levels(value)).max().unwrap_or(0);
    if levels > SCHEMA_DEPTH_MAX {
        let limit = "the nesting of a schema";
        return Err(Error::too_large(limit, levels as u64, SCHEMA_DEPTH_MAX as u64));
    }
    Ok(())
}

/// Levels of arrays and objects in a value that a document can hold.
fn levels(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.iter().map(|(_, v)| levels(v)).max().unwrap_or(0),
        _ => 0,
    }
}
