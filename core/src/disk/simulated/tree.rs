//! The folders of a simulated disk. An entry is an object of its own: creating, renaming and
//! unlinking are pending changes of folders, durable only once their folders are synced, however
//! often the file itself was.
//!
//! A rename is one change: after a crash it has happened or it has not. Between two folders it
//! becomes durable with the later of their two syncs.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::content::Content;
use super::file::FileNode;
use crate::disk::DirEntry;

pub(super) type NodeId = u64;
pub(super) const ROOT: NodeId = 0;
type Name = Arc<str>;
type Entries = BTreeMap<Name, Target>;
/// A name in a folder.
type Place = (NodeId, Name);

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    File(NodeId),
    Dir(NodeId),
}

/// One pending change of entries.
#[derive(Clone)]
pub(super) struct DirOp {
    pub seq: u64,
    target: Target,
    removes: Option<Place>,
    adds: Option<Place>,
    /// Folders whose sync it still needs.
    waits: Vec<NodeId>,
}

impl DirOp {
    /// Whether this change can only be on the medium if `earlier` is.
    pub fn needs(&self, earlier: &DirOp) -> bool {
        let shares = |place: &Option<Place>| {
            place.is_some() && (*place == earlier.removes || *place == earlier.adds)
        };
        self.target == earlier.target || shares(&self.removes) || shares(&self.adds)
    }

    fn removed_dir(&self) -> Option<NodeId> {
        match self.target {
            Target::Dir(dir) if self.adds.is_none() => Some(dir),
            _ => None,
        }
    }
}

/// All folders of one image.
#[derive(Clone)]
pub(super) struct Folders(BTreeMap<NodeId, Arc<Entries>>);

impl Folders {
    fn new() -> Self {
        Folders(BTreeMap::from([(ROOT, Arc::default())]))
    }

    pub fn entries(&self, dir: NodeId) -> impl Iterator<Item = (&Name, Target)> {
        self.0.get(&dir).into_iter().flat_map(|entries| entries.iter().map(|(name, t)| (name, *t)))
    }

    fn target(&self, dir: NodeId, name: &str) -> Option<Target> {
        self.0.get(&dir)?.get(name).copied()
    }

    pub fn apply(&mut self, op: &DirOp) {
        if let Some((dir, name)) = &op.removes
            && let Some(entries) = self.0.get_mut(dir)
        {
            Arc::make_mut(entries).remove(name);
        }
        if let Some((dir, name)) = &op.adds {
            Arc::make_mut(self.0.entry(*dir).or_default()).insert(name.clone(), op.target);
        }
    }

    /// Everything reachable from `start`, folders and files, in order.
    fn reach(&self, start: Target, found: &mut BTreeSet<NodeId>) {
        let mut open = vec![start];
        while let Some(target) = open.pop() {
            let (Target::File(node) | Target::Dir(node)) = target;
            if found.insert(node) && matches!(target, Target::Dir(_)) {
                open.extend(self.entries(node).map(|(_, target)| target));
            }
        }
    }
}

/// Folders and files as processes see them, as the medium holds them, and what lies between.
#[derive(Clone)]
pub(super) struct Tree {
    pub now: Folders,
    pub durable: Folders,
    pub pending: Vec<DirOp>,
    pub files: BTreeMap<NodeId, FileNode>,
    next_node: NodeId,
    next_seq: u64,
    sweep_at: usize,
}

/// Nodes below which looking for garbage is not worth it.
const SWEEP_MIN: usize = 64;

impl Tree {
    pub fn new() -> Self {
        Tree {
            now: Folders::new(),
            durable: Folders::new(),
            pending: Vec::new(),
            files: BTreeMap::new(),
            next_node: ROOT + 1,
            next_seq: 0,
            sweep_at: SWEEP_MIN,
        }
    }

