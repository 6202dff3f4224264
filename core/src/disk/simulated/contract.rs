//! The claims every file system must meet, run against the real one and the simulated one alike:
//! what the engine learns from a simulation is worth as much as the two agree.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SimDisk;
use crate::disk::real::RealVfs;
use crate::disk::{Access, DirEntry, Vfs, VfsFile};
use crate::host::simulated::Dice;

macro_rules! for_both {
    ($($claim:ident)*) => {
        mod real {
            $(#[test] fn $claim() {
                let dir = tempfile::tempdir().unwrap();
                super::$claim(&super::RealVfs, dir.path());
            })*
        }
        mod simulated {
            $(#[test] fn $claim() {
                super::$claim(&super::SimDisk::new(), "".as_ref());
            })*
        }
    };
}

for_both! {
    a_new_file_is_empty_and_takes_bytes_anywhere
    reads_stop_at_the_end_of_the_file
    cut_bytes_are_zero_when_the_file_grows_again
    a_file_opened_for_reading_refuses_writes
    creating_an_existing_file_is_refused
    creating_an_existing_folder_is_fine
    missing_files_and_folders_are_not_found
    a_rename_replaces_its_goal
    a_rename_moves_between_folders
    an_unlinked_file_is_read_through_its_open_handle
    a_folder_is_removed_only_when_empty
    a_listing_is_sorted_and_tells_folders
    handles_of_one_file_see_each_other
    a_lock_excludes_a_second_owner_until_dropped
    asking_for_a_lock_changes_nothing
    random_writes_read_back_like_a_vector
}

