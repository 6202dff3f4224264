//! Schemas as claims: what each keyword accepts and refuses, what a schema must not say, defaults,
//! references, comparisons; and random schemas against a plain reading of the specification.

mod compatible;
mod compiling;
mod defaults;
mod keywords;
mod random;
mod references;

use super::Schema;
use crate::document::{Document, Object};
use crate::error::{Code, Error};

fn object(json: &str) -> Object {
    Document::from_json(json).unwrap().to_object()
}

fn schema(json: &str) -> Schema {
    Schema::compile(&object(json)).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// The schema of a document whose field `v` satisfies `json`.
fn schema_of_v(json: &str) -> Schema {
    schema(&format!(r#"{{"properties":{{"v":{json}}}}}"#))
}

fn refused(json: &str) -> Error {
    let error = Schema::compile(&object(json)).expect_err(json);
    assert_eq!(error.code(), Code::InvalidArgument, "{json}");
    error
}

/// Path and rule of each violation.
fn places(error: &Error) -> Vec<(&str, &str)> {
    error.errors().iter().map(|v| (&*v.path, &*v.rule)).collect()
}

fn breaks(schema: &Schema, json: &str) -> Error {
    let error = schema.check(Document::from_json(json).unwrap()).expect_err(json);
    assert_eq!(error.code(), Code::SchemaViolation, "{json}");
    error
}

fn checked(schema: &Schema, json: &str) -> String {
    let document = Document::from_json(json).unwrap();
    schema.check(document).unwrap_or_else(|error| panic!("{json}: {error}")).to_json()
}

/// Of each value as the field `v`: accepted, or refused by the rules in this order.
fn judge(schema_of_v: &str, cases: &[(&str, &[&str])]) {
    let schema = self::schema_of_v(schema_of_v);
    for (value, rules) in cases {
        let json = format!(r#"{{"v":{value}}}"#);
        let found = match schema.check(Document::from_json(&json).unwrap()) {
            Ok(_) => Vec::new(),
            Err(error) => error.errors().iter().map(|v| v.rule.clone()).collect(),
        };
        assert_eq!(&found, rules, "{value} against {schema_of_v}");
    }
}
