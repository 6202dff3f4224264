//! Filters written back: shortened for people in `explain`, and as bytes that are the same for the
//! same question, to which a cursor is bound.

use super::{Filter, Node, Side, Test};
use crate::collection::query::{Target, order};
use crate::document::{Object, Value};

/// Items of an array, characters of a text and levels that are shown before an ellipsis.
const SHOWN_ITEMS_MAX: usize = 10;
const SHOWN_CHARS_MAX: usize = 80;
const SHOWN_DEPTH_MAX: usize = 4;

impl Filter {
    /// The filter in its own syntax, for people: long lists and values are cut.
    pub fn to_object(&self) -> Object {
        render(&self.0)
    }

    /// Bytes that two filters share if they were written alike.
    pub(in super::super) fn write_identity(&self, out: &mut Vec<u8>) {
        write_identity(&self.0, out);
    }
}

impl Node {
    /// The node in the filter's own syntax, for people.
    pub(in super::super) fn to_object(&self) -> Object {
        render(self)
    }
}

fn render(node: &Node) -> Object {
    match node {
        Node::And(nodes) => conjunction(nodes),
        Node::Or(nodes) if nodes.is_empty() => {
            Object::from_iter([("$not", Value::Object(Object::new()))])
        }
        Node::Or(nodes) => Object::from_iter([("$or", branches(nodes))]),
        Node::Not(node) => match node.as_ref() {
            Node::Is(target, test) => {
                let negated = match test {
                    Test::Equals(value) => ("$ne", shorten(value, 0)),
                    Test::In(values) => ("$nin", shorten_all(values, 0)),
                    test => ("$not", Value::Object(operators(test))),
                };
                Object::from_iter([(target.as_str(), Object::from_iter([negated]))])
            }
            node => Object::from_iter([("$not", render(node))]),
        },
        Node::Is(target, test) => Object::from_iter([(target.as_str(), operators(test))]),
    }
}

/// Conditions on different targets stand side by side, as users write them.
fn conjunction(nodes: &[Node]) -> Object {
    let mut object = Object::new();
    for node in nodes {
        for (name, value) in render(node) {
            match (object.get_mut(&name), value) {
                (None, value) => drop(object.insert(name, value)),
                (Some(Value::Object(there)), Value::Object(more))
                    if name != "$not"
                        && more.iter().all(|(operator, _)| !there.contains(operator)) =>
                {
                    there.extend(more);
                }
                _ => return Object::from_iter([("$and", branches(nodes))]),
            }
        }
    }
    object
}

fn branches(nodes: &[Node]) -> Value {
    let shown = nodes.iter().take(SHOWN_ITEMS_MAX).map(|node| Value::Object(render(node)));
    cut(shown.collect(), nodes.len())
}

fn operators(test: &Test) -> Object {
    let (name, value) = match test {
        Test::Equals(value) => ("$eq", shorten(value, 0)),
        Test::In(values) => ("$in", shorten_all(values, 0)),
        Test::Side(Side::Above, value) => ("$gt", shorten(value, 0)),
        Test::Side(Side::AtLeast, value) => ("$gte", shorten(value, 0)),
        Test::Side(Side::Below, value) => ("$lt", shorten(value, 0)),
        Test::Side(Side::AtMost, value) => ("$lte", shorten(value, 0)),
        Test::Prefix(prefix) => ("$prefix", Value::String(shorten_text(prefix))),
        Test::Exists(there) => ("$exists", Value::Bool(*there)),
    };
    Object::from_iter([(name, value)])
}

fn shorten(value: &Value, depth: usize) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) if depth == SHOWN_DEPTH_MAX => ellipsis(1),
        Value::Array(items) => shorten_all(items, depth + 1),
        Value::Object(object) => {
            let shown = object.iter().take(SHOWN_ITEMS_MAX);
            let mut out: Object =
                shown.map(|(name, value)| (name, shorten(value, depth + 1))).collect();
            if object.len() > SHOWN_ITEMS_MAX {
                out.insert("…", ellipsis(object.len() - SHOWN_ITEMS_MAX));
            }
            Value::Object(out)
        }
        Value::String(text) => Value::String(shorten_text(text)),
        Value::Binary(bytes) => {
            Value::Binary(bytes.iter().take(SHOWN_CHARS_MAX).copied().collect())
        }
        value => value.clone(),
    }
}

fn shorten_all(values: &[Value], depth: usize) -> Value {
    let shown = values.iter().take(SHOWN_ITEMS_MAX).map(|value| shorten(value, depth));
    cut(shown.collect(), values.len())
}

fn cut(mut shown: Vec<Value>, count: usize) -> Value {
    if count > shown.len() {
        shown.push(ellipsis(count - shown.len()));
    }
    Value::Array(shown)
}

fn ellipsis(more: usize) -> Value {
    Value::String(format!("… {more} more"))
}

fn shorten_text(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

/// Every node opens with its kind and tells its length, so that different trees differ.
fn write_identity(node: &Node, out: &mut Vec<u8>) {
    match node {
        Node::And(nodes) | Node::Or(nodes) => {
            out.push(if matches!(node, Node::And(_)) { b'&' } else { b'|' });
            out.extend_from_slice(&(nodes.len() as u64).to_le_bytes());
            nodes.iter().for_each(|node| write_identity(node, out));
        }
        Node::Not(node) => {
            out.push(b'!');
            write_identity(node, out);
        }
        Node::Is(target, test) => {
            out.push(b'?');
            write_condition(target, test, out);
        }
    }
}

fn write_condition(target: &Target, test: &Test, out: &mut Vec<u8>) {
    order::encode_text(target.as_str(), false, out);
    let value = |value: &Value, out: &mut Vec<u8>| order::encode(value, false, out);
    match test {
        Test::Equals(operand) => {
            out.push(b'=');
            value(operand, out);
        }
        Test::In(values) => {
            out.push(b'i');
            out.extend_from_slice(&(values.len() as u64).to_le_bytes());
            values.iter().for_each(|operand| value(operand, out));
        }
        Test::Side(side, operand) => {
            out.push(match side {
                Side::Above => b'>',
                Side::AtLeast => b'G',
                Side::Below => b'<',
                Side::AtMost => b'L',
            });
            value(operand, out);
        }
        Test::Prefix(prefix) => {
            out.push(b'p');
            order::encode_text(prefix, false, out);
        }
        Test::Exists(there) => out.push(if *there { b'e' } else { b'm' }),
    }
}
