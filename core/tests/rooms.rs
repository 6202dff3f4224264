//! The arrows between rooms point upwards: a room uses only rooms named above it, so that the lower
//! ones can be understood, tested and built without the higher ones.

#![allow(clippy::disallowed_methods)] // The test reads the project's own sources.

use std::path::Path;

/// The rooms from top to bottom. `error` and `limits` are files; everyone may use them. `host` and
/// `disk` name each other: the surroundings include a file system.
const ROOMS: [&str; 14] = [
    "error",
    "limits",
    "document",
    "proof",
    "host",
    "disk",
    "log",
    "table",
    "ledger",
    "collection",
    "shard",
    "transaction",
    "database",
    "cluster",
];

fn check(room: &str, file: &Path, faults: &mut Vec<String>) {
    let text = std::fs::read_to_string(file).expect("a source file can be read");
    let own = ROOMS.iter().position(|name| *name == room).unwrap_or(ROOMS.len());
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for used in code.split("crate::").skip(1) {
            let used: String =
                used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let place = ROOMS.iter().position(|name| *name == used);
            let place = place.or_else(|| (used == "api").then_some(ROOMS.len()));
            let neighbours = ["host", "disk"].contains(&room) && ["host", "disk"].contains(&&*used);
            if place.is_some_and(|place| place > own) && !neighbours {
                faults.push(format!("{}:{} uses {used}", file.display(), number + 1));
            }
        }
    }
}

fn walk(room: &str, folder: &Path, faults: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a room is a folder") {
        let path = entry.expect("a folder can be listed").path();
        match path.is_dir() {
            true => walk(room, &path, faults),
            false => check(room, &path, faults),
        }
    }
}

#[test]
fn a_room_uses_only_rooms_above_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    for room in ROOMS.iter().skip(2).chain(&["api"]) {
        walk(room, &source.join(room), &mut faults);
    }
    assert!(faults.is_empty(), "arrows point downwards:\n{}", faults.join("\n"));
}

#[test]
fn proof_and_document_need_nothing_else_of_the_project() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for room in ["proof", "document"] {
        for other in ROOMS.iter().skip(4).chain(&["api"]) {
            let mut texts = Vec::new();
            collect(&source.join(room), &mut texts);
            let arrow = format!("crate::{other}");
            assert!(!texts.iter().any(|text| text.contains(&arrow)), "{room} uses {other}");
        }
    }
}

fn collect(folder: &Path, texts: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a room is a folder") {
        let path = entry.expect("a folder can be listed").path();
        match path.is_dir() {
            true => collect(&path, texts),
            false => texts.push(std::fs::read_to_string(path).expect("a source file can be read")),
        }
    }
}
