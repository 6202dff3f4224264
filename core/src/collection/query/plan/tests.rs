//! Claims about choices: which access a query gets, what it leaves to check, and how it is explained.

use super::super::{Filter, IndexFields, Sort};
use super::*;
use crate::document::{Document, Value};

/// A collection of so many records; a range holds as many entries as its test says.
struct Counts {
    records: u64,
    ranges: Vec<(usize, u64)>,
}

impl Statistics for Counts {
    fn records(&self) -> u64 {
        self.records
    }

    fn range_entries(&self, index: usize, _: &[u8], _: &[u8]) -> u64 {
        self.ranges.iter().find(|(id, _)| *id == index).map_or(self.records / 10, |(_, n)| *n)
    }

    fn key_range_entries(&self, _: Bound<&[u8]>, _: Bound<&[u8]>) -> u64 {
        self.records / 100
    }
}

/// An index of a test: its fields, and what else is said of it.
#[derive(Default)]
struct Given {
    fields: Vec<&'static str>,
    unique: bool,
    sparse: bool,
    holds_arrays: bool,
    /// Entries of any range of it.
    range: Option<u64>,
}

fn on(fields: &[&'static str]) -> Given {
    Given { fields: fields.to_vec(), ..Given::default() }
}

const RECORDS: u64 = 1_000_000;

fn planned(filter: &str, sort: &[&str], limit: Option<u64>, given: &[Given]) -> Plan {
    let filter = Filter::parse(&Document::from_json(filter).unwrap().to_object()).unwrap();
    let sort: Vec<String> = sort.iter().map(|field| (*field).to_owned()).collect();
    let sort = Sort::parse(&sort).unwrap();
    let fields: Vec<IndexFields> =
        given.iter().map(|index| IndexFields::parse(&index.fields).unwrap()).collect();
    let names: Vec<String> = given.iter().map(|index| index.fields.join("_")).collect();
    let stats = given.iter().enumerate().map(|(id, index)| IndexStat {
        name: &names[id],
        id,
        fields: &fields[id],
        unique: index.unique,
        sparse: index.sparse,
        holds_arrays: index.holds_arrays,
        entries: RECORDS,
    });
    let ranges = given.iter().enumerate().filter_map(|(id, index)| Some((id, index.range?)));
    let counts = Counts { records: RECORDS, ranges: ranges.collect() };
    plan(&filter, &sort, limit, &stats.collect::<Vec<_>>(), &counts)
}

/// The access in short: its name, that of its index, and its direction.
fn short(plan: &Plan) -> String {
    let reverse = match &plan.access {
        Access::Ledger { reverse, .. } | Access::KeyRange { reverse, .. } => *reverse,
        Access::Index { reverse, .. } => *reverse,
        _ => false,
    };
    let name = plan.index_name.clone().unwrap_or_else(|| plan.access.name().to_owned());
    format!("{name}{}", if reverse { " reverse" } else { "" })
}

fn residual(plan: &Plan) -> String {
    Document::from_value(&plan.residual.to_object()).unwrap().to_json()
}

#[test]
fn an_equality_on_an_index_leaves_nothing_to_check() {
    let plan = planned(r#"{"a":"x"}"#, &[], None, &[on(&["a"])]);
    assert_eq!(short(&plan), "a");
    assert!(plan.residual.is_all() && plan.covered && plan.sorted);
}

#[test]
fn an_equality_sorted_by_the_newest_reads_only_the_page() {
    for holds_arrays in [false, true] {
        let index = Given { holds_arrays, ..on(&["tags"]) };
        let plan = planned(r#"{"tags":"role::program"}"#, &["-$seq"], Some(50), &[index]);
        assert_eq!((short(&plan).as_str(), plan.sorted, plan.estimate), ("tags", true, 50));
        assert!(plan.residual.is_all());
        let Access::Index { distinct, .. } = plan.access else { panic!() };
        assert!(!distinct);
    }
    let plan = planned(r#"{"a":1}"#, &["$seq"], Some(50), &[on(&["a"])]);
    assert_eq!((short(&plan).as_str(), plan.sorted), ("a reverse", true));
}

#[test]
fn equalities_then_a_range_make_the_ranges_of_a_composite_index() {
    let filter = r#"{"a":{"$in":[1,2]},"b":"x","c":{"$gt":5,"$lte":9},"d":true}"#;
    let plan = planned(filter, &[], None, &[on(&["a", "-b", "c", "d"])]);
    let Access::Index { ranges, .. } = &plan.access else { panic!("{plan:?}") };
    assert_eq!(ranges.len(), 2);
    assert_eq!(residual(&plan), r#"{"d":{"$eq":true}}"#);
    assert!(plan.covered, "d stands in the entry");
    let plan = planned(
        filter,
        &[],
        None,
        &[Given { holds_arrays: true, range: Some(50), ..on(&["a", "c"]) }],
    );
    let left = r#"{"b":{"$eq":"x"},"c":{"$lte":9},"d":{"$eq":true}}"#;
    assert_eq!(residual(&plan), left, "one bound of a range under arrays");
    assert!(!plan.covered);
}

#[test]
fn the_index_with_fewer_entries_is_chosen() {
    let few = |fields: &[&'static str], range| Given { range: Some(range), ..on(fields) };
    let filter = r#"{"a":1,"b":2}"#;
    assert_eq!(short(&planned(filter, &[], None, &[few(&["a"], 500), few(&["b"], 20)])), "b");
    assert_eq!(short(&planned(filter, &[], None, &[few(&["a"], 20), few(&["b"], 500)])), "a");
    assert_eq!(short(&planned(filter, &[], None, &[few(&["a"], 900_000)])), "ledger");
}

#[test]
fn with_a_limit_an_index_in_the_order_asked_for_is_preferred() {
    let many = |fields: &[&'static str]| Given { range: Some(500_000), ..on(fields) };
    let given = [many(&["kind"]), on(&["-size"])];
    let plan = planned(r#"{"kind":"x"}"#, &["size"], Some(10), &given);
    assert_eq!((short(&plan).as_str(), plan.sorted), ("-size reverse", true));
    assert_eq!(residual(&plan), r#"{"kind":{"$eq":"x"}}"#);
    let rare = [Given { range: Some(5), ..on(&["kind"]) }, on(&["-size"])];
    let plan = planned(r#"{"kind":"x"}"#, &["size"], Some(10), &rare);
    assert_eq!((short(&plan).as_str(), plan.sorted), ("kind", false));
    let both = [many(&["kind"]), on(&["-size"]), many(&["kind", "-size"])];
    let plan = planned(r#"{"kind":"x"}"#, &["size"], Some(10), &both);
    assert_eq!((short(&plan).as_str(), plan.estimate), ("kind_-size reverse", 10));
}

#[test]
fn equal_values_in_the_other_direction_are_runs() {
    let plan = planned("{}", &["a"], Some(10), &[on(&["a"])]);
    assert_eq!((short(&plan).as_str(), plan.sorted), ("a", false));
    assert_eq!(plan.runs, Some(Runs { by: RunBy::Fields(1), newest_first: false }));
    let plan = planned("{}", &["a", "-$seq"], Some(10), &[on(&["a"])]);
    assert_eq!((short(&plan).as_str(), plan.sorted, plan.runs), ("a", true, None));
    let plan = planned("{}", &["-a"], Some(10), &[on(&["a"])]);
    assert_eq!((short(&plan).as_str(), plan.sorted), ("a reverse", true));
    let plan = planned("{}", &["a"], Some(10), &[Given { unique: true, ..on(&["a"]) }]);
    assert!(plan.sorted, "unique values have no equals");
    let few = Given { range: Some(40), ..on(&["a"]) };
    let plan = planned(r#"{"a":{"$in":[1,2]}}"#, &["-$seq"], Some(10), &[few]);
    assert_eq!(plan.runs, Some(Runs { by: RunBy::Whole, newest_first: true }));
}

#[test]
fn fields_of_an_index_sort_together_in_one_direction_or_the_other() {
    for (fields, sort, expected) in [
        (&["a", "b"], &["a", "b"], Some("a_b")),
        (&["a", "b"], &["-a", "-b"], Some("a_b reverse")),
        (&["a", "-b"], &["-a", "b"], Some("a_-b reverse")),
        (&["a", "-b"], &["a", "b"], None),
        (&["a", "b"], &["b", "a"], None),
    ] {
        let plan = planned("{}", sort, Some(10), &[on(fields)]);
        assert_eq!(short(&plan), expected.unwrap_or("ledger"), "{fields:?} for {sort:?}");
    }
    let plan = planned(r#"{"b":1}"#, &["-a"], Some(10), &[on(&["a", "b"])]);
    assert_eq!((short(&plan).as_str(), plan.sorted), ("a_b reverse", true), "b is one value");
    let arrays = Given { holds_arrays: true, ..on(&["a"]) };
    assert_eq!(short(&planned("{}", &["a"], Some(10), &[arrays])), "ledger");
}

#[test]
fn a_sparse_index_is_used_only_if_the_filter_refuses_what_it_leaves_out() {
    let sparse = |fields: &[&'static str]| [Given { sparse: true, ..on(fields) }];
    for (filter, used) in [
        (r#"{"a":1}"#, true),
        (r#"{"a":{"$exists":true}}"#, true),
        (r#"{"a":{"$gt":1,"$ne":5}}"#, true),
        (r#"{"a":null}"#, false),
        (r#"{"a":{"$in":[1,null]}}"#, false),
        (r#"{"a":{"$exists":false}}"#, false),
    ] {
        let plan = planned(filter, &[], None, &sparse(&["a"]));
        assert_eq!(short(&plan) == "a", used, "{filter}: {}", plan.why);
    }
    assert_eq!(short(&planned("{}", &["-a"], Some(5), &sparse(&["a"]))), "ledger");
    let plan = planned(r#"{"a":{"$ne":null}}"#, &["-a"], Some(5), &sparse(&["a"]));
    assert_eq!(short(&plan), "a reverse");
    let plan = planned(r#"{"a":null,"b":5}"#, &[], None, &sparse(&["a", "b"]));
    assert_eq!(short(&plan), "a_b", "b is there");
    let plan = planned(r#"{"a.x":5}"#, &["-a"], Some(5), &sparse(&["a"]));
    assert_eq!(short(&plan), "a reverse", "a field within a needs a");
}

#[test]
fn opposites_never_drive() {
    for filter in [r#"{"a":{"$ne":1}}"#, r#"{"a":{"$nin":[1,2]}}"#, r#"{"$not":{"a":1,"b":1}}"#] {
        let plan = planned(filter, &[], None, &[Given { holds_arrays: true, ..on(&["a"]) }]);
        assert_eq!(short(&plan), "ledger", "{filter}");
    }
}

#[test]
fn a_choice_is_a_union_of_ranges_only_if_every_branch_has_one() {
    let few = || [Given { range: Some(10), ..on(&["a", "b"]) }];
    let filter = r#"{"$or":[{"a":1,"b":{"$gt":2}},{"a":{"$prefix":"x"}}],"c":1}"#;
    let plan = planned(filter, &[], None, &few());
    let Access::Index { ranges, .. } = &plan.access else { panic!("{plan:?}") };
    assert_eq!((ranges.len(), plan.conditions.len()), (2, 2));
    assert!(!plan.residual.is_all(), "c is left");
    let plan = planned(r#"{"$or":[{"a":1,"b":2},{"a":2}]}"#, &[], None, &few());
    assert!(short(&plan) == "a_b" && plan.residual.is_all());
    let plan = planned(r#"{"$or":[{"a":1},{"b":2}]}"#, &[], None, &few());
    assert_ne!(plan.conditions.len(), 2);
    assert!(!plan.residual.is_all());
}

#[test]
fn keys_sequence_numbers_and_times_have_their_own_ways() {
    let plan = planned(r#"{"$key":{"$in":["b","a",""],"$gt":"a"}}"#, &[], None, &[]);
    assert_eq!(plan.access, Access::Keys { points: vec!["b".into()] });
    let plan = planned(r#"{"$key":{"$prefix":"e-","$lt":"e-5"}}"#, &["-$key"], None, &[]);
    let Access::KeyRange { lower, upper, reverse } = &plan.access else { panic!("{plan:?}") };
    assert_eq!(lower, &Bound::Included(b"e-".to_vec()));
    assert_eq!((upper, *reverse), (&Bound::Excluded(b"e-5".to_vec()), true));
    assert!(plan.residual.is_all() && plan.covered && plan.sorted);
    let time = r#"{"$timestamp":"1970-01-01T00:00:01Z"}"#;
    let filter = format!(r#"{{"$seq":{{"$gte":10,"$lt":20.5}},"$time":{{"$gt":{time}}}}}"#);
    let plan = planned(&filter, &["-$seq"], None, &[]);
    let Access::Ledger { range, reverse } = &plan.access else { panic!("{plan:?}") };
    let expected = LedgerRange {
        after_seq: Some(9),
        until_seq: Some(20),
        after_us: Some(1_000_000),
        until_us: None,
    };
    assert_eq!((range, *reverse, plan.sorted), (&expected, true, true));
    assert_eq!(plan.estimate, 11);
    assert!(plan.covered && !plan.residual.is_all(), "times are checked once more");
    let plan = planned("{}", &["-$time"], Some(10), &[]);
    assert_eq!(plan.runs, Some(Runs { by: RunBy::Time, newest_first: false }));
    assert!(planned("{}", &["-$time", "-$seq"], Some(10), &[]).sorted);
}

#[test]
fn contradictions_read_nothing() {
    for filter in [
        r#"{"a":{"$in":[]}}"#,
        r#"{"a":1,"$not":{}}"#,
        r#"{"$seq":{"$gt":5,"$lt":6}}"#,
        r#"{"$seq":5.5}"#,
        r#"{"$key":{"$gt":"b","$lt":"a"}}"#,
        r#"{"$key":{"$in":["a","b"],"$gt":"b"}}"#,
        r#"{"a":{"$gt":5,"$lt":3}}"#,
        r#"{"a":{"$gt":5,"$prefix":"x"}}"#,
    ] {
        let plan = planned(filter, &["-a"], None, &[on(&["a"])]);
        assert_eq!(plan.access, Access::Nothing, "{filter}");
        assert_eq!((plan.estimate, plan.sorted), (0, true));
    }
    let arrays = [Given { holds_arrays: true, ..on(&["a"]) }];
    let plan = planned(r#"{"a":{"$gt":5,"$lt":3}}"#, &[], None, &arrays);
    assert_ne!(plan.access, Access::Nothing, "two elements may be meant");
}

#[test]
fn an_index_that_covers_the_filter_is_read_instead_of_all_documents() {
    let plan = planned(r#"{"b":{"$ne":3}}"#, &[], None, &[on(&["a", "b"])]);
    assert_eq!(short(&plan), "ledger", "most records match, and must be read to be shown");
    let plan = planned(r#"{"b":{"$lt":3},"c":{"$eq":3}}"#, &[], None, &[on(&["a", "b", "c"])]);
    assert_eq!((short(&plan).as_str(), plan.covered), ("a_b_c", true));
}

#[test]
fn a_count_reads_entries_where_showing_the_records_would_read_the_ledger() {
    let filter = Filter::parse(&crate::doc! { "a": { "$gt": 5 } }.to_object()).unwrap();
    let fields = IndexFields::parse(&["a"]).unwrap();
    let index = IndexStat {
        name: "a",
        id: 0,
        fields: &fields,
        unique: false,
        sparse: true,
        holds_arrays: false,
        entries: RECORDS,
    };
    let counts = Counts { records: RECORDS, ranges: vec![(0, RECORDS / 2)] };
    let shown = plan(&filter, &Sort::default(), None, &[index], &counts);
    assert_eq!(short(&shown), "ledger");
    let counted = plan_count(&filter, &[index], &counts);
    assert_eq!((short(&counted).as_str(), counted.covered), ("a", true));
}

#[test]
fn planning_a_hostile_filter_is_bounded() {
    let list: Vec<i64> = (0..9000).collect();
    let branch = |at: i64| Value::Object(crate::doc! { "b": at, "c": at }.to_object());
    let branches: Vec<Value> = (0..330).map(branch).collect();
    let mut filter = crate::doc! { "a": { "$in": list } }.to_object();
    filter.insert("$or", branches);
    let filter = Filter::parse(&filter).unwrap();
    let fields = IndexFields::parse(&["a", "b", "c"]).unwrap();
    let stats: Vec<IndexStat<'_>> = (0..8)
        .map(|id| IndexStat {
            name: "abc",
            id,
            fields: &fields,
            unique: false,
            sparse: false,
            holds_arrays: id % 2 == 0,
            entries: RECORDS,
        })
        .collect();
    let counts = Counts { records: RECORDS, ranges: (0..8).map(|id| (id, 1)).collect() };
    let plan = plan(&filter, &Sort::default(), None, &stats, &counts);
    let Access::Index { ranges, .. } = &plan.access else { panic!("{}", plan.why) };
    assert_eq!((ranges.len(), plan.residual.is_all()), (9000, false));
}

#[test]
fn a_plan_explains_itself() {
    let filter = r#"{"section":"games","size":{"$gte":1000,"$lt":5000},"tags":"x"}"#;
    let given = [Given { range: Some(40), ..on(&["section", "-size"]) }];
    let plan = planned(filter, &["size"], Some(10), &given);
    let explained = Document::from_value(&plan.explain()).unwrap();
    let expected = crate::doc! {
        "access": "index",
        "index": "section_-size",
        "ranges": [{ "section": { "$eq": "games" }, "size": { "$gte": 1000, "$lt": 5000 } }],
        "range_count": 1,
        "reverse": true,
        "distinct": false,
        "residual": { "tags": { "$eq": "x" } },
        "sorted": true,
        "covered": false,
        "estimate": 40,
        "why": "index section_-size: conditions on section, size bound it; it has the order asked \
                for; about 40 entries to read",
    };
    assert_eq!(explained.to_json(), expected.to_json());
    let plan = planned("{}", &["x"], None, &[]);
    let explained = Document::from_value(&plan.explain()).unwrap().to_json();
    assert!(
        explained.contains("all records; all matches are sorted; about 1000000 records to read"),
        "{explained}"
    );
}
