//! The planner against a model: for random records, indexes, filters and sorts, every draft that the
//! planner considers, and so every plan it could choose, is carried out over plain maps and compared
//! with what the filter accepts one by one, in the order that the sort keys say.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use proptest::prelude::*;
use proptest::sample::select;

use super::super::{Candidate, IndexEntry, IndexFields};
use super::*;
use crate::document::{Document, Timestamp, Value};
use crate::limits::PLAN_RANGES_MAX;

#[derive(Clone, Debug)]
struct Record {
    key: String,
    seq: u64,
    time_us: i64,
    document: Object,
}

impl Record {
    fn candidate(&self) -> Candidate<'_> {
        let Record { key, seq, time_us, document } = self;
        Candidate { key, seq: *seq, time_us: *time_us, document }
    }
}

/// An index as tables keep it: by key, then by descending sequence number.
#[derive(Debug)]
struct ModelIndex {
    fields: IndexFields,
    sparse: bool,
    unique: bool,
    holds_arrays: bool,
    entries: BTreeSet<(Vec<u8>, Reverse<u64>)>,
}

impl ModelIndex {
    /// The index of all records; `None` if one of them has two arrays in it.
    fn build(fields: &[&str], sparse: bool, records: &BTreeMap<u64, Record>) -> Option<Self> {
        let fields = IndexFields::parse(fields).ok()?;
        let (mut entries, mut holds_arrays) = (BTreeSet::new(), false);
        for record in records.values() {
            let keys = fields.keys(&record.document).ok()?;
            holds_arrays |= keys.from_array;
            if sparse && keys.all_missing {
                continue;
            }
            entries.extend(keys.keys.into_iter().map(|key| (key, Reverse(record.seq))));
        }
        let keys: BTreeSet<&Vec<u8>> = entries.iter().map(|(key, _)| key).collect();
        let unique = keys.len() == entries.len();
        Some(ModelIndex { fields, sparse, unique, holds_arrays, entries })
    }

    fn stat<'a>(&'a self, name: &'a str, id: usize) -> IndexStat<'a> {
        let ModelIndex { fields, unique, sparse, holds_arrays, entries } = self;
        IndexStat {
            name,
            id,
            fields,
            unique: *unique,
            sparse: *sparse,
            holds_arrays: *holds_arrays,
            entries: entries.len() as u64,
        }
    }
}

struct Model {
    records: BTreeMap<u64, Record>,
    indexes: Vec<ModelIndex>,
}

/// Estimates that have nothing to do with the truth.
struct Random(u64);

impl Statistics for Random {
    fn records(&self) -> u64 {
        self.0 % 5000
    }

    fn range_entries(&self, index: usize, from: &[u8], to: &[u8]) -> u64 {
        let seed = from.iter().chain(to).fold(self.0 ^ index as u64, |seed, byte| {
            seed.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(u64::from(*byte))
        });
        seed >> 52
    }

    fn key_range_entries(&self, _: Bound<&[u8]>, _: Bound<&[u8]>) -> u64 {
        self.0 >> 7 & 0xFFF
    }
}

/// A record that was met, and the bytes of its index entry if it was met in one.
struct Met<'a> {
    record: &'a Record,
    entry: Option<&'a [u8]>,
}

impl Model {
    fn expected(&self, filter: &Filter) -> BTreeSet<u64> {
        let all = self.records.values();
        all.filter(|record| filter.matches(&record.candidate())).map(|record| record.seq).collect()
    }

