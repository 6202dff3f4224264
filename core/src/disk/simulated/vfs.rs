//! The file-system trait on a simulated disk: every call is counted, observed and, if planned so,
//! failed before it reaches the folders and files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::check_len;
use super::fault::{Op, OpKind, Verdict};
use super::file::Change;
use super::tree::{NodeId, Tree};
use super::{SimDisk, State};
use crate::disk::{Access, DirEntry, Vfs, VfsFile, VfsLock};

impl SimDisk {
    /// Runs one operation that changes something.
    fn mutate<T>(
        &self,
        mut op: Op,
        node: Option<NodeId>,
        act: impl FnOnce(&mut Tree, Verdict) -> io::Result<T>,
    ) -> io::Result<T> {
        let observer = self.shared.observer.lock().clone();
        let alive = self.shared.state.lock().gate.alive().is_ok();
        if let Some(observer) = observer.filter(|_| alive) {
            op.index = self.ops();
            observer(self, &op);
        }
        let mut state = self.shared.state.lock();
        let State { tree, gate, .. } = &mut *state;
        let grows = match (op.kind, node.and_then(|node| tree.files.get(&node))) {
            (OpKind::Create | OpKind::CreateDir, _) => true,
            (OpKind::Write | OpKind::SetLen, Some(file)) => op.offset + op.len > file.now.len(),
            _ => false,
        };
        op.index = gate.ops;
        let verdict = gate.admit(op.kind, grows)?;
        let result = act(tree, verdict)?;
        if let Some(trace) = &mut gate.trace {
            trace.push(op);
        }
        Ok(result)
    }

    /// Runs one operation that changes nothing, counted only on demand.
    fn inspect<T>(
        &self,
        kind: OpKind,
        path: &Path,
        range: (u64, u64),
        act: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.shared.state.lock();
        state.gate.alive()?;
        if !state.gate.count_reads {
            return act(&mut state);
        }
        let index = state.gate.ops;
        state.gate.admit(kind, false)?;
        let result = act(&mut state)?;
        if let Some(trace) = &mut state.gate.trace {
            trace.push(Op { index, ..operation(kind, path, range.0, range.1) });
        }
        Ok(result)
    }

    fn handle(&self, path: &Path, node: NodeId, access: Access) -> Arc<dyn VfsFile> {
        Arc::new(SimFile { disk: self.clone(), path: path.to_owned(), node, access })
    }

    fn held_by(&self, node: NodeId) -> io::Error {
        let state = self.shared.state.lock();
        let text = state.tree.files.get(&node).map(|file| file.now.to_bytes()).unwrap_or_default();
        let message = format!("locked by {}", String::from_utf8_lossy(&text));
        io::Error::new(io::ErrorKind::WouldBlock, message)
    }
}

fn operation(kind: OpKind, path: &Path, offset: u64, len: u64) -> Op {
    Op { index: 0, kind, path: path.to_owned(), to: None, offset, len }
}

fn input_output_error() -> io::Error {
    io::Error::other("simulated input/output error")
}

