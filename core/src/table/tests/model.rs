//! A table set with memtables, flushes and compactions, several at once, answers like one sorted
//! map, at every snapshot.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::AtomicBool;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What the room has to answer like: (key, descending rank) → seq.
type Map = BTreeMap<(Vec<u8>, std::cmp::Reverse<u64>), u64>;

#[derive(Clone, Debug)]
enum Step {
    /// New revisions of these keys.
    Insert(Vec<Vec<u8>>),
    /// New keys greater than all.
    Append(u8),
    /// A fresh memtable takes over.
    Rotate,
    /// The oldest memtable, unless it is the only one, becomes tables.
    Flush,
    /// A compaction begins, if one is due.
    Begin,
    /// The compaction that began at this position is installed.
    End(usize),
    /// The manifest is stored, and the version opened from it.
    Reopen,
    Check {
        end: u16,
        lower: Option<(Vec<u8>, bool)>,
        upper: Option<(Vec<u8>, bool)>,
    },
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(prop_oneof![Just(b'a'), Just(b'b'), Just(0)], 0..4),
        (0u8..40).prop_map(|number| format!("a-key-with-a-long-prefix-{number}").into_bytes()),
    ]
}

fn bound() -> impl Strategy<Value = Option<(Vec<u8>, bool)>> {
    proptest::option::of((key(), any::<bool>()))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => vec(key(), 1..40).prop_map(Step::Insert),
        2 => any::<u8>().prop_map(Step::Append),
        4 => Just(Step::Rotate),
        5 => Just(Step::Flush),
        6 => Just(Step::Begin),
        4 => any::<usize>().prop_map(Step::End),
        1 => Just(Step::Reopen),
        3 => (any::<u16>(), bound(), bound())
            .prop_map(|(end, lower, upper)| Step::Check { end, lower, upper }),
    ]
}

struct Model {
    room: Room,
    set: TableSet,
    map: Map,
    /// For index tables the rank is the sequence number.
    rank_is_seq: bool,
    next_seq: u64,
    running: Vec<(Job, Vec<TableMeta>)>,
    options: TableOptions,
    compaction: CompactionOptions,
}

impl Model {
    fn new(rank_is_seq: bool) -> Self {
        let set = TableSet::default().with_memtable(Arc::new(MemTable::new()));
        Model {
            room: Room::new(8 << 10),
            set,
            map: Map::new(),
            rank_is_seq,
            next_seq: 1,
            running: Vec::new(),
            options: TableOptions {
                block_bytes: 96,
                table_bytes_max: 400,
                ..TableOptions::default()
            },
            compaction: CompactionOptions {
                level0_tables: 2,
                level_ratio: 2,
                level1_bytes: 1200,
                ..CompactionOptions::default()
            },
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Insert(keys) => keys.iter().for_each(|key| self.insert(key)),
            Step::Append(count) => {
                for _ in 0..count {
                    let key = format!("time-{:06}", self.next_seq).into_bytes();
                    self.insert(&key);
                }
            }
            Step::Rotate => self.set = self.set.with_memtable(Arc::new(MemTable::new())),
            Step::Flush => self.flush(),
            Step::Begin => self.begin(),
            Step::End(number) if !self.running.is_empty() => self.end(number % self.running.len()),
            Step::End(_) => {}
            Step::Reopen => self.reopen(),
            Step::Check { end, lower, upper } => self.check(u64::from(end), &lower, &upper),
        }
    }

    fn insert(&mut self, key: &[u8]) {
        let seq = self.next_seq;
        self.next_seq += 1;
        let newest = self.map.range((key.to_vec(), std::cmp::Reverse(u64::MAX))..).next();
        let revision = match newest {
            Some(((found, rank), _)) if found == key => rank.0 + 1,
            _ => 1,
        };
        let rank = if self.rank_is_seq { seq } else { revision };
        self.set.memtables()[0].insert(key, rank, seq);
        self.map.insert((key.to_vec(), std::cmp::Reverse(rank)), seq);
    }

