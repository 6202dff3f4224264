//! A filter: what it is once it is read, and which records it accepts. Reading it from an object is
//! in `filter/parse.rs`, showing it to people in `filter/render.rs`.
//!
//! A filter is a tree of conditions. It is kept in a simple normal form (no double negation, no
//! conjunction within a conjunction, constants folded), so that the planner has little to look for.
//! Matching never fails for a reason of its own, and its recursion is bounded by the nesting limit.

mod parse;
mod render;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cmp::Ordering;

use super::order::{self, compare};
use super::source::{Candidate, Source, seq_value, time_value};
use super::{FieldPath, Target};
use crate::document::{Object, Value};
use crate::error::Result;

/// Which records of a collection are wanted.
///
/// ```
/// use blockdb::collection::query::{Candidate, Filter};
/// use blockdb::doc;
///
/// let filter = Filter::parse(&doc! { "size": { "$gte": 1000 }, "tags": "new" }.to_object())?;
/// let document = doc! { "size": 1200, "tags": ["new", "red"] }.to_object();
/// assert!(filter.matches(&Candidate { key: "k", seq: 1, time_us: 0, document: &document }));
/// # Ok::<(), blockdb::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(pub(super) Node);

/// A node of a filter in normal form. An empty conjunction accepts all, an empty choice nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// All of these.
    And(Vec<Node>),
    /// Any of these.
    Or(Vec<Node>),
    /// Not this one.
    Not(Box<Node>),
    /// One condition on one value.
    Is(Target, Test),
}

/// A condition on one value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    /// `$eq`: the value, or an element of it, is this one; null is missing too.
    Equals(Value),
    /// `$in`: the same for any of these, which stand in order and are at least two.
    In(Vec<Value>),
    /// `$gt` and its kin: the value, or an element of it, is of the type and on the side of this.
    Side(Side, Value),
    /// `$prefix`: the value, or an element of it, is a string that begins so.
    Prefix(String),
    /// `$exists`: the value is there and not null, or the opposite.
    Exists(bool),
}

/// On which side of an operand a value has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Above,
    AtLeast,
    Below,
    AtMost,
}

impl Side {
    fn accepts(self, order: Ordering) -> bool {
        match self {
            Side::Above => order.is_gt(),
            Side::AtLeast => order.is_ge(),
            Side::Below => order.is_lt(),
            Side::AtMost => order.is_le(),
        }
    }
}

impl Filter {
    /// The filter that accepts every record.
    pub fn all() -> Self {
        Filter(Node::all())
    }

    /// Reads a filter; see `docs/queries.md`. `invalid_argument` lists every fault with its place;
    /// `too_large` names the limit of nesting, conditions or values.
    pub fn parse(object: &Object) -> Result<Self> {
        parse::parse(object).map(Filter)
    }

    /// Whether every record is accepted, so that there is nothing to check.
    pub fn is_all(&self) -> bool {
        self.0.is_all()
    }

    /// Whether no record can be accepted.
    pub fn is_nothing(&self) -> bool {
        self.0.is_nothing()
    }

    /// Whether the record is accepted.
    pub fn matches(&self, candidate: &Candidate<'_>) -> bool {
        // A decoded document has every value at hand and never fails.
        self.check(candidate).unwrap_or(false)
    }

    /// Whether the record is accepted; fails only as its source does.
    pub fn check(&self, source: &impl Source) -> Result<bool> {
        self.0.check(source)
    }

    /// Whether a field of the document is asked for: a filter without is decided by key, sequence
    /// number and time alone.
    pub fn needs_document(&self) -> bool {
        self.targets_any(|target| target.field().is_some())
    }

    /// Whether the sequence number or the commit time is asked for: what a record to come has not
    /// got yet.
    pub fn needs_place(&self) -> bool {
        self.targets_any(|target| matches!(target, Target::Seq | Target::Time))
    }

    /// Whether only sequence numbers and fields that `covers` names are asked for.
    pub(super) fn decided_by(&self, covers: impl Fn(&FieldPath) -> bool) -> bool {
        !self.targets_any(|target| match target {
            Target::Key | Target::Time => true,
            Target::Seq => false,
            Target::Field(path) => !covers(path),
        })
    }

    fn targets_any(&self, wanted: impl Fn(&Target) -> bool) -> bool {
        self.0.targets_any(&wanted)
    }

    /// Whether the filter may accept a record whose `fields` are all missing or null. "No" is
    /// certain: an index that leaves such records out is then complete for the filter.
    pub(super) fn may_match_missing(&self, fields: &[&FieldPath]) -> bool {
        self.0.if_missing(fields) != Some(false)
    }
}

impl Node {
    pub(super) fn all() -> Node {
        Node::And(Vec::new())
    }

    pub(super) fn nothing() -> Node {
        Node::Or(Vec::new())
    }

