//! Claims about what a simulated disk keeps, loses and counts.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use super::*;
use crate::disk::VfsFile;
use crate::host::simulated::Dice;

const SEEDS: u64 = 400;
const ALL: [CrashMode; 5] =
    [CrashMode::M0, CrashMode::M1, CrashMode::M2, CrashMode::M3, CrashMode::M4];

/// A file in the root with synced bytes under a synced name.
fn synced(disk: &SimDisk, path: &str, bytes: &[u8]) -> Arc<dyn VfsFile> {
    let file = disk.create(path.as_ref(), false).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir("".as_ref()).unwrap();
    file
}

/// The content of `path` in every image of `mode`; `None` where the file is missing.
fn outcomes(disk: &SimDisk, mode: CrashMode, path: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..SEEDS).map(|seed| content(&disk.crash_image(mode, seed), path)).collect()
}

fn content(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    disk.files().contains(&PathBuf::from("/").join(path)).then(|| disk.read_file(path))
}

fn contents(disk: &SimDisk) -> Vec<(PathBuf, Vec<u8>)> {
    disk.files().into_iter().map(|path| (path.clone(), disk.read_file(path))).collect()
}

/// Some hundred operations of every kind, a third of them followed by a sync.
fn workload(disk: &SimDisk, seed: u64) -> io::Result<()> {
    let mut dice = Dice::new(seed);
    let root = Path::new("");
    disk.create_dir("d".as_ref())?;
    for round in 0..200 {
        let dir = Path::new(if dice.chance(1, 3) { "d" } else { "" });
        let path = dir.join(dice.below(6).to_string());
        let file = match disk.open(&path, Access::ReadWrite) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => disk.create(&path, false)?,
            Err(error) => return Err(error),
        };
        match dice.below(8) {
            0 => disk.unlink(&path)?,
            1 => disk.rename(&path, &dir.join(dice.below(6).to_string()))?,
            2 => file.set_len(dice.below(3_000))?,
            3 => file.sync_data()?,
            4 => disk.sync_dir(if dice.chance(1, 2) { root } else { "d".as_ref() })?,
            _ => file.write_all_at(
                &vec![round as u8; 1 + dice.below(2_000) as usize],
                dice.below(3_000),
            )?,
        }
    }
    Ok(())
}

#[test]
fn synced_bytes_under_a_synced_name_survive_every_honest_mode() {
    let disk = SimDisk::new();
    let file = synced(&disk, "f", &[1; 3_000]);
    // Unsynced neighbours in the same sector, before and after, and a longer file.
    file.write_all_at(&[2; 200], 100).unwrap();
    file.write_all_at(&[3; 5_000], 2_900).unwrap();
    for mode in CrashMode::HONEST {
        for bytes in outcomes(&disk, mode, "f") {
            let bytes = bytes.expect("the entry was synced");
            assert!(bytes.len() >= 3_000);
            assert!(bytes[..100].iter().all(|byte| *byte == 1), "{mode:?}");
            assert!(bytes[300..2_900].iter().all(|byte| *byte == 1), "{mode:?}");
        }
    }
}

#[test]
fn what_is_synced_is_the_same_in_every_image_of_a_random_history() {
    for seed in 0..30 {
        let disk = SimDisk::new();
        workload(&disk, seed).unwrap();
        for path in disk.files() {
            disk.open(&path, Access::Read).unwrap().sync_data().unwrap();
        }
        disk.sync_dir("".as_ref()).unwrap();
        disk.sync_dir("d".as_ref()).unwrap();
        for mode in CrashMode::HONEST {
            assert_eq!(contents(&disk.crash_image(mode, seed)), contents(&disk), "{mode:?}");
        }
    }
}

#[test]
fn a_lying_sync_loses_synced_bytes() {
    let disk = SimDisk::new();
    synced(&disk, "f", &[1; 3_000]);
    let outcomes = outcomes(&disk, CrashMode::M4, "f");
    assert!(outcomes.iter().flatten().any(|bytes| bytes.is_empty()));
    assert!(outcomes.iter().flatten().any(|bytes| bytes.len() == 3_000 && bytes[2_999] == 0));
}

