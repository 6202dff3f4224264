//! Recycling: purging frees segments, and what must outlive them does.

use super::model::Model;
use super::*;

/// Fills a store with `count` entries of one kilobyte.
fn fill(store: &mut LogStore, count: u64) -> LogId {
    let state = now(RaftLogStorage::<TypeConfig>::get_log_state(store)).unwrap();
    let state: openraft::LogState<TypeConfig> = state;
    let first = state.last_log_id.map_or(0, |last| last.index + 1);
    for index in first..first + count {
        append(store, vec![entry(1, index, 1000)]).unwrap();
    }
    id(1, first + count - 1)
}

#[test]
fn purging_recycles_segments_and_states_outlive_them() {
    let disk = disk();
    let options = small(&disk);
    let log = open(&options);
    let (mut busy, mut idle) = (log.store(1).unwrap(), log.store(2).unwrap());
    save_vote(&mut idle, Vote::new_committed(7, 3)).unwrap();
    append(&mut idle, vec![blank(7, 0)]).unwrap();
    save_committed(&mut idle, Some(id(7, 0))).unwrap();
    purge(&mut idle, id(7, 0)).unwrap();
    save_vote(&mut busy, Vote::new(1, 9)).unwrap();
    for round in 0..20 {
        let last = fill(&mut busy, 10);
        assert!(log.segments().len() >= 3, "round {round}");
        purge(&mut busy, last).unwrap();
        assert_eq!(log.segments().len(), 1, "round {round}");
    }
    assert!(log.segments()[0].0 > 50);
    let expected = [Model::of(&mut busy).unwrap(), Model::of(&mut idle).unwrap()];
    assert_eq!(expected[1].vote, Some(Vote::new_committed(7, 3)));
    assert_eq!((expected[1].committed, expected[1].purged), (Some(id(7, 0)), Some(id(7, 0))));
    let killed = open(&small(&disk.crash_image(crate::disk::simulated::CrashMode::M3, 5)));
    for (shard, expected) in [1, 2].into_iter().zip(expected) {
        assert_eq!(Model::of(&mut killed.store(shard).unwrap()).unwrap(), expected);
    }
    assert_eq!(killed.shards(), [1, 2]);
}

#[test]
fn a_group_that_was_not_purged_keeps_its_segment_and_is_named() {
    let disk = disk();
    let log = open(&small(&disk));
    let (mut busy, mut idle) = (log.store(1).unwrap(), log.store(2).unwrap());
    append(&mut idle, vec![blank(1, 0), blank(1, 1)]).unwrap();
    let last = fill(&mut busy, 20);
    purge(&mut busy, last).unwrap();
    assert_eq!((log.segments()[0].0, log.pinned_by()), (1, vec![2]));
    purge(&mut idle, id(1, 1)).unwrap();
    assert_eq!((log.segments().len(), log.pinned_by()), (1, vec![]));
}

#[test]
fn a_purge_keeps_what_is_behind_it() {
    let disk = disk();
    let options = small(&disk);
    let log = open(&options);
    let mut store = log.store(1).unwrap();
    fill(&mut store, 50);
    let mut expected = Model::of(&mut store).unwrap();
    for upto in [0, 9, 10, 31, 48] {
        purge(&mut store, id(1, upto)).unwrap();
        expected.take(&super::model::Step::Purge(id(1, upto)));
        assert_eq!(Model::of(&mut store).unwrap(), expected);
        // An older purge changes nothing.
        purge(&mut store, id(1, upto / 2)).unwrap();
        let image = disk.crash_image(crate::disk::simulated::CrashMode::M3, upto);
        let again = open(&small(&image));
        assert_eq!(Model::of(&mut again.store(1).unwrap()).unwrap(), expected);
    }
    assert!(log.segments().len() <= 2);
}

