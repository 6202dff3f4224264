//! Keeps `metadata.toml` and `collections.toml` in step with the system collection, a second or so
//! behind. They are for people; a crash may leave an older text, which the next open replaces.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crate::collection::render::{collections_toml, metadata_toml};
use crate::error::Result;
use crate::shard::Shard;
use crate::shard::restart::replace_file;
use crate::shard::state::ShardState;

/// How long acts are gathered before the files are written: creating a thousand collections must
/// not write the registry a thousand times.
const GATHER_US: u64 = 500_000;

impl Shard {
    /// Path and text of the registry for people.
    pub fn rendered_registry(&self, state: &ShardState) -> (PathBuf, String) {
        let user = state.collections.iter().filter(|(id, _)| **id != state.system);
        let text = collections_toml(state.system, user.map(|(_, view)| &*view.descriptor));
        (self.env.dir.join("global_metadata").join("collections.toml"), text)
    }

    /// Writes the rendered files if acts have been gathered long enough; returns when to look again,
    /// monotonic microseconds.
    pub fn render_due(&self) -> Result<Option<u64>> {
        let since_us = self.unrendered_since_us.load(Ordering::Acquire);
        if since_us == 0 {
            return Ok(None);
        }
        if self.env.host.clock.monotonic_us() < since_us + GATHER_US {
            return Ok(Some(since_us + GATHER_US));
        }
        self.render().map(|()| None)
    }

    /// Writes the rendered files that are out of date.
    pub fn render(&self) -> Result<()> {
        self.unrendered_since_us.store(0, Ordering::Release);
        let stale = std::mem::take(&mut *self.unrendered.lock());
        if stale.is_empty() {
            return Ok(());
        }
        let state = self.snapshot();
        for view in stale.iter().filter_map(|id| state.collections.get(id)) {
            if view.core.id != state.system {
                self.make_folder(&view.core)?;
                let text = metadata_toml(&view.descriptor);
                self.rewrite(&view.core.dir.join("metadata.toml"), &text)?;
            }
        }
        let (path, text) = self.rendered_registry(&state);
        self.rewrite(&path, &text)
    }

    fn rewrite(&self, path: &Path, text: &str) -> Result<()> {
        if self.read_file(path)?.as_deref() != Some(text.as_bytes()) {
            replace_file(&*self.env.host.vfs, path, text.as_bytes())?;
        }
        Ok(())
    }

    /// Notes that the descriptor of `id` changed.
    pub(super) fn note_unrendered(&self, id: crate::collection::CollectionId) {
        self.unrendered.lock().insert(id);
        let now_us = self.env.host.clock.monotonic_us().max(1);
        let _ = self.unrendered_since_us.compare_exchange(
            0,
            now_us,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        self.env.work.notify();
    }
}