#[test]
fn a_lying_disk_keeps_what_was_there_before_the_lies() {
    let disk = SimDisk::new();
    disk.write_file("f", [1; 600]);
    let file = disk.open("f".as_ref(), Access::ReadWrite).unwrap();
    file.write_all_at(&[2; 10], 0).unwrap();
    file.sync_data().unwrap();
    let outcomes = outcomes(&disk, CrashMode::M4, "f");
    assert!(outcomes.iter().flatten().all(|bytes| bytes[10..] == [1; 590]));
    assert!(outcomes.iter().flatten().any(|bytes| bytes[..10] == [1; 10]));
}

#[test]
fn an_ordered_image_is_a_prefix_of_the_history() {
    let disk = SimDisk::new();
    let (first, second) = (synced(&disk, "a", b""), synced(&disk, "b", b""));
    for number in 0..10_u8 {
        let file = if number % 2 == 0 { &first } else { &second };
        file.write_all_at(&[number], u64::from(number / 2)).unwrap();
    }
    let mut counts = BTreeSet::new();
    for seed in 0..SEEDS {
        let image = disk.crash_image(CrashMode::M0, seed);
        let (a, b) = (image.read_file("a"), image.read_file("b"));
        assert_eq!(a, [0, 2, 4, 6, 8][..a.len()]);
        assert_eq!(b, [1, 3, 5, 7, 9][..b.len()]);
        assert!(a.len() == b.len() || a.len() == b.len() + 1, "a hole in the history");
        counts.insert(a.len() + b.len());
    }
    assert_eq!(counts.len(), 11, "every prefix occurs");
}

#[test]
fn unsynced_sectors_are_lost_one_by_one() {
    let disk = SimDisk::new();
    let file = synced(&disk, "f", &[0; 4 * 512]);
    file.write_all_at(&[1; 4 * 512], 0).unwrap();
    let mut seen = BTreeSet::new();
    for bytes in outcomes(&disk, CrashMode::M1, "f").into_iter().flatten() {
        let kept: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
        assert!(bytes.chunks(512).all(|s| s == [s[0]; 512]), "no sector is torn in M1");
        seen.insert(kept);
    }
    assert_eq!(seen.len(), 16, "every subset occurs");
}

#[test]
fn a_sector_written_twice_may_hold_the_first_write() {
    let disk = SimDisk::new();
    let file = synced(&disk, "f", b"a");
    file.write_all_at(b"b", 0).unwrap();
    file.write_all_at(b"c", 0).unwrap();
    let expected = [b"a", b"b", b"c"].map(|bytes| Some(bytes.to_vec()));
    assert_eq!(outcomes(&disk, CrashMode::M1, "f"), BTreeSet::from(expected));
}

#[test]
fn a_lost_extension_leaves_zeros_or_a_shorter_file() {
    let disk = SimDisk::new();
    let file = synced(&disk, "f", &[1; 512]);
    file.write_all_at(&[2; 2048], 512).unwrap();
    let outcomes: Vec<_> = outcomes(&disk, CrashMode::M1, "f").into_iter().flatten().collect();
    let lens: BTreeSet<usize> = outcomes.iter().map(Vec::len).collect();
    assert_eq!(lens, BTreeSet::from([512, 1024, 1536, 2048, 2560]));
    assert!(outcomes.contains(&[vec![1; 512], vec![0; 2048]].concat()));
    assert!(outcomes.contains(&[vec![1; 512], vec![2; 2048]].concat()));
}

#[test]
fn a_torn_sector_mixes_old_and_new_or_ends_in_zeros_noise_or_stale_bytes() {
    let disk = SimDisk::new();
    let file = synced(&disk, "f", &[vec![9; 512], vec![1; 512]].concat());
    file.write_all_at(&[2; 512], 512).unwrap();
    let (mut mixed, mut zeros, mut noise, mut stale) = (false, false, false, false);
    for bytes in outcomes(&disk, CrashMode::M2, "f").into_iter().flatten() {
        assert_eq!(bytes[..512], [9; 512], "no unsynced write covers this sector");
        let torn = &bytes[512..];
        let has = |byte| torn.contains(&byte);
        mixed |= has(1) && has(2) && torn.iter().all(|b| [1, 2].contains(b));
        zeros |= has(2) && has(0) && torn.iter().all(|b| [0, 2].contains(b));
        stale |= has(2) && has(9);
        noise |= torn.iter().collect::<BTreeSet<_>>().len() > 20;
    }
    assert!(mixed && zeros && noise && stale, "{mixed} {zeros} {noise} {stale}");
}

