//! Which phenomenon a cycle is, and its edges in words.
//!
//! A cycle without real time and with exactly one anti-dependency has four names, the first that
//! fits:
//!
//! - **P4**, lost update: all its edges are about one key, and its reader wrote over what it had
//!   not seen (Berenson et al., "A Critique of ANSI SQL Isolation Levels", 1995).
//! - **PMP**, predicate-many-preceders: two reads by predicate of one transaction disagree on
//!   whether a record is selected (Bailis et al., "Highly Available Transactions", 2013, as tried
//!   by Hermitage).
//! - **OTV**, observed transaction vanishes: the transaction had seen of the other before it read
//!   what is older (the same; Adya's G-monotonic).
//! - **G-single** otherwise.
//!
//! Between two transactions there may be many edges of one class; the name is that which some of
//! them give, and these are told.

use super::cycles::{Cycle, Step};
use super::graph::{Class, Edge, Graph, How, Reason};
use super::versions::Version;
use super::{History, Kind};

/// The cycle beginning with an anti-dependency, if it has one.
pub(super) fn canonical(mut cycle: Cycle<'_>) -> Cycle<'_> {
    if let Some(place) = cycle.iter().position(|step| step.edge.class.is_rw()) {
        cycle.rotate_left(place);
    }
    cycle
}

/// What a cycle is an instance of; its edges become those that show it.
pub(super) fn name<'h>(history: &'h History, graph: &Graph<'h>, cycle: &mut Cycle<'h>) -> Kind {
    *cycle = canonical(std::mem::take(cycle));
    let count = |class: Class| cycle.iter().filter(|step| step.edge.class == class).count();
    let predicate = count(Class::PredicateReadWrite);
    let anti = count(Class::ReadWrite) + predicate;
    let is_timed = cycle.iter().any(|step| step.edge.timed);
    match anti {
        0 if count(Class::WriteRead) == 0 => Kind::G0,
        0 => Kind::G1c,
        1 if is_timed => Kind::GSingle,
        1 => one(history, graph, cycle),
        _ if predicate > 0 => Kind::G2,
        _ if !is_timed && is_about_one_key(graph, cycle) => Kind::P4,
        _ => Kind::G2Item,
    }
}

fn one<'h>(history: &'h History, graph: &Graph<'h>, cycle: &mut Cycle<'h>) -> Kind {
    if is_about_one_key(graph, cycle) {
        return Kind::P4;
    }
    let [first, .., last] = &mut cycle[..] else { return Kind::GSingle };
    // Whoever it came after by a write, it may have read of too.
    let class = Class::WriteRead;
    let seen = Step { edge: Edge { class, ..last.edge }, ..*last };
    let into = reasons(graph, &seen);
    let mut out = reasons(graph, first);
    out.push(first.edge.reason);
    if first.edge.class == Class::PredicateReadWrite {
        let mut keys: Vec<&str> = into.iter().map(|seen| seen.key).collect();
        keys.push(first.edge.reason.key);
        let (reader, writer) = (first.from, first.edge.to);
        for key in keys {
            out.extend(graph.selections.missed(history, reader, writer, key));
        }
    }
    let pairs = || out.iter().flat_map(|out| into.iter().map(move |into| (out, into)));
    for (kind, fits) in [(Kind::PMP, disagree as fn(&_, &_) -> bool), (Kind::OTV, vanishes)] {
        if let Some((out, into)) = pairs().find(|(out, into)| fits(out, into)) {
            (first.edge.reason, last.edge.reason) = (*out, *into);
            last.edge.class = class;
            return kind;
        }
    }
    Kind::GSingle
}

/// Whether two reads by predicate, one of what was before and one of what came after, disagree on
/// whether a key is selected.
fn disagree(out: &Reason<'_>, into: &Reason<'_>) -> bool {
    let by_predicate = out.how != How::Key && into.how != How::Key;
    let missed = |reason: &Reason<'_>| matches!(reason.how, How::Missed(_));
    let differ = missed(out) != missed(into);
    out.key == into.key && out.op != into.op && by_predicate && differ
}

