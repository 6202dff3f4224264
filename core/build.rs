//! Turns `BLOCKDB_BUG=NAME` into `cfg(bug = "NAME")`: one seeded defect, built into the engine so
//! that the tests can be tested (`cargo xtask soak bugs`). An environment variable and not
//! RUSTFLAGS, because a changed variable rebuilds this crate and its users only, and RUSTFLAGS
//! everything.
//!
//! Without the variable it does nothing. It refuses a name that `bugs.txt` does not list, and any
//! name at all outside the project's own repository: a packaged engine can never be built broken.

use std::path::Path;
use std::process::ExitCode;

const VARIABLE: &str = "BLOCKDB_BUG";
const BUGS: &str = include_str!("bugs.txt");

fn main() -> ExitCode {
    println!("cargo:rerun-if-env-changed={VARIABLE}");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=bugs.txt");
    println!("cargo:rustc-check-cfg=cfg(bug, values(any()))");
    let bug = match std::env::var(VARIABLE) {
        Ok(bug) if !bug.is_empty() => bug,
        _ => return ExitCode::SUCCESS,
    };
    if let Err(refusal) = admit(&bug) {
        eprintln!("{VARIABLE}={bug}: {refusal}");
        return ExitCode::FAILURE;
    }
    println!("cargo:rustc-cfg=bug=\"{bug}\"");
    println!("cargo:warning=this engine is broken on purpose: {bug}");
    ExitCode::SUCCESS
}

fn admit(bug: &str) -> Result<(), &'static str> {
    let lines = BUGS.lines().filter(|line| !line.starts_with('#'));
    if !lines.filter_map(|line| line.split_whitespace().next()).any(|name| name == bug) {
        return Err("core/bugs.txt lists no such defect");
    }
    // Packages unpack into folders of their own, without the repository around them.
    let manifest = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    if !Path::new(&manifest).join("../xtask/Cargo.toml").exists() {
        return Err("seeded defects are built inside the repository of BlockDB only");
    }
    Ok(())
}
