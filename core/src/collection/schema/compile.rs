//! From parts to nodes: the subset construction that makes one node of each set of parts that can
//! apply to one value together (Rabin and Scott, "Finite automata and their decision problems",
//! 1959, with keywords in the place of letters). Sets can multiply where `$ref`s stand beside
//! `properties`, so the work is counted and a schema beyond the limit is refused.

use std::collections::HashMap;
use std::sync::Arc;

use super::kinds::Kinds;
use super::node::{ANYTHING, Edge, NOTHING, Node, NodeId};
use super::order::{self, Number};
use super::part::{Part, PartId};
use crate::error::{Error, Result};
use crate::limits::SCHEMA_NODES_MAX;

/// The nodes of a schema.
pub(super) struct Nodes {
    pub(super) list: Vec<Node>,
    /// The node of the root.
    pub(super) root: NodeId,
    /// For each part with a default, the node that part alone makes.
    pub(super) of_defaults: Vec<(PartId, NodeId)>,
    /// For each edge with a default (node, index), the part the default is from.
    pub(super) filled_from: Vec<(NodeId, usize, PartId)>,
}

/// Makes the nodes of `parts`, whose references are resolved.
pub(super) fn compile(parts: &[Part<'_>]) -> Result<Nodes> {
    let mut maker = Maker {
        parts,
        marks: vec![0; parts.len()],
        mark: 0,
        index: HashMap::new(),
        sets: vec![Arc::new([]), Arc::new([])],
        nodes: Node::constants(),
        filled_from: Vec::new(),
        work: 0,
    };
    let root = maker.node_of(&[0])?;
    let mut of_defaults = Vec::new();
    for (at, _) in parts.iter().enumerate().filter(|(_, part)| part.default.is_some()) {
        of_defaults.push((at, maker.node_of(&[at])?));
    }
    let mut next = NOTHING + 1;
    while next < maker.nodes.len() {
        maker.connect(next)?;
        next += 1;
    }
    mark_filling(&mut maker.nodes);
    Ok(Nodes { list: maker.nodes, root, of_defaults, filled_from: maker.filled_from })
}

struct Maker<'p, 's> {
    parts: &'p [Part<'s>],
    /// Which parts a set holds already: those marked with its number.
    marks: Vec<u64>,
    mark: u64,
    index: HashMap<Arc<[PartId]>, NodeId>,
    /// The parts that each node is made of.
    sets: Vec<Arc<[PartId]>>,
    nodes: Vec<Node>,
    filled_from: Vec<(NodeId, usize, PartId)>,
    work: usize,
}

impl Maker<'_, '_> {
    fn spend(&mut self, work: usize) -> Result<()> {
        self.work = self.work.saturating_add(work);
        if self.work > SCHEMA_NODES_MAX {
            let limit = "the size of a schema, counted in schemas that apply to a value together,";
            return Err(Error::too_large(limit, self.work as u64, SCHEMA_NODES_MAX as u64));
        }
        Ok(())
    }

    /// The node of the parts `starts` and all they refer to. What refuses nothing is left out, and
    /// the order of the rest is kept, since the nearest default wins.
    fn node_of(&mut self, starts: &[PartId]) -> Result<NodeId> {
        self.mark += 1;
        let mut set = Vec::new();
        for start in starts {
            let mut next = Some(*start);
            while let Some(at) = next {
                let part = &self.parts[at];
                if part.never {
                    return Ok(NOTHING);
                }
                if self.marks[at] == self.mark {
                    break;
                }
                self.marks[at] = self.mark;
                if !part.is_blank() {
                    set.push(at);
                }
                next = part.reference;
                self.spend(usize::from(next.is_some()))?;
            }
        }
        if set.is_empty() {
            return Ok(ANYTHING);
        }
        if let Some(node) = self.index.get(set.as_slice()) {
            return Ok(*node);
        }
        self.spend(set.len())?;
        let set: Arc<[PartId]> = set.into();
        let node = self.nodes.len();
        self.nodes.push(merge(set.iter().map(|at| &self.parts[*at])));
        self.index.insert(set.clone(), node);
        self.sets.push(set);
        Ok(node)
    }