impl Vfs for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let op = operation(OpKind::CreateDir, path, 0, 0);
        self.mutate(op, None, |tree, _| tree.create_dir(path))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn VfsFile>> {
        let node = self.inspect(OpKind::Open, path, (0, 0), |state| {
            let node = state.tree.find_file(path)?;
            state.tree.file(node)?.handles += 1;
            Ok(node)
        })?;
        Ok(self.handle(path, node, access))
    }

    fn create(&self, path: &Path, _private: bool) -> io::Result<Arc<dyn VfsFile>> {
        let op = operation(OpKind::Create, path, 0, 0);
        let node = self.mutate(op, None, |tree, _| {
            let node = tree.create_file(path)?;
            tree.file(node)?.handles += 1;
            Ok(node)
        })?;
        Ok(self.handle(path, node, Access::ReadWrite))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.mutate(operation(OpKind::SyncDir, path, 0, 0), None, |tree, verdict| {
            let dir = tree.find_dir(path)?;
            if verdict == Verdict::Lose {
                tree.lose_pending(dir);
                return Err(input_output_error());
            }
            tree.sync_dir(dir);
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let op = Op { to: Some(to.to_owned()), ..operation(OpKind::Rename, from, 0, 0) };
        self.mutate(op, None, |tree, _| tree.rename(from, to))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let op = operation(OpKind::Unlink, path, 0, 0);
        self.mutate(op, None, |tree, _| tree.unlink(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let op = operation(OpKind::RemoveDir, path, 0, 0);
        self.mutate(op, None, |tree, _| tree.remove_dir(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.inspect(OpKind::List, path, (0, 0), |state| state.tree.list(path))
    }

    fn lock(&self, path: &Path, owner: &str) -> io::Result<Box<dyn VfsLock>> {
        let file = match self.create(path, false) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.open(path, Access::ReadWrite)?
            }
            created => created?,
        };
        let node = self.shared.state.lock().tree.find_file(path)?;
        if !self.shared.state.lock().locks.insert(node) {
            return Err(self.held_by(node));
        }
        let lock = SimLock { disk: self.clone(), file, node };
        lock.file.set_len(0)?;
        lock.file.write_all_at(owner.as_bytes(), 0)?;
        Ok(Box::new(lock))
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        let state = self.shared.state.lock();
        state.gate.alive()?;
        match state.tree.find_file(path) {
            Ok(node) => Ok(state.locks.contains(&node)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<Option<u64>> {
        let state = self.shared.state.lock();
        state.gate.alive()?;
        Ok(if state.gate.full { Some(0) } else { state.free_bytes })
    }
}

struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    node: NodeId,
    access: Access,
}

impl std::fmt::Debug for SimFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimFile({}, {:?})", self.path.display(), self.access)
    }
}

impl SimFile {
    fn check_writable(&self) -> io::Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::Read => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    fn mutate(
        &self,
        kind: OpKind,
        range: (u64, u64),
        act: impl FnOnce(&mut Tree, Verdict) -> io::Result<()>,
    ) -> io::Result<()> {
        let op = operation(kind, &self.path, range.0, range.1);
        self.disk.mutate(op, Some(self.node), act)
    }
}

impl VfsFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let range = (offset, buf.len() as u64);
        self.disk.inspect(OpKind::Read, &self.path, range, |state| {
            Ok(state.tree.file(self.node)?.now.read(offset, buf))
        })
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.check_writable()?;
        check_len(offset.checked_add(buf.len() as u64))?;
        self.mutate(OpKind::Write, (offset, buf.len() as u64), |tree, verdict| {
            let seq = tree.seq();
            let kept = if verdict == Verdict::Half { &buf[..buf.len() / 2] } else { buf };
            tree.file(self.node)?.change(seq, Change::Write { offset, bytes: kept.into() });
            match verdict {
                Verdict::Half => Err(io::Error::other("simulated short write")),
                _ => Ok(()),
            }
        })
    }

    fn size(&self) -> io::Result<u64> {
        let mut state = self.disk.shared.state.lock();
        state.gate.alive()?;
        Ok(state.tree.file(self.node)?.now.len())
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        self.check_writable()?;
        check_len(Some(size))?;
        self.mutate(OpKind::SetLen, (0, size), |tree, _| {
            let seq = tree.seq();
            tree.file(self.node)?.change(seq, Change::Resize { len: size });
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.mutate(OpKind::SyncData, (0, 0), |tree, verdict| {
            let file = tree.file(self.node)?;
            if verdict == Verdict::Lose {
                file.lose_pending();
                return Err(input_output_error());
            }
            file.sync();
            Ok(())
        })
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if let Ok(file) = self.disk.shared.state.lock().tree.file(self.node) {
            file.handles = file.handles.saturating_sub(1);
        }
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    file: Arc<dyn VfsFile>,
    node: NodeId,
}

impl VfsLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        // After a crash there is nothing left to empty.
        let _ = self.file.set_len(0);
        self.disk.shared.state.lock().locks.remove(&self.node);
    }
}