    fn read(&self, access: &Access) -> Vec<Met<'_>> {
        match access {
            Access::Nothing => Vec::new(),
            Access::Ledger { range, reverse } => {
                let within = self.records.values().filter(|record| {
                    range.after_seq.is_none_or(|seq| record.seq > seq)
                        && range.until_seq.is_none_or(|seq| record.seq <= seq)
                        && range.after_us.is_none_or(|us| record.time_us > us)
                        && range.until_us.is_none_or(|us| record.time_us <= us)
                });
                turned(within.map(|record| Met { record, entry: None }).collect(), *reverse)
            }
            Access::Keys { points } => {
                let of =
                    |key: &String| self.records.values().find(move |record| record.key == *key);
                points.iter().filter_map(of).map(|record| Met { record, entry: None }).collect()
            }
            Access::KeyRange { lower, upper, reverse } => {
                let by_key: BTreeMap<Vec<u8>, &Record> = self
                    .records
                    .values()
                    .map(|record| (record.key.as_bytes().to_vec(), record))
                    .collect();
                let within = by_key.range((lower.clone(), upper.clone()));
                turned(within.map(|(_, record)| Met { record, entry: None }).collect(), *reverse)
            }
            Access::Index { index, ranges, reverse, distinct } => {
                self.read_index(&self.indexes[*index], ranges, *reverse, *distinct)
            }
        }
    }

    fn read_index<'a>(
        &'a self,
        index: &'a ModelIndex,
        ranges: &[ByteRange],
        reverse: bool,
        distinct: bool,
    ) -> Vec<Met<'a>> {
        assert!(ranges.windows(2).all(|pair| pair[0].to <= pair[1].from), "{ranges:?}");
        let mut met = Vec::new();
        for range in ranges {
            let (from, to) =
                ((range.from.clone(), Reverse(u64::MAX)), (range.to.clone(), Reverse(u64::MAX)));
            if from < to {
                met.extend(index.entries.range(from..to));
            }
        }
        let mut seen = BTreeSet::new();
        let mut out = Vec::new();
        for (key, Reverse(seq)) in turned(met, reverse) {
            let first = seen.insert(*seq);
            assert!(first || distinct, "the record {seq} is met twice");
            if first {
                out.push(Met { record: &self.records[seq], entry: Some(key) });
            }
        }
        out
    }

    /// What is left of those met once the residual is checked, by the means that the draft promises.
    fn kept<'a>(&'a self, draft: &Draft, met: Vec<Met<'a>>) -> Vec<Met<'a>> {
        let blank = Object::new();
        let keep = |met: &Met<'_>| {
            let whole = draft.residual.matches(&met.record.candidate());
            if draft.covered {
                let decided = match (&draft.access, met.entry) {
                    (Access::Index { .. }, Some(_)) if draft.residual.is_all() => true,
                    (Access::Index { index, .. }, Some(key)) => {
                        let fields = &self.indexes[*index].fields;
                        let entry = IndexEntry::decode(fields, key, met.record.seq).unwrap();
                        draft.residual.check(&entry).unwrap()
                    }
                    _ => {
                        let own = Candidate { document: &blank, ..met.record.candidate() };
                        draft.residual.matches(&own)
                    }
                };
                assert_eq!(decided, whole, "decided without the document");
            }
            whole
        };
        met.into_iter().filter(keep).collect()
    }

    /// Carries a draft out and compares it with `expected`.
    fn check(&self, draft: &Draft, sort: &Sort, expected: &BTreeSet<u64>) {
        let kept = self.kept(draft, self.read(&draft.access));
        let found: BTreeSet<u64> = kept.iter().map(|met| met.record.seq).collect();
        assert_eq!(found.len(), kept.len(), "a record is given once");
        assert_eq!(&found, expected, "exactly the records that match");
        let ordered = match draft.order {
            Order::Sorted => kept,
            Order::Runs(runs) => self.order_runs(draft, runs, kept),
            Order::Unsorted => return,
        };
        if !sort.is_empty() {
            let keys: Vec<Vec<u8>> =
                ordered.iter().map(|met| sort.key(&met.record.candidate())).collect();
            assert!(keys.is_sorted(), "in the order asked for");
        }
    }

    fn order_runs<'a>(&self, draft: &Draft, runs: Runs, met: Vec<Met<'a>>) -> Vec<Met<'a>> {
        let run = |met: &Met<'_>| match (runs.by, &draft.access, met.entry) {
            (RunBy::Whole, ..) => Vec::new(),
            (RunBy::Time, ..) => met.record.time_us.to_be_bytes().to_vec(),
            (RunBy::Fields(fields), Access::Index { index, .. }, Some(key)) => {
                let bytes = self.indexes[*index].fields.prefix_bytes(key, fields).unwrap();
                key[..bytes].to_vec()
            }
            (RunBy::Fields(_), ..) => panic!("only an index has fields"),
        };
        let mut out: Vec<Met<'a>> = Vec::new();
        let mut start = 0;
        for met in met {
            if out.last().is_some_and(|last| run(last) != run(&met)) {
                start = out.len();
            }
            out.push(met);
            out[start..].sort_by_key(|met| {
                if runs.newest_first { !met.record.seq } else { met.record.seq }
            });
        }
        out
    }
}