fn text(file: &dyn VfsFile) -> Vec<u8> {
    let mut bytes = vec![0; file.size().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn create(vfs: &dyn Vfs, path: &Path, bytes: &[u8]) -> Arc<dyn VfsFile> {
    let file = vfs.create(path, false).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

fn names(vfs: &dyn Vfs, dir: &Path) -> Vec<String> {
    vfs.list(dir).unwrap().into_iter().map(|entry| entry.name).collect()
}

fn a_new_file_is_empty_and_takes_bytes_anywhere(vfs: &dyn Vfs, root: &Path) {
    let file = vfs.create(&root.join("f"), true).unwrap();
    assert_eq!(file.size().unwrap(), 0);
    file.write_all_at(b"end", 5_000).unwrap();
    file.write_all_at(b"start", 0).unwrap();
    file.write_all_at(b"", 9_000).unwrap();
    file.sync_data().unwrap();
    vfs.sync_dir(root).unwrap();
    let mut expected = vec![0; 5_003];
    expected[..5].copy_from_slice(b"start");
    expected[5_000..].copy_from_slice(b"end");
    assert_eq!(text(&*file), expected);
}

fn reads_stop_at_the_end_of_the_file(vfs: &dyn Vfs, root: &Path) {
    let file = create(vfs, &root.join("f"), b"12345");
    let mut buf = [9; 8];
    assert_eq!(file.read_at(&mut buf, 2).unwrap(), 3);
    assert_eq!(&buf, b"345\x09\x09\x09\x09\x09");
    assert_eq!(file.read_at(&mut buf, 5).unwrap(), 0);
    assert_eq!(file.read_at(&mut buf, 1 << 40).unwrap(), 0);
    assert_eq!(file.read_exact_at(&mut buf, 2).unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

fn cut_bytes_are_zero_when_the_file_grows_again(vfs: &dyn Vfs, root: &Path) {
    let file = create(vfs, &root.join("f"), &[7; 6_000]);
    file.set_len(100).unwrap();
    file.set_len(6_000).unwrap();
    let bytes = text(&*file);
    assert!(bytes[..100].iter().all(|byte| *byte == 7));
    assert!(bytes[100..].iter().all(|byte| *byte == 0));
}

fn a_file_opened_for_reading_refuses_writes(vfs: &dyn Vfs, root: &Path) {
    create(vfs, &root.join("f"), b"old");
    let file = vfs.open(&root.join("f"), Access::Read).unwrap();
    assert!(file.write_all_at(b"new", 0).is_err());
    assert!(file.set_len(0).is_err());
    assert_eq!(text(&*file), b"old");
}

fn creating_an_existing_file_is_refused(vfs: &dyn Vfs, root: &Path) {
    create(vfs, &root.join("f"), b"old");
    let refused = vfs.create(&root.join("f"), false).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    assert!(vfs.create_dir(&root.join("f")).is_err());
    assert_eq!(text(&*vfs.open(&root.join("f"), Access::Read).unwrap()), b"old");
}

fn creating_an_existing_folder_is_fine(vfs: &dyn Vfs, root: &Path) {
    vfs.create_dir(&root.join("d")).unwrap();
    create(vfs, &root.join("d/f"), b"kept");
    vfs.create_dir(&root.join("d")).unwrap();
    assert_eq!(names(vfs, &root.join("d")), ["f"]);
    let refused = vfs.create(&root.join("d"), false).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
}

fn missing_files_and_folders_are_not_found(vfs: &dyn Vfs, root: &Path) {
    let missing = root.join("no");
    let kinds = [
        vfs.open(&missing, Access::Read).map(drop),
        vfs.open(&missing, Access::ReadWrite).map(drop),
        vfs.create(&missing.join("f"), false).map(drop),
        vfs.create_dir(&missing.join("d")),
        vfs.unlink(&missing),
        vfs.remove_dir(&missing),
        vfs.rename(&missing, &root.join("to")),
        vfs.list(&missing).map(drop),
        vfs.sync_dir(&missing),
    ];
    for result in kinds {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

fn a_rename_replaces_its_goal(vfs: &dyn Vfs, root: &Path) {
    create(vfs, &root.join("new"), b"new");
    let old = create(vfs, &root.join("old"), b"old");
    vfs.rename(&root.join("new"), &root.join("old")).unwrap();
    vfs.sync_dir(root).unwrap();
    assert_eq!(names(vfs, root), ["old"]);
    assert_eq!(text(&*vfs.open(&root.join("old"), Access::Read).unwrap()), b"new");
    assert_eq!(text(&*old), b"old");
}

fn a_rename_moves_between_folders(vfs: &dyn Vfs, root: &Path) {
    vfs.create_dir(&root.join("a")).unwrap();
    vfs.create_dir(&root.join("b")).unwrap();
    create(vfs, &root.join("a/f"), b"moved");
    vfs.rename(&root.join("a/f"), &root.join("b/g")).unwrap();
    assert_eq!(names(vfs, &root.join("a")), [""; 0]);
    assert_eq!(text(&*vfs.open(&root.join("b/g"), Access::Read).unwrap()), b"moved");
    assert!(vfs.rename(&root.join("b/g"), &root.join("a")).is_err());
    assert!(vfs.rename(&root.join("a"), &root.join("a/inside")).is_err());
}

fn an_unlinked_file_is_read_through_its_open_handle(vfs: &dyn Vfs, root: &Path) {
    let file = create(vfs, &root.join("f"), b"still here");
    vfs.unlink(&root.join("f")).unwrap();
    assert_eq!(names(vfs, root), [""; 0]);
    create(vfs, &root.join("f"), b"another");
    assert_eq!(text(&*file), b"still here");
    file.write_all_at(b"!", 10).unwrap();
    file.sync_data().unwrap();
}

fn a_folder_is_removed_only_when_empty(vfs: &dyn Vfs, root: &Path) {
    vfs.create_dir(&root.join("d")).unwrap();
    create(vfs, &root.join("d/f"), b"");
    let refused = vfs.remove_dir(&root.join("d")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::DirectoryNotEmpty);
    assert!(vfs.unlink(&root.join("d")).is_err());
    assert!(vfs.remove_dir(&root.join("d/f")).is_err());
    vfs.unlink(&root.join("d/f")).unwrap();
    vfs.remove_dir(&root.join("d")).unwrap();
    assert_eq!(names(vfs, root), [""; 0]);
}

fn a_listing_is_sorted_and_tells_folders(vfs: &dyn Vfs, root: &Path) {
    create(vfs, &root.join("b"), b"");
    create(vfs, &root.join("c"), b"");
    vfs.create_dir(&root.join("a")).unwrap();
    let entry = |name: &str, is_dir| DirEntry { name: name.into(), is_dir };
    let expected = [entry("a", true), entry("b", false), entry("c", false)];
    assert_eq!(vfs.list(root).unwrap(), expected);
    assert!(vfs.list(&root.join("b")).is_err());
}

fn handles_of_one_file_see_each_other(vfs: &dyn Vfs, root: &Path) {
    let writer = create(vfs, &root.join("f"), b"one");
    let reader = vfs.open(&root.join("f"), Access::Read).unwrap();
    writer.write_all_at(b"two", 3).unwrap();
    assert_eq!(text(&*reader), b"onetwo");
    reader.sync_data().unwrap();
}

fn a_lock_excludes_a_second_owner_until_dropped(vfs: &dyn Vfs, root: &Path) {
    let path = root.join("LOCK");
    assert!(!vfs.is_locked(&path).unwrap());
    let lock = vfs.lock(&path, "the first owner").unwrap();
    assert!(vfs.is_locked(&path).unwrap());
    let refused = vfs.lock(&path, "the second").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    assert!(refused.to_string().contains("the first owner"), "{refused}");
    drop(lock);
    assert!(!vfs.is_locked(&path).unwrap());
    assert_eq!(vfs.open(&path, Access::Read).unwrap().size().unwrap(), 0);
    drop(vfs.lock(&path, "the second").unwrap());
}

fn asking_for_a_lock_changes_nothing(vfs: &dyn Vfs, root: &Path) {
    let path: PathBuf = root.join("LOCK");
    assert!(!vfs.is_locked(&path).unwrap());
    assert_eq!(names(vfs, root), [""; 0]);
    create(vfs, &path, b"left by the dead");
    assert!(!vfs.is_locked(&path).unwrap());
    assert_eq!(text(&*vfs.open(&path, Access::Read).unwrap()), b"left by the dead");
}

fn random_writes_read_back_like_a_vector(vfs: &dyn Vfs, root: &Path) {
    let mut dice = Dice::new(7);
    let file = vfs.create(&root.join("f"), false).unwrap();
    let mut model = Vec::new();
    for _ in 0..500 {
        let offset = dice.below(20_000) as usize;
        match dice.below(6) {
            0 => {
                file.set_len(offset as u64).unwrap();
                model.resize(offset, 0);
            }
            1 => file.sync_data().unwrap(),
            _ => {
                let mut bytes = vec![0; 1 + dice.below(3_000) as usize];
                dice.fill(&mut bytes);
                file.write_all_at(&bytes, offset as u64).unwrap();
                model.resize(model.len().max(offset + bytes.len()), 0);
                model[offset..offset + bytes.len()].copy_from_slice(&bytes);
            }
        }
        assert_eq!(text(&*file), model);
    }
}