#[test]
fn only_one_file_is_torn() {
    let disk = SimDisk::new();
    let files = ["a", "b"].map(|path| synced(&disk, path, &[1; 512]));
    files.iter().for_each(|file| file.write_all_at(&[2; 512], 0).unwrap());
    let torn = |bytes: Vec<u8>| bytes != [1; 512] && bytes != [2; 512];
    for seed in 0..SEEDS {
        let image = disk.crash_image(CrashMode::M2, seed);
        assert!(!(torn(image.read_file("a")) && torn(image.read_file("b"))));
    }
}

#[test]
fn an_unsynced_cut_takes_all_or_nothing_of_what_was_synced() {
    let disk = SimDisk::new();
    let file = synced(&disk, "f", &[1; 2_000]);
    file.set_len(100).unwrap();
    for mode in CrashMode::HONEST {
        let expected = [vec![1; 100], vec![1; 2_000]].map(Some);
        assert_eq!(outcomes(&disk, mode, "f"), BTreeSet::from(expected), "{mode:?}");
    }
}

#[test]
fn a_file_whose_folder_was_not_synced_can_vanish() {
    let disk = SimDisk::new();
    let file = disk.create("f".as_ref(), false).unwrap();
    file.write_all_at(b"synced", 0).unwrap();
    file.sync_data().unwrap();
    let expected = BTreeSet::from([None, Some(b"synced".to_vec())]);
    assert_eq!(outcomes(&disk, CrashMode::M3, "f"), expected);
    disk.sync_dir("".as_ref()).unwrap();
    let expected = BTreeSet::from([Some(b"synced".to_vec())]);
    assert_eq!(outcomes(&disk, CrashMode::M3, "f"), expected);
}

#[test]
fn a_synced_folder_vanishes_with_its_own_unsynced_entry() {
    let disk = SimDisk::new();
    disk.create_dir("d".as_ref()).unwrap();
    disk.create("d/f".as_ref(), false).unwrap();
    disk.sync_dir("d".as_ref()).unwrap();
    assert!(outcomes(&disk, CrashMode::M3, "d/f").contains(&None));
    disk.sync_dir("".as_ref()).unwrap();
    assert!(!outcomes(&disk, CrashMode::M3, "d/f").contains(&None));
}

#[test]
fn an_unsynced_rename_shows_old_or_new_and_never_neither() {
    let disk = SimDisk::new();
    synced(&disk, "f", b"old");
    synced(&disk, "f.new", b"new");
    disk.rename("f.new".as_ref(), "f".as_ref()).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let image = disk.crash_image(CrashMode::M3, seed);
        seen.insert((content(&image, "f"), content(&image, "f.new")));
    }
    let (old, new) = (Some(b"old".to_vec()), Some(b"new".to_vec()));
    assert_eq!(seen, BTreeSet::from([(old, new.clone()), (new.clone(), None)]));
    disk.sync_dir("".as_ref()).unwrap();
    assert_eq!(outcomes(&disk, CrashMode::M3, "f"), BTreeSet::from([new]));
}

#[test]
fn a_rename_between_folders_needs_both_synced() {
    let disk = SimDisk::new();
    disk.write_file("a/f", b"moved");
    disk.write_file("b/other", b"");
    disk.rename("a/f".as_ref(), "b/f".as_ref()).unwrap();
    disk.sync_dir("b".as_ref()).unwrap();
    assert!(outcomes(&disk, CrashMode::M3, "b/f").contains(&None));
    for seed in 0..SEEDS {
        let image = disk.crash_image(CrashMode::M3, seed);
        assert_eq!(image.files().len(), 2, "found under one of its names");
    }
    disk.sync_dir("a".as_ref()).unwrap();
    assert!(!outcomes(&disk, CrashMode::M3, "b/f").contains(&None));
}

#[test]
fn an_unsynced_unlink_may_return_the_file_whole() {
    let disk = SimDisk::new();
    drop(synced(&disk, "f", b"bytes"));
    disk.unlink("f".as_ref()).unwrap();
    let expected = BTreeSet::from([None, Some(b"bytes".to_vec())]);
    assert_eq!(outcomes(&disk, CrashMode::M3, "f"), expected);
    assert_eq!(outcomes(&disk, CrashMode::M1, "f"), BTreeSet::from([None]));
    disk.sync_dir("".as_ref()).unwrap();
    assert_eq!(outcomes(&disk, CrashMode::M3, "f"), BTreeSet::from([None]));
}

