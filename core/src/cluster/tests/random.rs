//! Random steps of several groups against the model, with openings in between.

use super::model::Model;
use super::*;
use crate::host::simulated::Dice;

const SHARDS: [u32; 3] = [0, 1, 900];

fn stores(log: &RaftLog) -> Vec<LogStore> {
    SHARDS.iter().map(|shard| log.store(*shard).unwrap()).collect()
}

fn walk(seed: u64, steps: u64) {
    let mut dice = Dice::new(seed);
    let disk = disk();
    let cache_bytes = [0, 600, 100_000][dice.below(3) as usize];
    let segment_bytes = [4096, 16_384][dice.below(2) as usize];
    let options = RaftLogOptions { segment_bytes, cache_bytes, ..small(&disk) };
    let mut log = open(&options);
    let mut stores = stores(&log);
    let mut models = vec![Model::default(); SHARDS.len()];
    for number in 0..steps {
        let which = dice.below(SHARDS.len() as u64) as usize;
        let (store, model) = (&mut stores[which], &mut models[which]);
        let step = model.roll(&mut dice);
        model.take(&step);
        let label = format!("seed {seed}, step {number}: {step:?}");
        step.call(store).unwrap_or_else(|error| panic!("{label}: {error}"));
        assert_eq!(Model::of(store).unwrap(), *model, "{label}");
        check_parts(store, model, &mut dice, &label);
        if dice.chance(1, 12) {
            drop(stores);
            let closed = dice.chance(1, 2);
            match closed {
                true => drop(log.close().unwrap()),
                false => drop(log),
            }
            log = open(&options);
            stores = self::stores(&log);
            for (store, model) in stores.iter_mut().zip(&mut models) {
                let found = Model::of(store).unwrap();
                if !closed {
                    // What is committed is written with what is written next, and nothing was.
                    assert!(found.committed <= model.committed, "{label}");
                    model.committed = found.committed;
                }
                assert_eq!(found, *model, "{label}, opened again");
            }
        }
    }
    let bytes: u64 = log.segments().iter().map(|(_, bytes)| bytes).sum();
    let held: u64 = models.iter().map(|model| model.entries.len() as u64).sum();
    assert!(held > 0 || bytes < 2 * segment_bytes, "{bytes} bytes for nothing");
}

/// Reads a random part of the entries in each of the ways there are.
fn check_parts(store: &LogStore, model: &Model, dice: &mut Dice, label: &str) {
    let end = model.last().map_or(0, |last| last.index + 1);
    let (from, to) = (dice.below(end + 2), dice.below(end + 4));
    let expected: Vec<Entry> = match from < to {
        true => model.entries.range(from..to).map(|(_, entry)| entry.clone()).collect(),
        false => Vec::new(),
    };
    let mut reader = store.reader();
    let read = now(RaftLogReader::<TypeConfig>::try_get_log_entries(&mut reader, from..to));
    assert_eq!(read.unwrap(), expected, "{label}");
    let purged = from < to && model.purged.is_some_and(|purged| from <= purged.index);
    match limited(store, from, to) {
        Ok(first) => {
            assert!(!purged && expected.starts_with(&first), "{label}");
            assert!(expected.is_empty() || !first.is_empty(), "{label}");
        }
        Err(error) => assert!(purged && error.kind() == std::io::ErrorKind::NotFound, "{label}"),
    }
}

#[test]
fn random_steps_leave_what_the_model_says_also_after_opening_again() {
    (1..=60).for_each(|seed| walk(seed, 150));
}
