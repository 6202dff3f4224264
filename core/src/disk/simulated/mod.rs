//! A disk in memory that loses, tears and lies like a real one, from a seed.
//!
//! ```text
//!   process ──write──▶ page cache ──sync_data──▶ medium     per file: pending changes in order
//!           ──create, rename, unlink──▶ entries ──sync_dir──▶ medium      entries are of folders
//!                                   │
//!                  crash_image(mode, seed): medium + part of what is pending = a new disk
//! ```
//!
//! A [`SimDisk`] keeps what processes see and what the medium holds, and between the two every
//! change in its order. `crash_image` builds a new disk as it may look after a power loss; the old
//! one is unchanged, so one moment gives as many images as there are seeds. `process_crash_image`
//! is `kill -9`: everything written is seen, and what was not synced is still at risk.
//!
//! Operations that change something are counted. A test runs its workload once to learn how many
//! there are, then once for each with the power cut (`crash_at`) or a fault (`fail_at`) there; or
//! it takes images from an observer before every operation of a single run.
//!
//! Promises, each a test: bytes synced under a synced name survive every mode but `M4`; a renamed
//! file is found under its old or its new name; the same seed gives the same image.
//!
//! All folders lie below one root; `db` and `/db` are the same here. A lock belongs to whoever took
//! it, in this process too, as real locks belong to the handle.

mod content;
mod crash;
mod fault;
mod file;
mod tree;
mod vfs;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

pub use self::crash::{CrashMode, SECTOR_BYTES};
pub use self::fault::{Fault, Op, OpKind};

use self::fault::Gate;
use self::tree::{NodeId, Tree};
use super::{Access, Vfs};

/// Called before every counted operation that changes something, with the disk as it is then. It
/// may take images and look at files; it must not change the disk.
pub type Observer = Arc<dyn Fn(&SimDisk, &Op) + Send + Sync>;

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    observer: Mutex<Option<Observer>>,
}

struct State {
    tree: Tree,
    gate: Gate,
    locks: BTreeSet<NodeId>,
    free_bytes: Option<u64>,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state.lock();
        write!(f, "SimDisk({} files, {} operations)", state.tree.files.len(), state.gate.ops)
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty disk: the root folder alone.
    pub fn new() -> Self {
        Self::with_tree(Tree::new())
    }

    fn with_tree(tree: Tree) -> Self {
        let state = State { tree, gate: Gate::default(), locks: BTreeSet::new(), free_bytes: None };
        let shared = Shared { state: Mutex::new(state), observer: Mutex::new(None) };
        SimDisk { shared: Arc::new(shared) }
    }

    /// A disk that holds, durably, a copy of the folder `dir` of `vfs` under the same path.
    pub fn load_from(vfs: &dyn Vfs, dir: &Path) -> io::Result<Self> {
        let disk = SimDisk::new();
        let mut folders = vec![dir.to_owned()];
        while let Some(folder) = folders.pop() {
            disk.shared.state.lock().tree.plant_dir(&folder)?;
            for entry in vfs.list(&folder)? {
                let path = folder.join(&entry.name);
                if entry.is_dir {
                    folders.push(path);
                    continue;
                }
                let file = vfs.open(&path, Access::Read)?;
                let mut bytes = vec![0; content::check_len(Some(file.size()?))? as usize];
                file.read_exact_at(&mut bytes, 0)?;
                disk.shared.state.lock().tree.plant(&path, &bytes)?;
            }
        }
        Ok(disk)
    }

    /// Operations counted so far, failed ones included: the number the next one will have.
    pub fn ops(&self) -> u64 {
        self.shared.state.lock().gate.ops
    }

    /// Whether opening, reading and listing are counted, and so can be made to fail, as well.
    pub fn count_reads(&self, count: bool) {
        self.shared.state.lock().gate.count_reads = count;
    }

    /// Cuts the power when operation `op` is tried: it and every call after it fail.
    pub fn crash_at(&self, op: u64) {
        self.shared.state.lock().gate.crash_at = Some(op);
    }

    /// Plans a fault for operation `op`; several can be planned.
    pub fn fail_at(&self, op: u64, fault: Fault) {
        self.shared.state.lock().gate.faults.push((op, fault));
    }

    /// Ends all faults: space is free again, errors for good are over. A power loss stays.
    pub fn clear_faults(&self) {
        let mut state = self.shared.state.lock();
        state.gate.faults.clear();
        state.gate.full = false;
    }

    /// What `free_bytes` answers while no `NoSpace` fault holds; it limits nothing.
    pub fn set_free_bytes(&self, free: Option<u64>) {
        self.shared.state.lock().free_bytes = free;
    }

    /// A new disk as this one may look after losing power now. Nothing is locked or pending on it
    /// and no fault is planned.
    pub fn crash_image(&self, mode: CrashMode, seed: u64) -> SimDisk {
        Self::with_tree(crash::image(&self.shared.state.lock().tree, mode, seed))
    }

    /// A new disk as this one looks after its processes were killed: all that was written is seen,
    /// all that was not synced can still be lost with the power. Nothing is locked.
    pub fn process_crash_image(&self) -> SimDisk {
        let mut tree = self.shared.state.lock().tree.clone();
        tree.files.values_mut().for_each(|file| file.handles = 0);
        Self::with_tree(tree)
    }

    /// Starts an empty trace, or ends tracing.
    pub fn record_trace(&self, record: bool) {
        self.shared.state.lock().gate.trace = record.then(Vec::new);
    }

    /// The operations that succeeded since `record_trace(true)`, in order.
    pub fn trace(&self) -> Vec<Op> {
        self.shared.state.lock().gate.trace.clone().unwrap_or_default()
    }

    /// Sets what is called before every operation that changes something.
    pub fn observe(&self, observer: Option<Observer>) {
        *self.shared.observer.lock() = observer;
    }

    /// All bytes of a file.
    ///
    /// # Panics
    /// If there is no such file: tests that meddle with files know their names.
    pub fn read_file(&self, path: impl AsRef<Path>) -> Vec<u8> {
        let path = path.as_ref();
        let state = self.shared.state.lock();
        let found = state.tree.find_file(path).map(|node| state.tree.files[&node].now.to_bytes());
        found.unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
    }

    /// Replaces (or makes) a file beside the file system: durable at once, with its folders.
    ///
    /// # Panics
    /// If the path is a folder or leads through a file.
    pub fn write_file(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
        let path = path.as_ref();
        let planted = self.shared.state.lock().tree.plant(path, bytes.as_ref());
        planted.unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
    }

    /// Changes the bits `mask` of the byte at `offset`, as bit rot does; beyond the end nothing.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn flip(&self, path: impl AsRef<Path>, offset: u64, mask: u8) {
        let path = path.as_ref();
        let mut state = self.shared.state.lock();
        let found = state.tree.find_file(path).and_then(|node| state.tree.file(node));
        found
            .unwrap_or_else(|error| panic!("flipping {}: {error}", path.display()))
            .corrupt(offset, mask);
    }

    /// The paths of all files, from the root, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        let state = self.shared.state.lock();
        let mut files = Vec::new();
        let mut folders = vec![PathBuf::from("/")];
        while let Some(folder) = folders.pop() {
            for entry in state.tree.list(&folder).unwrap_or_default() {
                let path = folder.join(&entry.name);
                if entry.is_dir { folders.push(path) } else { files.push(path) }
            }
        }
        files.sort();
        files
    }
}