#[test]
fn entries_of_one_file_are_lost_from_the_end_of_its_history() {
    let disk = SimDisk::new();
    disk.create("a".as_ref(), false).unwrap();
    disk.rename("a".as_ref(), "b".as_ref()).unwrap();
    disk.rename("b".as_ref(), "c".as_ref()).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let files = disk.crash_image(CrashMode::M3, seed).files();
        assert!(files.len() <= 1, "{files:?}");
        seen.extend(files);
    }
    assert_eq!(seen, BTreeSet::from(["/a", "/b", "/c"].map(PathBuf::from)));
}

#[test]
fn the_same_seed_gives_the_same_image_and_others_differ() {
    let disk = SimDisk::new();
    workload(&disk, 1).unwrap();
    for mode in ALL {
        let mut images = BTreeSet::new();
        for seed in 0..50 {
            let image = contents(&disk.crash_image(mode, seed));
            assert_eq!(image, contents(&disk.crash_image(mode, seed)));
            images.insert(image);
        }
        assert!(images.len() > 10, "{mode:?}: {} images", images.len());
    }
}

#[test]
fn a_rerun_of_the_same_history_gives_the_same_images() {
    let (first, second) = (SimDisk::new(), SimDisk::new());
    workload(&first, 5).unwrap();
    workload(&second, 5).unwrap();
    assert_eq!(first.ops(), second.ops());
    for (mode, seed) in ALL.into_iter().zip(0..) {
        let images = [&first, &second].map(|disk| contents(&disk.crash_image(mode, seed)));
        assert_eq!(images[0], images[1]);
    }
}

#[test]
fn an_image_is_a_disk_of_its_own() {
    let disk = SimDisk::new();
    synced(&disk, "f", &[1; 5_000]);
    let _lock = disk.lock("LOCK".as_ref(), "owner").unwrap();
    disk.crash_at(disk.ops());
    assert!(disk.sync_dir("".as_ref()).is_err());
    let image = disk.crash_image(CrashMode::M1, 0);
    assert!(!image.is_locked("LOCK".as_ref()).unwrap());
    let file = image.open("f".as_ref(), Access::ReadWrite).unwrap();
    file.write_all_at(&[2; 100], 0).unwrap();
    assert_eq!(image.crash_image(CrashMode::M0, 0).files(), image.files());
    assert_eq!(disk.crash_image(CrashMode::M1, 0).read_file("f"), [1; 5_000]);
}

#[test]
fn an_image_has_nothing_left_to_lose() {
    for seed in 0..20 {
        let disk = SimDisk::new();
        workload(&disk, seed).unwrap();
        let image = disk.crash_image(CrashMode::M3, seed);
        assert_eq!(contents(&image.crash_image(CrashMode::M4, seed + 1)), contents(&image));
    }
}

#[test]
fn a_killed_process_leaves_all_it_wrote_and_none_of_it_safer() {
    let disk = SimDisk::new();
    let file = synced(&disk, "f", b"old");
    file.write_all_at(b"new", 0).unwrap();
    disk.create("g".as_ref(), false).unwrap();
    let _lock = disk.lock("LOCK".as_ref(), "killed").unwrap();
    let after = disk.process_crash_image();
    assert_eq!(after.read_file("f"), b"new");
    assert_eq!(after.read_file("LOCK"), b"killed");
    assert!(!after.is_locked("LOCK".as_ref()).unwrap());
    assert_eq!(outcomes(&after, CrashMode::M1, "f").len(), 2);
    assert!(outcomes(&after, CrashMode::M3, "g").contains(&None));
}

#[test]
fn every_call_fails_from_the_crash_on() {
    let disk = SimDisk::new();
    let file = synced(&disk, "f", b"bytes");
    disk.crash_at(disk.ops() + 1);
    file.write_all_at(b"lasts", 0).unwrap();
    file.read_at(&mut [0], 0).unwrap();
    let error = file.sync_data().unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (ErrorKind::Other, "simulated power loss".into())
    );
    assert!(file.read_at(&mut [0], 0).is_err());
    assert!(file.size().is_err());
    assert!(disk.list("".as_ref()).is_err());
    assert!(disk.open("f".as_ref(), Access::Read).is_err());
    assert!(disk.lock("LOCK".as_ref(), "").is_err());
    assert!(disk.is_locked("LOCK".as_ref()).is_err());
    assert_eq!(disk.read_file("f"), b"lasts", "the test still looks inside");
}