    pub(super) fn is_all(&self) -> bool {
        matches!(self, Node::And(nodes) if nodes.is_empty())
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Node::Or(nodes) if nodes.is_empty())
    }

    /// The conjunction in normal form.
    pub(super) fn and(nodes: impl IntoIterator<Item = Node>) -> Node {
        let mut all = Vec::new();
        for node in nodes {
            match node {
                Node::And(inner) => all.extend(inner),
                node if node.is_nothing() => return Node::nothing(),
                node => all.push(node),
            }
        }
        match <[Node; 1]>::try_from(all) {
            Ok([only]) => only,
            Err(all) => Node::And(all),
        }
    }

    /// The choice in normal form; a choice between equalities of one value is one `$in`.
    pub(super) fn or(nodes: impl IntoIterator<Item = Node>) -> Node {
        let mut any = Vec::new();
        for node in nodes {
            match node {
                Node::Or(inner) => any.extend(inner),
                node if node.is_all() => return Node::all(),
                node => any.push(node),
            }
        }
        match <[Node; 1]>::try_from(any) {
            Ok([only]) => only,
            Err(any) => one_list(&any).unwrap_or(Node::Or(any)),
        }
    }

    /// The opposite in normal form.
    pub(super) fn negate(self) -> Node {
        match self {
            Node::Not(inner) => *inner,
            Node::Is(target, Test::Exists(there)) => Node::Is(target, Test::Exists(!there)),
            node if node.is_all() => Node::nothing(),
            node if node.is_nothing() => Node::all(),
            node => Node::Not(Box::new(node)),
        }
    }

    /// The nodes that all have to accept.
    pub(super) fn conjuncts(&self) -> &[Node] {
        match self {
            Node::And(nodes) => nodes,
            node => std::slice::from_ref(node),
        }
    }

    fn check(&self, source: &impl Source) -> Result<bool> {
        match self {
            Node::And(nodes) => {
                for node in nodes {
                    if !node.check(source)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Node::Or(nodes) => {
                for node in nodes {
                    if node.check(source)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Node::Not(node) => Ok(!node.check(source)?),
            Node::Is(target, test) => test.check(target, source),
        }
    }

    fn targets_any(&self, wanted: &impl Fn(&Target) -> bool) -> bool {
        match self {
            Node::And(nodes) | Node::Or(nodes) => nodes.iter().any(|node| node.targets_any(wanted)),
            Node::Not(node) => node.targets_any(wanted),
            Node::Is(target, _) => wanted(target),
        }
    }

    /// The answer if `fields` are missing and nothing else is known; `None` if it depends.
    fn if_missing(&self, fields: &[&FieldPath]) -> Option<bool> {
        match self {
            Node::And(nodes) => decided(nodes, fields, false),
            Node::Or(nodes) => decided(nodes, fields, true),
            Node::Not(node) => node.if_missing(fields).map(|answer| !answer),
            Node::Is(Target::Field(path), test) => {
                let missing = fields.iter().any(|field| path.is_or_passes(field));
                missing.then(|| test.accepts(&Value::Null))
            }
            Node::Is(..) => None,
        }
    }
}

/// The answer of nodes of which one that answers `decisive` decides.
fn decided(nodes: &[Node], fields: &[&FieldPath], decisive: bool) -> Option<bool> {
    let mut answer = Some(!decisive);
    for node in nodes {
        match node.if_missing(fields) {
            Some(found) if found == decisive => return Some(decisive),
            Some(_) => {}
            None => answer = None,
        }
    }
    answer
}

/// One `$in` for a choice in which every branch asks whether the same value equals something.
fn one_list(nodes: &[Node]) -> Option<Node> {
    let Some(Node::Is(first, _)) = nodes.first() else { return None };
    let mut values = Vec::new();
    for node in nodes {
        match node {
            Node::Is(target, Test::Equals(value)) if target == first => values.push(value.clone()),
            Node::Is(target, Test::In(list)) if target == first => values.extend_from_slice(list),
            _ => return None,
        }
    }
    Some(Node::any_of(first.clone(), values))
}

impl Node {
    /// Whether the target equals any of `values`.
    pub(super) fn any_of(target: Target, mut values: Vec<Value>) -> Node {
        values.sort_by(compare);
        values.dedup_by(|a, b| compare(a, b).is_eq());
        match <[Value; 1]>::try_from(values) {
            Ok([only]) => Node::Is(target, Test::Equals(only)),
            Err(values) if values.is_empty() => Node::nothing(),
            Err(values) => Node::Is(target, Test::In(values)),
        }
    }
}

impl Test {
    fn check(&self, target: &Target, source: &impl Source) -> Result<bool> {
        Ok(match target {
            Target::Key => self.accepts_text(source.key()?),
            Target::Seq => self.accepts(&seq_value(source.seq())),
            Target::Time => self.accepts(&time_value(source.time_us()?)),
            Target::Field(path) => {
                self.accepts(source.field(path)?.unwrap_or(Cow::Owned(Value::Null)).as_ref())
            }
        })
    }

    /// Whether the value, or an element of it if it is an array, is accepted. Null is missing.
    pub(super) fn accepts(&self, value: &Value) -> bool {
        if let Test::Exists(there) = self {
            return value.is_null() != *there;
        }
        let elements = value.as_array().unwrap_or(&[]);
        self.accepts_itself(value) || elements.iter().any(|element| self.accepts_itself(element))
    }

    fn accepts_itself(&self, value: &Value) -> bool {
        match self {
            Test::Equals(operand) => compare(value, operand).is_eq(),
            Test::In(list) => list.binary_search_by(|other| compare(other, value)).is_ok(),
            Test::Side(side, operand) => {
                order::same_type(value, operand) && side.accepts(compare(value, operand))
            }
            Test::Prefix(prefix) => value.as_str().is_some_and(|text| text.starts_with(prefix)),
            Test::Exists(there) => value.is_null() != *there,
        }
    }

    /// The same for a key, without making a value of it.
    pub(super) fn accepts_text(&self, text: &str) -> bool {
        let order = |value: &Value| value.as_str().map(|other| other.cmp(text));
        match self {
            Test::Equals(operand) => order(operand) == Some(Ordering::Equal),
            Test::In(list) => {
                list.binary_search_by(|other| order(other).unwrap_or(Ordering::Less)).is_ok()
            }
            Test::Side(side, operand) => {
                order(operand).is_some_and(|order| side.accepts(order.reverse()))
            }
            Test::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Test::Exists(there) => *there,
        }
    }
}
