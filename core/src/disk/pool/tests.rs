//! Claims about the pool, on real files behind a file system that counts its opens.

use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::disk::real::RealVfs;
use crate::disk::{DirEntry, VfsLock};
use crate::error::Code;

#[derive(Debug, Default)]
struct Counting {
    opens: AtomicUsize,
    /// Opens yet to fail as if the process had no handle left.
    exhausted: AtomicUsize,
}

impl Vfs for Counting {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn VfsFile>> {
        self.opens.fetch_add(1, Ordering::SeqCst);
        // Long enough for every racing thread to arrive.
        std::thread::yield_now();
        let take = |left: usize| left.checked_sub(1);
        if self.exhausted.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            return Err(io::Error::from_raw_os_error(24));
        }
        RealVfs.open(path, access)
    }
    fn create(&self, path: &Path, private: bool) -> io::Result<Arc<dyn VfsFile>> {
        RealVfs.create(path, private)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealVfs.create_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealVfs.sync_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealVfs.rename(from, to)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        RealVfs.unlink(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealVfs.remove_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        RealVfs.list(path)
    }
    fn lock(&self, path: &Path, owner: &str) -> io::Result<Box<dyn VfsLock>> {
        RealVfs.lock(path, owner)
    }
    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        RealVfs.is_locked(path)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<Option<u64>> {
        RealVfs.free_bytes(path)
    }
}

struct Bench {
    _dir: tempfile::TempDir,
    vfs: Arc<Counting>,
    pool: FilePool,
    paths: Vec<PathBuf>,
}

/// A pool of `capacity` over `count` files whose only byte is their number.
fn bench(capacity: usize, count: u8) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..count).map(|number| dir.path().join(number.to_string())).collect();
    for (number, path) in paths.iter().enumerate() {
        RealVfs.create(path, false).unwrap().write_all_at(&[number as u8], 0).unwrap();
    }
    let vfs = Arc::new(Counting::default());
    let pool = FilePool::new(vfs.clone(), capacity);
    Bench { _dir: dir, vfs, pool, paths }
}

impl Bench {
    fn read(&self, number: usize) {
        let file = self.pool.get(&self.paths[number], Access::Read).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, 0).unwrap();
        assert_eq!(usize::from(byte[0]), number);
    }

    fn opens(&self) -> usize {
        self.vfs.opens.load(Ordering::SeqCst)
    }
}

#[test]
fn a_file_is_opened_once_and_then_served_from_the_pool() {
    let bench = bench(4, 1);
    (0..10).for_each(|_| bench.read(0));
    assert_eq!((bench.opens(), bench.pool.open_count()), (1, 1));
}

#[test]
fn the_least_recently_used_idle_handle_is_closed_first() {
    let bench = bench(2, 3);
    [0, 1, 0, 2].into_iter().for_each(|number| bench.read(number));
    assert_eq!((bench.opens(), bench.pool.open_count()), (3, 2));
    bench.read(0);
    assert_eq!(bench.opens(), 3, "file 0 was used after file 1 and stays open");
    bench.read(1);
    assert_eq!(bench.opens(), 4);
}

#[test]
fn handles_in_use_are_kept_and_counted_beyond_the_capacity() {
    let bench = bench(2, 4);
    let held: Vec<_> =
        bench.paths.iter().map(|path| bench.pool.get(path, Access::Read).unwrap()).collect();
    assert_eq!(bench.pool.open_count(), 4);
    (0..4).for_each(|number| bench.read(number));
    assert_eq!(bench.opens(), 4);
    drop(held);
    bench.pool.forget(&bench.paths[3]);
    bench.read(3);
    assert_eq!(bench.pool.open_count(), 2, "the next miss shrinks the pool");
}