#[test]
fn a_truncated_suffix_stays_void_in_every_segment() {
    let disk = disk();
    let options = small(&disk);
    let log = open(&options);
    let mut store = log.store(1).unwrap();
    for term in 1..=30 {
        let first = term % 5;
        truncate(&mut store, (first > 0).then(|| id(0, first - 1))).unwrap();
        let state: openraft::LogState<TypeConfig> =
            now(RaftLogStorage::<TypeConfig>::get_log_state(&mut store)).unwrap();
        let first = state.last_log_id.map_or(0, |last| last.index + 1);
        append(&mut store, (first..10).map(|index| entry(term, index, 400)).collect()).unwrap();
    }
    let expected = Model::of(&mut store).unwrap();
    assert_eq!(expected.entries.keys().copied().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    drop((store, log));
    assert_eq!(Model::of(&mut open(&options).store(1).unwrap()).unwrap(), expected);
}

#[test]
fn reads_and_appends_are_bounded() {
    let disk = disk();
    let options = RaftLogOptions { cache_bytes: 0, ..options(Arc::new(disk.clone())) };
    let log = open(&options);
    let mut store = log.store(1).unwrap();
    let sizes = [300_000, 300_000, 300_000, 300_000, 5_000_000, 10, 10, 2_000_000];
    let entries: Vec<Entry> =
        sizes.iter().enumerate().map(|(n, bytes)| entry(1, n as u64, *bytes)).collect();
    append(&mut store, entries.clone()).unwrap();
    let count = |start| limited(&store, start, 8).unwrap().len();
    assert_eq!((0..8).map(count).collect::<Vec<_>>(), [3, 3, 2, 1, 1, 2, 1, 1]);
    assert_eq!(limited(&store, 4, 8).unwrap(), entries[4..5]);
    assert_eq!(all(&store).unwrap(), entries);
    // A stream reads part by part and gives all of it.
    let mut reader = store.reader();
    let stream = now(RaftLogReader::<TypeConfig>::entries_stream(&mut reader, 1..));
    let read: Vec<std::io::Result<Entry>> = now(futures_util::StreamExt::collect(stream));
    let read: Vec<Entry> = read.into_iter().map(Result::unwrap).collect();
    assert_eq!(read, entries[1..]);
}

#[test]
fn a_stream_ends_when_another_leads_or_entries_are_gone() {
    use futures_util::StreamExt;
    use openraft::storage::LeaderBoundedStreamError;

    let disk = disk();
    let options = RaftLogOptions { cache_bytes: 0, ..options(Arc::new(disk.clone())) };
    let log = open(&options);
    let mut store = log.store(1).unwrap();
    append(&mut store, (0..6).map(|index| entry(1, index, 600_000)).collect()).unwrap();
    let vote = Vote::new_committed(1, 4);
    save_vote(&mut store, vote).unwrap();
    let (mut reader, mut other) = (store.reader(), store.reader());
    let stream =
        RaftLogReader::<TypeConfig>::leader_bounded_stream(&mut reader, vote.leader_id, ..);
    let mut bounded = std::pin::pin!(now(stream));
    let stream = RaftLogReader::<TypeConfig>::entries_stream(&mut other, ..);
    let mut unbounded = std::pin::pin!(now(stream));
    for index in 0..2 {
        assert_eq!(now(bounded.next()).unwrap().unwrap().log_id, id(1, index));
        assert_eq!(now(unbounded.next()).unwrap().unwrap().log_id, id(1, index));
    }
    save_vote(&mut store, Vote::new(2, 3)).unwrap();
    let item = now(bounded.next()).unwrap();
    assert!(matches!(item, Err(LeaderBoundedStreamError::LeaderChanged(_))), "{item:?}");
    assert!(now(bounded.next()).is_none());
    purge(&mut store, id(1, 4)).unwrap();
    let error = now(unbounded.next()).unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(now(unbounded.next()).is_none());
    assert_eq!(all(&store).unwrap().len(), 1);
}
