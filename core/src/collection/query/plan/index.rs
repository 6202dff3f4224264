//! The ways to read one index: conditions on its leading fields become ranges of its keys.
//!
//! Field by field: equalities and lists become points, each point of one field under each of the
//! fields before; the first field with anything wider, or with no condition, ends the ranges.
//!
//! An index that holds arrays takes one condition per field: entries of one record hold different
//! elements, and two conditions may be met by two of them. An index that is sparse is used only if
//! the filter refuses every record that is not in it.

use super::super::filter::{Node, Test};
use super::super::interval::{self, ByteRange, Interval};
use super::super::{FieldPath, Filter, Sort, Target};
use super::conjunction::Conjunction;
use super::order::{self, Directed, Entries, Order};
use super::{Access, Draft, IndexStat, RunBy, Runs, Statistics};
use crate::document::Object;
use crate::limits::{PLAN_RANGES_BYTES_MAX, PLAN_RANGES_MAX};

/// Values looked at over all branches of all choices and indexes: planning takes milliseconds, whatever
/// the filter. Choices beyond are checked record by record.
pub(super) const CHOICE_WORK_MAX: usize = 100_000;
/// Branches of a choice that are kept for people.
const SHOWN_BRANCHES_MAX: usize = 20;
/// Ranges whose entries are counted; of more, as many are taken as a sample.
const COUNTED_RANGES_MAX: usize = 64;

pub(super) fn drafts(
    filter: &Filter,
    sort: &Sort,
    index: &IndexStat<'_>,
    statistics: &dyn Statistics,
    work: &mut usize,
) -> Vec<Draft> {
    let paths: Vec<&FieldPath> = index.fields.fields().iter().map(|field| &field.path).collect();
    if index.sparse && filter.may_match_missing(&paths) {
        return Vec::new();
    }
    let conditions = Conjunction::of(filter);
    let mut drafts: Vec<Draft> = walks(index, &conditions)
        .into_iter()
        .filter_map(|walk| {
            let residual = conditions.without(&walk.exact);
            let shown = vec![conditions.shown(&walk.used)];
            draft(index, walk, residual, shown, sort, statistics)
        })
        .collect();
    for (place, branches) in conditions.choices() {
        let needed = branches.len().saturating_mul(conditions.values());
        let Some(left) = work.checked_sub(needed) else { continue };
        *work = left;
        if let Some((walk, exact, shown)) = union(index, &conditions, place, branches) {
            let residual = if exact { Filter::all() } else { filter.clone() };
            drafts.extend(draft(index, walk, residual, shown, sort, statistics));
        }
    }
    drafts
}

/// The ranges of an index that conditions on its leading fields leave.
#[derive(Clone)]
struct Walk {
    ranges: Vec<ByteRange>,
    /// Leading fields with a condition.
    fields: usize,
    /// For each field, whether one value remains among the entries that can match.
    pinned: Vec<bool>,
    /// The conditions that made the ranges.
    used: Vec<usize>,
    /// Those of them that the ranges say all of.
    exact: Vec<usize>,
}

/// One walk, or several that differ in the last condition if the index holds arrays.
fn walks(index: &IndexStat<'_>, conditions: &Conjunction<'_>) -> Vec<Walk> {
    let fields = index.fields.fields();
    let per_field: Vec<Vec<Narrowing>> = fields
        .iter()
        .map(|field| narrowings(index, conditions, &Target::Field(field.path.clone())))
        .collect();
    let mut walk = Walk {
        ranges: Vec::new(),
        fields: 0,
        // An entry with another value is no match, wherever the field stands.
        pinned: per_field
            .iter()
            .map(|ways| !index.holds_arrays && ways.iter().any(Narrowing::is_one))
            .collect(),
        used: Vec::new(),
        exact: Vec::new(),
    };
    let mut prefixes: Vec<Vec<u8>> = vec![Vec::new()];
    for (at, (field, ways)) in fields.iter().zip(per_field).enumerate() {
        if let Some(points) = ways.iter().find(|way| way.points && way.fits(&prefixes)) {
            walk.fields = at + 1;
            walk.pinned[at] |= points.is_one();
            walk.used.extend(&points.used);
            walk.exact.extend(&points.exact);
            prefixes = points.under(&prefixes, field.descending);
            continue;
        }
        let wider: Vec<Narrowing> = ways
            .into_iter()
            .filter_map(Narrowing::joined)
            .filter(|way| way.fits(&prefixes))
            .collect();
        if wider.is_empty() {
            break;
        }
        walk.fields = at + 1;
        return wider.iter().map(|way| walk.ended(way, &prefixes, field.descending)).collect();
    }
    walk.ranges = prefixes.iter().map(|prefix| ByteRange::of_prefix(prefix)).collect();
    vec![walk]
}

