//! openraft's own storage suite: on the simulated disk, on real files, and on stores that are
//! closed or killed, and opened again, after every single call.

use std::sync::Arc;

use futures_util::future::{join, join3};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use tempfile::TempDir;

use super::machine::Machine;
use super::reopening::{End, Reopening};
use super::{DATABASE, RaftLogOptions, TypeConfig, disk, open, options, small};
use crate::cluster::LogStore;
use crate::disk::real::RealVfs;

/// Stores on a disk in memory.
struct InMemory;

impl StoreBuilder<TypeConfig, LogStore, Machine> for InMemory {
    async fn build(&self) -> Result<((), LogStore, Machine), StorageError<TypeConfig>> {
        let log = open(&options(Arc::new(disk())));
        Ok(((), log.store(3).unwrap(), Machine::default()))
    }
}

/// Stores in a temporary folder.
struct OnFiles;

fn on_files() -> (TempDir, RaftLogOptions) {
    let dir = tempfile::tempdir().unwrap();
    let vfs = Arc::new(RealVfs::new());
    let options = RaftLogOptions::new(vfs, dir.path().join("log"), DATABASE);
    (dir, options)
}

impl StoreBuilder<TypeConfig, LogStore, Machine, TempDir> for OnFiles {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError<TypeConfig>> {
        let (dir, options) = on_files();
        Ok((dir, open(&options).store(0).unwrap(), Machine::default()))
    }
}

/// Stores that are opened again after every call.
struct Reopened {
    end: End,
    on_files: bool,
}

impl StoreBuilder<TypeConfig, Reopening, Machine, Option<TempDir>> for Reopened {
    async fn build(
        &self,
    ) -> Result<(Option<TempDir>, Reopening, Machine), StorageError<TypeConfig>> {
        let (dir, options) = match self.on_files {
            true => {
                let (dir, options) = on_files();
                (Some(dir), options)
            }
            false => (None, small(&disk())),
        };
        Ok((dir, Reopening::new(options, self.end), Machine::default()))
    }
}

// The suite sleeps a second here and there: several at once sleep together.

#[test]
fn the_suite_passes_in_memory_and_on_real_files() {
    let (one, two) = TypeConfig::run(join(Suite::test_all(InMemory), Suite::test_all(OnFiles)));
    one.and(two).unwrap();
}

#[test]
fn the_suite_passes_on_a_store_that_is_opened_again_after_every_call() {
    let suite = |end, on_files| Suite::test_all(Reopened { end, on_files });
    let closed = suite(End::Close, false);
    let killed = suite(End::Kill, false);
    let on_files = suite(End::Close, true);
    let (one, two, three) = TypeConfig::run(join3(closed, killed, on_files));
    one.and(two).and(three).unwrap();
}
