//! Checking a document: one walk in which each value meets the one node responsible for it. Every
//! violation is found, not only the first. The walk allocates nothing as long as all is well, and
//! recurses no deeper than the document is nested.

use super::findings::{Findings, Found, Path};
use super::kinds::Kinds;
use super::node::{ANYTHING, EdgeCursor, Length, NOTHING, Node, NodeId};
use super::order::{self, Number};
use crate::document::{Object, Value};

/// Checks `value`, which stands at `path`, against node `at`.
pub(super) fn check(
    nodes: &[Node],
    at: NodeId,
    value: &Value,
    path: &Path<'_>,
    out: &mut Findings,
) {
    if at == ANYTHING {
        return;
    }
    let node = &nodes[at];
    let kind = Kinds::of(value);
    if !node.kinds.meets(kind) {
        out.add(path, node.kind_rule(kind), node.kinds, Found(value));
    }
    match value {
        Value::Null | Value::Bool(_) | Value::Timestamp(_) => {}
        Value::Int(_) | Value::Float(_) => check_number(node, value, path, out),
        Value::String(text) => check_text(node, value, text, path, out),
        Value::Binary(bytes) => check_length(node, bytes.len() as u64, value, path, out),
        Value::Array(items) => check_items(nodes, node, items, path, out),
        Value::Object(object) => check_fields(nodes, node, object, path, out),
    }
    for choices in &node.choices {
        if choices.binary_search_by(|choice| order::compare(choice, value)).is_err() {
            let listed = Value::Array(choices.iter().take(10).cloned().collect());
            out.add(path, "enum", format_args!("one of {}", Found(&listed)), Found(value));
        }
    }
}

fn check_number(node: &Node, value: &Value, path: &Path<'_>, out: &mut Findings) {
    let Some(number) = Number::of(value) else { return };
    if let Some(minimum) = node.minimum.filter(|minimum| number.compare(*minimum).is_lt()) {
        out.add(path, "minimum", format_args!("at least {minimum}"), number);
    }
    if let Some(maximum) = node.maximum.filter(|maximum| number.compare(*maximum).is_gt()) {
        out.add(path, "maximum", format_args!("at most {maximum}"), number);
    }
}

/// Characters are counted only where the bytes leave a doubt: a character takes one to four.
fn check_text(node: &Node, value: &Value, text: &str, path: &Path<'_>, out: &mut Findings) {
    let bytes = text.len() as u64;
    if bytes > node.length_max || bytes.div_ceil(4) < node.length_min {
        check_length(node, text.chars().count() as u64, value, path, out);
    }
    for pattern in &node.patterns {
        if !pattern.is_found_in(text) {
            let expected = format_args!("text that matches {}", pattern.as_str());
            out.add(path, "pattern", expected, Found(value));
        }
    }
}

fn check_length(node: &Node, length: u64, value: &Value, path: &Path<'_>, out: &mut Findings) {
    let kind = Kinds::of(value);
    if length < node.length_min {
        let expected = format_args!("at least {}", Length(node.length_min, kind));
        out.add(path, "minLength", expected, Length(length, kind));
    }
    if length > node.length_max {
        let expected = format_args!("at most {}", Length(node.length_max, kind));
        out.add(path, "maxLength", expected, Length(length, kind));
    }
}

fn check_items(nodes: &[Node], node: &Node, items: &[Value], path: &Path<'_>, out: &mut Findings) {
    for (index, item) in items.iter().enumerate() {
        let path = Path::Item(path, index);
        match node.items {
            NOTHING => out.add(path, "items", "no items", Found(item)),
            child => check(nodes, child, item, &path, out),
        }
    }
}

fn check_fields(nodes: &[Node], node: &Node, object: &Object, path: &Path<'_>, out: &mut Findings) {
    let mut cursor = EdgeCursor::new(node);
    for (name, value) in object.iter() {
        let path = Path::Field(path, name);
        let edge = cursor.find(name);
        match edge.map_or(node.additional, |edge| edge.node) {
            NOTHING => {
                let rule = edge.map_or("additionalProperties", |edge| edge.refused_by);
                out.add(path, rule, "no such field", Found(value));
            }
            child => check(nodes, child, value, &path, out),
        }
    }
    for edge in node.required.iter().map(|at| &node.edges[*at]) {
        if !object.contains(&edge.name) {
            out.add(Path::Field(path, &edge.name), "required", "the field", "nothing");
        }
    }
}