    /// A disk after a crash: `folders` and the `files` they name, nothing pending.
    pub fn settled(&self, folders: Folders, mut image: impl FnMut(NodeId) -> Content) -> Self {
        let mut reached = BTreeSet::new();
        folders.reach(Target::Dir(ROOT), &mut reached);
        let files = reached
            .iter()
            .filter(|node| self.files.contains_key(node))
            .map(|node| (*node, FileNode::settled(image(*node))))
            .collect();
        let kept = folders.0.into_iter().filter(|(dir, _)| reached.contains(dir)).collect();
        let folders = Folders(kept);
        Tree { now: folders.clone(), durable: folders, pending: Vec::new(), files, ..*self }
    }

    /// Files the `folders` name, in the order `settled` visits them.
    pub fn reached_files(&self, folders: &Folders) -> Vec<NodeId> {
        let mut reached = BTreeSet::new();
        folders.reach(Target::Dir(ROOT), &mut reached);
        reached.retain(|node| self.files.contains_key(node));
        reached.into_iter().collect()
    }

    pub fn seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq
    }

    pub fn find(&self, path: &Path) -> io::Result<Target> {
        let mut target = Target::Dir(ROOT);
        for name in names(path)? {
            let Target::Dir(dir) = target else { return Err(io::ErrorKind::NotADirectory.into()) };
            target = self.now.target(dir, name).ok_or_else(|| missing(path))?;
        }
        Ok(target)
    }

    pub fn find_file(&self, path: &Path) -> io::Result<NodeId> {
        match self.find(path)? {
            Target::File(file) => Ok(file),
            Target::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub fn find_dir(&self, path: &Path) -> io::Result<NodeId> {
        match self.find(path)? {
            Target::Dir(dir) => Ok(dir),
            Target::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub fn file(&mut self, node: NodeId) -> io::Result<&mut FileNode> {
        self.files.get_mut(&node).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Where a name lies: its folder, which must exist.
    fn place(&self, path: &Path) -> io::Result<Place> {
        let mut names = names(path)?;
        let name = names.pop().ok_or(io::ErrorKind::InvalidInput)?;
        let dir = self.find_dir(&names.iter().collect::<PathBuf>())?;
        Ok((dir, name.into()))
    }

    pub fn create_file(&mut self, path: &Path) -> io::Result<NodeId> {
        let place = self.place(path)?;
        if self.now.target(place.0, &place.1).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = self.new_node();
        self.files.insert(node, FileNode::default());
        self.change(Target::File(node), None, Some(place));
        Ok(node)
    }

    pub fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        match self.find(path) {
            Ok(Target::Dir(_)) => return Ok(()),
            Ok(Target::File(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => {}
        }
        let place = self.place(path)?;
        let node = self.new_node();
        self.now.0.insert(node, Arc::default());
        self.durable.0.insert(node, Arc::default());
        self.change(Target::Dir(node), None, Some(place));
        Ok(())
    }

    pub fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let source = self.place(from)?;
        let target = self.now.target(source.0, &source.1).ok_or_else(|| missing(from))?;
        let goal = self.place(to)?;
        if source == goal {
            return Ok(());
        }
        match (target, self.now.target(goal.0, &goal.1)) {
            (Target::File(_), Some(Target::Dir(_))) => Err(io::ErrorKind::IsADirectory)?,
            (Target::Dir(_), Some(Target::File(_))) => Err(io::ErrorKind::NotADirectory)?,
            (_, Some(Target::Dir(dir))) if self.now.entries(dir).next().is_some() => {
                Err(io::ErrorKind::DirectoryNotEmpty)?
            }
            (Target::Dir(_), _) if names(to)?.starts_with(&names(from)?) => {
                Err(io::ErrorKind::InvalidInput)?
            }
            _ => {}
        }
        self.change(target, Some(source), Some(goal));
        self.sweep();
        Ok(())
    }

    pub fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let node = self.find_file(path)?;
        let place = self.place(path)?;
        self.change(Target::File(node), Some(place), None);
        self.sweep();
        Ok(())
    }

    pub fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        let dir = self.find_dir(path)?;
        if self.now.entries(dir).next().is_some() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let place = self.place(path)?;
        self.change(Target::Dir(dir), Some(place), None);
        Ok(())
    }

    pub fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let dir = self.find_dir(path)?;
        let entry = |(name, target): (&Name, Target)| DirEntry {
            name: name.to_string(),
            is_dir: matches!(target, Target::Dir(_)),
        };
        Ok(self.now.entries(dir).map(entry).collect())
    }

    fn new_node(&mut self) -> NodeId {
        self.next_node += 1;
        self.next_node - 1
    }

    fn change(&mut self, target: Target, removes: Option<Place>, adds: Option<Place>) {
        let mut waits: Vec<NodeId> = removes.iter().chain(&adds).map(|(dir, _)| *dir).collect();
        waits.dedup();
        let op = DirOp { seq: self.seq(), target, removes, adds, waits };
        self.now.apply(&op);
        self.pending.push(op);
    }

    /// Makes durable what waits for `dir` alone, and what that builds upon.
    pub fn sync_dir(&mut self, dir: NodeId) {
        let mut ready = vec![false; self.pending.len()];
        for index in (0..self.pending.len()).rev() {
            let op = &mut self.pending[index];
            op.waits.retain(|waited| *waited != dir);
            let op = &self.pending[index];
            let needed = || (index + 1..ready.len()).any(|i| ready[i] && self.pending[i].needs(op));
            ready[index] = op.waits.is_empty() || needed();
        }
        let mut ready = ready.into_iter();
        let durable = &mut self.durable;
        let mut removed = Vec::new();
        self.pending.retain(|op| {
            let done = ready.next() == Some(true);
            if done {
                durable.apply(op);
                removed.extend(op.removed_dir());
            }
            !done
        });
        // Nobody can sync a folder that is gone for good: what waits for it is settled with it.
        removed.into_iter().for_each(|dir| self.sync_dir(dir));
        self.sweep();
    }

    /// A failed sync of `dir` after which the system believes it clean.
    pub fn lose_pending(&mut self, dir: NodeId) {
        self.pending.retain(|op| !op.waits.contains(&dir));
    }

    /// Forgets files and folders that no image can name any more.
    fn sweep(&mut self) {
        if self.files.len() + self.now.0.len() < self.sweep_at {
            return;
        }
        let mut live = BTreeSet::new();
        for folders in [&self.now, &self.durable] {
            // A folder seen in one image may have other entries in the other one.
            let mut found = BTreeSet::new();
            folders.reach(Target::Dir(ROOT), &mut found);
            self.pending.iter().for_each(|op| folders.reach(op.target, &mut found));
            live.append(&mut found);
        }
        self.files.retain(|node, file| file.handles > 0 || live.contains(node));
        self.now.0.retain(|dir, _| live.contains(dir));
        self.durable.0.retain(|dir, _| live.contains(dir));
        self.sweep_at = SWEEP_MIN + 2 * (self.files.len() + self.now.0.len());
    }

    /// Writes `bytes` to `path` beside the file system: durable at once, folders included.
    pub fn plant(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new(""));
        self.plant_dir(folder)?;
        let node = match self.find_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create_file(path)?,
            found => found?,
        };
        let dir = self.find_dir(folder)?;
        self.sync_dir(dir);
        let file = self.file(node)?;
        let mut planted = FileNode::settled(Content::from_bytes(bytes));
        planted.handles = file.handles;
        *file = planted;
        Ok(())
    }

    /// Makes a folder and those above it, durable at once.
    pub fn plant_dir(&mut self, path: &Path) -> io::Result<()> {
        let mut reached = PathBuf::new();
        let mut parent = ROOT;
        for name in names(path)? {
            reached.push(name);
            self.create_dir(&reached)?;
            self.sync_dir(parent);
            parent = self.find_dir(&reached)?;
        }
        Ok(())
    }
}

/// The names of a path. The root, the working folder and a leading `/` are all the same here.
fn names(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => {
                names.push(name.to_str().ok_or(io::ErrorKind::InvalidInput)?)
            }
            Component::ParentDir => drop(names.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(names)
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no such file: {}", path.display()))
}