fn turned<T>(mut items: Vec<T>, reverse: bool) -> Vec<T> {
    if reverse {
        items.reverse();
    }
    items
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::Bool),
        4 => (0..4_i64).prop_map(Value::Int),
        2 => select(vec![0.0, 1.0, 1.5, -1.0]).prop_map(Value::Float),
        4 => select(vec!["", "a", "ab", "b"]).prop_map(Value::from),
        1 => select(vec![vec![], vec![0], vec![1]]).prop_map(Value::Binary),
        1 => (0..3_i64).prop_map(|us| Value::Timestamp(Timestamp::from_micros(us))),
    ]
}

/// Values of a small world, so that conditions meet them.
fn value(arrays: bool) -> BoxedStrategy<Value> {
    let object = prop::collection::vec((select(vec!["x", "y"]), scalar()), 0..3)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
        .boxed();
    let plain = prop_oneof![8 => scalar(), 1 => object.clone()];
    if !arrays {
        return plain.boxed();
    }
    let element = prop_oneof![
        8 => scalar(),
        1 => object,
        1 => prop::collection::vec(scalar(), 0..2).prop_map(Value::Array),
    ];
    let array = prop::collection::vec(element, 0..4).prop_map(Value::Array);
    prop_oneof![3 => plain, 2 => array].boxed()
}

const PATHS: [&str; 6] = ["a", "b", "c", "o", "o.x", "o.y"];

/// A path to ask for: the first two more often, so that questions meet indexes.
fn path() -> impl Strategy<Value = String> {
    select([&PATHS[..], &["a", "a", "b", "b"]].concat()).prop_map(str::to_owned)
}

fn document(arrays: bool) -> impl Strategy<Value = Object> {
    // Fields are often missing, and `b` is never an array, so that pairs with it can be indexed.
    let field = |arrays: bool| prop::option::weighted(0.75, value(arrays));
    let inner = (field(arrays), field(false)).prop_map(|(x, y)| {
        let fields = [("x", x), ("y", y)].into_iter();
        Value::Object(fields.filter_map(|(name, value)| Some((name, value?))).collect())
    });
    (field(arrays), field(false), field(arrays), prop::option::weighted(0.6, inner)).prop_map(
        |(a, b, c, o)| {
            let fields = [("a", a), ("b", b), ("c", c), ("o", o)].into_iter();
            fields.filter_map(|(name, value)| Some((name, value?))).collect()
        },
    )
}

fn records(arrays: bool) -> impl Strategy<Value = BTreeMap<u64, Record>> {
    let gaps = (1..3_u64, 0..3_i64, document(arrays));
    (prop::collection::vec(gaps, 0..17), any::<u64>()).prop_map(|(rows, seed)| {
        let (mut seq, mut time_us) = (0, 0);
        let row = |(at, (gap, pause, document)): (usize, (u64, i64, Object))| {
            seq += gap;
            time_us += pause / 2;
            // Keys in an order of their own.
            let key = format!("k{:02}", (at as u64 * 7 + seed % 17) % 17);
            (seq, Record { key, seq, time_us, document })
        };
        rows.into_iter().enumerate().map(row).collect()
    })
}

/// The fields of an index, some descending, and whether it is sparse.
fn index() -> impl Strategy<Value = (Vec<String>, bool)> {
    let wide = prop::sample::subsequence(PATHS.to_vec(), 1..4).prop_shuffle();
    let few = prop::sample::subsequence(vec!["a", "b"], 1..3).prop_shuffle();
    let paths = prop_oneof![wide, few];
    (paths, prop::collection::vec(any::<bool>(), 3), any::<bool>()).prop_map(
        |(paths, directions, sparse)| {
            let sign = |down: &bool| if *down { "-" } else { "" };
            let fields = paths.iter().zip(&directions);
            (fields.map(|(path, down)| format!("{}{path}", sign(down))).collect(), sparse)
        },
    )
}

