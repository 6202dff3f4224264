//! What a draft is likely to cost, and the choice of the cheapest. Costs are in units of one index
//! entry read in passing; only their relations matter.
//!
//! The number of matches is what a draft reads that leaves nothing to check, or else the least that
//! any draft allows, thinned by a guess for what it leaves. If the order is right and there is a
//! limit, reading ends after the share of entries that holds as many matches; a run is taken for the
//! square root of all entries. Matches that are only counted are not fetched.

use super::super::filter::{Node, Test};
use super::order::Order;
use super::{Access, Draft, Plan, RunBy, Runs, Statistics};

/// A record found by its sequence number: a place in the ledger, a frame to decompress, a document.
const RECORD: f64 = 20.0;
/// The next record of a scan of the ledger, with its document, and without it.
const NEXT_RECORD: f64 = 4.0;
const NEXT_LEAF: f64 = 2.0;
/// The start of a range or the lookup of a key: every table is asked.
const SEEK: f64 = 5.0;
/// The start of a scan of the ledger, as if it had some hundred records more: on a small collection
/// every plan is fast, and one that stays the same as it grows is easier to trust.
const LEDGER_START: f64 = 2000.0;
/// Sorting one record, for each doubling of their number.
const SORT_STEP: f64 = 0.1;

/// What becomes of the matches.
#[derive(Clone, Copy)]
pub(super) enum Aim {
    /// They are shown, up to a limit.
    Show { limit: Option<u64> },
    /// They are counted.
    Count,
}

pub(super) fn cheapest(drafts: Vec<Draft>, aim: Aim, statistics: &dyn Statistics) -> Plan {
    let matches = matches(&drafts, statistics);
    let mut best: Option<(Costs, Draft)> = None;
    for draft in drafts {
        let costs = costs(&draft, matches, aim);
        // Of equal costs the first one stays, so that plans do not change without a reason.
        if best.as_ref().is_none_or(|(best, _)| costs.all < best.all) {
            best = Some((costs, draft));
        }
    }
    match best {
        Some((costs, draft)) => finish(draft, costs.read),
        None => finish(Draft::nothing("there is nothing to read"), 0.0),
    }
}

/// About how many records match: what a draft that leaves nothing to check reads, or else the least
/// that is left of any draft by a guess.
fn matches(drafts: &[Draft], statistics: &dyn Statistics) -> f64 {
    let exact = drafts.iter().filter(|draft| draft.residual.is_all());
    let guessed = drafts.iter().map(|draft| draft.entries as f64 * share(&draft.residual.0));
    let known = exact.map(|draft| draft.entries).min().map(|entries| entries as f64);
    known.unwrap_or_else(|| guessed.fold(statistics.records() as f64, f64::min))
}

struct Costs {
    all: f64,
    /// Entries or records read.
    read: f64,
}

fn costs(draft: &Draft, matches: f64, aim: Aim) -> Costs {
    let entries = draft.entries as f64;
    let matches = matches.min(entries);
    let wanted = match aim {
        Aim::Show { limit: Some(limit) } => matches.min(limit as f64),
        Aim::Show { limit: None } | Aim::Count => matches,
    };
    let share_read = if matches > 0.0 { wanted / matches } else { 1.0 };
    // Records whose document is needed to decide, or to sort or show a match.
    let fetched = |read: f64, matching: f64| match (draft.covered, aim) {
        (true, Aim::Count) => 0.0,
        (true, Aim::Show { .. }) => matching,
        (false, _) => read,
    };
    let (read, records, sorted) = match draft.order {
        Order::Sorted => (entries * share_read, fetched(entries * share_read, wanted), 0.0),
        Order::Runs(Runs { by: RunBy::Whole, .. }) => {
            (entries, fetched(entries * share_read, wanted), entries)
        }
        Order::Runs(_) => {
            let read = (entries * share_read + entries.sqrt()).min(entries);
            (read, fetched(entries * share_read, wanted), read)
        }
        Order::Unsorted => (entries, fetched(entries, matches), matches),
    };
    let reading = match &draft.access {
        Access::Nothing => 0.0,
        Access::Ledger { .. } => {
            let next = if draft.residual.needs_document() { NEXT_RECORD } else { NEXT_LEAF };
            LEDGER_START + read * next
        }
        Access::Keys { .. } => read * SEEK + records * RECORD,
        Access::KeyRange { .. } => SEEK + read + records * RECORD,
        Access::Index { ranges, .. } => ranges.len() as f64 * SEEK + read + records * RECORD,
    };
    let all = reading + sorted * (sorted + 1.0).log2() * SORT_STEP;
    Costs { all, read }
}

fn finish(draft: Draft, read: f64) -> Plan {
    let runs = if let Order::Runs(runs) = draft.order { Some(runs) } else { None };
    let estimate = read.ceil() as u64;
    let why = match draft.access {
        Access::Nothing => draft.how,
        _ => {
            let early = if estimate < draft.entries { ", where the limit ends it" } else { "" };
            let (order, unit) = (order_in_words(draft.order), unit(&draft.access, estimate));
            format!("{}; {order}about {estimate} {unit} to read{early}", draft.how)
        }
    };
    Plan {
        access: draft.access,
        residual: draft.residual,
        sorted: draft.order == Order::Sorted,
        runs,
        covered: draft.covered,
        estimate,
        why,
        index_name: draft.index_name,
        conditions: draft.conditions,
    }
}

fn order_in_words(order: Order) -> &'static str {
    match order {
        Order::Sorted => "",
        Order::Runs(Runs { by: RunBy::Whole, .. }) => "put in order before records are read; ",
        Order::Runs(_) => "equal records are put in order; ",
        Order::Unsorted => "all matches are sorted; ",
    }
}

fn unit(access: &Access, count: u64) -> &'static str {
    match (access, count) {
        (Access::Index { .. }, 1) => "entry",
        (Access::Index { .. }, _) => "entries",
        (_, 1) => "record",
        _ => "records",
    }
}

/// The share of records a filter is guessed to accept.
fn share(node: &Node) -> f64 {
    match node {
        Node::And(nodes) => nodes.iter().map(share).product::<f64>().max(0.001),
        Node::Or(nodes) => nodes.iter().map(share).sum::<f64>().min(1.0),
        Node::Not(node) => (1.0 - share(node)).max(0.001),
        Node::Is(_, test) => match test {
            Test::Equals(_) | Test::Prefix(_) | Test::Exists(false) => 0.1,
            Test::In(values) => (0.1 * values.len() as f64).min(0.5),
            Test::Side(..) => 0.3,
            Test::Exists(true) => 0.9,
        },
    }
}
