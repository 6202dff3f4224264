//! Defaults: filling missing fields in, in documents when they are written and in the defaults
//! themselves when the schema is compiled. A default is filled only where its parent object is;
//! what is filled in is complete, so a document is walked once. Sizes are bounded on both sides:
//! nested defaults multiply, and so do many objects that lack a large default.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::check::check;
use super::compile::Nodes;
use super::findings::{Findings, Found, Path};
use super::node::{EdgeCursor, Filling, Node, NodeId};
use super::part::{Part, PartId, Pointer};
use crate::document::{Object, Value};
use crate::error::{Code, Error, Result};
use crate::limits::{DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX, SCHEMA_DEFAULT_BYTES_MAX};

/// Fills the defaults of a document in, whose encoding has `document_bytes`; whether there were any
/// to fill. `too_large` if the document would outgrow its limit.
pub(super) fn fill_document(
    nodes: &[Node],
    root: NodeId,
    document: &mut Value,
    document_bytes: usize,
) -> Result<bool> {
    let mut source = Finished { nodes, bytes: document_bytes };
    fill(nodes, root, document, 1, &mut source)
}

/// Where the fields to fill in come from.
trait Source {
    type Refusal;
    /// The value for the field of edge `at` of `node`, to stand at level `depth`.
    fn take(&mut self, node: NodeId, at: usize, depth: usize) -> Result<Filling, Self::Refusal>;
}

/// Fills in what is missing below `value`, which stands at level `depth`.
fn fill<S: Source>(
    nodes: &[Node],
    at: NodeId,
    value: &mut Value,
    depth: usize,
    source: &mut S,
) -> Result<bool, S::Refusal> {
    let node = &nodes[at];
    match value {
        Value::Object(object) if node.fills => fill_object(nodes, at, object, depth, source),
        Value::Array(items) if nodes[node.items].fills => {
            let mut filled = false;
            for item in items {
                filled |= fill(nodes, node.items, item, depth + 1, source)?;
            }
            Ok(filled)
        }
        _ => Ok(false),
    }
}

fn fill_object<S: Source>(
    nodes: &[Node],
    at: NodeId,
    object: &mut Object,
    depth: usize,
    source: &mut S,
) -> Result<bool, S::Refusal> {
    let node = &nodes[at];
    let mut filled = false;
    let mut cursor = EdgeCursor::new(node);
    for (name, value) in object.iter_mut() {
        let child = cursor.find(name).map_or(node.additional, |edge| edge.node);
        filled |= fill(nodes, child, value, depth + 1, source)?;
    }
    let mut missing = Vec::new();
    for edge in &node.defaults {
        let name = &*node.edges[*edge].name;
        if !object.contains(name) {
            let filling = source.take(at, *edge, depth + 1)?;
            missing.push((name, (*filling.value).clone()));
        }
    }
    if missing.is_empty() {
        return Ok(filled);
    }
    // One by one, each moves what stands behind it; many are cheaper sorted in at once.
    match missing.len() {
        1..8 => object.extend(missing),
        _ => {
            let missing = missing.into_iter().map(|(name, value)| (name.to_owned(), value));
            *object = std::mem::take(object).into_iter().chain(missing).collect();
        }
    }
    Ok(true)
}

/// The fillings of a compiled schema, for a document of so many bytes.
struct Finished<'n> {
    nodes: &'n [Node],
    bytes: usize,
}

impl Source for Finished<'_> {
    type Refusal = Error;

    fn take(&mut self, node: NodeId, at: usize, _depth: usize) -> Result<Filling> {
        let edge = &self.nodes[node].edges[at];
        let filling = edge.default.clone().ok_or_else(|| {
            Error::new(Code::Internal, "a default of the schema was not compiled")
        })?;
        self.bytes = self.bytes.saturating_add(edge.name.len() + filling.bytes_min);
        if self.bytes > DOCUMENT_BYTES_MAX {
            let limit = "the size of a document in bytes, with the defaults of its schema,";
            return Err(Error::too_large(limit, self.bytes as u64, DOCUMENT_BYTES_MAX as u64));
        }
        Ok(filling)
    }
}

