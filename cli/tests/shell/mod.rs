//! A shell in a folder of its own, in which `blockdb` is the binary just built and the database is
//! `./data`. Commands run for real, pipes included.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    dead_code,
    reason = "a part of tests, which look at files themselves; not each uses all of it"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The folder, removed when done.
pub struct Shell {
    folder: tempfile::TempDir,
}

/// What a command came to.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Shell {
    pub fn new() -> Self {
        Shell { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// A line for `sh`, not yet run.
    pub fn command(&self, line: &str) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_blockdb"));
        let mut path = binary.parent().unwrap().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let mut command = Command::new("sh");
        command.arg("-c").arg(line).current_dir(self.folder.path());
        command.env("PATH", path).env("BLOCKDB_DB", "data").stdin(Stdio::null());
        command
    }

    /// Runs a line.
    pub fn run(&self, line: &str) -> Ran {
        let output = self.command(line).output().unwrap();
        Ran {
            status: output.status.code().expect("a signal ended it"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a line that must end well; returns its output.
    pub fn ok(&self, line: &str) -> String {
        let ran = self.run(line);
        assert_eq!(ran.status, 0, "{line}: {ran:?}");
        ran.stdout
    }

    /// Runs `blockdb --output json …`, which must end with `status`; returns the objects of stdout.
    pub fn json(&self, arguments: &str, status: i32) -> Vec<Value> {
        let ran = self.run(&format!("blockdb --output json {arguments}"));
        assert_eq!(ran.status, status, "{arguments}: {ran:?}");
        objects(&ran.stdout)
    }

    /// Every file below the database's folder with its content.
    pub fn database(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![self.path("data")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => files.push((path.clone(), std::fs::read(path).unwrap())),
                }
            }
        }
        files.sort();
        files
    }
}

/// One JSON object a line.
pub fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}