/// Whether what came after had been read before that which it replaces.
fn vanishes(out: &Reason<'_>, into: &Reason<'_>) -> bool {
    into.op < out.op
}

/// The reasons of all edges beside that of a step. If that leads on by other nodes there are none.
fn reasons<'h>(graph: &Graph<'h>, step: &Step<'h>) -> Vec<Reason<'h>> {
    let Step { from, edge } = step;
    let beside = graph.from(*from).iter();
    let beside = beside
        .filter(|other| (other.to, other.class, other.timed) == (edge.to, edge.class, edge.timed));
    beside.map(|edge| edge.reason).collect()
}

/// Whether all edges may be about one key, none of them a read of what another wrote; if so they
/// become that.
fn is_about_one_key<'h>(graph: &Graph<'h>, cycle: &mut Cycle<'h>) -> bool {
    let fits = |step: &Step<'_>| matches!(step.edge.class, Class::WriteWrite | Class::ReadWrite);
    if !cycle.iter().all(fits) {
        return false;
    }
    let all: Vec<Vec<Reason<'h>>> = cycle.iter().map(|step| reasons(graph, step)).collect();
    let about = |reasons: &[Reason<'h>], key: &str, list: bool| {
        reasons.iter().find(|reason| reason.key == key && is_list(reason) == list).copied()
    };
    for reason in all.first().into_iter().flatten() {
        let same = all.iter().map(|reasons| about(reasons, reason.key, is_list(reason)));
        if let Some(same) = same.collect::<Option<Vec<_>>>() {
            cycle.iter_mut().zip(same).for_each(|(step, reason)| step.edge.reason = reason);
            return true;
        }
    }
    false
}

fn is_list(reason: &Reason<'_>) -> bool {
    reason.after.is_some_and(|after| after.number.is_none())
}

/// An edge in words.
pub(super) fn explain(history: &History, step: &Step<'_>) -> String {
    let Step { from, edge } = step;
    let [left, right] = [*from, edge.to].map(|node| history.transactions[node].id);
    let Reason { key, before, after, how, .. } = edge.reason;
    let told = |version: Option<Version>| match version {
        None => format!("no {key}"),
        Some(Version { value, number: Some(number), .. }) => format!("{key}={value}@{number}"),
        Some(Version { value, number: None, .. }) => format!("{key}+{value}"),
    };
    let (before, after) = (told(before), told(after));
    let (arrow, reason) = match (edge.class, how) {
        (Class::WriteWrite, _) => {
            ("ww", format!("T{left} wrote {before}, and T{right} {after} after it"))
        }
        (Class::WriteRead, How::Key) => {
            ("wr", format!("T{right} read {before}, which T{left} wrote"))
        }
        (Class::WriteRead, How::Selected(by)) => {
            ("wr", format!("T{right} selected {before} by \"{by}\", which T{left} wrote"))
        }
        (Class::WriteRead, How::Missed(by)) => {
            let reason =
                format!("T{right} did not select {key} by \"{by}\" once T{left} wrote {before}");
            ("wr", reason)
        }
        (Class::ReadWrite, How::Selected(by)) => {
            let reason =
                format!("T{left} selected {before} by \"{by}\", and T{right} wrote {after} next");
            ("rw", reason)
        }
        (Class::ReadWrite, _) => {
            ("rw", format!("T{left} read {before}, and T{right} wrote {after} next"))
        }
        (Class::PredicateReadWrite, How::Missed(by) | How::Selected(by)) => {
            let reason = format!(
                "T{left} did not select {key} by \"{by}\", and T{right} wrote {after}, which it \
                 selects"
            );
            ("rw", reason)
        }
        _ => ("rt", format!("T{left} had ended before T{right} began")),
    };
    let timed = edge.timed && edge.class != Class::RealTime;
    let since = if timed { " (real time leaves no other version)" } else { "" };
    format!("T{left} -{arrow}-> T{right}: {reason}{since}")
}
