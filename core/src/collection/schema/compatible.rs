//! Comparing two schemas: what could the newer refuse that the older accepts? A simulation of one
//! automaton by the other (Milner, "An algebraic definition of simulation between programs", 1971):
//! the pair of nodes responsible for one value is compared, then the pairs for its fields and its
//! items, each pair once. The answer is conservative: what it cannot decide it reports, so that an
//! empty answer is a promise.
//!
//! The claim for a pair is: whatever value the older node accepts after filling in its defaults,
//! the newer accepts after filling in its own. A default satisfies the schema of its field (the
//! compiler makes sure), so a missing field that the newer schema fills in is never the fault.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt::Display;

use super::check::check;
use super::default::fill_document;
use super::findings::{Findings, Found, Path, shorten};
use super::kinds::Kinds;
use super::node::{ANYTHING, NOTHING, Node, NodeId};
use super::order::{self, Number};
use crate::document::Value;
use crate::error::Violation;
use crate::limits::{SCHEMA_COMPARE_STEPS_MAX, VIOLATION_FOUND_CHARS_MAX};

/// One side of the comparison.
#[derive(Clone, Copy)]
pub(super) struct Side<'n> {
    pub(super) nodes: &'n [Node],
    pub(super) root: NodeId,
}

/// What in `newer` could refuse a document that `older` accepts.
pub(super) fn compare(older: Side<'_>, newer: Side<'_>) -> Vec<Violation> {
    let root = Step { pair: (older.root, newer.root), from: None };
    let mut comparison = Comparison {
        older: older.nodes,
        newer: newer.nodes,
        steps: vec![root],
        seen: HashSet::new(),
        work: 0,
        findings: Findings::default(),
    };
    // Of the pair of roots only objects matter; met again further down, it is one like any other.
    comparison.compare_pair(0, Kinds::OBJECT);
    let mut next = 1;
    while next < comparison.steps.len() && !comparison.findings.is_full() {
        comparison.compare_pair(next, Kinds::ALL);
        next += 1;
        if comparison.work > SCHEMA_COMPARE_STEPS_MAX {
            let found =
                format!("schemas that take more than {SCHEMA_COMPARE_STEPS_MAX} steps to compare");
            comparison.add(String::new(), "$ref", found);
            break;
        }
    }
    comparison.findings.into_violations()
}

/// A pair of nodes, and how one comes to it: from which step, by which field (none: any item, or
/// any field that has no name), and the keyword to blame if the newer node accepts nothing.
struct Step<'n> {
    pair: (NodeId, NodeId),
    from: Option<(usize, Option<&'n str>, &'static str)>,
}

struct Comparison<'n> {
    older: &'n [Node],
    newer: &'n [Node],
    steps: Vec<Step<'n>>,
    seen: HashSet<(NodeId, NodeId)>,
    work: usize,
    findings: Findings,
}

impl<'n> Comparison<'n> {
    /// Compares the pair of a step for values of the kinds `limit`.
    fn compare_pair(&mut self, step: usize, limit: Kinds) {
        let (older_id, newer_id) = self.steps[step].pair;
        let (older, newer) = (&self.older[older_id], &self.newer[newer_id]);
        if newer_id == ANYTHING || older.kinds.is_empty() {
            return;
        }
        if let (NOTHING, Some((_, _, rule))) = (newer_id, self.steps[step].from) {
            return self.report(step, rule, "no value is accepted any more");
        }
        let (tried, open) = split(older);
        let open = open.and(limit);
        let refused = open.without(newer.kinds);
        let undecided = limit.without(refused);
        self.try_values(step, tried.iter().filter(|value| undecided.meets(Kinds::of(value))));
        if !refused.is_empty() {
            let rule = newer.kind_rule(refused);
            self.report(step, rule, format_args!("{refused} is not accepted any more"));
        }
        let open = open.and(newer.kinds);
        if !newer.choices.is_empty() {
            self.compare_with_choices(step, open);
        }
        if open.meets(Kinds::NUMBER) {
            self.compare_numbers(step, older, newer);
        }
        if open.meets(Kinds::STRING.or(Kinds::BINARY)) {
            self.compare_lengths(step, older, newer);
        }
        if open.meets(Kinds::STRING) {
            self.compare_patterns(step, older, newer);
        }
        if open.meets(Kinds::ARRAY) {
            self.follow(step, (older.items, newer.items), None, "items");
        }
        if open.meets(Kinds::OBJECT) {
            self.compare_fields(step, older, newer);
        }
    }

