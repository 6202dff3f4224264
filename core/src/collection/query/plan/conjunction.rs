//! The conditions that every match has to pass, and what is left of them once an access guarantees
//! some.

use super::super::filter::{Node, Test};
use super::super::{Filter, Target};
use crate::document::Object;

/// Conditions of which all must hold, by their places.
pub(super) struct Conjunction<'a>(Vec<&'a Node>);

impl<'a> Conjunction<'a> {
    pub(super) fn of(filter: &'a Filter) -> Self {
        Conjunction(filter.0.conjuncts().iter().collect())
    }

    /// The conditions with those of `branch` in the place of the choice at `choice`.
    pub(super) fn choosing(&self, choice: usize, branch: &'a Node) -> Self {
        let others = self.0.iter().enumerate().filter(|(at, _)| *at != choice);
        Conjunction(others.map(|(_, node)| *node).chain(branch.conjuncts()).collect())
    }

    /// The choices among the conditions: the place and the branches of each.
    pub(super) fn choices(&self) -> impl Iterator<Item = (usize, &'a [Node])> {
        self.0.iter().enumerate().filter_map(|(at, node)| match node {
            Node::Or(branches) => Some((at, branches.as_slice())),
            _ => None,
        })
    }

    /// The tests of one target, each with its place.
    pub(super) fn tests(&self, target: &Target) -> Vec<(usize, &'a Test)> {
        let tests = self.0.iter().enumerate().filter_map(|(at, node)| match node {
            Node::Is(of, test) if of == target => Some((at, test)),
            _ => None,
        });
        tests.collect()
    }

    /// About the work of looking at all tests once.
    pub(super) fn values(&self) -> usize {
        let values = self.0.iter().map(|node| match node {
            Node::Is(_, Test::In(values)) => values.len(),
            _ => 1,
        });
        values.sum()
    }

    /// Whether nothing is left to check when those at `places`, none named twice, are guaranteed.
    pub(super) fn is_all_of(&self, places: &[usize]) -> bool {
        places.len() == self.0.len()
    }

    /// What is left to check when those at `places` are guaranteed.
    pub(super) fn without(&self, places: &[usize]) -> Filter {
        let left = self.0.iter().enumerate().filter(|(at, _)| !places.contains(at));
        Filter(Node::and(left.map(|(_, node)| (*node).clone())))
    }

    /// Those at `places`, for people.
    pub(super) fn shown(&self, places: &[usize]) -> Object {
        let shown = self.0.iter().enumerate().filter(|(at, _)| places.contains(at));
        Node::and(shown.map(|(_, node)| (*node).clone())).to_object()
    }
}
