//! Lost updates, found directly: whoever reads a version, and writes a later one of the same key
//! than the next, has written over what it never saw. A search for shortest cycles would meet only
//! those where it was the very next.

use super::Kind;
use super::cycles::{Cycle, Found, Step};
use super::graph::{Class, Edge, Graph, Reason};

/// Notes the lost updates of a tangle.
pub(super) fn updates<'h>(graph: &Graph<'h>, tangle: &[usize], found: &mut Found<'h>) {
    let transactions = tangle.iter().copied().filter(|node| *node < graph.transactions);
    let candidates = transactions.flat_map(|node| graph.from(node).iter().map(move |e| (node, e)));
    for (reader, edge) in candidates.filter(|(_, edge)| edge.class == Class::ReadWrite) {
        if let Some(cycle) = update(graph, reader, edge) {
            found.note(Kind::P4, cycle);
        }
    }
}

fn update<'h>(graph: &Graph<'h>, reader: usize, edge: &Edge<'h>) -> Option<Cycle<'h>> {
    let next = edge.reason.after?;
    let own = graph.wrote(reader, edge.reason.key, next.number.is_none())?;
    if own.place <= next.place {
        return None;
    }
    let reason =
        Reason { key: edge.reason.key, before: Some(next), after: Some(own), ..Reason::default() };
    let over = Edge { to: reader, class: Class::WriteWrite, timed: false, reason };
    Some(vec![Step { from: reader, edge: *edge }, Step { from: edge.to, edge: over }])
}