impl Walk {
    /// The walk that ends with one interval under each prefix.
    fn ended(&self, way: &Narrowing, prefixes: &[Vec<u8>], descending: bool) -> Walk {
        let mut walk = self.clone();
        walk.used.extend(&way.used);
        walk.exact.extend(&way.exact);
        for prefix in prefixes {
            let ranges = way.intervals.iter().map(|interval| interval.range(prefix, descending));
            walk.ranges.extend(ranges);
        }
        walk
    }
}

/// What one or more conditions leave of a field.
struct Narrowing {
    intervals: Vec<Interval>,
    /// Every interval is a single value.
    points: bool,
    used: Vec<usize>,
    exact: Vec<usize>,
}

/// What the conditions on a field leave: all of them together; or each for itself, fewest points
/// first, if the index holds arrays.
fn narrowings(
    index: &IndexStat<'_>,
    conditions: &Conjunction<'_>,
    target: &Target,
) -> Vec<Narrowing> {
    let tests = conditions.tests(target);
    if tests.is_empty() {
        return Vec::new();
    }
    if index.holds_arrays {
        let single = |(place, test): &(usize, &Test)| {
            // An array that holds a null has the entry of null, and yet it exists.
            let exact = if matches!(test, Test::Exists(false)) { vec![] } else { vec![*place] };
            Narrowing::new(interval::of_test(test), vec![*place], exact)
        };
        let mut ways: Vec<Narrowing> = tests.iter().map(single).collect();
        ways.sort_by_key(|way| (!way.points, way.intervals.len()));
        return ways;
    }
    let mut intervals = vec![Interval::everything()];
    for (_, test) in &tests {
        intervals = interval::intersect(&intervals, &interval::of_test(test));
    }
    let places: Vec<usize> = tests.iter().map(|(place, _)| *place).collect();
    vec![Narrowing::new(intervals, places.clone(), places)]
}

impl Narrowing {
    fn new(intervals: Vec<Interval>, used: Vec<usize>, exact: Vec<usize>) -> Self {
        let points = intervals.iter().all(Interval::is_point);
        Narrowing { intervals, points, used, exact }
    }

    /// One interval instead of several: it then says less than the conditions.
    fn joined(mut self) -> Option<Self> {
        if self.intervals.len() > 1 {
            self.exact.clear();
        }
        self.points = false;
        self.intervals = vec![Interval::hull(&self.intervals)?];
        Some(self)
    }

    /// Whether a single value is left.
    fn is_one(&self) -> bool {
        self.points && self.intervals.len() == 1
    }

    /// Whether the intervals under each prefix stay within the limits.
    fn fits(&self, prefixes: &[Vec<u8>]) -> bool {
        let count = self.intervals.len().saturating_mul(prefixes.len());
        let own: usize = self.intervals.iter().map(Interval::bytes).sum();
        let before: usize = prefixes.iter().map(Vec::len).sum();
        let bytes = own
            .saturating_mul(prefixes.len())
            .saturating_add(before.saturating_mul(self.intervals.len()));
        count <= PLAN_RANGES_MAX && bytes <= PLAN_RANGES_BYTES_MAX
    }

    /// The points under each prefix, in the order of the index.
    fn under(&self, prefixes: &[Vec<u8>], descending: bool) -> Vec<Vec<u8>> {
        let mut out = Vec::with_capacity(prefixes.len() * self.intervals.len());
        for prefix in prefixes {
            let first = out.len();
            out.extend(self.intervals.iter().map(|point| point.extend(prefix, descending)));
            if descending {
                out[first..].reverse();
            }
        }
        out
    }
}