#[test]
fn a_crash_at_each_operation_stops_the_workload_after_so_many() {
    let whole = SimDisk::new();
    workload(&whole, 2).unwrap();
    for op in 0..whole.ops() {
        let disk = SimDisk::new();
        disk.crash_at(op);
        assert!(workload(&disk, 2).is_err());
        assert_eq!(disk.ops(), op);
    }
}

#[test]
fn a_single_fault_changes_nothing_and_passes() {
    let disk = SimDisk::new();
    let file = synced(&disk, "f", b"old");
    disk.fail_at(disk.ops(), Fault::Once(ErrorKind::PermissionDenied));
    let error = file.write_all_at(b"new", 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(disk.read_file("f"), b"old");
    file.write_all_at(b"new", 0).unwrap();
}

#[test]
fn a_fault_for_good_leaves_reads_until_it_is_cleared() {
    let disk = SimDisk::new();
    let file = synced(&disk, "f", b"old");
    disk.fail_at(disk.ops(), Fault::ForGood(ErrorKind::ReadOnlyFilesystem));
    for _ in 0..3 {
        let error = file.sync_data().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
        file.read_exact_at(&mut [0; 3], 0).unwrap();
    }
    disk.count_reads(true);
    assert!(file.read_at(&mut [0; 3], 0).is_err());
    disk.clear_faults();
    file.sync_data().unwrap();
}

#[test]
fn a_short_write_stores_half_and_fails() {
    let disk = SimDisk::new();
    let file = synced(&disk, "f", b"oldold");
    disk.fail_at(0, Fault::ShortWrite);
    file.sync_data().unwrap();
    assert!(file.write_all_at(b"newnew", 0).is_err());
    assert_eq!(disk.read_file("f"), b"newold");
    file.write_all_at(b"newnew", 0).unwrap();
}

#[test]
fn a_full_disk_takes_only_what_needs_no_space_until_space_returns() {
    let disk = SimDisk::new();
    disk.set_free_bytes(Some(1_000));
    let file = synced(&disk, "f", b"old");
    assert_eq!(disk.free_bytes("".as_ref()).unwrap(), Some(1_000));
    disk.fail_at(disk.ops(), Fault::NoSpace);
    file.write_all_at(b"new", 0).unwrap();
    file.sync_data().unwrap();
    disk.rename("f".as_ref(), "g".as_ref()).unwrap();
    let full = [
        file.write_all_at(b"longer", 0),
        file.set_len(100),
        disk.create("h".as_ref(), false).map(drop),
        disk.create_dir("d".as_ref()),
    ];
    full.into_iter().for_each(|r| assert_eq!(r.unwrap_err().kind(), ErrorKind::StorageFull));
    assert_eq!(disk.free_bytes("".as_ref()).unwrap(), Some(0));
    disk.clear_faults();
    file.write_all_at(b"longer", 0).unwrap();
}

#[test]
fn after_a_failed_sync_the_data_is_readable_until_the_crash_and_then_gone() {
    let disk = SimDisk::new();
    let file = synced(&disk, "f", b"old");
    file.write_all_at(b"new", 0).unwrap();
    disk.fail_at(disk.ops(), Fault::SyncErrorThenClean);
    assert!(file.sync_data().is_err());
    assert_eq!(disk.read_file("f"), b"new");
    file.sync_data().unwrap();
    file.write_all_at(b"!", 3).unwrap();
    file.sync_data().unwrap();
    assert_eq!(disk.read_file("f"), b"new!");
    for mode in CrashMode::HONEST {
        assert_eq!(outcomes(&disk, mode, "f"), BTreeSet::from([Some(b"old!".to_vec())]));
    }
}

#[test]
fn after_a_failed_folder_sync_the_entries_are_gone_with_the_crash() {
    let disk = SimDisk::new();
    disk.create("f".as_ref(), false).unwrap();
    disk.fail_at(disk.ops(), Fault::SyncErrorThenClean);
    assert!(disk.sync_dir("".as_ref()).is_err());
    disk.sync_dir("".as_ref()).unwrap();
    assert_eq!(disk.files().len(), 1);
    assert_eq!(outcomes(&disk, CrashMode::M0, "f"), BTreeSet::from([None]));
}

#[test]
fn operations_that_change_something_are_counted_and_traced() {
    let disk = SimDisk::new();
    disk.record_trace(true);
    let file = synced(&disk, "f", b"bytes");
    file.read_at(&mut [0; 2], 1).unwrap();
    disk.rename("f".as_ref(), "g".as_ref()).unwrap();
    assert!(disk.unlink("missing".as_ref()).is_err());
    disk.count_reads(true);
    file.read_at(&mut [0; 2], 1).unwrap();
    let kinds: Vec<_> = disk.trace().iter().map(|op| op.kind).collect();
    use OpKind::*;
    assert_eq!(kinds, [Create, Write, SyncData, SyncDir, Rename, Read]);
    let trace = disk.trace();
    assert_eq!((trace[1].path.as_path(), trace[1].offset, trace[1].len), ("f".as_ref(), 0, 5));
    assert_eq!(trace[4].to.as_deref(), Some("g".as_ref()));
    assert_eq!((trace[5].index, trace[5].offset, trace[5].len), (6, 1, 2));
    assert_eq!(disk.ops(), 7);
    disk.record_trace(false);
    assert_eq!(disk.trace(), []);
}

#[test]
fn an_observer_sees_the_disk_before_each_operation() {
    let disk = SimDisk::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    disk.observe(Some(Arc::new(move |disk: &SimDisk, op: &Op| {
        assert_eq!(op.index, disk.ops());
        let image = disk.crash_image(CrashMode::M0, op.index);
        sink.lock().push((op.index, op.kind, image.files().len() <= disk.files().len()));
    })));
    synced(&disk, "f", b"bytes");
    disk.observe(None);
    disk.unlink("f".as_ref()).unwrap();
    use OpKind::*;
    let expected = [(0, Create, true), (1, Write, true), (2, SyncData, true), (3, SyncDir, true)];
    assert_eq!(*seen.lock(), expected);
}

#[test]
fn tampering_is_durable_at_once() {
    let disk = SimDisk::new();
    disk.write_file("/a/b/f", [0, 1, 2]);
    disk.flip("a/b/f", 1, 0x80);
    disk.flip("a/b/f", 99, 0xff);
    let expected = BTreeSet::from([Some(vec![0, 0x81, 2])]);
    for mode in ALL {
        assert_eq!(outcomes(&disk, mode, "a/b/f"), expected);
    }
    disk.write_file("a/b/f", b"");
    assert_eq!(disk.read_file("a/b/f"), b"");
}

#[test]
fn a_disk_loaded_from_another_holds_the_same_files() {
    let disk = SimDisk::new();
    disk.write_file("db/f", [7; 5_000]);
    disk.write_file("db/sub/g", b"g");
    disk.write_file("elsewhere", b"");
    disk.create_dir("db/empty".as_ref()).unwrap();
    let copy = SimDisk::load_from(&disk, "/db".as_ref()).unwrap();
    assert_eq!(copy.files(), ["/db/f", "/db/sub/g"].map(PathBuf::from));
    assert_eq!(copy.read_file("db/f"), [7; 5_000]);
    assert_eq!(copy.list("db".as_ref()).unwrap().len(), 3);
    assert_eq!(contents(&copy.crash_image(CrashMode::M3, 0)), contents(&copy));
}

#[test]
fn files_that_no_image_can_name_are_forgotten() {
    let disk = SimDisk::new();
    for round in 0..2_000 {
        let path = PathBuf::from(round.to_string());
        disk.create_dir(&path).unwrap();
        let file = disk.create(&path.join("f"), false).unwrap();
        file.write_all_at(&[1; 100], 0).unwrap();
        disk.sync_dir("".as_ref()).unwrap();
        disk.unlink(&path.join("f")).unwrap();
        disk.remove_dir(&path).unwrap();
        disk.sync_dir("".as_ref()).unwrap();
        drop(file);
    }
    let state = disk.shared.state.lock();
    assert!(state.tree.files.len() <= 200, "{} files", state.tree.files.len());
    assert!(state.tree.pending.is_empty(), "{} entries pending", state.tree.pending.len());
}
