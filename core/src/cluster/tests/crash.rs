//! Power loss and kills before every operation of random scripts over two groups: what was
//! acknowledged is there, what was not is there in whole or as a first part of its entries, and
//! nothing else; also when the power goes again while the log is opened.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use parking_lot::Mutex;

use super::model::{Model, Step};
use super::*;
use crate::disk::simulated::CrashMode;
use crate::host::simulated::Dice;

const SHARDS: [u32; 2] = [0, 7];

/// What the outside knows of one group at any moment.
#[derive(Clone, Default)]
pub struct Known {
    /// The state after the last acknowledged call.
    pub acked: Model,
    /// The call under way.
    pub pending: Option<Step>,
    /// What may be found committed: saved ones are durable with the next sync.
    pub committed: Vec<Option<LogId>>,
}

impl Known {
    /// Whether `found` is a state a crash may leave.
    pub fn allows(&self, found: &Model) -> bool {
        let plain = Model { committed: found.committed, ..self.acked.clone() };
        if *found == plain && self.committed.contains(&found.committed) {
            return true;
        }
        // What is written later is not found without what was written before.
        self.pending.iter().flat_map(Step::parts).any(|part| {
            let mut model = self.acked.clone();
            model.take(&part);
            *found == model
        })
    }
}

/// What the outside knows of all groups.
#[derive(Clone)]
pub struct Truth(pub BTreeMap<u32, Known>);

impl Truth {
    pub fn new(shards: &[u32]) -> Self {
        let known = Known { committed: vec![None], ..Known::default() };
        Truth(shards.iter().map(|shard| (*shard, known.clone())).collect())
    }

    pub fn begin(&mut self, shard: u32, step: &Step) {
        self.0.get_mut(&shard).unwrap().pending = Some(step.clone());
    }

    pub fn acknowledge(&mut self, shard: u32) {
        let known = self.0.get_mut(&shard).unwrap();
        let step = known.pending.take().unwrap();
        let before = known.acked.clone();
        known.acked.take(&step);
        // What changes nothing, like a truncation behind the end, syncs nothing.
        match step.is_durable() && known.acked != before {
            // One log, one sync: it covers what every group has written.
            true => {
                self.0.values_mut().for_each(|known| known.committed = vec![known.acked.committed]);
            }
            false => known.committed.push(known.acked.committed),
        }
    }

    /// What was found is what is known from now on.
    pub fn settle(&mut self, shard: u32, found: &Model) {
        let known = self.0.get_mut(&shard).unwrap();
        *known = Known { acked: found.clone(), pending: None, committed: vec![found.committed] };
    }
}

/// Opens an image, checks every group, and goes on with it.
pub fn check_image(image: &SimDisk, truth: &Truth, label: &str, deep: bool) {
    if deep {
        let twice = image.process_crash_image();
        let (seen, name) = (truth.clone(), label.to_owned());
        let seeds = AtomicU64::new(0);
        twice.observe(Some(Arc::new(move |disk, op| {
            for mode in CrashMode::HONEST {
                let seed = seeds.fetch_add(1, SeqCst);
                let image = disk.crash_image(mode, seed);
                check_image(&image, &seen, &format!("{name} / {mode:?} {seed} {op:?}"), false);
            }
        })));
        drop(open(&small(&twice)));
        twice.observe(None);
    }
    let options = small(image);
    let log = RaftLog::open(&options).unwrap_or_else(|error| panic!("{label}: {error}")).0;
    let mut stores = SHARDS.map(|shard| log.store(shard).unwrap());
    let mut settled = truth.clone();
    for store in &mut stores {
        let shard = store.shard();
        let found = Model::of(store).unwrap_or_else(|error| panic!("{label}: {error}"));
        let known = &truth.0[&shard];
        assert!(known.allows(&found), "{label}, group {shard}: {found:#?}\n{:#?}", known.acked);
        settled.settle(shard, &found);
    }
    // It goes on, and what it is given is safe.
    for store in &mut stores {
        let shard = store.shard();
        let last = settled.0[&shard].acked.last();
        let next = last.map_or((0, 0), |last| (last.leader_id.term, last.index + 1));
        let step = Step::Append(vec![entry(next.0, next.1, 300)]);
        settled.begin(shard, &step);
        step.call(store).unwrap();
        settled.acknowledge(shard);
    }
    let again = open(&small(&image.crash_image(CrashMode::M3, 1)));
    for shard in SHARDS {
        let found = Model::of(&mut again.store(shard).unwrap()).unwrap();
        assert_eq!(found, settled.0[&shard].acked, "{label}, group {shard}, after one more entry");
    }
    drop(stores);
    log.close().unwrap();
}

fn script(seed: u64, steps: u64) -> u64 {
    let disk = disk();
    let truth = Arc::new(Mutex::new(Truth::new(&SHARDS)));
    let images = Arc::new(AtomicU64::new(0));
    let (seen, count) = (truth.clone(), images.clone());
    disk.observe(Some(Arc::new(move |disk, op| {
        let truth = seen.lock().clone();
        for mode in CrashMode::HONEST {
            let number = count.fetch_add(1, SeqCst);
            let image = disk.crash_image(mode, seed * 1_000_003 + number);
            let label = format!("script {seed}, {mode:?} {number} before {op:?}");
            check_image(&image, &truth, &label, number % 97 == 0);
        }
        check_image(&disk.process_crash_image(), &truth, &format!("killed before {op:?}"), false);
    })));
    let mut dice = Dice::new(seed);
    let options = small(&disk);
    let mut log = open(&options);
    for _ in 0..steps {
        let shard = SHARDS[dice.below(2) as usize];
        let step = truth.lock().0[&shard].acked.roll(&mut dice);
        truth.lock().begin(shard, &step);
        step.call(&mut log.store(shard).unwrap()).unwrap();
        truth.lock().acknowledge(shard);
        if dice.chance(1, 20) {
            match dice.chance(1, 2) {
                true => drop(log.close().unwrap()),
                false => drop(log),
            }
            log = open(&options);
        }
    }
    images.load(SeqCst)
}

/// How many scripts the test runs: more by command, in the variable SEEDS.
fn seeds(usual: u64) -> std::ops::RangeInclusive<u64> {
    1..=std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(usual)
}

#[test]
fn power_loss_before_any_operation_leaves_what_was_acknowledged() {
    let images: u64 = seeds(3).map(|seed| script(seed, 50)).sum();
    assert!(images > 1000, "{images}");
}
