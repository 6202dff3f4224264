//! Where things are: the root of the source tree and the folder that builds go to.

use std::path::{Path, PathBuf};

/// The root of the source tree. Cargo sets the variable for what it runs, so that a program built
/// once also works in a copied tree; started by hand, the tree it was built in is the best guess.
pub fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR");
    let xtask = manifest.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    xtask.parent().map_or_else(|| xtask.clone(), Path::to_path_buf)
}

/// The build folder, wherever configuration has put it: this program lies two levels below it.
pub fn target() -> PathBuf {
    let exe = std::env::current_exe().ok();
    let target = exe.as_deref().and_then(|exe| exe.ancestors().nth(2));
    target.map_or_else(|| root().join("target"), Path::to_path_buf)
}