/// Completes every default, checks it against its own schema, and hands it to the edges that fill
/// it in. Defaults that do not end, grow too large or do not fit are reported, each once.
pub(super) fn complete(nodes: &mut Nodes, parts: &[Part<'_>], faults: &mut Findings) {
    let mut completer = Completer {
        nodes: &nodes.list,
        parts,
        from: nodes.filled_from.iter().map(|(node, at, part)| ((*node, *at), *part)).collect(),
        done: HashMap::new(),
        bytes: 0,
    };
    let mut judged = HashSet::new();
    let mut reported = HashSet::new();
    let mut judge = |part: PartId, node: NodeId, filling: &Result<Filling, Stop>| {
        if !judged.insert((part, node)) {
            return;
        }
        let raw = parts[part].default.as_deref().unwrap_or(&Value::Null);
        let expected = match filling {
            Err(stop) => Some(stop.expected()),
            Ok(filling) => fault_of(&nodes.list, node, &filling.value),
        };
        if let Some(expected) = expected
            && reported.insert(part)
        {
            faults.add(Pointer(parts, part), "default", expected, Found(raw));
        }
    };
    let mut finished = Vec::new();
    for (node, at, part) in &nodes.filled_from {
        let child = nodes.list[*node].edges[*at].node;
        let filling = completer.complete(*part, child, 2);
        judge(*part, child, &filling);
        finished.push((*node, *at, filling.ok()));
    }
    // A default that no missing field leads to is never filled in, and still has to be true.
    for (part, node) in &nodes.of_defaults {
        let filling = completer.complete(*part, *node, 2);
        judge(*part, *node, &filling);
    }
    for (node, at, filling) in finished {
        nodes.list[node].edges[at].default = filling;
    }
}

/// What was expected of the first thing in `value` that breaks the schema.
fn fault_of(nodes: &[Node], node: NodeId, value: &Value) -> Option<String> {
    let mut findings = Findings::default();
    check(nodes, node, value, &Path::Root, &mut findings);
    let first = findings.sentence();
    (findings.total() > 0).then(|| format!("a value that satisfies its own schema ({first})"))
}

/// Why a default cannot be completed.
#[derive(Clone, Copy)]
enum Stop {
    Endless,
    TooDeep,
    TooLarge,
}

impl Stop {
    fn expected(self) -> String {
        match self {
            Stop::Endless => "a default that is not filled into itself without end".to_owned(),
            Stop::TooDeep => {
                format!("at most {DOCUMENT_DEPTH_MAX} levels with the defaults inside filled in")
            }
            Stop::TooLarge => {
                format!(
                    "at most {SCHEMA_DEFAULT_BYTES_MAX} bytes of defaults in a schema, those \
                         inside filled in"
                )
            }
        }
    }
}

/// Completes defaults on demand. A default may be completed under several nodes, which can differ
/// in what they fill in below.
struct Completer<'n, 'p, 's> {
    nodes: &'n [Node],
    parts: &'p [Part<'s>],
    /// The part that gives the default of an edge.
    from: HashMap<(NodeId, usize), PartId>,
    /// What became of a default; none while it is being completed.
    done: HashMap<(PartId, NodeId), Option<Result<Filling, Stop>>>,
    /// Completed so far.
    bytes: usize,
}

impl Completer<'_, '_, '_> {
    /// The default of `part` as `node` completes it, to stand at level `depth`.
    fn complete(&mut self, part: PartId, node: NodeId, depth: usize) -> Result<Filling, Stop> {
        match self.done.get(&(part, node)) {
            Some(Some(result)) => return result.clone(),
            Some(None) => return Err(Stop::Endless),
            None => {}
        }
        self.done.insert((part, node), None);
        let result = self.fill_in(part, node, depth);
        self.done.insert((part, node), Some(result.clone()));
        result
    }

    fn fill_in(&mut self, part: PartId, node: NodeId, depth: usize) -> Result<Filling, Stop> {
        self.spend(0)?;
        let raw = self.parts[part].default.clone().unwrap_or_default();
        let mut value = (*raw).clone();
        let filled = fill(self.nodes, node, &mut value, depth, self)?;
        let (bytes_min, height) = measure(&value);
        self.spend(bytes_min)?;
        let value = if filled { Arc::new(value) } else { raw };
        Ok(Filling { value, bytes_min, height })
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Stop> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > SCHEMA_DEFAULT_BYTES_MAX { Err(Stop::TooLarge) } else { Ok(()) }
    }
}

impl Source for Completer<'_, '_, '_> {
    type Refusal = Stop;

    fn take(&mut self, node: NodeId, at: usize, depth: usize) -> Result<Filling, Stop> {
        if depth > DOCUMENT_DEPTH_MAX {
            return Err(Stop::TooDeep);
        }
        let Some(part) = self.from.get(&(node, at)) else { return Err(Stop::Endless) };
        let filling = self.complete(*part, self.nodes[node].edges[at].node, depth)?;
        if depth + filling.height > DOCUMENT_DEPTH_MAX + 1 {
            return Err(Stop::TooDeep);
        }
        // Before it is copied: what is filled into many objects at once must not pass unseen.
        self.spend(filling.bytes_min)?;
        Ok(filling)
    }
}

/// The least number of bytes that `value` encodes to, and its levels of arrays and objects.
fn measure(value: &Value) -> (usize, usize) {
    let under = |(bytes, height): (usize, usize), (more, below): (usize, usize)| {
        (bytes + more, height.max(below + 1))
    };
    match value {
        Value::String(text) => (1 + text.len(), 0),
        Value::Binary(bytes) => (1 + bytes.len(), 0),
        Value::Array(items) => items.iter().map(measure).fold((1, 1), under),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (1 + name.len(), measure(value)))
            .map(|(name_bytes, (bytes, height))| (name_bytes + bytes, height))
            .fold((1, 1), under),
        _ => (1, 0),
    }
}