    /// Compares values of the kinds `open` with the list that the newer node has: a list holds few
    /// of most kinds, and can hold all of null and boolean.
    fn compare_with_choices(&mut self, step: usize, open: Kinds) {
        let few = [Value::Null, Value::Bool(false), Value::Bool(true)];
        if open.without(Kinds::NULL.or(Kinds::BOOLEAN)).is_empty() {
            self.try_values(step, few.iter().filter(|value| open.meets(Kinds::of(value))));
        } else {
            self.report(step, "enum", "values outside the list are not accepted any more");
        }
    }

    /// Where the older node accepts so few values that each can be tried: reports the rules that
    /// any of them breaks, with the first and the number of those that break it.
    fn try_values<'v>(&mut self, step: usize, values: impl Iterator<Item = &'v Value>) {
        let (older_id, newer_id) = self.steps[step].pair;
        let mut broken: Vec<(Violation, &Value, u64)> = Vec::new();
        for value in values {
            self.work += 1;
            if first_fault(self.older, older_id, value).is_some() {
                continue;
            }
            let Some(fault) = first_fault(self.newer, newer_id, value) else { continue };
            let same = |other: &&mut (Violation, &Value, u64)| {
                other.0.rule == fault.rule && other.0.path == fault.path
            };
            match broken.iter_mut().find(same) {
                Some((_, _, count)) => *count += 1,
                None => broken.push((fault, value, 1)),
            }
        }
        for (fault, value, count) in broken {
            let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
            let example = shorten(Found(value), VIOLATION_FOUND_CHARS_MAX / 2);
            let found = format_args!("{example}{more} not accepted any more");
            self.add(join(&self.path(step), &fault.path), &fault.rule, found);
        }
    }

    fn compare_numbers(&mut self, step: usize, older: &Node, newer: &Node) {
        let is_wider = |old: Option<Number>, new: Option<Number>, wider: Ordering| {
            new.is_some_and(|new| old.is_none_or(|old| old.compare(new) == wider))
        };
        if is_wider(older.minimum, newer.minimum, Ordering::Less) {
            self.report(step, "minimum", change(older.minimum, newer.minimum));
        }
        if is_wider(older.maximum, newer.maximum, Ordering::Greater) {
            self.report(step, "maximum", change(older.maximum, newer.maximum));
        }
    }

    fn compare_lengths(&mut self, step: usize, older: &Node, newer: &Node) {
        if older.length_min < newer.length_min {
            let found = change(Some(older.length_min), Some(newer.length_min));
            self.report(step, "minLength", found);
        }
        if older.length_max > newer.length_max {
            let bounded = |length| (length < u64::MAX).then_some(length);
            let found = change(bounded(older.length_max), bounded(newer.length_max));
            self.report(step, "maxLength", found);
        }
    }

    /// Whether one pattern implies another is not decided; the same text does.
    fn compare_patterns(&mut self, step: usize, older: &Node, newer: &Node) {
        for pattern in &newer.patterns {
            if !older.patterns.iter().any(|other| other.as_str() == pattern.as_str()) {
                let found = format_args!("{} is a new pattern", pattern.as_str());
                self.report(step, "pattern", found);
            }
        }
    }

    fn compare_fields(&mut self, step: usize, older: &'n Node, newer: &'n Node) {
        let mut names: Vec<&'n str> =
            older.edges.iter().chain(&newer.edges).map(|edge| &*edge.name).collect();
        names.sort_by(|a, b| order::compare_names(a, b));
        names.dedup();
        self.work += names.len();
        for name in names {
            let ((old, _), (new, refused_by)) = (older.child(name), newer.child(name));
            self.follow(step, (old, new), Some(name), refused_by);
        }
        self.follow(step, (older.additional, newer.additional), None, "additionalProperties");
        for edge in newer.required.iter().map(|at| &newer.edges[*at]) {
            if edge.default.is_some() {
                continue;
            }
            let place = older.edges.binary_search_by(|o| order::compare_names(&o.name, &edge.name));
            let found = match place.ok().map(|at| &older.edges[at]) {
                Some(older) if older.required && older.default.is_none() => continue,
                Some(older) if older.default.is_some() => "a default that is no longer there",
                _ => "a field that could be missing",
            };
            self.add(join(&self.path(step), &edge.name), "required", found);
        }
    }

    fn follow(
        &mut self,
        from: usize,
        pair: (NodeId, NodeId),
        name: Option<&'n str>,
        rule: &'static str,
    ) {
        // What is refused altogether is told of every field; it leads nowhere else.
        if pair.1 == NOTHING || self.seen.insert(pair) {
            self.work += 1;
            self.steps.push(Step { pair, from: Some((from, name, rule)) });
        }
    }

    fn report(&mut self, step: usize, rule: &str, found: impl Display) {
        self.add(self.path(step), rule, found);
    }

    fn add(&mut self, path: String, rule: &str, found: impl Display) {
        self.findings.add(path, rule, "what the older schema accepts", found);
    }

    /// The way to a step: dotted, `*` for any item and any field without a name of its own.
    fn path(&self, step: usize) -> String {
        let mut names = Vec::new();
        let mut at = step;
        while let Some((from, name, _)) = self.steps[at].from {
            names.push(name.unwrap_or("*"));
            at = from;
        }
        names.reverse();
        names.join(".")
    }
}

