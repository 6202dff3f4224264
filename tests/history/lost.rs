//! Lost updates, found directly: whoever reads a version, and writes a later one of the same key
//! than the next, has written over what it never saw. A search for shortest cycles would meet only
//! those where it was the very next; and of a version nobody told, no cycle tells.

use std::collections::HashSet;

use super::cycles::{Cycle, Found, Step};
use super::graph::{Class, Edge, Graph, Reason};
use super::versions::{Gap, Versions};
use super::{History, Kind, Op, Report};

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

/// Tells of those who wrote the version after a missing one, though they had read one before that.
pub(super) fn unseen(history: &History, versions: &Versions<'_>, report: &mut Report) {
    for (index, transaction) in history.transactions.iter().enumerate() {
        if !versions.committed[index] {
            continue;
        }
        let mut own: HashSet<&str> = HashSet::new();
        let mut judge = |key: &str, value: Option<i64>| {
            let Some(chain) = versions.registers.get(key) else { return };
            let place = value.map_or(Some(0), |value| chain.place(value));
            let next = place.and_then(|place| chain.at(place + 1));
            if next.is_some_and(|next| next.by == index && next.gap == Gap::Foreign) {
                let id = transaction.id;
                let reason = format!(
                    "T{id} read {key} and wrote it, and somebody who was never answered had \
                     written it between"
                );
                report.tell(Kind::P4, vec![id], reason);
            }
        };
        for op in &transaction.ops {
            match op {
                Op::Write { key, .. } => {
                    own.insert(key);
                }
                Op::Read { key, seen } if !own.contains(key.as_str()) => {
                    judge(key, seen.map(|seen| seen.value));
                }
                Op::ReadWhere { matched, .. } => {
                    let foreign = matched.iter().filter(|(key, _)| !own.contains(key.as_str()));
                    foreign.for_each(|(key, seen)| judge(key, Some(seen.value)));
                }
                _ => {}
            }
        }
    }
}