#[test]
fn a_handle_for_writing_serves_readers_and_replaces_one_for_reading() {
    let bench = bench(4, 1);
    let path = &bench.paths[0];
    let reader = bench.pool.get(path, Access::Read).unwrap();
    assert!(reader.write_all_at(b"x", 0).is_err());
    let writer = bench.pool.get(path, Access::ReadWrite).unwrap();
    writer.write_all_at(&[0], 0).unwrap();
    assert_eq!(bench.pool.open_count(), 2, "the reader's handle lives while it is held");
    drop(reader);
    assert_eq!(bench.pool.open_count(), 1);
    bench.read(0);
    assert_eq!(bench.opens(), 2);
}

#[test]
fn a_created_file_is_in_the_pool_for_writing() {
    let bench = bench(4, 1);
    let path = bench.paths[0].with_file_name("new");
    bench.pool.create(&path, true).unwrap().write_all_at(b"new", 0).unwrap();
    let mut text = [0; 3];
    let file = bench.pool.get(&path, Access::ReadWrite).unwrap();
    file.read_exact_at(&mut text, 0).unwrap();
    assert_eq!((&text, bench.opens()), (b"new", 0));
    let refused = bench.pool.create(&path, true).unwrap_err();
    assert_eq!(refused.code(), Code::StorageFailed);
}

#[test]
fn a_forgotten_path_is_opened_anew() {
    let bench = bench(4, 2);
    bench.read(0);
    let old = bench.pool.get(&bench.paths[0], Access::Read).unwrap();
    bench.pool.forget(&bench.paths[0]);
    RealVfs.rename(&bench.paths[1], &bench.paths[0]).unwrap();
    let mut byte = [0];
    let new = bench.pool.get(&bench.paths[0], Access::Read).unwrap();
    new.read_exact_at(&mut byte, 0).unwrap();
    assert_eq!(byte, [1]);
    old.read_exact_at(&mut byte, 0).unwrap();
    assert_eq!(byte, [0]);
    assert_eq!(bench.pool.open_count(), 2);
}

#[test]
fn a_missing_file_is_a_storage_error_that_names_it() {
    let bench = bench(4, 1);
    let path = bench.paths[0].with_file_name("missing");
    let error = bench.pool.get(&path, Access::Read).unwrap_err();
    assert_eq!(error.code(), Code::StorageFailed);
    assert_eq!(error.place(), Some((path.as_path(), None)));
    assert_eq!(bench.pool.open_count(), 0, "a failed open leaves no mark");
}

#[test]
fn a_process_out_of_handles_closes_idle_ones_and_goes_on() {
    let bench = bench(8, 3);
    bench.read(0);
    bench.read(1);
    bench.vfs.exhausted.store(1, Ordering::SeqCst);
    bench.read(2);
    assert_eq!(bench.pool.open_count(), 1);
    bench.vfs.exhausted.store(2, Ordering::SeqCst);
    assert!(bench.pool.get(&bench.paths[0], Access::Read).is_err());
    bench.read(0);
}

#[test]
fn racing_threads_open_a_file_once() {
    let bench = bench(8, 4);
    let barrier = Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                barrier.wait();
                (0..4).for_each(|number| bench.read(number));
            });
        }
    });
    assert_eq!(bench.opens(), 4);
}

#[test]
fn the_bound_holds_while_threads_use_more_files_than_it() {
    let bench = bench(4, 32);
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let bench = &bench;
            scope.spawn(move || {
                for round in 0..500 {
                    let number = (round * 7 + thread * 5) % 32;
                    bench.read(number);
                    if round % 50 == 0 {
                        bench.pool.forget(&bench.paths[number]);
                    }
                    // Each of the other threads may be holding or opening one handle more.
                    assert!(bench.pool.open_count() <= 4 + 2 * 4);
                }
            });
        }
    });
    bench.pool.forget(&bench.paths[0]);
    bench.read(0);
    assert!(bench.pool.open_count() <= 4);
}

#[test]
fn forgetting_waits_for_an_open_under_way() {
    let bench = bench(4, 1);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| (0..200).for_each(|_| bench.read(0)));
        while !reading.is_finished() {
            bench.pool.forget(&bench.paths[0]);
        }
    });
    bench.pool.forget(&bench.paths[0]);
    assert_eq!(bench.pool.open_count(), 0);
}
