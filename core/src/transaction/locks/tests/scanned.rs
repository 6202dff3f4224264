//! The predicate of scans: it covers every document that would change the answer, and few others.

use super::*;
use crate::collection::query::Filter;
use crate::doc;
use crate::document::Document;

fn filter(document: Document) -> Filter {
    Filter::parse(&document.to_object()).expect("a filter")
}

fn covers(scanned: &Scanned, key: &str, document: &Document) -> bool {
    scanned.covers(key.as_bytes(), document)
}

#[test]
fn a_range_holds_its_first_key_and_not_its_end() {
    let within = Scanned::keys(b"b".to_vec(), Some(b"d".to_vec()));
    for (key, covered) in [("a", false), ("b", true), ("czz", true), ("d", false), ("da", false)] {
        assert_eq!(covers(&within, key, &doc! {}), covered, "{key}");
    }
    let from = Scanned::keys(b"b".to_vec(), None);
    assert!(covers(&from, "zz", &doc! {}) && !covers(&from, "a", &doc! {}));
    assert!(covers(&Scanned::everything(), "a", &doc! {}));
}

#[test]
fn a_filter_is_asked_about_the_document_and_its_key() {
    let red = Scanned::everything().matching(filter(doc! { "tags": "red", "n": { "$gte": 3 } }));
    assert!(covers(&red, "k", &doc! { "n": 3, "tags": ["blue", "red"] }));
    assert!(!covers(&red, "k", &doc! { "n": 2, "tags": ["red"] }));
    let named = Scanned::everything().matching(filter(doc! { "$key": { "$prefix": "u" } }));
    assert!(covers(&named, "u1", &doc! {}) && !covers(&named, "v1", &doc! {}));
    let narrow = Scanned::keys(b"m".to_vec(), None).matching(filter(doc! { "n": 1 }));
    assert!(!covers(&narrow, "a", &doc! { "n": 1 }), "outside the range");
    assert!(!covers(&narrow, "m", &doc! { "n": 2 }));
    assert!(covers(&narrow, "m", &doc! { "n": 1 }));
}

#[test]
fn a_filter_over_what_a_record_to_come_has_not_got_yet_covers_its_range() {
    for place in [
        doc! { "$seq": { "$lt": 100 } },
        doc! { "$not": { "$seq": { "$gt": 100 } } },
        doc! { "$or": [{ "n": 1 }, { "$time": { "$exists": true } }] },
    ] {
        let scanned = Scanned::keys(b"m".to_vec(), None).matching(filter(place));
        assert!(covers(&scanned, "m", &doc! {}) && !covers(&scanned, "a", &doc! {}));
    }
    let all = Scanned::everything().matching(Filter::all());
    assert!(covers(&all, "k", &doc! {}));
}

#[test]
fn a_filter_that_matches_missing_fields_covers_documents_without_them() {
    let none = Scanned::everything().matching(filter(doc! { "n": null }));
    assert!(covers(&none, "k", &doc! {}) && !covers(&none, "k", &doc! { "n": 1 }));
    let not = Scanned::everything().matching(filter(doc! { "n": { "$ne": 1 } }));
    assert!(covers(&not, "k", &doc! {}) && !covers(&not, "k", &doc! { "n": 1 }));
}

#[test]
fn what_cannot_be_decided_is_covered() {
    let red = Scanned::everything().matching(filter(doc! { "tags": "red" }));
    assert!(red.covers(&[0xff, 0xfe], &doc! {}), "no key of ours");
}