    fn flush(&mut self) {
        let [_, .., oldest] = self.set.memtables() else { return };
        let oldest = oldest.clone();
        let level = match (oldest.first_key(), oldest.last_key()) {
            (Some(first), Some(last)) => compaction::flush_level(&self.set.metas(), &first, &last),
            _ => 0,
        };
        let tables = self.room.write(oldest.entries(), &self.options);
        self.set = self.set.with_flushed(&oldest, tables, level);
    }

    fn begin(&mut self) {
        let busy = self.running.iter().flat_map(|(job, _)| job.inputs.iter().copied()).collect();
        let Some(job) = pick(&self.set.metas(), &busy, &self.compaction) else { return };
        assert!(job.inputs.iter().all(|input| !busy.contains(input)));
        if job.trivial_move {
            self.set = self.set.with_compacted(&job, Vec::new()).unwrap();
            return self.check_levels();
        }
        let is_input = |table: &&Arc<Table>| job.inputs.contains(&table.meta().number);
        let inputs: Vec<_> = self.set.tables().filter(is_input).cloned().collect();
        let next_number = &mut self.room.next_number;
        let mut take_number = || {
            *next_number += 1;
            *next_number - 1
        };
        let cancel = AtomicBool::new(false);
        let files = &self.room.files;
        let metas = compaction::run(&job, &inputs, files, &mut take_number, &self.options, &cancel);
        self.running.push((job, metas.unwrap()));
    }

    fn end(&mut self, number: usize) {
        let (job, metas) = self.running.swap_remove(number);
        let outputs = self.room.open(metas);
        let next = self.set.with_compacted(&job, outputs).unwrap();
        for table in self.set.tables() {
            if job.inputs.contains(&table.meta().number) {
                table.mark_obsolete();
            }
        }
        self.set = next;
        self.check_levels();
    }

    /// Deeper levels are disjoint, which opening the version from its manifest checks.
    fn check_levels(&self) {
        TableSet::open(&self.room.files, &self.room.cache, &self.set.metas().concat()).unwrap();
    }

    fn reopen(&mut self) {
        while !self.running.is_empty() {
            self.end(0);
        }
        let manifest = Manifest {
            watermark_seq: self.next_seq,
            next_number: self.room.next_number,
            tables: self.set.metas().concat(),
            ..Manifest::default()
        };
        let (vfs, dir) = (self.room.pool.vfs(), self.room.files.dir());
        manifest.store(vfs, dir, OWNER).unwrap();
        let loaded = Manifest::load(&self.room.pool, dir, OWNER).unwrap();
        assert_eq!(loaded.as_ref(), Some(&manifest));
        let live = manifest.tables.iter().map(|table| table.number).collect();
        let entries = vfs.list(dir).unwrap();
        assert_eq!(self.room.files.remove_unlisted(&live, &entries).unwrap(), [0u32; 0]);
        let opened = TableSet::open(&self.room.files, &self.room.cache, &manifest.tables).unwrap();
        let memtables = self.set.memtables().iter().rev();
        self.set = memtables.fold(opened, |set, memtable| set.with_memtable(memtable.clone()));
    }

    fn visible(&self, end_seq: u64) -> Vec<Entry> {
        self.map
            .iter()
            .filter(|(_, seq)| **seq < end_seq)
            .map(|((key, rank), seq)| Entry { key: key.clone(), rank: rank.0, seq: *seq })
            .collect()
    }

    fn check(&self, end: u64, lower: &Option<(Vec<u8>, bool)>, upper: &Option<(Vec<u8>, bool)>) {
        let end_seq =
            if end.is_multiple_of(2) { self.next_seq } else { end % self.next_seq.max(1) };
        let (lower, upper) = (as_bound(lower), as_bound(upper));
        let inside = |key: &[u8]| {
            let above = match lower {
                Bound::Included(low) => key >= low,
                Bound::Excluded(low) => key > low,
                Bound::Unbounded => true,
            };
            above
                && match upper {
                    Bound::Included(high) => key <= high,
                    Bound::Excluded(high) => key < high,
                    Bound::Unbounded => true,
                }
        };
        let mut all = self.visible(end_seq);
        all.retain(|entry| inside(&entry.key));
        let mut newest = all.clone();
        newest.dedup_by(|later, first| later.key == first.key);

        let scan = |reverse| self.set.scan(lower, upper, end_seq, reverse);
        let whole = |reverse| scan(reverse).collect::<Result<Vec<_>>>().unwrap();
        let heads = |reverse: bool| {
            // The snapshot may be narrowed after the scan began.
            let scan = self.set.scan(lower, upper, u64::MAX, reverse);
            scan.newest_only(end_seq).collect::<Result<Vec<_>>>().unwrap()
        };
        assert_eq!(whole(false), all);
        assert_eq!(heads(false), newest);
        all.reverse();
        newest.reverse();
        assert_eq!(whole(true), all);
        assert_eq!(heads(true), newest);
        self.check_keys(end_seq);
    }