/// The draft of a walk, if it is good for anything: it bounds, sorts, or decides without documents.
fn draft(
    index: &IndexStat<'_>,
    walk: Walk,
    residual: Filter,
    conditions: Vec<Object>,
    sort: &Sort,
    statistics: &dyn Statistics,
) -> Option<Draft> {
    if walk.ranges.is_empty() {
        let how = format!("no value of index {} fits all conditions", index.name);
        return Some(Draft::nothing(&how));
    }
    let entries = Entries {
        fields: index.fields,
        pinned: &walk.pinned,
        unique: index.unique,
        arrays: index.holds_arrays,
    };
    let Directed { order, reverse } = order::of_index(&entries, sort);
    let in_order = matches!(order, Order::Sorted | Order::Runs(Runs { by: RunBy::Fields(_), .. }));
    let covers = |path: &FieldPath| index.fields.position(path).is_some();
    let covered = residual.is_all() || (!index.holds_arrays && residual.decided_by(covers));
    let sorts = in_order && !sort.is_empty();
    let decides = covered && !residual.is_all();
    if walk.fields == 0 && !sorts && !decides {
        return None;
    }
    let all_pinned = walk.pinned.iter().all(|pinned| *pinned);
    Some(Draft {
        how: how(index, &walk, sorts, decides),
        entries: count(index, &walk.ranges, statistics),
        access: Access::Index {
            index: index.id,
            ranges: walk.ranges,
            reverse,
            // One record has one entry per key, and one entry in all if nothing is an array.
            distinct: index.holds_arrays && !all_pinned,
        },
        residual,
        order,
        covered,
        index_name: Some(index.name.to_owned()),
        conditions: if walk.fields == 0 { Vec::new() } else { conditions },
    })
}

fn how(index: &IndexStat<'_>, walk: &Walk, sorts: bool, decides: bool) -> String {
    let names: Vec<&str> =
        index.fields.fields()[..walk.fields].iter().map(|field| field.path.as_str()).collect();
    let mut reasons = Vec::new();
    if !names.is_empty() {
        reasons.push(format!("conditions on {} bound it", names.join(", ")));
    }
    if sorts {
        reasons.push("it has the order asked for".to_owned());
    }
    if decides {
        reasons.push("its entries decide the rest".to_owned());
    }
    format!("index {}: {}", index.name, reasons.join("; "))
}

/// About how many entries lie in `ranges`.
fn count(index: &IndexStat<'_>, ranges: &[ByteRange], statistics: &dyn Statistics) -> u64 {
    if *ranges == [ByteRange::of_prefix(&[])] {
        return index.entries;
    }
    let step = ranges.len().div_ceil(COUNTED_RANGES_MAX).max(1);
    let sample = ranges.iter().step_by(step);
    let counted: Vec<u64> =
        sample.map(|range| statistics.range_entries(index.id, &range.from, &range.to)).collect();
    let sum = counted.iter().fold(0_u128, |sum, count| sum + u128::from(*count));
    let all = sum * ranges.len() as u128 / counted.len().max(1) as u128;
    u64::try_from(all).unwrap_or(u64::MAX)
}

/// The ranges of a choice of which every branch bounds the index; whether they say all of the filter;
/// and the conditions of the branches.
fn union(
    index: &IndexStat<'_>,
    conditions: &Conjunction<'_>,
    place: usize,
    branches: &[Node],
) -> Option<(Walk, bool, Vec<Object>)> {
    let mut all = Walk {
        ranges: Vec::new(),
        fields: index.fields.fields().len(),
        pinned: vec![false; index.fields.fields().len()],
        used: Vec::new(),
        exact: Vec::new(),
    };
    let (mut exact, mut bytes, mut shown) = (true, 0, Vec::new());
    for branch in branches {
        let chosen = conditions.choosing(place, branch);
        let walk = walks(index, &chosen).into_iter().next()?;
        if walk.fields == 0 {
            return None;
        }
        all.fields = all.fields.min(walk.fields);
        exact &= chosen.is_all_of(&walk.exact);
        bytes += walk.ranges.iter().map(|range| range.from.len() + range.to.len()).sum::<usize>();
        all.ranges.extend(walk.ranges);
        if all.ranges.len() > PLAN_RANGES_MAX || bytes > 2 * PLAN_RANGES_BYTES_MAX {
            return None;
        }
        if shown.len() < SHOWN_BRANCHES_MAX {
            shown.push(chosen.shown(&walk.used));
        }
    }
    all.ranges = interval::union(all.ranges);
    Some((all, exact, shown))
}