/// What a node accepts, split in two: values that can be tried one by one, and the kinds of all
/// others, which have to be reasoned about.
fn split(node: &Node) -> (Vec<Value>, Kinds) {
    let Some(choices) = node.choices.iter().min_by_key(|choices| choices.len()) else {
        return (Vec::new(), node.kinds);
    };
    let mut tried = Vec::new();
    let mut open = Kinds::NONE;
    for choice in choices.iter() {
        match choice {
            // Numbers in it may be of either kind, and fields may be missing that are filled in:
            // too many values are equal to this one in the end.
            Value::Array(_) | Value::Object(_) if node.fills || holds_number(choice) => {
                open = open.or(Kinds::of(choice));
            }
            _ => {
                tried.extend(Number::of(choice).and_then(Number::twin));
                tried.push(choice.clone());
            }
        }
    }
    (tried, open.and(node.kinds))
}

fn holds_number(value: &Value) -> bool {
    match value {
        Value::Int(_) | Value::Float(_) => true,
        Value::Array(items) => items.iter().any(holds_number),
        Value::Object(fields) => fields.iter().any(|(_, value)| holds_number(value)),
        _ => false,
    }
}

/// The first rule that `value` breaks, its defaults filled in.
fn first_fault(nodes: &[Node], node: NodeId, value: &Value) -> Option<Violation> {
    let mut value = value.clone();
    if let Err(error) = fill_document(nodes, node, &mut value, 0) {
        let rule = "default".to_owned();
        return Some(Violation { path: String::new(), rule, found: error.to_string() });
    }
    let mut findings = Findings::default();
    check(nodes, node, &value, &Path::Root, &mut findings);
    findings.into_violations().into_iter().next()
}

/// How a bound moved, in words.
fn change<T: Display>(old: Option<T>, new: Option<T>) -> String {
    let word = |bound: Option<T>| bound.map_or_else(|| "none".to_owned(), |b| b.to_string());
    format!("from {} to {}", word(old), word(new))
}

/// The path of `below`, which is relative to `path`.
fn join(path: &str, below: &str) -> String {
    match (path, below) {
        ("", path) | (path, "") => path.to_owned(),
        _ => format!("{path}.{below}"),
    }
}