    fn check_keys(&self, end_seq: u64) {
        let mut absent: Vec<Vec<u8>> =
            self.map.keys().map(|(key, _)| [&key[..], b"\0"].concat()).collect();
        absent.retain(|key| !self.map.keys().any(|(found, _)| found == key));
        for key in absent {
            assert_eq!(self.set.newest(&key, u64::MAX).unwrap(), None);
        }
        let visible = self.visible(end_seq);
        for (position, entry) in visible.iter().enumerate() {
            let hit = Some(Hit { rank: entry.rank, seq: entry.seq });
            assert_eq!(self.set.exact(&entry.key, entry.rank, end_seq).unwrap(), hit);
            assert_eq!(self.set.exact(&entry.key, entry.rank, entry.seq).unwrap(), None);
            let is_newest = position == 0 || visible[position - 1].key != entry.key;
            if is_newest {
                assert_eq!(self.set.newest(&entry.key, end_seq).unwrap(), hit);
            }
        }
        let greatest = self.set.tables().map(|table| table.meta().last_key.clone()).max();
        assert_eq!(self.set.tables_last_key(), greatest.as_deref());
    }
}

fn as_bound(bound: &Option<(Vec<u8>, bool)>) -> Bound<&[u8]> {
    match bound {
        None => Bound::Unbounded,
        Some((key, true)) => Bound::Included(key),
        Some((key, false)) => Bound::Excluded(key),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_table_set_answers_like_one_sorted_map(
        rank_is_seq in any::<bool>(),
        steps in vec(step(), 1..80),
    ) {
        let mut model = Model::new(rank_is_seq);
        for step in steps {
            model.apply(step);
        }
        model.check(0, &None, &None);
        while !model.running.is_empty() {
            model.end(0);
        }
        model.check(0, &None, &None);
        for table in model.set.tables() {
            collect(table).unwrap();
        }
        let live: BTreeSet<u32> = model.set.tables().map(|table| table.meta().number).collect();
        let entries = model.room.pool.vfs().list(model.room.files.dir()).unwrap();
        let orphans = model.room.files.remove_unlisted(&live, &entries).unwrap();
        prop_assert_eq!(orphans, Vec::<u32>::new(), "obsolete tables leave no file");
    }
}

#[test]
fn keys_in_order_are_written_once_and_leave_level_zero() {
    let mut model = Model::new(false);
    for _ in 0..20 {
        model.apply(Step::Append(100));
        model.apply(Step::Rotate);
        model.apply(Step::Flush);
        let written = model.room.next_number;
        (0..10).for_each(|_| model.apply(Step::Begin));
        assert_eq!(model.room.next_number, written, "a compaction rewrote ordered keys");
    }
    assert!(model.running.is_empty());
    assert!(model.set.level(0).is_empty());
    assert!(model.set.level_count() > 3);
    model.check(0, &None, &None);
}

#[test]
fn a_key_with_more_revisions_than_a_table_holds_stays_in_one_table() {
    let mut model = Model::new(false);
    model.insert(b"a");
    (0..1000).for_each(|_| model.insert(b"hot"));
    model.insert(b"z");
    model.apply(Step::Rotate);
    model.apply(Step::Flush);
    assert!(model.set.tables().count() > 1);
    for end in [1, 501, 777] {
        model.check(end, &None, &None);
    }
}
