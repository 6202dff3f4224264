//! The TOML files for people: a pure rendering of descriptors. Nothing reads them as truth;
//! `verify` compares them with what the system collection says.

use std::collections::BTreeMap;

use crate::collection::{CollectionId, Descriptor};
use crate::document::Timestamp;

/// The text of one collection's `metadata.toml`.
pub fn metadata_toml(descriptor: &Descriptor) -> String {
    let mut text = String::from(
        "# Rendered from the system collection for people; never read as truth, compared by verify.\n",
    );
    push_descriptor(&mut text, descriptor, "");
    text
}

/// The text of `global_metadata/collections.toml`.
pub fn collections_toml<'a>(
    database_id: CollectionId,
    descriptors: impl Iterator<Item = &'a Descriptor>,
) -> String {
    let mut text = String::from(
        "# Rendered from the system collection for people; never read as truth, compared by verify.\n",
    );
    text.push_str(&format!("database = {}\n", quoted(&database_id.to_string())));
    let sorted: BTreeMap<_, _> = descriptors.map(|d| ((&d.name, d.id), d)).collect();
    for descriptor in sorted.values() {
        text.push_str("\n[[collection]]\n");
        push_descriptor(&mut text, descriptor, "collection.");
    }
    text
}

fn push_descriptor(text: &mut String, descriptor: &Descriptor, parent: &str) {
    let settings = &descriptor.settings;
    let mut line = |key: &str, value: String| text.push_str(&format!("{key} = {value}\n"));
    line("id", quoted(&descriptor.id.to_string()));
    line("name", quoted(&descriptor.name));
    line("status", quoted(descriptor.status.as_str()));
    line("created_at", Timestamp::from_micros(descriptor.created_us).to_string());
    if let Some(tombstone) = &descriptor.tombstone {
        let root = hex(&tombstone.root);
        line("dropped_at", Timestamp::from_micros(tombstone.dropped_us).to_string());
        line("final_size", tombstone.size.to_string());
        line("final_root", quoted(&root));
    }
    if let Some(description) = &settings.description {
        line("description", quoted(description));
    }
    text.push_str(&format!("[{parent}settings]\n"));
    let mut line = |key: &str, value: String| text.push_str(&format!("{key} = {value}\n"));
    line("block_records", settings.block_records.to_string());
    line("seal_interval_ms", settings.seal_interval_ms.to_string());
    line("revisions", settings.revisions.to_string());
    if let Some(field) = &settings.key_field {
        line("key_field", quoted(field));
    }
    line("compression", quoted(settings.compression.as_str()));
    line("flush_bytes", settings.flush_bytes.to_string());
    line("flush_interval_ms", settings.flush_interval_ms.to_string());
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Lowercase hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
