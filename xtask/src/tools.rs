//! The one tool that neither the toolchain nor a crate brings: cargo-deny. It is taken from the
//! build folder, else from the machine, else built from its registry package, at the version named
//! here.

use std::path::PathBuf;
use std::process::Command;

use crate::step::Step;
use crate::workspace;

const CARGO_DENY_VERSION: &str = "0.20.2";

/// The program, installed first if need be.
pub fn cargo_deny() -> anyhow::Result<PathBuf> {
    let root = workspace::target().join("tools");
    let own = root.join("bin").join(format!("cargo-deny{}", std::env::consts::EXE_SUFFIX));
    for candidate in [own.clone(), PathBuf::from("cargo-deny")] {
        if is_wanted(&candidate) {
            return Ok(candidate);
        }
    }
    // Unoptimised and without debug information it is built in a fraction of the time, and a
    // graph of some hundred crates is checked in about a second all the same.
    let path = |path: PathBuf| path.to_string_lossy().into_owned();
    Step::cargo("install cargo-deny", ["install", "--debug", "--locked", "cargo-deny"])
        .args(["--version".to_owned(), CARGO_DENY_VERSION.to_owned()])
        .args(["--root".to_owned(), path(root.clone())])
        .args(["--target-dir".to_owned(), path(root.join("build"))])
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        .run()?;
    Ok(own)
}

fn is_wanted(program: &PathBuf) -> bool {
    let asked = Command::new(program).arg("--version").output();
    let Ok(answer) = asked else { return false };
    let words = String::from_utf8_lossy(&answer.stdout);
    answer.status.success() && words.split_whitespace().last() == Some(CARGO_DENY_VERSION)
}