    /// Finds the nodes of the fields and items of values that `node` is responsible for.
    fn connect(&mut self, node: NodeId) -> Result<()> {
        let set = self.sets[node].clone();
        let parts = self.parts;
        let mut names: Vec<&Arc<str>> = set
            .iter()
            .map(|at| &parts[*at])
            .flat_map(|part| part.properties.iter().map(|(name, _)| name).chain(&part.required))
            .collect();
        names.sort_by(|a, b| order::compare_names(a, b));
        names.dedup();
        self.spend(names.len() * set.len())?;
        for name in names {
            let edge = self.edge(node, &set, name)?;
            self.nodes[node].edges.push(edge);
        }
        let additional: Vec<PartId> = set.iter().filter_map(|at| parts[*at].additional).collect();
        let items: Vec<PartId> = set.iter().filter_map(|at| parts[*at].items).collect();
        let additional = self.node_of(&additional)?;
        let items = self.node_of(&items)?;
        let made = &mut self.nodes[node];
        (made.additional, made.items) = (additional, items);
        let edges = made.edges.iter().enumerate();
        made.required = edges.filter(|(_, edge)| edge.required).map(|(at, _)| at).collect();
        Ok(())
    }

    fn edge(&mut self, node: NodeId, set: &[PartId], name: &Arc<str>) -> Result<Edge> {
        let parts = self.parts;
        let children: Vec<(PartId, bool)> =
            set.iter().filter_map(|at| parts[*at].child(name)).collect();
        let mut named = children.iter().filter(|(_, named)| *named).map(|(part, _)| *part);
        let refuses = |part| chain(parts, part).any(|at| parts[at].never);
        let refused_by = match named.clone().any(refuses) {
            true => "properties",
            false => "additionalProperties",
        };
        // The part itself, or the first it refers to that has one: the nearest default wins.
        let default = |part| chain(parts, part).find(|at| parts[*at].default.is_some());
        if let Some(part) = named.find_map(default) {
            let edge = self.nodes[node].edges.len();
            self.nodes[node].defaults.push(edge);
            self.filled_from.push((node, edge, part));
        }
        let starts: Vec<PartId> = children.iter().map(|(part, _)| *part).collect();
        let by_order = |other: &Arc<str>| order::compare_names(other, name);
        Ok(Edge {
            name: name.clone(),
            node: self.node_of(&starts)?,
            required: set.iter().any(|at| parts[*at].required.binary_search_by(by_order).is_ok()),
            refused_by,
            default: None,
        })
    }
}

/// A part and all it refers to, in order.
fn chain(parts: &[Part<'_>], part: PartId) -> impl Iterator<Item = PartId> {
    std::iter::successors(Some(part), |at| parts[*at].reference)
}

/// What all `parts` together say of a value, its fields and items left aside.
fn merge<'p, 's: 'p>(parts: impl Iterator<Item = &'p Part<'s>>) -> Node {
    let mut node = Node::of(Kinds::ALL);
    for part in parts {
        node.kinds = node.kinds.and(part.kinds);
        node.typed = node.typed.and(part.typed);
        node.formatted |= part.formatted;
        node.length_min = node.length_min.max(part.length_min);
        node.length_max = node.length_max.min(part.length_max);
        node.minimum = tighter(node.minimum, part.minimum, |new, old| new.compare(old).is_gt());
        node.maximum = tighter(node.maximum, part.maximum, |new, old| new.compare(old).is_lt());
        if let Some(pattern) = &part.pattern
            && !node.patterns.iter().any(|other| Arc::ptr_eq(other, pattern))
        {
            node.patterns.push(pattern.clone());
        }
        node.choices.extend(part.choices.clone());
    }
    node
}

fn tighter(
    old: Option<Number>,
    new: Option<Number>,
    is_tighter: impl Fn(Number, Number) -> bool,
) -> Option<Number> {
    match (old, new) {
        (Some(old), Some(new)) if is_tighter(new, old) => Some(new),
        (Some(old), _) => Some(old),
        (None, new) => new,
    }
}

/// Marks the nodes below which a default can be filled in: those with defaults, and backwards along
/// the edges all that lead to them.
fn mark_filling(nodes: &mut [Node]) {
    let mut parents: Vec<Vec<NodeId>> = vec![Vec::new(); nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        for child in node.edges.iter().map(|edge| edge.node).chain([node.additional, node.items]) {
            if child > NOTHING {
                parents[child].push(at);
            }
        }
    }
    let filling = nodes.iter().enumerate().filter(|(_, node)| !node.defaults.is_empty());
    let mut queue: Vec<NodeId> = filling.map(|(at, _)| at).collect();
    while let Some(at) = queue.pop() {
        if !nodes[at].fills {
            nodes[at].fills = true;
            queue.append(&mut parents[at]);
        }
    }
}
