//! Which order an access gives, and how near it comes to the one asked for.
//!
//! Entries of an index stand by their fields, and among equal ones the newest first; a reverse scan
//! turns both. The order asked for ends with the sequence number, ascending unless `-$seq` was
//! given. So an index gives an order exactly in one of its two directions, if at all, and in the
//! other but for the order of records with equal fields: those are runs.

use super::super::{IndexFields, Sort, SortKey, Target};
use super::{RunBy, Runs};

/// How near an access comes to the order asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// It gives it, or no order was asked for.
    Sorted,
    /// It gives it but for the order within runs.
    Runs(Runs),
    /// It does not.
    Unsorted,
}

/// An order and the direction to read in for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directed {
    pub(super) order: Order,
    pub(super) reverse: bool,
}

impl Directed {
    fn sorted(reverse: bool) -> Self {
        Directed { order: Order::Sorted, reverse }
    }

    fn runs(by: RunBy, newest_first: bool, reverse: bool) -> Self {
        Directed { order: Order::Runs(Runs { by, newest_first }), reverse }
    }

    fn unsorted() -> Self {
        Directed { order: Order::Unsorted, reverse: false }
    }
}

/// What the end of a sort comes to, once its fields of the document are used up.
enum Tail {
    /// By sequence number.
    Seq { newest_first: bool },
    /// By time, and within one time by sequence number in the other direction.
    TimeThenSeq { descending: bool, newest_first: bool },
    /// Something else.
    Other,
}

/// Commit times never decrease with sequence numbers: by time, then by sequence number in the same
/// direction, is by sequence number.
fn tail(keys: &[SortKey]) -> Tail {
    let (time, rest) = match keys {
        [time, rest @ ..] if time.target == Target::Time => (Some(time.descending), rest),
        keys => (None, keys),
    };
    let newest_first = match rest {
        [] => false,
        [seq, ..] if seq.target == Target::Seq => seq.descending,
        _ => return Tail::Other,
    };
    match time {
        Some(descending) if descending != newest_first => {
            Tail::TimeThenSeq { descending, newest_first }
        }
        _ => Tail::Seq { newest_first },
    }
}

/// The order of the ledger.
pub(super) fn of_ledger(sort: &Sort) -> Directed {
    if sort.is_empty() {
        return Directed::sorted(false);
    }
    match tail(sort.fields()) {
        Tail::Seq { newest_first } => Directed::sorted(newest_first),
        Tail::TimeThenSeq { descending, newest_first } => {
            Directed::runs(RunBy::Time, newest_first, descending)
        }
        Tail::Other => Directed::unsorted(),
    }
}

/// The order of keys. A key is given once, so that what stands behind it in a sort decides nothing.
pub(super) fn of_keys(sort: &Sort) -> Directed {
    match sort.fields() {
        [] => Directed::sorted(false),
        [first, ..] if first.target == Target::Key => Directed::sorted(first.descending),
        keys => match tail(keys) {
            Tail::Seq { newest_first } => Directed::runs(RunBy::Whole, newest_first, false),
            _ => Directed::unsorted(),
        },
    }
}

/// What is known of the entries that a scan of an index meets.
pub(super) struct Entries<'a> {
    pub(super) fields: &'a IndexFields,
    /// For each field, whether all entries that count have one value there.
    pub(super) pinned: &'a [bool],
    pub(super) unique: bool,
    /// Records may have several entries, and sort by other values than those of an entry.
    pub(super) arrays: bool,
}

/// The order of an index.
pub(super) fn of_index(entries: &Entries<'_>, sort: &Sort) -> Directed {
    let all_pinned = entries.pinned.iter().all(|pinned| *pinned);
    if sort.is_empty() || (entries.unique && all_pinned) {
        return Directed::sorted(false);
    }
    let fields = entries.fields.fields();
    let mut at = entries.next(0);
    let mut reverse = None;
    let mut keys = sort.fields();
    while let [SortKey { target: Target::Field(path), descending }, rest @ ..] = keys {
        if entries.arrays {
            return Directed::unsorted();
        }
        keys = rest;
        if entries.fields.position(path).is_some_and(|at| entries.pinned[at]) {
            continue;
        }
        let Some(field) = fields.get(at) else {
            // All fields are used up; if they are unique, nothing behind them decides.
            return match entries.unique {
                true => Directed::sorted(reverse.unwrap_or(false)),
                false => Directed::unsorted(),
            };
        };
        let turned = field.descending != *descending;
        if field.path != *path || reverse.is_some_and(|reverse| reverse != turned) {
            return Directed::unsorted();
        }
        reverse = Some(turned);
        at = entries.next(at + 1);
    }
    let used_up = at == fields.len();
    match (tail(keys), reverse) {
        (_, Some(reverse)) if used_up && entries.unique => Directed::sorted(reverse),
        (Tail::Seq { newest_first }, None) if used_up => Directed::sorted(!newest_first),
        (Tail::Seq { newest_first }, None) => Directed::runs(RunBy::Whole, newest_first, false),
        (Tail::Seq { newest_first }, Some(reverse)) if used_up && newest_first != reverse => {
            Directed::sorted(reverse)
        }
        (Tail::Seq { newest_first }, Some(reverse)) => {
            Directed::runs(RunBy::Fields(at), newest_first, reverse)
        }
        _ => Directed::unsorted(),
    }
}

impl Entries<'_> {
    /// The first field from `at` on that is not pinned.
    fn next(&self, at: usize) -> usize {
        let rest = self.pinned.iter().enumerate().skip(at);
        rest.filter(|(_, pinned)| !**pinned).map(|(at, _)| at).next().unwrap_or(self.pinned.len())
    }
}
