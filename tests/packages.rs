//! Real documents: Debian packages, the sample of the project or, with `BLOCKDB_PACKAGES=FILE`, all of
//! a file.

#![allow(clippy::disallowed_methods)] // The input of a test is outside the engine.

use std::io::Read;

use blockdb::Document;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/data/packages-sample.jsonl.gz");

/// The documents, by name.
pub fn packages() -> Vec<(String, Document)> {
    let path = std::env::var("BLOCKDB_PACKAGES").unwrap_or_else(|_| SAMPLE.to_owned());
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).expect("gzip of UTF-8");
    let document = |line: &str| Document::from_json(line).expect("a JSON object");
    let named = |document: Document| {
        let name = document.get("name").expect("whole").expect("every package has a name");
        (name.as_str().expect("a string").to_owned(), document)
    };
    text.lines().map(document).map(named).collect()
}