fn operators() -> impl Strategy<Value = Object> {
    let comparable = scalar().prop_filter("null has no sides", |value| !value.is_null());
    let one = prop_oneof![
        4 => value(true).prop_map(|value| ("$eq", value)),
        1 => value(true).prop_map(|value| ("$ne", value)),
        6 => (select(vec!["$gt", "$gte", "$lt", "$lte"]), comparable),
        3 => prop::collection::vec(value(true), 0..4).prop_map(|list| ("$in", Value::Array(list))),
        2 => prop::collection::vec(0..4_i64, 2..4).prop_map(|list| ("$in", Value::from(list))),
        1 => prop::collection::vec(scalar(), 0..3).prop_map(|list| ("$nin", Value::Array(list))),
        2 => any::<bool>().prop_map(|there| ("$exists", Value::Bool(there))),
        2 => select(vec!["", "a", "ab"]).prop_map(|text| ("$prefix", Value::from(text))),
    ];
    prop::collection::vec(one, 1..4).prop_map(|operators| operators.into_iter().collect())
}

/// Conditions on a record's own values.
fn own() -> impl Strategy<Value = (String, Value)> {
    let side = select(vec!["$eq", "$gt", "$gte", "$lt", "$lte", "$ne"]);
    let key = (0..18_u32).prop_map(|at| Value::String(format!("k{at:02}")));
    let seq = prop_oneof![
        (0..30_i64).prop_map(Value::Int),
        (-2..40_i32).prop_map(|halves| Value::Float(f64::from(halves) / 2.0)),
    ];
    let time = (0..8_i64).prop_map(|us| Value::Timestamp(Timestamp::from_micros(us)));
    let one = |name: &'static str, operand: BoxedStrategy<Value>| {
        let list = prop::collection::vec(operand.clone(), 0..4)
            .prop_map(|list| ("$in", Value::Array(list)));
        let operator = prop_oneof![3 => (side.clone(), operand), 1 => list];
        prop::collection::vec(operator, 1..3).prop_map(move |operators| {
            (name.to_owned(), Value::Object(operators.into_iter().collect()))
        })
    };
    let prefix = select(vec!["", "k", "k0", "k1"]).prop_map(|text| {
        ("$key".to_owned(), Value::Object([("$prefix", text)].into_iter().collect()))
    });
    prop_oneof![
        one("$key", key.boxed()),
        one("$seq", seq.boxed()),
        one("$time", time.boxed()),
        prefix
    ]
}

fn condition() -> impl Strategy<Value = (String, Value)> {
    let not = operators().prop_map(|inner| Object::from_iter([("$not", Value::Object(inner))]));
    prop_oneof![
        3 => (path(), scalar()),
        8 => (path(), operators().prop_map(Value::Object)),
        1 => (path(), not.prop_map(Value::Object)),
        3 => own(),
    ]
}

fn filter() -> impl Strategy<Value = Object> {
    let flat = prop::collection::vec(condition(), 0..4).prop_map(Object::from_iter);
    flat.prop_recursive(2, 8, 3, |inner| {
        // Branches of one condition each are the ones that an index can answer.
        let simple = (select(vec!["a", "b"]), operators())
            .prop_map(|(path, operators)| Object::from_iter([(path, Value::Object(operators))]));
        let branch = prop_oneof![inner.clone(), simple];
        let branches = prop::collection::vec(branch.prop_map(Value::Object), 1..4);
        let extra = prop_oneof![
            3 => branches.clone().prop_map(|list| ("$or".to_owned(), Value::Array(list))),
            2 => branches.prop_map(|list| ("$and".to_owned(), Value::Array(list))),
            1 => inner.prop_map(|inner| ("$not".to_owned(), Value::Object(inner))),
        ];
        let conditions = prop::collection::vec(condition(), 0..3);
        (conditions, extra)
            .prop_map(|(conditions, extra)| conditions.into_iter().chain([extra]).collect())
    })
}

