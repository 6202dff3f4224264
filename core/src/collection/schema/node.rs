//! A compiled schema: nodes, one for each set of parts that can apply to a value together. Because
//! `$ref` may stand beside other keywords, several parts can apply to one value; merged beforehand,
//! exactly one node is responsible for each value of a document, so that checking visits a value
//! once, whatever the schema. Nodes refer to each other by index; recursion is a cycle among them.

use std::fmt;
use std::sync::Arc;

use super::kinds::Kinds;
use super::order::{self, Number};
use super::pattern::Pattern;
use crate::document::Value;

/// Index of a node.
pub(super) type NodeId = usize;
/// The node that accepts everything.
pub(super) const ANYTHING: NodeId = 0;
/// The node that accepts nothing.
pub(super) const NOTHING: NodeId = 1;

/// What a value must satisfy. Each group of fields matters to values of its kind alone.
#[derive(Debug)]
pub(super) struct Node {
    /// What `type` and `format` admit together.
    pub(super) kinds: Kinds,
    /// What `type` alone admits, text standing for binary and timestamp too.
    pub(super) typed: Kinds,
    /// Whether `format` takes part in `kinds`.
    pub(super) formatted: bool,
    /// Code points of text, bytes of binary.
    pub(super) length_min: u64,
    pub(super) length_max: u64,
    pub(super) minimum: Option<Number>,
    pub(super) maximum: Option<Number>,
    pub(super) patterns: Vec<Arc<Pattern>>,
    /// Each is a sorted list that holds the value.
    pub(super) choices: Vec<Arc<[Value]>>,
    /// The fields that are named, in an object's order.
    pub(super) edges: Vec<Edge>,
    /// The edges whose field must exist.
    pub(super) required: Vec<usize>,
    /// The edges whose field is filled in where it is missing.
    pub(super) defaults: Vec<usize>,
    /// Responsible for the fields that are not named.
    pub(super) additional: NodeId,
    /// Responsible for the items of an array.
    pub(super) items: NodeId,
    /// Whether a default may be filled in anywhere below.
    pub(super) fills: bool,
}

/// A named field of an object.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) name: Arc<str>,
    /// Responsible for the field's value.
    pub(super) node: NodeId,
    pub(super) required: bool,
    /// The keyword to blame if `node` is [`NOTHING`].
    pub(super) refused_by: &'static str,
    pub(super) default: Option<Filling>,
}

/// A default, with the defaults inside it filled in.
#[derive(Clone, Debug)]
pub(super) struct Filling {
    pub(super) value: Arc<Value>,
    /// The least that its encoding takes.
    pub(super) bytes_min: usize,
    /// Levels of arrays and objects in it.
    pub(super) height: usize,
}

impl Node {
    /// A node that accepts all values of `kinds`.
    pub(super) fn of(kinds: Kinds) -> Node {
        Node {
            kinds,
            typed: kinds,
            formatted: false,
            length_min: 0,
            length_max: u64::MAX,
            minimum: None,
            maximum: None,
            patterns: Vec::new(),
            choices: Vec::new(),
            edges: Vec::new(),
            required: Vec::new(),
            defaults: Vec::new(),
            additional: ANYTHING,
            items: ANYTHING,
            fills: false,
        }
    }

    /// The nodes that no schema is needed for: [`ANYTHING`] and [`NOTHING`].
    pub(super) fn constants() -> Vec<Node> {
        vec![Node::of(Kinds::ALL), Node::of(Kinds::NONE)]
    }

    /// The keyword that a value of `kind`, which is not among `kinds`, breaks.
    pub(super) fn kind_rule(&self, kind: Kinds) -> &'static str {
        if self.formatted && self.typed.meets(kind) { "format" } else { "type" }
    }

    /// The node responsible for the field `name`, and the keyword to blame if it is [`NOTHING`].
    pub(super) fn child(&self, name: &str) -> (NodeId, &'static str) {
        let edge = self.edges.binary_search_by(|edge| order::compare_names(&edge.name, name));
        match edge {
            Ok(at) => (self.edges[at].node, self.edges[at].refused_by),
            Err(_) => (self.additional, "additionalProperties"),
        }
    }
}

/// Finds the edges of fields that come in an object's order, each search beginning where the last
/// one ended.
pub(super) struct EdgeCursor<'n>(&'n [Edge]);

impl<'n> EdgeCursor<'n> {
    pub(super) fn new(node: &'n Node) -> Self {
        EdgeCursor(&node.edges)
    }

    /// The edge of the field `name`; names must ascend from call to call.
    pub(super) fn find(&mut self, name: &str) -> Option<&'n Edge> {
        let order = order::compare_names(&self.0.first()?.name, name);
        if order.is_lt() {
            let passed = |edge: &Edge| order::compare_names(&edge.name, name).is_lt();
            self.0 = &self.0[self.0.partition_point(passed)..];
        }
        let (edge, rest) = self.0.split_first()?;
        if *edge.name != *name {
            return None;
        }
        self.0 = rest;
        Some(edge)
    }
}

/// A length bound in words, for messages.
pub(super) struct Length(pub(super) u64, pub(super) Kinds);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = if self.1 == Kinds::BINARY { "byte" } else { "character" };
        write!(f, "{} {unit}{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}