fn sort() -> impl Strategy<Value = Vec<String>> {
    let names = [&PATHS[..], &["$key", "$key", "$seq", "$seq", "$time", "$time"]].concat();
    let field = (select(names), any::<bool>())
        .prop_map(|(name, down)| format!("{}{name}", if down { "-" } else { "" }));
    let own = (select(vec!["$seq", "$time", "$key"]), any::<bool>())
        .prop_map(|(name, down)| vec![format!("{}{name}", if down { "-" } else { "" })]);
    let fields = prop_oneof![3 => prop::collection::vec(field, 0..4), 1 => own];
    fields.prop_map(|fields| {
        let mut seen = BTreeSet::new();
        let new = |field: &String| seen.insert(field.trim_start_matches('-').to_owned());
        fields.into_iter().filter(new).collect()
    })
}

/// A world with some indexes, and questions to it.
#[derive(Debug)]
struct Case {
    records: BTreeMap<u64, Record>,
    indexes: Vec<(Vec<String>, bool)>,
    questions: Vec<(Object, Vec<String>)>,
    seed: u64,
    limit: Option<u64>,
}

fn case() -> impl Strategy<Value = Case> {
    let records = any::<bool>().prop_flat_map(records);
    let indexes = prop::collection::vec(index(), 1..5);
    let questions = prop::collection::vec((filter(), sort()), 6..10);
    let limit = prop::option::of(0..20_u64);
    (records, indexes, questions, any::<u64>(), limit).prop_map(
        |(records, indexes, questions, seed, limit)| Case {
            records,
            indexes,
            questions,
            seed,
            limit,
        },
    )
}

impl Case {
    fn model(&self) -> Model {
        let build = |(fields, sparse): &(Vec<String>, bool)| {
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            ModelIndex::build(&fields, *sparse, &self.records)
        };
        let indexes = self.indexes.iter().filter_map(build).collect();
        Model { records: self.records.clone(), indexes }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn a_plan_gives_exactly_what_the_filter_accepts_in_the_order_asked_for(case in case()) {
        let model = case.model();
        let names: Vec<String> = (0..model.indexes.len()).map(|id| format!("i{id}")).collect();
        let stats: Vec<IndexStat<'_>> =
            model.indexes.iter().zip(&names).enumerate().map(|(id, (index, name))| index.stat(name, id)).collect();
        for (filter, sort) in &case.questions {
            let (filter, sort) = (Filter::parse(filter).unwrap(), Sort::parse(sort).unwrap());
            let expected = model.expected(&filter);
            let statistics = Random(case.seed);
            let drafts = drafts(&filter, &sort, &stats, &statistics);
            prop_assert!(!drafts.is_empty());
            for draft in &drafts {
                model.check(draft, &sort, &expected);
            }
            let counted = plan_count(&filter, &stats, &statistics);
            let unsorted = super::drafts(&filter, &Sort::default(), &stats, &statistics);
            prop_assert!(unsorted.iter().any(|draft| draft.access == counted.access));
            let chosen = plan(&filter, &sort, case.limit, &stats, &statistics);
            prop_assert!(drafts.iter().any(|draft| draft.access == chosen.access));
            Document::from_value(&chosen.explain()).unwrap();
        }
    }
}

#[test]
fn lists_too_long_for_points_are_read_as_one_range() {
    let rows = (0..300_i64).map(|at| {
        let document: Object = [("a", at % 20), ("b", at)].into_iter().collect();
        (at as u64, Record { key: format!("k{at}"), seq: at as u64, time_us: at, document })
    });
    let records: BTreeMap<u64, Record> = rows.collect();
    for fields in [["a", "b"], ["-a", "b"], ["a", "-b"]] {
        let index = ModelIndex::build(&fields, false, &records).unwrap();
        let model = Model { records: records.clone(), indexes: vec![index] };
        let list = |count: i64, step: i64| (0..count).map(|at| at * step).collect::<Vec<i64>>();
        let filter = crate::doc! { "a": { "$in": list(150, 2) }, "b": { "$in": list(150, 3) } };
        let filter = Filter::parse(&filter.to_object()).unwrap();
        const { assert!(150 * 150 > PLAN_RANGES_MAX) };
        let (sort, expected) = (Sort::default(), model.expected(&filter));
        let drafts = drafts(&filter, &sort, &[model.indexes[0].stat("i", 0)], &Random(1));
        assert!(drafts.iter().any(|draft| matches!(draft.access, Access::Index { .. })));
        drafts.iter().for_each(|draft| model.check(draft, &sort, &expected));
    }
}
